/* SPDX-License-Identifier: MIT */
/* A thread that waits for one socket, and what it was told. */
#ifndef TESTS_WAITS_WAITER_H
#define TESTS_WAITS_WAITER_H

#include "waits.h"

/* A slow connect takes 1 s, a held one less. */
#define IN_TIME_MS 2400

struct waiter {
	int set; /* of epoll, or */
	int fd;  /* for poll and select */
	int timeout_ms;
	int64_t told;
	int64_t told_at;
	pthread_t thread;
};

static inline void *waiter_epoll(void *data)
{
	struct waiter *waiter = data;

	waiter->told = set_wait(waiter->set, waiter->timeout_ms);
	waiter->told_at = now_ms();
	return NULL;
}

static inline void *waiter_poll(void *data)
{
	struct waiter *waiter = data;

	waiter->told = poll_out(waiter->fd, waiter->timeout_ms);
	waiter->told_at = now_ms();
	return NULL;
}

static inline void *waiter_select(void *data)
{
	struct waiter *waiter = data;
	struct timeval span = { waiter->timeout_ms / 1000, waiter->timeout_ms % 1000 * 1000 };
	fd_set writable;

	FD_ZERO(&writable);
	FD_SET(waiter->fd, &writable);
	waiter->told = select(waiter->fd + 1, NULL, &writable, NULL,
			      waiter->timeout_ms < 0 ? NULL : &span);
	if (waiter->told > 0)
		waiter->told = FD_ISSET(waiter->fd, &writable) ? POLLOUT : -2;
	waiter->told_at = now_ms();
	return NULL;
}

static inline void waiter_start(struct waiter *waiter, void *(*body)(void *))
{
	waiter->thread = thread_start(body, waiter);
}

/* Started, and inside its wait as far as anybody can tell. */
static inline void waiter_blocks(struct waiter *waiter, void *(*body)(void *))
{
	waiter_start(waiter, body);
	sleep_ms(60);
}

static inline void expect_told(struct waiter *waiter, int64_t began, int64_t event)
{
	if (EXPECT(thread_ends(waiter->thread, NULL, LIMIT_MS))) {
		EXPECT_IS(waiter->told, event);
		EXPECT_WITHIN(waiter->told_at - began, 0, IN_TIME_MS);
	}
}

#endif
