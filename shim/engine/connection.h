/* SPDX-License-Identifier: MIT */
/*
 * Managed connections, and which fd stands for which.
 *
 * A connection is private to the process; what others may see of it is in its
 * slot of the store.  Several fds can stand for one (dup).  An entry can be
 * stale, since fds vanish without a close() that we see: it is believed only
 * where a wrong belief does no more than count a byte for the wrong endpoint,
 * or after the socket's cookie has been compared.
 *
 * Async-signal-safe and lock-free.
 */
#ifndef HOLDFAST_ENGINE_CONNECTION_H
#define HOLDFAST_ENGINE_CONNECTION_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "engine.h"
#include "shim/store/layout.h"
#include "shim/words.h"

struct keep;
struct pending;

/* Why a call on the connection must look twice. */
enum attention {
	ATTENTION_PENDING = 1u << 0,      /* a connect is under way, outcome unknown */
	ATTENTION_SEND_TIMEOUT = 1u << 1, /* SO_SNDTIMEO is ours, the caller's is in send_timeout */
	/* Beside PENDING: */
	ATTENTION_HELD = 1u << 2,      /* between two attempts: the socket itself tells nothing */
	ATTENTION_SCHEDULED = 1u << 3, /* it failed before: it changes under the lock only */
	/* Instead of PENDING: */
	ATTENTION_FAILED = 1u << 4, /* the program is still to be told `error` */
	/* Beside FAILED: */
	ATTENTION_LEFT = 1u << 5, /* it left the attempt itself, by shutdown() or AF_UNSPEC */
	ATTENTION_ANEW = 1u << 6, /* connect() is no question any more */
	/* Beside all others, as long as the connection is there: */
	ATTENTION_KEPT = 1u << 7, /* transfers go through keep.c */
	ATTENTION_IDLE = 1u << 8, /* an end is put to its silence */
	ATTENTION_RETRIED = 1u
			    << 9, /* a transfer failed for want of something, and is tried again */
	ATTENTION_WANTED = 1u << 10 /* somebody has asked for it to be made anew */
};
#define ATTENTION_TOLD (ATTENTION_FAILED | ATTENTION_LEFT | ATTENTION_ANEW)
#define ATTENTION_CONNECT (ATTENTION_PENDING | ATTENTION_FAILED)

/* What has been made of the connection's loss. */
enum loss { LOSS_NONE, LOSS_BUSY, LOSS_TOLD };

/* What is known of an fd since socket(); cleared when the number is used anew. */
enum fd_kind {
	FD_STREAM = 1u << 0,
	FD_DATAGRAM = 1u << 1,
	/* As we saw it set; through a duplicate it can be set unseen. */
	FD_NONBLOCKING = 1u << 2,
	FD_SET_OF_FDS = 1u << 3, /* of epoll_create() */
	FD_SHARED = 1u << 4,     /* another number may stand for the same socket */
	FD_TRIED_MAPPED = 1u
			  << 5, /* v4-mapped, for a pool: it never connects to native IPv6 again */
	FD_UNWATCHED = 1u << 6, /* its registrations may have changed since they were recorded */
	FD_MOVED = 1u << 7      /* it has registrations that the program made by another number */
};

/* Two counters side by side, of a slot or of a record. */
enum moved { MOVED_SENT, MOVED_RECEIVED };

struct connection {
	/* Words all of them, since a thread whose fd another closed may still look at them. */
	/* The first 64 bytes are all that a transfer touches. */
	_Alignas(64) _Atomic uint64_t *_Atomic moved_bytes; /* [enum moved] */
	_Atomic uint32_t attention;
	/*
	 * The operation in progress: an odd ticket. Who turns it even accounts for
	 * the outcome, so that each is counted once whoever learns of it first.
	 */
	_Atomic uint32_t operation;
	struct connection_slot *_Atomic slot;
	struct endpoint_record *_Atomic record;
	_Atomic uint32_t fds;           /* how many stand for it */
	_Atomic uint8_t spare;          /* its slot is memory of our own: the disk is full */
	_Atomic uint8_t is_shared;      /* with another process */
	_Atomic uint8_t is_half_closed; /* by the program */
	_Atomic uint8_t loss;           /* enum loss */

