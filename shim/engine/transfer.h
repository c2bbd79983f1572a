/* SPDX-License-Identifier: MIT */
/*
 * What a hook of the send and receive families does beside calling libc: count the
 * bytes of a managed connection, answer for one that is still pending, keep what is
 * sent where the policy wants it, and see that a connection is lost.  An fd that is
 * not ours costs two loads.
 */
#ifndef HOLDFAST_ENGINE_TRANSFER_H
#define HOLDFAST_ENGINE_TRANSFER_H

#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "connect.h"
#include "connection.h"
#include "shim/words.h"

/* What was so before the call. */
struct transfer_before {
	uint32_t attention; /* that it wanted, which another thread may settle meanwhile */
	uint32_t operation; /* the last or present one's ticket */
	int saved_errno;    /* given back before the call is made again: it may succeed then */
};

/* Before a call on a connection that wants attention: false if errno is the answer. */
bool transfer_attend(struct connection *connection, int fd, int flags, bool sends);

/*
 * After one that failed, or on a connection that wants attention: what *result says
 * of a pending connect, of a loss, of what is kept. True if the call is to be made
 * again. flags: of the call, for MSG_DONTWAIT.
 */
bool transfer_settle(struct connection *connection, int fd, int flags, bool sends,
		     const struct transfer_before *before, ssize_t *result);

/*
 * The data of a send on a connection whose rule wants it to be kept. As sendmsg(2)
 * with this vector: blocks as fd does, raises SIGPIPE as the program's own call would.
 */
ssize_t transfer_keep(struct connection *connection, int fd, const struct iovec *vector, int count,
		      int flags);

/*
 * Whether what is sent is kept. Not by a forked child: its copy of what was kept is no
 * use, and may be locked by a thread that it has not got.
 */
bool transfer_keeps(const struct connection *connection);

size_t vector_size(const struct iovec *vector, int count);

/* Until when a call may wait, by the timeout of its direction, CLOCK_MONOTONIC; 0: it may not. */
int64_t transfer_until(int fd, int flags, bool sends);

/*
 * Before a send that is not kept, on a connection that is being made anew: waits until it is
 * there again. False if errno is the answer.
 */
bool transfer_back(struct connection *connection, int fd, int flags);

static inline bool transfer_may_pass(struct connection *connection, int fd, int flags)
{
	return !__builtin_expect(connection->attention & ATTENTION_HELD, 0) ||
	       transfer_back(connection, fd, flags);
}

/* errno's, which libc gives by a call only, through a table that may be out of the cache. */
extern _Thread_local int *errno_known
	__attribute__((tls_model("initial-exec"), visibility("hidden")));

static inline int *errno_address(void)
{
	if (__builtin_expect(!errno_known, 0))
		errno_known = &errno;
	return errno_known;
}

/*
 * Whether there is anything to do before a call. That somebody asks for a connection to be made
 * anew is said in one place for all: to look in the slot of each would be to wait for memory
 * whose place is known only once the connection has been read.
 */
static inline bool transfer_wants(const struct connection *connection)
{
	return __builtin_expect(
		connection->attention | (LOAD(*LOAD(reconnects.word)) ^ LOAD(reconnects.seen)), 0);
}

static inline bool transfer_begin(struct connection *connection, int fd, int flags, bool sends,
				  struct transfer_before *before)
{
	*before = (struct transfer_before){ connection->attention, connection->operation, errno };
	if (!transfer_wants(connection))
		return true;
	if (!transfer_attend(connection, fd, flags, sends))
		return false;
	before->operation = connection->operation;
	return true;
}

/* Copies: what the quick way needs stays in registers. */
static inline bool transfer_end_slowly(struct connection *connection, int fd, int flags, bool sends,
				       struct transfer_before before, ssize_t *result)
{
	ssize_t told = *result;
	bool again = transfer_settle(connection, fd, flags, sends, &before, &told);

	*result = told;
	return again;
}

static inline bool transfer_end(struct connection *connection, int fd, int flags, bool sends,
				const struct transfer_before *before, ssize_t *result)
{
	/* The end of the stream can be a loss, too. */
	if (__builtin_expect((before->attention | connection->attention) == 0, 1) &&
	    (__builtin_expect(*result > 0, 1) || (*result == 0 && sends) ||
	     (*result < 0 && errno == EAGAIN)))
		return false;
	return transfer_end_slowly(connection, fd, flags, sends, *before, result);
}

static inline void bytes_count(const struct connection *connection, enum moved way, ssize_t bytes)
{
	_Atomic uint64_t *moved_bytes = LOAD(connection->moved_bytes);

	counter_add(&moved_bytes[way], (uint64_t)bytes, connection->is_shared | connection->spare);
}

static inline ssize_t transfer_sent(struct connection *connection, ssize_t result)
{
	if (result > 0)
		bytes_count(connection, MOVED_SENT, result);
	return result;
}

static inline ssize_t transfer_received(struct connection *connection, ssize_t result)
{
	if (result > 0) {
		bytes_count(connection, MOVED_RECEIVED, result);
		STORE(connection->slot->answered_bytes,
		      LOAD(LOAD(connection->moved_bytes)[MOVED_SENT]));
	}
	return result;
}

/* Bytes that stay in the queue are not received. */
static inline ssize_t transfer_looked(struct connection *connection, ssize_t result)
{
	return result;
}

