/* SPDX-License-Identifier: MIT */
/* calls.h, and what only event loops call. */
#ifndef TESTS_STRESS_LOOPS_CALLS_H
#define TESTS_STRESS_LOOPS_CALLS_H

#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/select.h>

#include "calls.h"

#ifdef STRESS_ENGINE

#include "shim/engine/wait.h"

static inline int call_poll(struct pollfd *fds, nfds_t count, int timeout_ms)
{
	return engine_poll(fds, count, timeout_ms);
}

static inline int call_ppoll(struct pollfd *fds, nfds_t count, const struct timespec *timeout,
			     const sigset_t *mask)
{
	return engine_ppoll(fds, count, timeout, mask);
}

static inline int call_select(int count, fd_set *in, fd_set *out, fd_set *except,
			      struct timeval *timeout)
{
	return engine_select(count, in, out, except, timeout);
}

static inline int call_pselect(int count, fd_set *in, fd_set *out, fd_set *except,
			       const struct timespec *timeout, const sigset_t *mask)
{
	return engine_pselect(count, in, out, except, timeout, mask);
}

static inline int call_epoll_create(void)
{
	int set = epoll_create1(EPOLL_CLOEXEC);

	if (set >= 0)
		fd_opened(set, FD_SET_OF_FDS);
	return set;
}

static inline int call_epoll_wait(int set, struct epoll_event *events, int room, int timeout_ms)
{
	return engine_epoll_wait(set, events, room, timeout_ms);
}

static inline int call_epoll_pwait(int set, struct epoll_event *events, int room, int timeout_ms,
				   const sigset_t *mask)
{
	return engine_epoll_pwait(set, events, room, timeout_ms, mask);
}

static inline int call_epoll_pwait2(int set, struct epoll_event *events, int room,
				    const struct timespec *timeout, const sigset_t *mask)
{
	return engine_epoll_pwait2(set, events, room, timeout, mask);
}

static inline int call_epoll_ctl(int set, int operation, int fd, struct epoll_event *event)
{
	return engine_epoll_ctl(set, operation, fd, event);
}

static inline int call_shutdown(int fd, int how)
{
	return engine_shutdown(fd, how);
}

static inline ssize_t call_write(int fd, const void *data, size_t size)
{
	return SEND_BYTES(fd, 0, data, size, syscall(SYS_write, fd, data, size));
}

static inline ssize_t call_read(int fd, void *data, size_t size)
{
	return RECEIVE(fd, 0, syscall(SYS_read, fd, data, size));
}

/* O_NONBLOCK; the two ways of doing it. */
static inline int call_mode_fcntl(int fd, bool nonblocking)
{
	int result = fcntl(fd, F_SETFL, O_RDWR | (nonblocking ? O_NONBLOCK : 0));

	if (result == 0)
		fd_mode(fd, nonblocking);
	return result;
}

static inline int call_mode_ioctl(int fd, bool nonblocking)
{
	int on = nonblocking, result = ioctl(fd, FIONBIO, &on);

	if (result == 0)
		fd_mode(fd, nonblocking);
	return result;
}

#else

static inline int call_poll(struct pollfd *fds, nfds_t count, int timeout_ms)
{
	return poll(fds, count, timeout_ms);
}

static inline int call_ppoll(struct pollfd *fds, nfds_t count, const struct timespec *timeout,
			     const sigset_t *mask)
{
	return ppoll(fds, count, timeout, mask);
}

static inline int call_select(int count, fd_set *in, fd_set *out, fd_set *except,
			      struct timeval *timeout)
{
	return select(count, in, out, except, timeout);
}

static inline int call_pselect(int count, fd_set *in, fd_set *out, fd_set *except,
			       const struct timespec *timeout, const sigset_t *mask)
{
	return pselect(count, in, out, except, timeout, mask);
}

static inline int call_epoll_create(void)
{
	return epoll_create1(EPOLL_CLOEXEC);
}

static inline int call_epoll_wait(int set, struct epoll_event *events, int room, int timeout_ms)
{
	return epoll_wait(set, events, room, timeout_ms);
}

static inline int call_epoll_pwait(int set, struct epoll_event *events, int room, int timeout_ms,
				   const sigset_t *mask)
{
	return epoll_pwait(set, events, room, timeout_ms, mask);
}

static inline int call_epoll_pwait2(int set, struct epoll_event *events, int room,
				    const struct timespec *timeout, const sigset_t *mask)
{
	return epoll_pwait2(set, events, room, timeout, mask);
}

static inline int call_epoll_ctl(int set, int operation, int fd, struct epoll_event *event)
{
	return epoll_ctl(set, operation, fd, event);
}

static inline int call_shutdown(int fd, int how)
{
	return shutdown(fd, how);
}

static inline ssize_t call_write(int fd, const void *data, size_t size)
{
	return write(fd, data, size);
}

static inline ssize_t call_read(int fd, void *data, size_t size)
{
	return read(fd, data, size);
}

static inline int call_mode_fcntl(int fd, bool nonblocking)
{
	return fcntl(fd, F_SETFL, O_RDWR | (nonblocking ? O_NONBLOCK : 0));
}

static inline int call_mode_ioctl(int fd, bool nonblocking)
{
	int on = nonblocking;

	return ioctl(fd, FIONBIO, &on);
}

#endif
#endif
