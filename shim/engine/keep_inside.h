/* SPDX-License-Identifier: MIT */
/* What the files behind keep.h share: the entry's own lock, and what its rule says. */
#ifndef HOLDFAST_ENGINE_KEEP_INSIDE_H
#define HOLDFAST_ENGINE_KEEP_INSIDE_H

#include "keep.h"
#include "shim/sys.h"

static inline const struct policy_transfer *transfer_of(const struct connection *connection)
{
	return &connection_settings(connection)->transfer;
}

static inline bool is_one_way(const struct connection *connection)
{
	return transfer_of(connection)->replay == REPLAY_ONE_WAY;
}

/* By somebody who has blocked signals. */
static inline void keep_seize(struct keep *keep)
{
	uint32_t free = 0;

	while (!atomic_compare_exchange_weak(&keep->lock, &free, 1)) {
		free = 0;
		SYS(SYS_sched_yield);
	}
}

static inline void keep_release(struct keep *keep)
{
	atomic_store_explicit(&keep->lock, 0, memory_order_release);
}

static inline void keep_lock(struct keep *keep, uint64_t *signals)
{
	sys_signals_block(signals);
	keep_seize(keep);
}

static inline void keep_unlock(struct keep *keep, const uint64_t *signals)
{
	keep_release(keep);
	sys_signals_restore(signals);
}

#endif
