/* SPDX-License-Identifier: MIT */
/*
 * How long a wait goes on, and which threads wait for events without knowing of a
 * deadline.
 */
#ifndef HOLDFAST_ENGINE_PATIENCE_H
#define HOLDFAST_ENGINE_PATIENCE_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/single_threaded.h>
#include <time.h>

#define WAIT_FOREVER INT64_MAX

/* No other thread can make anything pending meanwhile. */
static inline bool wait_is_alone(void)
{
	return __libc_single_threaded;
}

/*
 * When a wait began that nothing was pending for: it matters only if another thread
 * makes something pending meanwhile. 0: it cannot matter.
 */
int64_t wait_began(bool is_timed);

/* When a wait ends: began_ns as above, or 0 for now. */
int64_t wait_until_ms(int64_t began_ns, int timeout_ms);
int64_t wait_until(int64_t began_ns, const struct timespec *timeout);

/* True when until_ns has come. */
bool wait_is_over(int64_t until_ns);
int64_t wait_left_ns(int64_t until_ns);
/* Does what is due; until when the next real call may last: until_ns, or something is due. */
int64_t wait_serve(int64_t until_ns);
/* How long that is. */
struct timespec wait_span(int64_t until_ns);
/* In whole milliseconds, never less; -1: for ever. */
int wait_span_ms(int64_t until_ns);

/*
 * A wait that is made of several calls must be to signals as the one that it stands
 * for: they can come inside of the real calls only, where `inside` is the mask, and
 * one that it blocks comes at the end.
 */
struct wait_mask {
	bool is_begun; /* false at first; it is all that must be set */
	uint64_t before;
	sigset_t inside;
};
/* Each is nothing where it has been done already. */
void wait_mask_begin(struct wait_mask *mask, const sigset_t *inside);
void wait_mask_end(struct wait_mask *mask);

/* Whether a real call failed, by errno, because it may not be made, and not for what it was given. */
bool wait_is_refused(void);

/* False for a time that the kernel refuses. */
bool timeout_is_valid(const struct timespec *timeout);

/* Memory for the thread's next wait with many descriptors; kept, so that a jump loses nothing. */
void *scratch_get(size_t size);

/* Whether a set that is said to be ready still is, now that the sockets in it were looked at. */
bool set_is_ready(int set);

/*
 * This thread waits in an epoll set until then; WAIT_FOREVER: it knows of nothing due.
 * Said before it looks whether anything is pending: who makes something so looks for
 * it afterwards.
 */
void waiter_begin(int set, int64_t until_ns);
void waiter_end(void);

/* Whether another one waits beyond a time, in a set that concerns(set, fd) says yes to; NULL: in any. */
bool waiters_beyond(int64_t at_ns, bool (*concerns)(int set, int fd), int fd);

#endif
