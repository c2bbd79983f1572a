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
 * A transfer or a question on a connection that wants attention: gives the
 * caller's SO_SNDTIMEO back.
 */
void engine_attend(struct connection *connection, int fd);

/*
 * Settles a pending connect from what a call on it said: error 0 for success,
 * else its errno.
 */
void engine_settle(struct connection *connection, int fd, int error);

#endif
