/* SPDX-License-Identifier: MIT */
#include "pending_state.h"

#include <errno.h>
#include <string.h>
#include <sys/un.h>

#include "engine.h"
#include "keep.h"
#include "leader.h"
#include "patience.h"
#include "pools.h"
#include "shim/sys.h"
#include "silence.h"
#include "tended.h"
#include "watch.h"

/* ---- counting ------------------------------------------------------------------------- */

static void count_change(_Atomic uint32_t *counter, int32_t by)
{
	if (by)
		atomic_fetch_add_explicit(counter, (uint32_t)by, memory_order_relaxed);
}

void attention_change(struct connection *connection, uint32_t set, uint32_t clear)
{
	uint32_t before = atomic_load(&connection->attention), after;
	struct schedule *s = schedule_get();

	do
		after = (before & ~clear) | set;
	while (!atomic_compare_exchange_weak(&connection->attention, &before, after));
	count_change(&s->pending, !!(after & ATTENTION_CONNECT) - !!(before & ATTENTION_CONNECT));
	count_change(&s->held, !!(after & ATTENTION_HELD) - !!(before & ATTENTION_HELD));
}

/* ---- who may look ------------------------------------------------------------------------ */

bool claim_change(struct pending *pending, enum pending_claim from, enum pending_claim to)
{
	uint32_t expected = from;

	return atomic_compare_exchange_strong(&pending->claim, &expected, to);
}

bool claim_take(struct pending *pending)
{
	while (!claim_change(pending, CLAIM_READY, CLAIM_BUSY)) {
		if (atomic_load(&pending->claim) < CLAIM_READY)
			return false;
		SYS(SYS_sched_yield);
	}
	return true;
}

void claim_give(struct pending *pending)
{
	bool used = connection_behind(pending)->attention & ATTENTION_PENDING;

	atomic_store_explicit(&pending->claim, used ? CLAIM_READY : CLAIM_UNUSED,
			      memory_order_release);
}

/* False if another connect uses it: another thread has taken the socket for its own. */
static bool claim_fill(struct pending *pending)
{
	while (!claim_change(pending, CLAIM_UNUSED, CLAIM_FILLING)) {
		if (atomic_load(&pending->claim) != CLAIM_BUSY)
			return false;
		SYS(SYS_sched_yield);
	}
	return true;
}

/* But for what belongs to the lock: its place in the schedule, and whom it follows. */
static void pending_fill(struct pending *pending, struct sockaddr *peer, size_t room,
			 const struct call *call)
{
	socklen_t length = call->length < room ? call->length : (socklen_t)room;

	memcpy(peer, call->peer, length);
	pending->call = *call;
	pending->call.peer = peer;
	pending->call.length = length;
	pending->call.impatient = true;
	pending->call.caller_limit_ns = INT64_MAX;
	pending->call.send = NULL;
	pending->bound_ns = 0;
	pending->puzzled_ns = 0;
	pending->error = 0;
	pending->was_lost = false;
	pending->moved = false;
	pending->is_lure = false;
	pending->is_counted = false;
	pending->phase = PHASE_UNDER_WAY;
}

bool pending_begin(struct call *call)
{
	struct connection *connection = call->connection;
	bool is_path = call->peer->sa_family == AF_UNIX;
	struct pending *pending;
	struct sockaddr *peer;

	if (!connection->is_stream || !schedule_make() ||
	    operation_ticket(connection) != call->ticket)
		return false;
	pending = connection_pending(connection);
	if (!pending)
		return false;
	peer = is_path ? connection_path(connection) : (struct sockaddr *)&pending->peer;
	if (!peer)
		return false;
	if (connection->attention & ATTENTION_PENDING)
		return true;
	if (!claim_fill(pending))
		return false;
	/* Another thread has closed the socket, or connects it: the connection may be anybody's. */
	if (operation_ticket(connection) != call->ticket) {
		atomic_store_explicit(&pending->claim, CLAIM_UNUSED, memory_order_release);
		return false;
	}
	connection->cookie = 0;
	connection->name = (uint64_t)call->name.entry << 32 | call->name.version;
	connection->lookup = call->name.lookup;
	connection->named = call->named;
	pending_fill(pending, peer, is_path ? sizeof(struct sockaddr_un) : sizeof(pending->peer),
		     call);
	attention_change(connection, ATTENTION_PENDING, ATTENTION_FAILED);
	claim_give(pending);
	return true;
}

/* ---- out of sight --------------------------------------------------------------------------- */

static void lure_forget(struct pending *pending)
{
	if (pending->is_lure)
		count_change(&schedule_get()->lures, -1);
	pending->is_lure = false;
}

void lure_set(struct pending *pending)
{
	if (!pending->is_lure)
		count_change(&schedule_get()->lures, 1);
	pending->is_lure = true;
	watch_put_back(connection_behind(pending), pending->call.fd);
}

