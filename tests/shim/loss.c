/* SPDX-License-Identifier: MIT */
/*
 * Connections that are lost before a byte was moved, where the policy says nothing of
 * transfers: made anew. What is told of a loss is loss_told.c's.
 */
#include <sys/epoll.h>
#include <sys/uio.h>

#include "script.h"

static void expect_made_anew(unsigned int times)
{
	EXPECT_COUNT(reconnects, times);
	EXPECT_COUNT(reconnect_failures, 0);
	EXPECT_COUNT(operations, 1 + times);
	EXPECT_COUNT(succeeded, 1 + times);
	EXPECT_COUNT(replayed_bytes, 0);
	EXPECT_COUNT(retries_denied_unsafe, 0);
	EXPECT_COUNTS_ADD_UP();
	expect_events(EVENT_CONNECTION_LOST, times);
	expect_events(EVENT_RECONNECT_SUCCESS, times);
}

/* ---- made anew ---------------------------------------------------------------------------- */

static void anew_by_recv(void)
{
	struct script *script = server_script("R s3e");
	int fd = script_connect(script);
	char bytes[3];

	until_lost(fd);
	errno = 0;
	EXPECT_IS(recv(fd, bytes, 3, MSG_WAITALL), 3);
	EXPECT_ERRNO(0);
	expect_echo(fd, "over there");
	expect_made_anew(1);
	expect_loss(ECONNRESET, VERDICT_RETRY_NOW, 0, "written 0, acknowledged 0, unanswered 0");
	EXPECT_COUNT(sent_bytes, 10);
	EXPECT_COUNT(received_bytes, 13);
	EXPECT_SLOT(fd, state, SLOT_CONNECTED);
	EXPECT_SLOT(fd, reconnects, 1);
}

static void anew_by_blocked_recv(void)
{
	struct script *script = server_script("gR s3e");
	int fd = script_connect(script);
	char bytes[3];

	server_go(script);
	EXPECT_IS(read(fd, bytes, 1), 1);
	EXPECT_IS(recv(fd, bytes, 2, MSG_WAITALL), 2);
	expect_echo(fd, "over there");
	expect_made_anew(1);
}

static void anew_by_send(void)
{
	struct script *script = server_script("R e");
	int fd = script_connect(script);

	until_lost(fd);
	expect_echo(fd, "over there");
	expect_made_anew(1);
	EXPECT_TEXT(script, 1, "over there");
}

static void anew_by_write(void)
{
	struct script *script = server_script("R e");
	char text[] = "over there";
	struct iovec vector[] = { { text, 5 }, { text + 5, 5 } };
	int fd = script_connect(script);

	until_lost(fd);
	EXPECT_IS(writev(fd, vector, 2), 10);
	EXPECT_TEXT(script, 1, "over there");
	expect_made_anew(1);
}

/* Event loops ask so before they read; the kernel forgets the errno by that. */
static void anew_by_so_error(void)
{
	struct script *script = server_script("R s3e");
	int fd = script_connect(script);
	char bytes[3];

	until_lost(fd);
	EXPECT_IS(socket_error(fd), 0);
	EXPECT_IS(recv(fd, bytes, 3, MSG_WAITALL), 3);
	expect_echo(fd, "over there");
	expect_made_anew(1);
}

/* An end, and then a reset: recv() says 0, as at a good end. */
static void anew_after_end_by_recv(void)
{
	struct script *script = server_script("FR s3e");
	int fd = script_connect(script);
	char bytes[3];

	until_lost(fd);
	EXPECT_IS(recv(fd, bytes, 3, MSG_WAITALL), 3);
	expect_echo(fd, "over there");
	expect_made_anew(1);
}

static void anew_after_end_by_send(void)
{
	struct script *script = server_script("FR e");
	int fd = script_connect(script);

	signal(SIGPIPE, SIG_IGN);
	until_lost(fd);
	expect_echo(fd, "over there");
	expect_made_anew(1);
}

