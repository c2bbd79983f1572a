/* SPDX-License-Identifier: MIT */
/* Pending connects: the next attempt, its outcome, and what the policy says of a failure. */
#include <errno.h>

#include "engine.h"
#include "hold.h"
#include "keep.h"
#include "leader.h"
#include "options.h"
#include "pending_state.h"
#include "pools.h"
#include "shim/sys.h"
#include "siblings.h"
#include "silence.h"
#include "tcp.h"

/* Served at once under one hold of the lock, about a millisecond's worth. */
#define SERVED_AT_ONCE 64
/* How often a sibling's answer is looked for. */
#define ASK_TICK_NS TICK_NS

static void attempt_failed(struct pending *pending, int error);

/* ---- attempts -------------------------------------------------------------------------------- */

static void held_until(struct pending *pending, enum pending_phase phase, int64_t at_ns)
{
	pending->phase = (uint8_t)phase;
	pending->bound_ns = 0;
	state_hide(pending);
	if (phase == PHASE_FOLLOWING)
		schedule_remove(pending);
	else
		schedule_set(pending, at_ns);
	lure_settle(pending, at_ns);
}

void serve_under_way(struct pending *pending)
{
	const struct call *call = &pending->call;
	uint64_t bound = call_attempt_bound(call);

	pending->phase = PHASE_UNDER_WAY;
	if (operation_is_rebuild(connection_behind(pending))) {
		/* Nobody may use it before what was kept has been sent: looked at by the clock. */
		pending->bound_ns = bound == DURATION_OFF ? 0 : clock_ns() + (int64_t)bound;
		leader_begin(pending);
		schedule_set(pending, clock_ns() + TICK_NS);
		return;
	}
	if (bound != DURATION_OFF) {
		pending->bound_ns = clock_ns() + (int64_t)bound;
		schedule_set(pending, pending->bound_ns);
	}
	if (!pending->moved)
		leader_begin(pending);
	state_show(pending, ATTENTION_SCHEDULED, 0);
}

/*
 * For so long the errno may be in another thread's hands, which asked for it and has not
 * said so: on a busy machine it can be kept from the processor for a while.
 */
#define PUZZLED_NS (40 * TICK_NS)

static int outcome_guess(struct pending *pending)
{
	int64_t now = clock_ns();

	if (!pending->puzzled_ns)
		pending->puzzled_ns = now;
	if (now - pending->puzzled_ns < PUZZLED_NS)
		return EINPROGRESS;
	/* Most likely what the attempt before it failed with, at the same address. */
	return pending->error ? pending->error : ECONNABORTED;
}

int outcome_find(struct pending *pending)
{
	int fd = pending->call.fd, error;

	pending->was_lost = false;
	if (pending->call.peer->sa_family == AF_UNIX)
		return EINPROGRESS;
	if (tcp_is_connected(fd))
		return 0;
	/* The program may have used it past our hooks. The errno of its loss is left to be found. */
	pending->was_lost = !operation_is_rebuild(connection_behind(pending)) && tcp_is_lost(fd);
	if (pending->was_lost)
		return 0;
	/* An ICMP error can be told while the kernel goes on trying. */
	error = socket_error(fd);
	if (error)
		return error;
	return tcp_is_connecting(fd) ? EINPROGRESS : outcome_guess(pending);
}

/* The kernel says so only of connections that it had made: that is no failed attempt. */
static bool error_is_a_loss(const struct pending *pending, int error)
{
	return !operation_is_rebuild(connection_behind(pending)) &&
	       pending->call.peer->sa_family != AF_UNIX && (error == ECONNRESET || error == EPIPE);
}

/* What was kept is on its way before anybody is told that there is a connection. */
static void rebuild_finish(struct pending *pending)
{
	struct connection *connection = connection_behind(pending);
	struct call *call = &pending->call;
	bool kept = connection->attention & ATTENTION_KEPT;
	int error = kept ? keep_resume(connection, call->fd) : 0;

	if (error == EAGAIN) {
		held_until(pending, PHASE_REPLAYING, clock_ns() + TICK_NS);
	} else if (error) {
		call->resent = keep_is_given(connection);
		attempt_failed(pending, error);
	} else {
		state_succeeded(pending);
	}
}

void outcome_settle(struct pending *pending, int error)
{
	const struct connection *connection = connection_behind(pending);

	if (error == EINPROGRESS) {
		serve_under_way(pending);
	} else if (error_is_a_loss(pending, error)) {
		state_lost(pending, error);
	} else if (error) {
		attempt_failed(pending, error);
	} else if ((connection->attempts > 1 || operation_is_rebuild(connection)) &&
		   pending->call.peer->sa_family != AF_UNIX &&
		   tcp_is_self_connected(pending->call.fd)) {
		tcp_reset(pending->call.fd);
		attempt_failed(pending, ECONNREFUSED);
	} else if (operation_is_rebuild(connection)) {
		rebuild_finish(pending);
	} else {
		state_succeeded(pending);
	}
}