void lure_clear(struct pending *pending)
{
	lure_forget(pending);
	pending->turn = schedule_lock_word();
	watch_take_out(connection_behind(pending), pending->call.fd);
}

void state_hide(struct pending *pending)
{
	struct connection *connection = connection_behind(pending);

	schedule_get()->used = 1;
	if (!(connection->attention & ATTENTION_HELD))
		pending->held_at_ns = clock_ns();
	attention_change(connection, ATTENTION_HELD | ATTENTION_SCHEDULED, 0);
	lure_clear(pending);
}

void lure_settle(struct pending *pending, int64_t at_ns)
{
	const struct connection *connection = connection_behind(pending);
	int fd = pending->call.fd;

	/* Its other numbers may be in other sets. */
	if (waiters_beyond(at_ns + TICK_NS, connection->fds == 1 ? watch_leads : NULL, fd))
		lure_set(pending);
	else
		lure_clear(pending);
}

void state_show(struct pending *pending, uint32_t set, uint32_t clear)
{
	struct connection *connection = connection_behind(pending);
	/* Once it is over the program may begin another on the same socket. */
	int fd = pending->call.fd;

	if (connection->attention & ATTENTION_HELD)
		operation_waited(connection, clock_ns() - pending->held_at_ns);
	lure_forget(pending);
	pending->turn = schedule_lock_word();
	/* In its sets before anything else: nobody may find it in none. Whoever is told of it
	 * meanwhile waits for the lock. */
	watch_put_back(connection, fd);
	attention_change(connection, set, clear | ATTENTION_HELD);
}

/* ---- ends ---------------------------------------------------------------------------------- */

/* Out of the schedule, and with it whatever made others wait. */
static void pending_detach(struct pending *pending)
{
	schedule_remove(pending);
	leader_leave(pending);
	if (operation_is_rebuild(connection_behind(pending)))
		keep_abandon(connection_behind(pending));
}

/* The name's walk is over. */
void name_connected(const struct connection *connection)
{
	uint64_t words = connection->name;
	const struct name name = {
		.entry = (uint32_t)(words >> 32),
		.version = (uint32_t)words,
		.lookup = connection->lookup,
	};

	if (connection->named)
		name_walk_end(&name);
}

void state_succeeded(struct pending *pending)
{
	struct connection *connection = connection_behind(pending);

	leader_report(pending, 0);
	pending_detach(pending);
	if (pending->moved)
		store_count(connection->record, COUNTER_failovers, 1);
	if (!operation_is_rebuild(connection))
		tending_begin_locked(connection, pending->call.fd);
	if (pending->call.pooled)
		pool_connected(&pending->call);
	operation_succeed(connection, pending->call.ticket);
	name_connected(connection);
	silence_resume(connection);
	state_show(pending, 0, ATTENTION_PENDING | ATTENTION_SCHEDULED);
}

void state_failed(struct pending *pending, const struct operation_failure *failure)
{
	struct connection *connection = connection_behind(pending);
	bool rebuilding = operation_is_rebuild(connection);

	pending_detach(pending);
	failure_end(&pending->call, failure);
	/* One that could not be made anew is told of its loss, not of what was tried since. */
	connection->error = rebuilding ? connection_kept(connection)->error : failure->error;
	if (rebuilding)
		connection->loss = LOSS_TOLD;
	/* Its sets report it now, as they would have reported the first failure. */
	state_show(pending, ATTENTION_FAILED, ATTENTION_PENDING | ATTENTION_SCHEDULED);
}

void state_lost(struct pending *pending, int error)
{
	struct connection *connection = connection_behind(pending);

	leader_report(pending, 0);
	pending_detach(pending);
	if (pending->call.pooled)
		pool_connected(&pending->call);
	operation_succeed(connection, pending->call.ticket);
	connection->error = error;
	state_show(pending, ATTENTION_FAILED, ATTENTION_PENDING | ATTENTION_SCHEDULED);
}

void state_abandoned(struct pending *pending)
{
	struct connection *connection = connection_behind(pending);

	pending_detach(pending);
	lure_forget(pending);
	if (connection->attention & ATTENTION_HELD)
		operation_waited(connection, clock_ns() - pending->held_at_ns);
	operation_abandon(connection, pending->call.ticket);
	attention_change(connection, 0, ATTENTION_PENDING | ATTENTION_HELD | ATTENTION_SCHEDULED);
}

void state_over(struct pending *pending)
{
	pending_detach(pending);
	state_show(pending, 0, ATTENTION_PENDING | ATTENTION_SCHEDULED);
}

enum outlook pending_outlook(const struct connection *connection)
{
	uint32_t attention = atomic_load(&connection->attention);

	if (attention & ATTENTION_FAILED)
		return OUTLOOK_FAILED;
	if (!(attention & ATTENTION_PENDING))
		return OUTLOOK_CONNECTED;
	return attention & ATTENTION_HELD ? OUTLOOK_HELD : OUTLOOK_UNDER_WAY;
}