/* Asked first: only then is it looked at what the program's pointers lead to. */
static inline bool transfer_may_keep(const struct connection *connection,
				     const struct transfer_before *before)
{
	return __builtin_expect(before->attention | connection->attention, 0) &&
	       connection->attention & ATTENTION_KEPT;
}

/* A call for no bytes only asks for the connection's errno, or not even that. */
static inline bool transfer_is_kept(const struct connection *connection, const struct iovec *vector,
				    int count)
{
	return count >= 0 && count <= IOV_MAX && transfer_keeps(connection) &&
	       vector_size(vector, count);
}

/*
 * The hooks that are called most. After a system call the caches are cold, and what costs
 * is each line of code and data that is touched: a call on an fd that is not ours ends in
 * HOT itself, in tail position and without a frame; on a connection that wants nothing it
 * ends in ONCE, which is short because all else is in NAME_again().
 */
#define HOT(name, fd, ...)                                                                        \
	({                                                                                        \
		libc_##name##_t *next_ = LIBC_FOUND(name);                                        \
		bool is_near_ = __builtin_expect((unsigned int)(fd) < FDS_PER_CHUNK && next_, 1); \
		struct connection *connection_ = is_near_ ? connection_of(fd) : NULL;             \
                                                                                                  \
		!is_near_     ? name##_again(fd, __VA_ARGS__)                                     \
		: connection_ ? name##_managed(fd, __VA_ARGS__, connection_, next_)               \
			      : next_(fd, __VA_ARGS__);                                           \
	})

/* A call on a connection that wanted nothing, for what may have to follow it. */
struct transfer_call {
	struct connection *connection;
	const void *data;
	size_t size;
	int fd;
	int flags;
	struct transfer_before before;
};

/*
 * The call once, its result counted; NAME_finish() does what else may follow. All that it needs
 * is in memory: in registers it would have to be saved and restored around every call.
 */
#define ONCE(name, counted, connection, fd, data, size, flags, call)                              \
	({                                                                                        \
		const struct transfer_call call_ = {                                              \
			(connection),                                                             \
			(data),                                                                   \
			(size),                                                                   \
			(fd),                                                                     \
			(flags),                                                                  \
			{ .operation = (connection)->operation, .saved_errno = *errno_address() } \
		};                                                                                \
		ssize_t result_;                                                                  \
                                                                                                  \
		__asm__ volatile("" : : "m"(call_));                                              \
		result_ = (call);                                                                 \
		if (__builtin_expect((connection)->attention || result_ <= 0, 0))                 \
			result_ = name##_finish(&call_, result_);                                 \
		else                                                                              \
			transfer_##counted(connection, result_);                                  \
		result_;                                                                          \
	})

/* again: the same with all that may have to be done. */
#define FINISH(counted, made, sends, result, again)                                \
	({                                                                         \
		ssize_t result_ = (result);                                        \
                                                                                   \
		transfer_end((made)->connection, (made)->fd, (made)->flags, sends, \
			     &(made)->before, &result_)                            \
			? (again)                                                  \
			: transfer_##counted((made)->connection, result_);         \
	})
#define BEHIND static __attribute__((noinline))

/*
 * The call, its result counted if fd is a managed connection; else nothing but the call,
 * in tail position. kept: what is done instead where the data are kept.
 */
#define TRANSFER(counted, fd, flags, sends, is_kept, kept, call)                                   \
	({                                                                                         \
		struct connection *connection_ = connection_of(fd);                                \
		struct transfer_before before_;                                                    \
		ssize_t result_;                                                                   \
                                                                                                   \
		if (__builtin_expect(connection_ == NULL, 1)) {                                    \
			result_ = (call);                                                          \
		} else {                                                                           \
			do {                                                                       \
				result_ = -1;                                                      \
				if (!transfer_begin(connection_, fd, flags, sends, &before_))      \
					break;                                                     \
				if (is_kept) {                                                     \
					result_ = (kept);                                          \
					break;                                                     \
				}                                                                  \
				if ((sends) && !transfer_may_pass(connection_, fd, flags))         \
					break;                                                     \
				result_ = (call);                                                  \
			} while (transfer_end(connection_, fd, flags, sends, &before_, &result_)); \
			transfer_##counted(connection_, result_);                                  \
		}                                                                                  \
		result_;                                                                           \
	})
/* vector and count: the same data, for a connection that keeps them; a negative count: it cannot. */
#define SEND(fd, flags, vector, count, call)                           \
	TRANSFER(sent, fd, flags, true,                                \
		 transfer_may_keep(connection_, &before_) &&           \
			 transfer_is_kept(connection_, vector, count), \
		 transfer_keep(connection_, fd, vector, count, flags), call)
#define RECEIVE(fd, flags, call) TRANSFER(received, fd, flags, false, false, -1, call)
#define LOOK(fd, flags, call) TRANSFER(looked, fd, flags, false, false, -1, call)

/* Of bytes that lie in one place, and of a message: what goes with it cannot be kept. */
#define SEND_BYTES(fd, flags, data, size, call) \
	SEND(fd, flags, (&(struct iovec){ (void *)(uintptr_t)(data), size }), 1, call)
#define SEND_MESSAGE(fd, flags, message)                                  \
	SEND(fd, flags, (message)->msg_iov,                               \
	     (message)->msg_controllen ? -1 : (int)(message)->msg_iovlen, \
	     LIBC(sendmsg)(fd, message, flags))

#endif
