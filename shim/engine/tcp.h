/* SPDX-License-Identifier: MIT */
/*
 * What is asked of and done to a socket between attempts.  Raw system calls: no
 * cancellation point, no hook.  Async-signal-safe; errno is kept.
 */
#ifndef HOLDFAST_ENGINE_TCP_H
#define HOLDFAST_ENGINE_TCP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/time.h>

/* By TCP_INFO, which has no side effect. False for sockets of other kinds. */
bool tcp_is_connected(int fd);
/* A connect is under way in the kernel. */
bool tcp_is_connecting(int fd);

/* Of the present connection, also after its end; a SYN is none. False if fd is no TCP socket. */
bool tcp_bytes_acknowledged(int fd, uint64_t *bytes);
/* The same of all that was written; the end of the output counts as one. */
bool tcp_bytes_written(int fd, uint64_t *bytes);
/* Anything but the end of the stream, read or not. */
bool tcp_has_received(int fd);
/* Of the present connection; the end of the stream counts as one. */
bool tcp_bytes_received(int fd, uint64_t *bytes);
/* Received and not read yet. */
int socket_unread(int fd);
/* Data of either direction, whoever moved them. */
bool tcp_has_moved(int fd);
/* The connection is no more: not merely ended by the peer, whose end of stream can be read. */
bool tcp_is_lost(int fd);
/* It is connected, or was and is lost: its connect has not failed, whatever it says by now. */
static inline bool tcp_has_connected(int fd)
{
	return tcp_is_connected(fd) || tcp_is_lost(fd);
}

/* Neither side has ended it. */
bool tcp_is_connected_whole(int fd);
/* The kernel would take more now. */
bool fd_takes_output(int fd);
/* Neither that nor listening. */
bool tcp_is_closed(int fd);

/* SO_ERROR, which the kernel forgets by being asked; 0 if there is none. */
int socket_error(int fd);

/*
 * Makes fd ready for another connect(): leaves the old attempt, which the next
 * connect() would otherwise only report, and drains the error queue, which would
 * otherwise make poll() say POLLERR on a healthy socket for ever.
 */
void tcp_reset(int fd);

/* It was never connected, nor bound. */
bool socket_is_fresh(int fd);

/* A dead local port in the ephemeral range sooner or later connects to itself. */
bool tcp_is_self_connected(int fd);

/* SO_SNDTIMEO. */
bool send_timeout_get(int fd, struct timeval *timeout);
void send_timeout_set(int fd, const struct timeval *timeout);

/* SO_RCVTIMEO. */
bool receive_timeout_get(int fd, struct timeval *timeout);

/* When such a timeout, counted from from_ns, is over; INT64_MAX: never, it is not set. */
int64_t socket_timeout_until(const struct timeval *timeout, int64_t from_ns);

/* Begins a connect without waiting for it, whatever the mode of fd; 0 or the errno. */
int connect_start(int fd, const struct sockaddr *peer, socklen_t length);

/* SO_COOKIE: tells a socket from every other one of this boot. 0 if fd is no socket. */
uint64_t socket_cookie(int fd);
/* SOCK_STREAM, SOCK_DGRAM...; -1 if fd is no socket. */
int socket_type(int fd);
/* AF_INET...; -1 if fd is no socket. */
int socket_family(int fd);
bool fd_is_nonblocking(int fd);

#endif