	_Atomic int64_t began_ns; /* the operation, CLOCK_MONOTONIC */
	struct timeval send_timeout;
	_Atomic int32_t rule;
	_Atomic uint32_t slot_index;
	_Atomic uint32_t generation;
	_Atomic uint32_t attempts;
	_Atomic uint8_t is_stream;
	_Atomic uint8_t nonblocking; /* as it was at connect() */
	_Atomic uint8_t reported; /* connect() itself has returned success: the next says EISCONN */
	_Atomic uint8_t named;
	_Atomic int32_t owner;           /* pid */
	_Atomic int32_t error;           /* of a connect that failed and was not asked about yet */
	_Atomic uint32_t lookup;         /* struct name's */
	struct pending *_Atomic pending; /* its own, for when it is one */
	_Atomic uint64_t
		cookie;        /* of the socket of a pending connect that failed once; 0: unknown */
	_Atomic uint64_t name; /* that a pending connect is to: entry and version */
};
_Static_assert(sizeof(struct connection) == 128, "two cache lines a connection");

/*
 * What readers of the store ask for: the word changes with each request, and is `seen` when the
 * slots have been looked through for it.
 */
struct reconnects {
	_Atomic uint32_t *_Atomic word; /* never NULL */
	_Atomic uint32_t seen;
};
extern struct reconnects reconnects;

#define FDS_PER_CHUNK 1024
#define FD_CHUNKS 1024 /* fds beyond 1,048,575 are not managed */

struct fd_chunk {
	struct connection *_Atomic connections[FDS_PER_CHUNK];
	_Atomic uint8_t kinds[FDS_PER_CHUNK];
};

extern struct fd_chunk *_Atomic fd_chunks[FD_CHUNKS];
extern struct fd_chunk fds_first; /* fd_chunks[0], once there is one */

static inline struct fd_chunk *fd_chunk(int fd)
{
	unsigned int number = (unsigned int)fd / FDS_PER_CHUNK;

	if (number >= FD_CHUNKS)
		return NULL;
	return atomic_load_explicit(&fd_chunks[number], memory_order_acquire);
}

struct connection *connection_beyond(int fd) __attribute__((cold));

/* The connection that fd stands for, as far as we know; NULL for every fd that is not ours. */
static inline struct connection *connection_of(int fd)
{
	/* Nearly every fd is one of these: a load, and none that waits for another. */
	if (__builtin_expect((unsigned int)fd < FDS_PER_CHUNK, 1))
		return atomic_load_explicit(&fds_first.connections[fd], memory_order_acquire);
	return connection_beyond(fd);
}

/* enum fd_kind */
static inline unsigned int fd_kind(int fd)
{
	bool is_near = __builtin_expect((unsigned int)fd < FDS_PER_CHUNK, 1);
	struct fd_chunk *chunk = is_near ? &fds_first : fd_chunk(fd);

	return chunk ? LOAD(chunk->kinds[(unsigned int)fd % FDS_PER_CHUNK]) : 0;
}

/* Memory for this process's connections; once per process. */
bool connections_attach(void);

/*
 * A new connection of fd to a record's endpoint, published under fd; what fd
 * stood for before is released. owner: this process. NULL when there is no
 * memory for it.
 */
struct connection *connection_open(int fd, uint32_t record, int rule, int32_t owner);

/*
 * A connect of this process's own that is pending, or failed and was not asked
 * about. No system call: a forked child, to which its parent's are none of its
 * business, is told by memory that the kernel has emptied.
 */
