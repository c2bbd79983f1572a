/* SPDX-License-Identifier: MIT */
/* What programs built with _FORTIFY_SOURCE call; libc exports them and declares them nowhere. */
#ifndef HOLDFAST_HOOKS_FORTIFY_H
#define HOLDFAST_HOOKS_FORTIFY_H

#include <poll.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/types.h>

ssize_t __read_chk(int fd, void *data, size_t size, size_t room);
ssize_t __recv_chk(int fd, void *data, size_t size, size_t room, int flags);
ssize_t __recvfrom_chk(int fd, void *data, size_t size, size_t room, int flags,
		       struct sockaddr *peer, socklen_t *length);
int __poll_chk(struct pollfd *fds, nfds_t count, int timeout, size_t room);
int __ppoll_chk(struct pollfd *fds, nfds_t count, const struct timespec *timeout,
		const sigset_t *mask, size_t room);

#endif
