/* SPDX-License-Identifier: MIT */
/* What a program sees of a connection that is lost and not made anew. */
#ifndef TESTS_SHIM_LOST_H
#define TESTS_SHIM_LOST_H

#include "script.h"

static inline void expect_passed_on(unsigned int cause, const char *detail)
{
	EXPECT_COUNT(reconnects, 0);
	EXPECT_COUNT(operations, 1);
	EXPECT_COUNT(retries_denied_unsafe, cause == CAUSE_UNSAFE ? 1 : 0);
	EXPECT_COUNTS_ADD_UP();
	expect_events(EVENT_CONNECTION_LOST, 1);
	expect_loss(ECONNRESET, VERDICT_PASS_ON, cause, detail);
}

static volatile sig_atomic_t pipes;

static inline void pipe_count(int number)
{
	(void)number;
	pipes++;
}

/* As on any dead socket, from the second call on. */
static inline void expect_dead(int fd)
{
	struct pollfd wait = { .fd = fd, .events = POLLIN | POLLOUT };
	char byte;

	signal(SIGPIPE, pipe_count);
	pipes = 0;
	EXPECT_IS(recv(fd, &byte, 1, 0), 0);
	EXPECT_IS(send(fd, "x", 1, 0), -1);
	EXPECT_ERRNO(EPIPE);
	EXPECT_IS(pipes, 1);
	EXPECT_IS(send(fd, "x", 1, MSG_NOSIGNAL), -1);
	EXPECT_ERRNO(EPIPE);
	EXPECT_IS(pipes, 1);
	EXPECT_IS(recv(fd, &byte, 1, 0), 0);
	EXPECT_IS(poll(&wait, 1, 0), 1);
	EXPECT_IS(wait.revents & (POLLOUT | POLLHUP), POLLOUT | POLLHUP);
	EXPECT_IS(socket_error(fd), 0);
}

static inline void expect_reset(int fd)
{
	char byte;

	EXPECT_IS(recv(fd, &byte, 1, 0), -1);
	EXPECT_ERRNO(ECONNRESET);
	expect_dead(fd);
}

#endif
