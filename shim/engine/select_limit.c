/* SPDX-License-Identifier: MIT */
#include "select_limit.h"

#include <errno.h>
#include <stdatomic.h>

#include "connection.h"
#include "shim/sys.h"

#define WORD_BITS 64
/* Every process has room for so many. */
#define LEAST 64
#define MOST (FD_CHUNKS * FDS_PER_CHUNK)
#define PAGE 4096

/*
 * Zeros, with a page behind them that cannot be read: a set that ends there is refused as soon
 * as the kernel looks at more of it.
 */
struct probe {
	uint64_t zeros[MOST / WORD_BITS];
	char wall[PAGE];
};
_Static_assert(sizeof(((struct probe *)0)->zeros) % PAGE == 0, "the wall is a page of its own");

/* What is known, and the probe; in memory that a forked child finds empty: its room is another. */
struct room {
	_Atomic int32_t known; /* the kernel looks at no fewer */
	struct probe *_Atomic probe;
};
static struct room *_Atomic room;

static struct room *room_make(void)
{
	struct room *made = atomic_load_explicit(&room, memory_order_acquire), *expected = NULL;

	if (made)
		return made;
	made = sys_memory(sizeof(*made));
	if (!made)
		return NULL;
	if (sys_madvise(made, sizeof(*made), MADV_WIPEONFORK) < 0 ||
	    !atomic_compare_exchange_strong(&room, &expected, made)) {
		sys_munmap(made, sizeof(*made));
		made = expected;
	}
	return made;
}

static const struct probe *probe_make(struct room *here)
{
	struct probe *made = atomic_load_explicit(&here->probe, memory_order_acquire);
	struct probe *expected = NULL;

	if (made)
		return made;
	made = sys_memory(sizeof(*made));
	if (!made)
		return NULL;
	if (SYS(SYS_mprotect, made->wall, sizeof(made->wall), PROT_NONE) < 0 ||
	    !atomic_compare_exchange_strong(&here->probe, &expected, made)) {
		sys_munmap(made, sizeof(*made));
		made = expected;
	}
	return made;
}

/* Whether the kernel looks at more than so many words of a set for count fds; -1: it does not say. */
static int is_more(const struct probe *probe, int count, unsigned int words)
{
	const uint64_t *set = probe->zeros + sizeof(probe->zeros) / sizeof(*set) - words;
	struct timespec at_once = { 0, 0 };
	long result;

	/* Each signal interrupts it once. */
	do
		result = SYS(SYS_pselect6, count, set, NULL, NULL, &at_once, NULL);
	while (result < 0 && errno == EINTR);
	if (result == 0)
		return 0;
	return errno == EFAULT ? 1 : -1;
}

static int limit_find(const struct probe *probe, int count, int known)
{
	unsigned int words = (unsigned int)(known + WORD_BITS - 1) / WORD_BITS;
	unsigned int most = (unsigned int)(count + WORD_BITS - 1) / WORD_BITS, more = words;
	int answer;

	/* Room is doubled, mostly. */
	while (words < most && (answer = is_more(probe, count, words))) {
		if (answer < 0)
			return -1;
		more = words + 1;
		words = 2 * words < most ? 2 * words : most;
	}
	while (more < words) {
		unsigned int middle = (more + words) / 2;

		answer = is_more(probe, count, middle);
		if (answer < 0)
			return -1;
		if (answer)
			more = middle + 1;
		else
			words = middle;
	}
	return (int)(words * WORD_BITS) < count ? (int)(words * WORD_BITS) : count;
}

int select_limit(int count)
{
	int saved_errno = errno, known, limit;
	struct room *here;
	const struct probe *probe;

	if (count <= LEAST)
		return count;
	here = room_make();
	known = here && here->known ? here->known : LEAST;
	if (here && count <= known)
		return count;
	/* More are not managed anyway. */
	if (count > MOST)
		count = MOST;
	probe = here ? probe_make(here) : NULL;
	limit = probe ? limit_find(probe, count, known) : -1;
	if (limit > known)
		here->known = limit;
	errno = saved_errno;
	return limit;
}