/* Mere ends are ends: the server has nothing to say. */
static void end_is_told(void)
{
	struct script *script = server_script("C");
	int fd = script_connect(script);
	char byte;

	until_ended(fd);
	EXPECT_IS(recv(fd, &byte, 1, 0), 0);
	EXPECT_IS(recv(fd, &byte, 1, 0), 0);
	EXPECT_COUNT(reconnects, 0);
	expect_events(EVENT_CONNECTION_LOST, 0);
}

static void anew_twice(void)
{
	struct script *script = server_script("R gR e");
	int fd = script_connect(script);
	char byte;

	until_lost(fd);
	UNTIL(recv(fd, &byte, 1, MSG_DONTWAIT) < 0 && script->accepted == 2);
	server_go(script);
	until_lost(fd);
	expect_echo(fd, "over there");
	expect_made_anew(2);
}

/* ---- event loops ----------------------------------------------------------------------------- */

static int loop_socket(struct script *script)
{
	int fd = script_connect(script);

	nonblocking_set(fd, true);
	until_lost(fd);
	return fd;
}

/* Reads what there is; true once it has 3 bytes. */
static bool loop_read(int fd, size_t *done)
{
	char bytes[8];
	ssize_t size;

	while ((size = recv(fd, bytes, sizeof(bytes), 0)) > 0)
		*done += (size_t)size;
	if (size == 0 || errno != EAGAIN) {
		EXPECT_IS(size, -1);
		EXPECT_ERRNO(EAGAIN);
		check_exit(1);
	}
	return *done >= 3;
}

static void loop_finish(int fd)
{
	nonblocking_set(fd, false);
	expect_echo(fd, "over there");
	expect_made_anew(1);
}

static void anew_in_poll(void)
{
	int fd = loop_socket(server_script("R s3e"));
	struct pollfd wait = { .fd = fd, .events = POLLIN };
	size_t done = 0;

	do {
		REQUIRE(poll(&wait, 1, 5000) == 1);
	} while (!loop_read(fd, &done));
	loop_finish(fd);
}

static void anew_in_epoll(uint32_t mode)
{
	int fd = loop_socket(server_script("R s3e")), set = epoll_create1(0);
	struct epoll_event event = { .events = EPOLLIN | EPOLLRDHUP | mode, .data.fd = fd };
	size_t done = 0;

	REQUIRE(epoll_ctl(set, EPOLL_CTL_ADD, fd, &event) == 0);
	do {
		REQUIRE(epoll_wait(set, &event, 1, 5000) == 1);
		EXPECT_IS(event.data.fd, fd);
	} while (!loop_read(fd, &done));
	loop_finish(fd);
}

static void anew_in_epoll_level(void)
{
	anew_in_epoll(0);
}

static void anew_in_epoll_edge(void)
{
	anew_in_epoll(EPOLLET | EPOLLOUT);
}

#define CASE(name, run) CASE_UNDER(name, run, POLICY_DEFAULT)

static const struct check_case cases[] = {
	CASE("reset before any byte: made anew, recv", anew_by_recv),
	CASE("reset while in read", anew_by_blocked_recv),
	CASE("reset before any byte: made anew, send", anew_by_send),
	CASE("reset before any byte: made anew, writev", anew_by_write),
	CASE("end and reset before any byte: made anew, recv", anew_after_end_by_recv),
	CASE("end and reset before any byte: made anew, send", anew_after_end_by_send),
	CASE("reset twice", anew_twice),
	CASE("poll", anew_in_poll),
	CASE("epoll", anew_in_epoll_level),
	CASE("epoll, edge triggered", anew_in_epoll_edge),
	CASE_TOLD("a mere end is told", end_is_told, POLICY_DEFAULT),
	CASE("reset before any byte: made anew, SO_ERROR", anew_by_so_error),
};

CHECK_MAIN(cases)
