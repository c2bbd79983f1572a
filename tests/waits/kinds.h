/* SPDX-License-Identifier: MIT */
/* Every wait call in one form: one socket, a timeout, perhaps a mask of signals. */
#ifndef TESTS_WAITS_KINDS_H
#define TESTS_WAITS_KINDS_H

#include "waits.h"

/* No header declares what a program with _FORTIFY_SOURCE calls. */
int __poll_chk(struct pollfd *fds, nfds_t count, int timeout, size_t size);
int __ppoll_chk(struct pollfd *fds, nfds_t count, const struct timespec *timeout,
		const sigset_t *mask, size_t size);

struct subject {
	int fd;
	int set; /* where fd is registered */
};

struct kind {
	const char *name;
	/* POLLOUT, 0 or -1. ns: -1 for ever. */
	int (*wait)(const struct subject *s, int64_t ns, const sigset_t *mask);
	bool masks;
	bool fine; /* takes nanoseconds, or at least microseconds */
};

static inline int kind_ms(int64_t ns)
{
	return ns < 0 ? -1 : (int)(ns / 1000000);
}

static inline const struct timespec *kind_span(int64_t ns, struct timespec *span)
{
	span->tv_sec = ns / 1000000000;
	span->tv_nsec = ns % 1000000000;
	return ns < 0 ? NULL : span;
}

static inline int kind_polled(int result, const struct pollfd *wait)
{
	return result > 0 ? wait->revents : result;
}

static inline int kind_poll(const struct subject *s, int64_t ns, const sigset_t *mask)
{
	struct pollfd wait = { .fd = s->fd, .events = POLLOUT };

	return kind_polled(poll(&wait, 1, kind_ms(ns)), &wait);
}

static inline int kind_ppoll(const struct subject *s, int64_t ns, const sigset_t *mask)
{
	struct pollfd wait = { .fd = s->fd, .events = POLLOUT };
	struct timespec span;

	return kind_polled(ppoll(&wait, 1, kind_span(ns, &span), mask), &wait);
}

static inline int kind_poll_chk(const struct subject *s, int64_t ns, const sigset_t *mask)
{
	struct pollfd wait = { .fd = s->fd, .events = POLLOUT };

	return kind_polled(__poll_chk(&wait, 1, kind_ms(ns), sizeof(wait)), &wait);
}

static inline int kind_ppoll_chk(const struct subject *s, int64_t ns, const sigset_t *mask)
{
	struct pollfd wait = { .fd = s->fd, .events = POLLOUT };
	struct timespec span;

	return kind_polled(__ppoll_chk(&wait, 1, kind_span(ns, &span), mask, sizeof(wait)), &wait);
}

static inline int kind_select(const struct subject *s, int64_t ns, const sigset_t *mask)
{
	struct timeval span = { ns / 1000000000, ns % 1000000000 / 1000 };
	fd_set writable;
	int result;

	FD_ZERO(&writable);
	FD_SET(s->fd, &writable);
	result = select(s->fd + 1, NULL, &writable, NULL, ns < 0 ? NULL : &span);
	/* Linux leaves there what is left. */
	if (result == 0)
		EXPECT_IS(span.tv_sec * 1000000 + span.tv_usec, 0);
	if (result >= 0)
		EXPECT_IS(FD_ISSET(s->fd, &writable) != 0, result);
	return result > 0 ? POLLOUT : result;
}

static inline int kind_pselect(const struct subject *s, int64_t ns, const sigset_t *mask)
{
	struct timespec span;
	fd_set writable;
	int result;

	FD_ZERO(&writable);
	FD_SET(s->fd, &writable);
	result = pselect(s->fd + 1, NULL, &writable, NULL, kind_span(ns, &span), mask);
	if (result >= 0)
		EXPECT_IS(FD_ISSET(s->fd, &writable) != 0, result);
	return result > 0 ? POLLOUT : result;
}

static inline int kind_told(int result, const struct epoll_event *event)
{
	return result > 0 ? (int)event->events : result;
}

static inline int kind_epoll_wait(const struct subject *s, int64_t ns, const sigset_t *mask)
{
	struct epoll_event event;

	return kind_told(epoll_wait(s->set, &event, 1, kind_ms(ns)), &event);
}

static inline int kind_epoll_pwait(const struct subject *s, int64_t ns, const sigset_t *mask)
{
	struct epoll_event event;

	return kind_told(epoll_pwait(s->set, &event, 1, kind_ms(ns), mask), &event);
}

static inline int kind_epoll_pwait2(const struct subject *s, int64_t ns, const sigset_t *mask)
{
	struct epoll_event event;
	struct timespec span;

	return kind_told(epoll_pwait2(s->set, &event, 1, kind_span(ns, &span), mask), &event);
}

static const struct kind kinds[] = {
	{ "poll", kind_poll, false, false },
	{ "ppoll", kind_ppoll, true, true },
	{ "__poll_chk", kind_poll_chk, false, false },
	{ "__ppoll_chk", kind_ppoll_chk, true, true },
	{ "select", kind_select, false, true },
	{ "pselect", kind_pselect, true, true },
	{ "epoll_wait", kind_epoll_wait, false, false },
	{ "epoll_pwait", kind_epoll_pwait, true, false },
	{ "epoll_pwait2", kind_epoll_pwait2, true, true },
};
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

static inline struct subject subject_begin(const struct server *server, uint32_t trigger)
{
	struct subject s = { .fd = pending_socket(server), .set = set_make() };

	set_add(s.set, s.fd, EPOLLOUT | trigger);
	return s;
}

static inline int64_t ms_ns(int64_t ms)
{
	return ms * 1000000;
}

/* Which of them an expectation was about. */
static inline void kind_blame(const struct kind *kind, int failures_before)
{
	if (check_failures != failures_before)
		check_say("  in %s", kind->name);
}

#endif
