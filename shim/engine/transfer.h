/* SPDX-License-Identifier: MIT */
/*
 * What a hook of the send and receive families does beside calling libc: count
 * the bytes of a managed connection.  An fd that is not ours costs two loads.
 */
#ifndef HOLDFAST_ENGINE_TRANSFER_H
#define HOLDFAST_ENGINE_TRANSFER_H

#include <errno.h>
#include <sys/types.h>

#include "connect.h"
#include "connection.h"

static inline void transfer_begin(struct connection *connection, int fd)
{
	if (__builtin_expect(connection->attention != 0, 0))
		engine_attend(connection, fd);
}

/* A pending connect shows its outcome in the first transfer that says anything of it. */
static inline void transfer_end(struct connection *connection, int fd, ssize_t result)
{
	if (__builtin_expect(connection->attention & ATTENTION_PENDING, 0) &&
	    (result >= 0 || (errno != EAGAIN && errno != EINTR && errno != ENOTCONN)))
		engine_settle(connection, fd, result < 0 ? errno : 0);
}

static inline ssize_t transfer_sent(struct connection *connection, int fd, ssize_t result)
{
	if (result > 0)
		atomic_fetch_add_explicit(connection->sent_bytes, (uint64_t)result,
					  memory_order_relaxed);
	transfer_end(connection, fd, result);
	return result;
}

static inline ssize_t transfer_received(struct connection *connection, int fd, ssize_t result)
{
	if (result > 0)
		atomic_fetch_add_explicit(connection->received_bytes, (uint64_t)result,
					  memory_order_relaxed);
	transfer_end(connection, fd, result);
	return result;
}

/*
 * SEND(fd, call): the call, its result counted as sent if fd is a managed
 * connection; else nothing but the call, in tail position.
 */
#define TRANSFER(direction, fd, call)                                            \
	({                                                                       \
		struct connection *connection_ = connection_of(fd);              \
		ssize_t result_;                                                 \
                                                                                 \
		if (__builtin_expect(connection_ == NULL, 1)) {                  \
			result_ = (call);                                        \
		} else {                                                         \
			transfer_begin(connection_, fd);                         \
			result_ = transfer_##direction(connection_, fd, (call)); \
		}                                                                \
		result_;                                                         \
	})
#define SEND(fd, call) TRANSFER(sent, fd, call)
#define RECEIVE(fd, call) TRANSFER(received, fd, call)

#endif
