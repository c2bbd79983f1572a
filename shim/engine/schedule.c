/* SPDX-License-Identifier: MIT */
#include "schedule.h"

#include <stddef.h>

#include "pending.h"
#include "shim/sys.h"

/* The first words of one, which is all that is looked at while nothing is pending: the whole is
 * large, and every process loads this. */
static union {
	_Atomic uint64_t words[1];
	char bytes[offsetof(struct schedule, leaders)];
} nothing_pending;
#define NOTHING_PENDING ((struct schedule *)(void *)&nothing_pending)

struct schedule *_Atomic schedule = NOTHING_PENDING;

bool schedule_make(void)
{
	struct schedule *made, *expected = NOTHING_PENDING;
	int saved_errno = errno;

	if (schedule_get() != NOTHING_PENDING)
		return true;
	made = sys_mmap(NULL, sizeof(*made), PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (made != MAP_FAILED && (sys_madvise(made, sizeof(*made), MADV_WIPEONFORK) < 0 ||
				   !atomic_compare_exchange_strong(&schedule, &expected, made)))
		sys_munmap(made, sizeof(*made));
	errno = saved_errno;
	return schedule_get() != NOTHING_PENDING;
}

/* ---- the lock -------------------------------------------------------------------- */

static bool lock_try(void)
{
	uint32_t lock = atomic_load_explicit(&schedule_get()->lock, memory_order_relaxed);

	return lock % 2 == 0 &&
	       atomic_compare_exchange_strong_explicit(&schedule_get()->lock, &lock, lock + 1,
						       memory_order_acquire, memory_order_relaxed);
}

bool schedule_trylock(uint64_t *signals)
{
	sys_signals_block(signals);
	if (lock_try())
		return true;
	sys_signals_restore(signals);
	return false;
}

void schedule_lock(uint64_t *signals)
{
	const struct timespec pause = { 0, 20000 };

	sys_signals_block(signals);
	/* It is held for some system calls at most. */
	while (!lock_try())
		SYS(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &pause, NULL);
}

void schedule_unlock(const uint64_t *signals)
{
	atomic_fetch_add_explicit(&schedule_get()->lock, 1, memory_order_release);
	sys_signals_restore(signals);
}

/* ---- the heap: places count from 1, so that 0 says "not in it" ---------------------- */

static struct due *heap_at(uint32_t place)
{
	return &schedule_get()->heap[place - 1];
}

static void heap_put(uint32_t place, struct due due)
{
	*heap_at(place) = due;
	due.pending->place = place;
}

static void heap_up(uint32_t place, struct due due)
{
	while (place > 1 && heap_at(place / 2)->at_ns > due.at_ns) {
		heap_put(place, *heap_at(place / 2));
		place /= 2;
	}
	heap_put(place, due);
}

static void heap_down(uint32_t place, struct due due)
{
	uint32_t count = schedule_get()->count;

	for (;;) {
		uint32_t child = place * 2;

		if (child < count && heap_at(child + 1)->at_ns < heap_at(child)->at_ns)
			child++;
		if (child > count || heap_at(child)->at_ns >= due.at_ns)
			break;
		heap_put(place, *heap_at(child));
		place = child;
	}
	heap_put(place, due);
}

static void next_publish(void)
{
	struct schedule *s = schedule_get();

	atomic_store_explicit(&s->next_ns, s->count ? heap_at(1)->at_ns : 0, memory_order_relaxed);
}

bool schedule_next(int64_t *next_ns)
{
	const struct schedule *s = schedule_get();
	uint32_t lock = atomic_load(&s->lock);

	*next_ns = atomic_load(&s->next_ns);
	if (*next_ns == 0)
		*next_ns = INT64_MAX;
	return lock % 2 == 0 && atomic_load(&s->lock) == lock;
}

void schedule_remove(struct pending *pending)
{
	struct schedule *s = schedule_get();
	uint32_t place = pending->place;
	struct due last;

	if (!place)
		return;
	last = *heap_at(s->count--);
	pending->place = 0;
	if (last.pending != pending) {
		heap_down(place, last);
		heap_up(last.pending->place, last);
	}
	next_publish();
}

void schedule_set(struct pending *pending, int64_t at_ns)
{
	struct schedule *s = schedule_get();
	struct due due = { (at_ns + TICK_NS - 1) / TICK_NS * TICK_NS, pending };

	schedule_remove(pending);
	/* Every connection has a place: there are as many as slots. */
	heap_up(++s->count, due);
	next_publish();
}

struct pending *schedule_first(void)
{
	return schedule_get()->count ? heap_at(1)->pending : NULL;
}

struct pending *schedule_pop(int64_t now_ns)
{
	struct pending *first = schedule_first();

	if (!first || heap_at(1)->at_ns > now_ns)
		return NULL;
	schedule_remove(first);
	return first;
}
