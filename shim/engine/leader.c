/* SPDX-License-Identifier: MIT */
#include "leader.h"

#include <stddef.h>

#include "engine.h"
#include "operation.h"
#include "pending.h"

/* Perhaps nobody waits for the leader's own fd: its outcome is looked for so often. */
#define CHECK_NS (4 * TICK_NS)

/* NULL where different endpoints share a record. */
static struct leader *leader_of(const struct pending *pending)
{
	const struct call *call = &pending->call;
	size_t index = call->pooled
			       ? call->pool.record
			       : (size_t)(call->connection->record - engine.store.file->endpoints);

	return index < STORE_OPERATIONS || index >= ENDPOINTS_PER_PROCESS
		       ? NULL
		       : &schedule_get()->leaders[index];
}

bool leader_follow(struct pending *pending, int *error)
{
	struct leader *leader = leader_of(pending);

	*error = 0;
	if (!leader || leader->leading == pending)
		return false;
	if (leader->leading) {
		pending->previous = NULL;
		pending->next = leader->followers;
		if (leader->followers)
			leader->followers->previous = pending;
		leader->followers = pending;
		leader_check(leader->leading);
		return true;
	}
	if (leader->failed && leader->failed != pending &&
	    clock_ns() - leader->failed_at_ns < TICK_NS)
		*error = leader->error;
	return false;
}

void leader_begin(struct pending *pending)
{
	struct leader *leader = leader_of(pending);

	if (leader && !leader->leading)
		leader->leading = pending;
}

void leader_check(struct pending *pending)
{
	const struct leader *leader = leader_of(pending);
	int64_t at = pending->bound_ns;

	if (leader && leader->leading == pending && leader->followers) {
		int64_t soon = clock_ns() + CHECK_NS;

		at = !at || soon < at ? soon : at;
	}
	if (at)
		schedule_set(pending, at);
}

/* All of them have something to do now: make an attempt, or take the failure for theirs. */
static void followers_release(struct leader *leader)
{
	struct pending *follower = leader->followers, *next;
	int64_t now = clock_ns();

	leader->followers = NULL;
	for (; follower; follower = next) {
		next = follower->next;
		follower->next = follower->previous = NULL;
		follower->phase = PHASE_WAITING;
		schedule_set(follower, now - TICK_NS);
	}
}

void leader_report(struct pending *pending, int error)
{
	struct leader *leader = leader_of(pending);

	if (!leader)
		return;
	leader->failed = error ? pending : NULL;
	leader->failed_at_ns = error ? clock_ns() : 0;
	leader->error = error;
	if (leader->leading != pending)
		return;
	leader->leading = NULL;
	followers_release(leader);
}

void leader_leave(struct pending *pending)
{
	struct leader *leader = leader_of(pending);

	if (!leader)
		return;
	if (leader->failed == pending)
		leader->failed = NULL;
	if (leader->leading == pending) {
		leader->leading = NULL;
		followers_release(leader);
	} else if (pending->phase == PHASE_FOLLOWING) {
		if (pending->previous)
			pending->previous->next = pending->next;
		else if (leader->followers == pending)
			leader->followers = pending->next;
		if (pending->next)
			pending->next->previous = pending->previous;
	}
	pending->next = pending->previous = NULL;
}