static int attempt_try(struct pending *pending, const struct sockaddr *peer, socklen_t length)
{
	int error;

	pending->puzzled_ns = 0;
	if (peer->sa_family != AF_UNIX)
		tcp_reset(pending->call.fd);
	if (operation_is_rebuild(connection_behind(pending)))
		options_restore(pending->call.fd);
	error = connect_start(pending->call.fd, peer, length);
	/* On this machine the answer has come by the time that connect() returns. */
	return error == EINPROGRESS ? outcome_find(pending) : error;
}

/* Begins one at the program's own address or at a sibling's. */
static void attempt_start(struct pending *pending, const struct sockaddr *peer, socklen_t length)
{
	outcome_settle(pending, attempt_try(pending, peer, length));
}

static void attempt_next(struct pending *pending)
{
	int error;

	if (leader_follow(pending, &error)) {
		held_until(pending, PHASE_FOLLOWING, clock_ns());
	} else if (error) {
		/* Another's, of a moment ago: no attempt was made for it. */
		pending->error = error;
		attempt_failed(pending, 0);
	} else {
		if (!pending->is_counted)
			operation_attempt(connection_behind(pending));
		pending->is_counted = false;
		attempt_start(pending, pending->call.peer, pending->call.length);
	}
}

/* ---- failures ---------------------------------------------------------------------------------- */

/* Another address of the name answers: the attempt goes there. */
static bool attempt_elsewhere(struct pending *pending)
{
	struct sockaddr_storage peer;
	socklen_t length;

	state_hide(pending);
	if (!siblings_move(&pending->call, &peer, &length))
		return false;
	pending->moved = true;
	operation_retry_at_once(connection_behind(pending));
	attempt_start(pending, (const struct sockaddr *)&peer, length);
	return true;
}

/*
 * The attempt goes on to the endpoints of the pool that are left, until one is under way
 * or connected: in a loop, since they can be many. False if none is, *failure is the last's.
 */
static bool endpoint_next(struct pending *pending, struct operation_failure *failure)
{
	struct connection *connection = connection_behind(pending);
	struct call *call = &pending->call;
	int error;

	state_hide(pending);
	while (failure->verdict.action == VERDICT_NEXT_ENDPOINT && pool_next(call)) {
		operation_retry(connection, failure);
		if (leader_follow(pending, &error)) {
			held_until(pending, PHASE_FOLLOWING, 0);
			return true;
		}
		if (!error) {
			operation_attempt(connection);
			error = attempt_try(pending, call->peer, call->length);
			if (!error || error == EINPROGRESS || error_is_a_loss(pending, error)) {
				outcome_settle(pending, error);
				return true;
			}
			operation_attempt_failed(connection, error);
			leader_report(pending, error);
		}
		pending->error = error;
		failure_decide(call, error, failure);
	}
	return false;
}

/* What a terminal is to be told: written after the lock has been given back. */
static struct notice {
	const struct connection *connection; /* NULL: nothing */
	int error;
	uint32_t retries;
	int64_t until_ns;
} notice;

static void notice_leave(struct pending *pending, uint32_t retries, int64_t until_ns)
{
	struct connection *connection = connection_behind(pending);

	if (pending->call.said || until_ns < connection->began_ns + SECOND_NS || !hold_is_said())
		return;
	pending->call.said = true;
	notice = (struct notice){ connection, pending->error, retries, until_ns };
}

void serve_unlock(const uint64_t *signals)
{
	struct notice left = notice;

	notice.connection = NULL;
	schedule_unlock(signals);
	if (left.connection)
		hold_say(left.connection, left.error, left.retries, left.until_ns);
}

/* The peer may have had some of what it was given, before the connection was lost again. */
static void rebuild_rewind(struct call *call)
{
	uint64_t acknowledged = 0;

	call->resent = false;
	tcp_bytes_acknowledged(call->fd, &acknowledged);
	keep_rewind(call->connection, acknowledged, &call->settings->transfer);
}

