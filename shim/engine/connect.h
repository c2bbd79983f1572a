/* SPDX-License-Identifier: MIT */
/*
 * connect() as the program calls it.  Async-signal-safe, a cancellation point as
 * the real one, and left consistent by siglongjmp() at any moment.
 */
#ifndef HOLDFAST_ENGINE_CONNECT_H
#define HOLDFAST_ENGINE_CONNECT_H

#include "connection.h"

/*
 * Connects fd, holding a blocking caller through failures that the policy
 * retries. Returns and sets errno as connect(2): the errno of the last real
 * attempt when the policy gives up, EINTR as without us.
 */
int engine_connect(int fd, const struct sockaddr *peer, socklen_t length);

/*
 * sendto() or sendmsg() with MSG_FASTOPEN on a stream: a connect whose first attempt
 * carries data. message: of sendmsg(), else NULL and the others are sendto()'s.
 */
ssize_t engine_send_connecting(int fd, const struct msghdr *message, const void *data, size_t size,
			       int flags, const struct sockaddr *peer, socklen_t length);

/* Gives the caller's SO_SNDTIMEO back, where a jump left a bounded attempt. */
void engine_attend(struct connection *connection, int fd);

/* The questions that can be put to a pending connect, as getsockopt(2) and shutdown(2). */
int engine_getsockopt(int fd, int level, int name, void *value, socklen_t *length);
int engine_shutdown(int fd, int how);
int engine_bind(int fd, const struct sockaddr *own, socklen_t length);
/* SIOCOUTQ counts the SYN of an attempt that failed, and none of one that is under way. */
bool engine_nothing_queued(int fd);

#endif
