/* SPDX-License-Identifier: MIT */
/*
 * What is kept of a connection for the day that it is lost: what its program sent, as
 * far as the policy lets it be sent again, and what became of earlier losses.
 *
 * The bytes lie in a ring of `max_buffer` bytes, mapped when the connection is made.
 * Offsets count all bytes that the program sent on the connection, over all of the
 * TCP connections that it was given:
 *
 *	start <= given <= end,  end - start <= size of the ring
 *
 *   unanswered   start: of the exchange, that is of what was sent since the last
 *                answer byte was delivered
 *   one_way      start: from here all is kept; what the peer has acknowledged, and is
 *                not within `overlap`, is let go when room is needed
 *
 * Each call here holds the entry's own lock, with signals blocked (for keep_send() by its
 * caller) and over system calls that do not wait: async-signal-safe, and nothing can jump out of
 * the middle.
 */
#ifndef HOLDFAST_ENGINE_KEEP_H
#define HOLDFAST_ENGINE_KEEP_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "connection.h"
#include "expect.h"
#include "policy/policy.h"

#define KEEP_HEAD 4

struct keep {
	_Atomic uint32_t lock;
	/* ---- losses: of every connection that had one ---- */
	_Atomic uint32_t rebuilds;      /* tries, one after the other, without a byte that moved */
	_Atomic int64_t lost_at_ns;     /* the first of these, CLOCK_MONOTONIC */
	_Atomic uint64_t received_then; /* bytes received by the last of these */
	_Atomic uint64_t received_before; /* the same when the present TCP connection began */
	_Atomic uint32_t exchanges;       /* how often this exchange was sent again */
	_Atomic int32_t error; /* that the program is told if it cannot be rebuilt; 0: an end */
	_Atomic int32_t
		untold; /* an errno that the kernel told a call which had sent a part already */
	/* ---- what was sent: under the lock ---- */
	uint8_t *_Atomic bytes; /* the ring; NULL: nothing is kept */
	uint64_t size;
	uint64_t start, given, end;
	uint64_t base;           /* where the present TCP connection begins */
	uint64_t unkept;         /* bytes that it was given past the ring */
	struct expect expect;    /* of the exchange */
	uint64_t floor;          /* nothing below is in the ring: it was sent unseen */
	_Atomic bool is_rewound; /* until all of it has been sent anew nothing goes past the ring */
	_Atomic uint8_t is_answered;
	_Atomic bool any_answer; /* an answer byte came at some time, and be it before all else */
	_Atomic uint8_t is_greeted; /* by the server, before anything was sent: a session */
	bool is_overflowed;         /* something that should be in the ring is not */
	bool is_headless;           /* `head` was not seen */
	uint8_t head_length;
	uint8_t head[KEEP_HEAD]; /* what the program sent first: TLS and SSH are known by it */
	/* ---- transfers that are tried again ---- */
	_Atomic uint32_t waits;
	_Atomic int64_t waiting_since_ns;
	/* ---- silence ---- */
	_Atomic int64_t heard_at_ns; /* the last byte, CLOCK_MONOTONIC_COARSE */
	_Atomic uint8_t is_silent;   /* for longer than idle_timeout */
};

/* The connection's own; NULL: there is no memory. */
struct keep *connection_keep(struct connection *connection);
/* The same if there is one already. */
struct keep *connection_kept(const struct connection *connection);

/*
 * The connection has been made, and its rule wants what is sent to be kept: from now
 * on its transfers go through here (ATTENTION_KEPT). errno is kept.
 */
void keep_begin(struct connection *connection, int fd, const struct policy_settings *settings);
/* Nothing is kept any more. */
void keep_end(struct connection *connection);
/* It is closed: its losses are not those of whoever uses the entry next. */
void keep_forget(struct connection *connection);

/*
 * Sends as much as the kernel takes at once, and keeps it. While the connection is being made
 * anew one_way takes it into the ring, and others nothing. Bytes taken; -1 with EAGAIN: nothing
 * for now, or an errno of sendmsg(2), without SIGPIPE.
 */
ssize_t keep_send(struct connection *connection, int fd, const struct iovec *vector, int count,
		  size_t skip, int flags);

/* So many bytes were sent that could not be looked at. */
void keep_spoil(struct connection *connection, uint64_t bytes);

/* size bytes were delivered to the program. */
void keep_deliver(struct connection *connection, size_t size);

/* The errno that the next call is to be told, once; 0: none. */
int keep_error_take(const struct connection *connection);

/* Whether what was sent is still without an answer. */
bool keep_is_unanswered(const struct connection *connection);

/* Whether answer bytes were delivered since the last that was sent. */
bool keep_is_answered(const struct connection *connection);

/* What the ring says to the decision. */
void keep_describe(struct connection *connection, int fd, struct policy_loss *loss);

/*
 * The connection is lost, and will be made anew: chooses what has to be sent again, and keeps
 * everybody from the socket until keep_resume() or keep_abandon(). acknowledged: bytes of the present TCP connection that the peer's kernel has.
 */
void keep_rewind(struct connection *connection, uint64_t acknowledged,
		 const struct policy_transfer *transfer);

/* Whether the present TCP connection was given anything. */
bool keep_is_given(const struct connection *connection);

/* Hands the kernel what it has not got. 0, EAGAIN: not all of it, or an errno. */
int keep_flush(struct connection *connection, int fd);
/* The same on a connection that has just been made anew: after 0 it is everybody's again. */
int keep_resume(struct connection *connection, int fd);
/* It is not made anew. */
void keep_abandon(const struct connection *connection);
/* Between keep_rewind() and either. */
bool keep_is_rewound(const struct connection *connection);

/* Bytes that the program sent and the peer is not known to have. */
uint64_t keep_left(struct connection *connection, int fd);

#endif