static inline bool connection_is_pending(const struct connection *connection)
{
	return connection->attention & ATTENTION_CONNECT && engine_is_owner(connection->owner);
}

/* Its connect has an attempt under way in the kernel, which tells of its outcome. */
static inline bool connection_is_under_way(const struct connection *connection)
{
	return (connection->attention & (ATTENTION_CONNECT | ATTENTION_HELD)) ==
		       ATTENTION_PENDING &&
	       connection_is_pending(connection);
}

/* Its room for an AF_UNIX address, and for being pending. NULL: there is no memory. */
struct sockaddr *connection_path(struct connection *connection);
struct pending *connection_pending(struct connection *connection);

/* The record of the endpoint, for connects: `record` is another one while it is made anew. */
struct endpoint_record *connection_record(const struct connection *connection);

/* What it sent and received; false if that is counted together with others'. */
bool connection_bytes(const struct connection *connection, uint64_t *sent, uint64_t *received);
/* Of what it sent, what was sent after the last byte that it received. */
uint64_t connection_unanswered(const struct connection *connection);

/* Gives ATTENTION_WANTED to those that were asked for since it was last looked for. */
void reconnects_look(void);

/* Each that was ever used, NULL past the last: for slow paths. */
struct connection *connection_at(uint32_t index);

/* The next higher fd that stands for it, -1 if there is none. Goes through all fds. */
int connection_fd_next(const struct connection *connection, int fd);

/* An fd that stands for it: that of its slot if it does still, -1 if there is none. */
int connection_fd(const struct connection *connection);

static inline void attention_set(struct connection *connection, uint32_t bits)
{
	atomic_fetch_or_explicit(&connection->attention, bits, memory_order_acq_rel);
}

/* What was set before. */
static inline uint32_t attention_clear(struct connection *connection, uint32_t bits)
{
	return atomic_fetch_and_explicit(&connection->attention, ~bits, memory_order_acq_rel);
}

/* What the policy says for it, by the rule that it was connected under. */
static inline const struct policy_settings *connection_settings(const struct connection *connection)
{
	return policy_settings(engine.policy, connection->rule);
}

/*
 * Bytes were moved, and nothing is kept of them: no policy has it made anew, so it is never
 * taken out of a set, until the program connects the same socket again. Nor is a datagram
 * socket ever.
 */
static inline bool connection_is_plain(const struct connection *connection)
{
	const struct connection_slot *slot = connection->slot;

	return !connection->attention && !connection->spare &&
	       (LOAD(slot->sent_bytes) != LOAD(slot->sent_base) ||
		LOAD(slot->received_bytes) != LOAD(slot->received_base) || !connection->is_stream);
}

/* True if it is this process's own and not shared memory of another (vfork). */
bool connection_owned(const struct connection *connection);

/* ---- what the hooks tell ------------------------------------------------------- */

/* socket() and the like returned fd: whatever was known of the number is stale. */
void fd_opened(int fd, unsigned int kind);
/* Whether another number stands for the same socket: for slow paths. */
bool fd_is_shared(int fd);
void fd_tried_mapped(int fd, bool tried);
/* epoll_ctl() on fd is not recorded as long as its connection is plain. */
void fd_unwatched(int fd);
/* O_NONBLOCK was set or cleared. */
void fd_mode(int fd, bool nonblocking);
/* fd is about to be closed; with its last fd the connection ends. Its number may be a set's. */
void fd_closing(int fd);
/* fd stands for nothing any more, but stays the same socket. */
void fd_dissolved(int fd);
void fd_range_closing(unsigned int first, unsigned int last);
/* A copy of each may come to be in another process: the caller is about to fork. */
void connections_share(void);
/* The same of one, which is being sent to somebody. */
void fd_shared(int fd);
/* target is about to become another name of fd: what it stands for is closed by that. */
void fd_replacing(int fd, int target);
/* It has. */
void fd_duplicated(int fd, int target);

#endif
