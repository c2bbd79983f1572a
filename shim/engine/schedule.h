/* SPDX-License-Identifier: MIT */
/*
 * When each pending connect is looked at next: a heap of deadlines, and the lock
 * under which pending connects change.
 *
 * The lock is held with all signals blocked and over system calls that do not
 * wait, so that no handler can enter again and nothing can jump out.  All of this
 * lies in memory that the kernel empties in a forked child: there nothing is
 * pending, and a lock that another thread held is free.
 */
#ifndef HOLDFAST_ENGINE_SCHEDULE_H
#define HOLDFAST_ENGINE_SCHEDULE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "shim/store/layout.h"

struct pending;

/* Deadlines are rounded up to these, so that what is due together is served together. */
#define TICK_NS INT64_C(5000000)

/*
 * Of those that wait for one endpoint only one makes an attempt at a time: the
 * others follow its outcome, and a failure of a moment ago is theirs too.
 */
struct leader {
	struct pending *leading; /* its attempt is under way; NULL: nobody's */
	struct pending *followers;
	const struct pending *failed; /* who was the last to fail, and how */
	int64_t failed_at_ns;
	int error;
};

struct due {
	int64_t at_ns;
	struct pending *pending;
};

#define SCHEDULE_ROOM (2 * SLOTS_PER_PROCESS)

struct schedule {
	_Atomic uint32_t lock;    /* odd while it is held */
	_Atomic uint32_t pending; /* connects whose outcome the program has not been told */
	_Atomic uint32_t held;    /* those of them that are between two attempts */
	_Atomic uint32_t used;    /* something was held at some time */
	_Atomic uint32_t tended; /* counted in pending: connected ones that waits have to look at */
	_Atomic uint32_t lures;  /* held ones that are in their sets nevertheless */
	_Atomic int64_t next_ns; /* the earliest deadline, CLOCK_MONOTONIC; 0: none */
	uint32_t count;
	struct leader leaders[ENDPOINTS_PER_PROCESS];
	struct due heap[SCHEDULE_ROOM];
};

/* Never NULL; an empty one until the first connect that does not block. */
extern struct schedule *_Atomic schedule;

/* Before anything else is done to it. False if there is no memory. */
bool schedule_make(void);

static inline struct schedule *schedule_get(void)
{
	return atomic_load_explicit(&schedule, memory_order_acquire);
}

/* A connection that waits have to look at has come, or gone. */
static inline void schedule_tend(int32_t by)
{
	atomic_fetch_add(&schedule_get()->tended, (uint32_t)by);
	atomic_fetch_add(&schedule_get()->pending, (uint32_t)by);
}

/* The gate of everything that pending connects cost. */
static inline bool pending_any(void)
{
	return __builtin_expect(
		atomic_load_explicit(&schedule_get()->pending, memory_order_relaxed) != 0, 0);
}

static inline bool pending_any_held(void)
{
	return atomic_load_explicit(&schedule_get()->held, memory_order_relaxed) != 0;
}

/*
 * Whether another thread may be taking sockets out of their sets or putting them back:
 * then registrations change under the lock only.
 */
static inline bool registrations_move(void)
{
	const struct schedule *s = schedule_get();

	return __builtin_expect(atomic_load_explicit(&s->used, memory_order_relaxed) != 0, 0) &&
	       (atomic_load(&s->pending) || atomic_load(&s->lock) % 2);
}

/* Something will have to be done at some time. What is just being done is in no schedule. */
static inline bool pending_any_due(void)
{
	return pending_any_held() ||
	       atomic_load_explicit(&schedule_get()->next_ns, memory_order_relaxed) != 0;
}

/*
 * The earliest deadline, INT64_MAX if there is none. False if another thread is at
 * it, so that this may change at once.
 */
bool schedule_next(int64_t *next_ns);

/* Changes whenever somebody takes the lock. */
static inline uint32_t schedule_lock_word(void)
{
	return atomic_load(&schedule_get()->lock);
}

void schedule_lock(uint64_t *signals);
/* False if another thread has it, which then does what is due. */
bool schedule_trylock(uint64_t *signals);
void schedule_unlock(const uint64_t *signals);

/* ---- under the lock ---- */

void schedule_set(struct pending *pending, int64_t at_ns);
void schedule_remove(struct pending *pending);
/* Takes the earliest out if it is due; NULL if none is. */
struct pending *schedule_pop(int64_t now_ns);
/* The earliest of all; NULL if there is none. */
struct pending *schedule_first(void);

#endif