static void failure_serve(struct pending *pending)
{
	struct connection *connection = connection_behind(pending);
	struct call *call = &pending->call;
	struct operation_failure failure;
	int64_t until;

	call->asking = false;
	failure_decide(call, pending->error, &failure);
	if (call->asking) {
		held_until(pending, PHASE_ASKING, clock_ns() + ASK_TICK_NS);
		return;
	}
	if (failure.verdict.action == VERDICT_NEXT_ENDPOINT) {
		if (call->pooled ? endpoint_next(pending, &failure) : attempt_elsewhere(pending))
			return;
		call->immovable = true;
		failure_decide(call, pending->error, &failure);
	}
	failure_grace(call, &failure);
	if (call->committed)
		failure.verdict = (struct policy_verdict){ .action = VERDICT_PASS_ON,
							   .cause = CAUSE_UNSAFE };
	/* The socket may get replaced, whatever follows. */
	if (call->pooled)
		state_hide(pending);
	if (failure.verdict.action == VERDICT_PASS_ON ||
	    failure.verdict.action == VERDICT_GIVE_UP) {
		state_failed(pending, &failure);
		return;
	}
	if (call->resent)
		rebuild_rewind(call);
	call->previous_delay_ns = failure.verdict.delay_ns;
	operation_retry(connection, &failure);
	if (call->pooled)
		pool_round(call);
	until = clock_ns() + (int64_t)failure.verdict.delay_ns;
	notice_leave(pending, call_retries(call, failure.category), until);
	held_until(pending, PHASE_WAITING, until);
}

/* error: 0 if it was another's attempt, whose errno is in the pending already. */
static void attempt_failed(struct pending *pending, int error)
{
	if (error) {
		pending->error = error;
		operation_attempt_failed(connection_behind(pending), error);
	}
	if (pending->moved) {
		state_hide(pending);
		siblings_move_back(&pending->call);
		pending->moved = false;
	} else if (error) {
		leader_report(pending, error);
	}
	failure_serve(pending);
}

/* ---- what is due ----------------------------------------------------------------------------------- */

static void under_way_check(struct pending *pending)
{
	int error = outcome_find(pending);

	if (error == EINPROGRESS && pending->bound_ns && pending->bound_ns <= clock_ns()) {
		tcp_reset(pending->call.fd);
		error = ETIMEDOUT;
	}
	if (error != EINPROGRESS) {
		outcome_settle(pending, error);
		return;
	}
	leader_check(pending);
	if (operation_is_rebuild(connection_behind(pending)))
		schedule_set(pending, clock_ns() + TICK_NS);
}

/* Its number was closed unseen; perhaps another one stands for the socket still. */
static bool other_number_find(struct pending *pending)
{
	struct call *call = &pending->call;

	if (call->connection->fds == 1 || operation_ticket(call->connection) != call->ticket)
		return false;
	for (int fd = connection_fd_next(call->connection, -1); fd >= 0;
	     fd = connection_fd_next(call->connection, fd))
		if (socket_cookie(fd) == call->cookie) {
			call->fd = fd;
			return true;
		}
	return false;
}

static void pending_serve(struct pending *pending)
{
	if (!call_is_current(&pending->call) && !other_number_find(pending)) {
		state_abandoned(pending); /* closed by a raw system call */
		return;
	}
	switch ((enum pending_phase)pending->phase) {
	case PHASE_UNDER_WAY:
		under_way_check(pending);
		break;
	case PHASE_WAITING:
		attempt_next(pending);
		break;
	case PHASE_ASKING:
		failure_serve(pending);
		break;
	case PHASE_REPLAYING:
		rebuild_finish(pending);
		break;
	case PHASE_FOLLOWING:
	case PHASE_IDLE:
	default:
		break;
	}
}

void serve_rebuild(struct pending *pending, uint64_t delay_ns)
{
	struct call *call = &pending->call;

	pending->is_counted = true;
	state_hide(pending);
	/* The endpoint that it was at is one of the pool's. */
	if (pool_resume(call, &pending->peer) && !pool_next(call))
		call->pooled = false;
	if (delay_ns)
		held_until(pending, PHASE_WAITING, clock_ns() + (int64_t)delay_ns);
	else
		attempt_next(pending);
}

int64_t serve_next(int64_t now)
{
	int64_t next;

	return schedule_next(&next) || next < now + TICK_NS ? next : now + TICK_NS;
}

int64_t pending_run(void)
{
	struct pending *pending;
	uint64_t signals;
	int saved_errno = errno;
	int64_t now, next;

	/* A clock that nothing is measured by costs more than all of this. */
	if (!pending_any() || (schedule_next(&next) && next == INT64_MAX))
		return INT64_MAX;
	now = clock_ns();
	next = serve_next(now);
	if (next > now)
		return next;
	/* A vfork child shares this memory, and its parent will do it. */
	if (engine_memory(NULL) != MEMORY_OWN)
		return INT64_MAX;
	if (!schedule_trylock(&signals))
		return now + TICK_NS;
	for (int i = 0; i < SERVED_AT_ONCE && (pending = schedule_pop(clock_ns())); i++) {
		if (pending->phase == PHASE_IDLE)
			silence_serve(pending);
		if (!claim_take(pending))
			continue;
		pending_serve(pending);
		claim_give(pending);
	}
	serve_unlock(&signals);
	errno = saved_errno;
	return serve_next(now);
}
