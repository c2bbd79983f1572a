/* SPDX-License-Identifier: MIT */
/* poll.h */
#include <poll.h>

#include "fortify.h"
#include "shim/engine/wait.h"
#include "shim/libc.h"

/* An array that is shorter than its count: libc says so, and ends the program. */
static bool overflows(nfds_t count, size_t room)
{
	return room / sizeof(struct pollfd) < count;
}

HOOK int poll(struct pollfd *fds, nfds_t count, int timeout)
{
	return engine_poll(fds, count, timeout);
}

HOOK int ppoll(struct pollfd *fds, nfds_t count, const struct timespec *timeout,
	       const sigset_t *mask)
{
	return engine_ppoll(fds, count, timeout, mask);
}

HOOK int __poll_chk(struct pollfd *fds, nfds_t count, int timeout, size_t room)
{
	if (overflows(count, room))
		return LIBC(__poll_chk)(fds, count, timeout, room);
	return engine_poll(fds, count, timeout);
}

HOOK int __ppoll_chk(struct pollfd *fds, nfds_t count, const struct timespec *timeout,
		     const sigset_t *mask, size_t room)
{
	if (overflows(count, room))
		return LIBC(__ppoll_chk)(fds, count, timeout, mask, room);
	return engine_ppoll(fds, count, timeout, mask);
}
