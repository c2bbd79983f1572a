/* SPDX-License-Identifier: MIT */
/* One connect() that is being served, as the parts of the engine hand it on. */
#ifndef HOLDFAST_ENGINE_CALL_H
#define HOLDFAST_ENGINE_CALL_H

#include "connection.h"
#include "names.h"
#include "policy/policy.h"

#define SECOND_NS INT64_C(1000000000)

/* The first attempt as MSG_FASTOPEN makes it: connect and first data in one. */
struct first_send {
	const struct msghdr *message; /* of sendmsg(); NULL: sendto() of data */
	const void *data;
	size_t size;
	int flags;
	ssize_t result; /* out, of the first attempt */
};

/* Where a call is in its pool. Order and rounds are pools.c's own. */
struct pool_walk {
	uint32_t start;  /* where the pool's order begins for this call */
	uint32_t step;   /* from one endpoint to the next; 0: the listed order, but for the start */
	uint32_t taken;  /* endpoints that this round has gone through, the current one included */
	uint32_t round;  /* 1 is the first */
	uint32_t record; /* of the current endpoint */
	uint16_t pool;   /* of the policy */
	uint8_t family;  /* of the address that the program gave */
	uint8_t replace; /* enum pool_replace */
};

struct call {
	struct connection *connection;
	const struct policy_settings *settings;
	const struct sockaddr *peer; /* pooled: the endpoint's, in memory of the call's own */
	socklen_t length;
	int fd;
	uint32_t ticket;    /* of the operation */
	int saved_errno;    /* given back on success */
	uint64_t cookie;    /* of the socket, asked after the first failure */
	bool said;          /* the line on the terminal */
	bool graced : 1;    /* the last try before the program walks on */
	bool named : 1;     /* name, index and walked are known */
	bool immovable : 1; /* to another address: a duplicate shares the socket, or it is bound */
	bool unfit : 1;     /* moved there, the socket cannot go back: it needs another one */
	bool impatient : 1; /* nobody may be kept waiting for a sibling's answer */
	bool committed : 1; /* its first attempt carries data, which the kernel has: it is the only one */
	bool resent : 1;       /* a rebuild: the attempt that failed was given what was kept */
	bool asking : 1;       /* one is being waited for: the decision has to be made again */
	uint32_t tries_before; /* to make it anew, that came to nothing: the limit is that of all */
	int64_t caller_limit_ns; /* CLOCK_MONOTONIC, by SO_SNDTIMEO; INT64_MAX: none */
	uint64_t previous_delay_ns;
	struct first_send *send; /* NULL: connect() */
	union {
		struct {                  /* named: */
			struct name name; /* that the peer's address was looked up by */
			uint32_t index;   /* of the address */
			uint32_t walked;  /* bits of those that the program tried before it */
			uint32_t other;   /* an address that answers and was walked past */
		};
		struct pool_walk pool;
	};
	bool pooled; /* the destination is a pool's; such a call is not named */
};

struct operation_failure;

/* ---- failure.c -------------------------------------------------------------------- */

/* Uniform over 64 bits, for jitter. */
uint64_t random_draw(void);

int64_t call_elapsed(const struct call *call);

/* How long the attempt that is made now may take, as policy_attempt_bound(). */
uint64_t call_attempt_bound(const struct call *call);

/* What the terminal is told of the limit. */
uint32_t call_retries(const struct call *call, enum policy_category category);

/* Of the peer, in network byte order; 0 for AF_UNIX. */
uint16_t call_port(const struct call *call);

/* False if another thread closed the socket, and its number is perhaps another's. */
bool call_is_current(const struct call *call);

/* Asks the policy what to do about an attempt that failed with error. */
void failure_decide(struct call *call, int error, struct operation_failure *failure);

/* Turns "go on to the other address" into one last attempt, once. */
void failure_grace(struct call *call, struct operation_failure *failure);

/* The program gets it: passed on, or given up. */
void failure_end(struct call *call, const struct operation_failure *failure);

/* ---- attempt.c: each is 0, or the errno ----------------------------------------- */

/*
 * A blocking attempt of at most bound_ns. ETIMEDOUT when the bound cut it,
 * EINPROGRESS when the caller's own SO_SNDTIMEO, counted from the beginning of
 * the call, came first.
 */
int attempt_make(struct call *call, uint64_t bound_ns);

/* Another attempt on the same socket, bounded as the policy says. */
int attempt_again(struct call *call);

/* The same at another address. */
int attempt_at(struct call *call, const struct sockaddr *peer, socklen_t length);

/*
 * Starts an attempt and does not wait: EINTR when it is under way, for a program
 * that must see a signal and may then ask the kernel whether it is connecting.
 */
int attempt_begin(struct call *call);

#endif
