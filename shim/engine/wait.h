/* SPDX-License-Identifier: MIT */
/*
 * The program's own waits, inside of which pending connects are served.
 *
 * While nothing is pending each is the real call and one look at a count, before
 * and after, since something can have become pending meanwhile. Else the real
 * call is made for no longer than until something is due; a socket that is held is
 * left out of it, what a failed attempt made ready is served and taken out of the
 * result, and if that leaves nothing the wait goes on.
 *
 * As their namesakes: results, errno, cancellation, signals. Nothing is held over
 * a real call, so that a jump out of it leaves nothing behind.
 */
#ifndef HOLDFAST_ENGINE_WAIT_H
#define HOLDFAST_ENGINE_WAIT_H

#include <poll.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <time.h>

int engine_poll(struct pollfd *fds, nfds_t count, int timeout_ms);
int engine_ppoll(struct pollfd *fds, nfds_t count, const struct timespec *timeout,
		 const sigset_t *mask);

int engine_select(int count, fd_set *read, fd_set *write, fd_set *except, struct timeval *timeout);
int engine_pselect(int count, fd_set *read, fd_set *write, fd_set *except,
		   const struct timespec *timeout, const sigset_t *mask);

int engine_epoll_wait(int set, struct epoll_event *events, int room, int timeout_ms);
int engine_epoll_pwait(int set, struct epoll_event *events, int room, int timeout_ms,
		       const sigset_t *mask);
int engine_epoll_pwait2(int set, struct epoll_event *events, int room,
			const struct timespec *timeout, const sigset_t *mask);
int engine_epoll_ctl(int set, int operation, int fd, struct epoll_event *event);

#endif
