/* SPDX-License-Identifier: MIT */
/*
 * What a hook of the send and receive families does beside calling libc: count
 * the bytes of a managed connection, and answer for one that is still pending.  An
 * fd that is not ours costs two loads.
 */
#ifndef HOLDFAST_ENGINE_TRANSFER_H
#define HOLDFAST_ENGINE_TRANSFER_H

#include <errno.h>
#include <sys/types.h>

#include "connect.h"
#include "connection.h"
#include "datagram.h"

/* Before a call on a connection that wants attention: false if errno is the answer. */
bool transfer_attend(struct connection *connection, int fd, int flags);

/*
 * After one: what *result says of a pending connect. True if the call is to be
 * made again. flags: of the call, for MSG_DONTWAIT.
 */
bool transfer_settle(struct connection *connection, int fd, int flags, ssize_t *result);

/* before: what attention the connection wanted then, which another thread may settle meanwhile. */
static inline bool transfer_begin(struct connection *connection, int fd, int flags,
				  uint32_t *before)
{
	*before = connection->attention;
	return __builtin_expect(*before == 0, 1) || transfer_attend(connection, fd, flags);
}

static inline bool transfer_end(struct connection *connection, int fd, int flags, uint32_t before,
				ssize_t *result)
{
	if (__builtin_expect(*result < 0, 0) && errno == ECONNREFUSED && !connection->is_stream)
		datagram_failed(connection, errno);
	return __builtin_expect((before | connection->attention) & ATTENTION_CONNECT, 0) &&
	       transfer_settle(connection, fd, flags, result);
}

static inline ssize_t transfer_sent(struct connection *connection, ssize_t result)
{
	if (result > 0)
		atomic_fetch_add_explicit(connection->sent_bytes, (uint64_t)result,
					  memory_order_relaxed);
	return result;
}

static inline ssize_t transfer_received(struct connection *connection, ssize_t result)
{
	if (result > 0)
		atomic_fetch_add_explicit(connection->received_bytes, (uint64_t)result,
					  memory_order_relaxed);
	return result;
}

/* Bytes that stay in the queue are not received. */
static inline ssize_t transfer_looked(struct connection *connection, ssize_t result)
{
	return result;
}

/*
 * SEND(fd, flags, call): the call, its result counted as sent if fd is a managed
 * connection; else nothing but the call, in tail position.
 */
#define TRANSFER(direction, fd, flags, call)                                               \
	({                                                                                 \
		struct connection *connection_ = connection_of(fd);                        \
		uint32_t before_;                                                          \
		ssize_t result_;                                                           \
                                                                                           \
		if (__builtin_expect(connection_ == NULL, 1)) {                            \
			result_ = (call);                                                  \
		} else {                                                                   \
			do {                                                               \
				result_ = -1;                                              \
				if (!transfer_begin(connection_, fd, flags, &before_))     \
					break;                                             \
				result_ = (call);                                          \
			} while (transfer_end(connection_, fd, flags, before_, &result_)); \
			transfer_##direction(connection_, result_);                        \
		}                                                                          \
		result_;                                                                   \
	})
#define SEND(fd, flags, call) TRANSFER(sent, fd, flags, call)
#define RECEIVE(fd, flags, call) TRANSFER(received, fd, flags, call)
#define LOOK(fd, flags, call) TRANSFER(looked, fd, flags, call)

#endif
