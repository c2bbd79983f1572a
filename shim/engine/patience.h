/* SPDX-License-Identifier: MIT */
/*
 * How long a wait goes on, and which threads wait for events without knowing of a
 * deadline.
 */
#ifndef HOLDFAST_ENGINE_PATIENCE_H
#define HOLDFAST_ENGINE_PATIENCE_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#define WAIT_FOREVER INT64_MAX

/*
 * When a wait began that nothing was pending for, as exactly as can be had for
 * nearly nothing: it matters only if another thread makes something pending
 * meanwhile. 0: it cannot matter.
 */
int64_t wait_began(bool is_timed);

/* When a wait ends: began_ns as above, or 0 for now. */
int64_t wait_until_ms(int64_t began_ns, int timeout_ms);
int64_t wait_until(int64_t began_ns, const struct timespec *timeout);

/* True when until_ns has come, and how long to wait: no longer than until something is due. */
bool wait_is_over(int64_t until_ns);
int64_t wait_left_ns(int64_t until_ns);
/* Does what is due; how long the next real call may take at most. */
struct timespec wait_next(int64_t until_ns);
/* In whole milliseconds, never less; -1: for ever. */
int wait_next_ms(int64_t until_ns);

/* This thread waits in an epoll set until then, WAIT_FOREVER if it knows of nothing due; 0: no more. */
void waiter_set(int64_t until_ns);
/* Whether another one does, beyond a time. */
bool waiters_beyond(int64_t at_ns);

#endif
