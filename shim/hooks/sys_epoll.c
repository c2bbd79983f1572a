/* SPDX-License-Identifier: MIT */
/* sys/epoll.h */
#include <sys/epoll.h>

#include "shim/engine/connection.h"
#include "shim/engine/wait.h"
#include "shim/libc.h"

HOOK int epoll_create(int size)
{
	int set = LIBC(epoll_create)(size);

	if (set >= 0)
		fd_opened(set, FD_SET_OF_FDS);
	return set;
}

HOOK int epoll_create1(int flags)
{
	int set = LIBC(epoll_create1)(flags);

	if (set >= 0)
		fd_opened(set, FD_SET_OF_FDS);
	return set;
}

HOOK int epoll_wait(int set, struct epoll_event *events, int room, int timeout)
{
	return engine_epoll_wait(set, events, room, timeout);
}

HOOK int epoll_pwait(int set, struct epoll_event *events, int room, int timeout,
		     const sigset_t *mask)
{
	return engine_epoll_pwait(set, events, room, timeout, mask);
}

HOOK int epoll_pwait2(int set, struct epoll_event *events, int room, const struct timespec *timeout,
		      const sigset_t *mask)
{
	return engine_epoll_pwait2(set, events, room, timeout, mask);
}

HOOK int epoll_ctl(int set, int operation, int fd, struct epoll_event *event)
{
	return engine_epoll_ctl(set, operation, fd, event);
}
