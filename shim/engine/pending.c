/* SPDX-License-Identifier: MIT */
#include "pending.h"

#include <errno.h>
#include <string.h>

#include "connect.h"
#include "engine.h"
#include "hold.h"
#include "leader.h"
#include "operation.h"
#include "patience.h"
#include "shim/sys.h"
#include "siblings.h"
#include "tcp.h"
#include "watch.h"

/* Served at once under one hold of the lock, about a millisecond's worth. */
#define SERVED_AT_ONCE 64
/* How often a sibling's answer is looked for. */
#define ASK_TICK_NS TICK_NS

static void attempt_failed(struct pending *pending, int error);

static struct connection *connection_behind(const struct pending *pending)
{
	return pending->call.connection;
}

/* ---- counting ------------------------------------------------------------------------- */

static void count_change(_Atomic uint32_t *counter, int32_t by)
{
	atomic_fetch_add_explicit(counter, (uint32_t)by, memory_order_relaxed);
}

/* Sets and clears attention; the counts of the schedule follow what really changed. */
static void attention_change(struct connection *connection, uint32_t set, uint32_t clear)
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

static bool claim_change(struct pending *pending, enum pending_claim from, enum pending_claim to)
{
	uint32_t expected = from;

	return atomic_compare_exchange_strong(&pending->claim, &expected, to);
}

/* False if it is not in use. */
static bool claim_take(struct pending *pending)
{
	while (!claim_change(pending, CLAIM_READY, CLAIM_BUSY)) {
		if (atomic_load(&pending->claim) < CLAIM_READY)
			return false;
		SYS(SYS_sched_yield);
	}
	return true;
}

/* In use as long as the connect is pending; then the program may begin another. */
static void claim_give(struct pending *pending)
{
	bool used = connection_behind(pending)->attention & ATTENTION_PENDING;

	atomic_store_explicit(&pending->claim, used ? CLAIM_READY : CLAIM_UNUSED,
			      memory_order_release);
}

/* False if another connect uses it: another thread has taken the socket for its own. */
static bool claim_fill(struct pending *pending)
{
	while (!claim_change(pending, CLAIM_UNUSED, CLAIM_FILLING) &&
	       !claim_change(pending, CLAIM_FILLING, CLAIM_FILLING)) {
		if (atomic_load(&pending->claim) == CLAIM_READY)
			return false;
		SYS(SYS_sched_yield);
	}
	return true;
}

static void pending_fill(struct pending *pending, const struct call *call)
{
	socklen_t length = call->length;

	if (length > sizeof(pending->peer))
		length = sizeof(pending->peer);
	memcpy(&pending->peer, call->peer, length);
	pending->call = *call;
	pending->call.peer = &pending->peer.any;
	pending->call.length = length;
	pending->call.impatient = true;
	pending->call.caller_limit_ns = INT64_MAX;
	pending->next = pending->previous = NULL;
	pending->place = 0;
	pending->bound_ns = 0;
	pending->error = 0;
	pending->moved = false;
	pending->phase = PHASE_UNDER_WAY;
}

bool pending_begin(struct call *call)
{
	struct connection *connection = call->connection;
	struct pending *pending = connection->pending;

	if (!pending || !connection->is_stream || !schedule_make() ||
	    operation_ticket(connection) != call->ticket)
		return false;
	if (connection->attention & ATTENTION_PENDING)
		return true;
	if (!claim_fill(pending))
		return false;
	pending_fill(pending, call);
	attention_change(connection, ATTENTION_PENDING, ATTENTION_FAILED);
	claim_give(pending);
	return true;
}

/* ---- out of sight --------------------------------------------------------------------------- */

static void hide(struct pending *pending)
{
	struct connection *connection = connection_behind(pending);

	if (!(connection->attention & ATTENTION_HELD))
		pending->held_at_ns = clock_ns();
	attention_change(connection, ATTENTION_HELD | ATTENTION_SCHEDULED, 0);
	watch_take_out(connection, pending->call.fd);
}

/* What else is set and cleared at the same moment; whoever watches it sees it from now on. */
static void show(struct pending *pending, uint32_t set, uint32_t clear)
{
	struct connection *connection = connection_behind(pending);
	/* Once it is over the program may begin another on the same socket. */
	int fd = pending->call.fd;

	if (connection->attention & ATTENTION_HELD)
		operation_waited(connection, clock_ns() - pending->held_at_ns);
	attention_change(connection, set, clear | ATTENTION_HELD);
	watch_put_back(connection, fd);
}

/* ---- ends ---------------------------------------------------------------------------------- */

/* Out of the schedule, and with it whatever made others wait. */
static void pending_detach(struct pending *pending)
{
	schedule_remove(pending);
	leader_leave(pending);
}

/* The name's walk is over; which of its addresses this process is connected to is known. */
static void name_connected(struct call *call)
{
	if (!call->named)
		return;
	name_walk_end(&call->name);
}

static void succeeded(struct pending *pending)
{
	struct connection *connection = connection_behind(pending);

	leader_report(pending, 0);
	pending_detach(pending);
	if (pending->moved)
		store_count(connection->record, COUNTER_failovers, 1);
	operation_succeed(connection, pending->call.ticket);
	name_connected(&pending->call);
	show(pending, 0, ATTENTION_PENDING | ATTENTION_SCHEDULED);
}

static void failed(struct pending *pending, const struct operation_failure *failure)
{
	pending_detach(pending);
	failure_end(&pending->call, failure);
	connection_behind(pending)->error = failure->error;
	/* Its sets report it now, as they would have reported the first failure. */
	show(pending, ATTENTION_FAILED, ATTENTION_PENDING | ATTENTION_SCHEDULED);
}

/* The kernel says so only of connections that it had made: that is no failed attempt. */
static bool error_is_a_loss(const struct pending *pending, int error)
{
	return pending->peer.any.sa_family != AF_UNIX && (error == ECONNRESET || error == EPIPE);
}

/* Connected, and lost before the program knew: it is told as it would have been. */
static void lost(struct pending *pending, int error)
{
	struct connection *connection = connection_behind(pending);

	leader_report(pending, 0);
	pending_detach(pending);
	operation_succeed(connection, pending->call.ticket);
	connection->error = error;
	show(pending, ATTENTION_FAILED, ATTENTION_PENDING | ATTENTION_SCHEDULED);
}

/* The program took the socket away. */
static void abandoned(struct pending *pending)
{
	struct connection *connection = connection_behind(pending);

	pending_detach(pending);
	if (connection->attention & ATTENTION_HELD)
		operation_waited(connection, clock_ns() - pending->held_at_ns);
	operation_abandon(connection, pending->call.ticket);
	attention_change(connection, 0, ATTENTION_PENDING | ATTENTION_HELD | ATTENTION_SCHEDULED);
}

/* ---- attempts -------------------------------------------------------------------------------- */

static void held_until(struct pending *pending, enum pending_phase phase, int64_t at_ns)
{
	pending->phase = (uint8_t)phase;
	pending->bound_ns = 0;
	hide(pending);
	if (phase == PHASE_FOLLOWING)
		schedule_remove(pending);
	else
		schedule_set(pending, at_ns);
}

static void under_way(struct pending *pending)
{
	struct connection *connection = connection_behind(pending);
	struct call *call = &pending->call;
	uint64_t bound = policy_attempt_bound(call->settings, connection->attempts,
					      (uint64_t)call_elapsed(call));

	pending->phase = PHASE_UNDER_WAY;
	if (bound != DURATION_OFF) {
		pending->bound_ns = clock_ns() + (int64_t)bound;
		schedule_set(pending, pending->bound_ns);
	}
	if (!pending->moved)
		leader_begin(pending);
	show(pending, ATTENTION_SCHEDULED, 0);
}

/* What the socket itself says of the attempt; errno: 0 or EINPROGRESS too. */
static int outcome_find(const struct pending *pending)
{
	int fd = pending->call.fd, error;

	if (pending->peer.any.sa_family == AF_UNIX)
		return EINPROGRESS;
	if (tcp_is_connected(fd))
		return 0;
	/* An ICMP error can be told while the kernel goes on trying. */
	error = socket_error(fd);
	if (error)
		return error;
	return tcp_is_connecting(fd) ? EINPROGRESS : ECONNABORTED;
}

static void outcome_settle(struct pending *pending, int error)
{
	const struct connection *connection = connection_behind(pending);

	if (error == EINPROGRESS) {
		under_way(pending);
	} else if (error_is_a_loss(pending, error)) {
		lost(pending, error);
	} else if (error) {
		attempt_failed(pending, error);
	} else if (connection->attempts > 1 && pending->peer.any.sa_family != AF_UNIX &&
		   tcp_is_self_connected(pending->call.fd)) {
		tcp_reset(pending->call.fd);
		attempt_failed(pending, ECONNREFUSED);
	} else {
		succeeded(pending);
	}
}

/* Begins one at the program's own address or at a sibling's. */
static void attempt_start(struct pending *pending, const struct sockaddr *peer, socklen_t length)
{
	int error;

	if (peer->sa_family != AF_UNIX)
		tcp_reset(pending->call.fd);
	error = connect_start(pending->call.fd, peer, length);
	/* On this machine the answer has come by the time that connect() returns. */
	if (error == EINPROGRESS)
		error = outcome_find(pending);
	outcome_settle(pending, error);
}

static void attempt_next(struct pending *pending)
{
	int error;

	if (leader_follow(pending, &error)) {
		held_until(pending, PHASE_FOLLOWING, 0);
	} else if (error) {
		/* Another's, of a moment ago: no attempt was made for it. */
		pending->error = error;
		attempt_failed(pending, 0);
	} else {
		operation_attempt(connection_behind(pending));
		attempt_start(pending, pending->call.peer, pending->call.length);
	}
}

/* ---- failures ---------------------------------------------------------------------------------- */

/* Another address of the name answers: the attempt goes there. */
static bool attempt_elsewhere(struct pending *pending)
{
	struct sockaddr_storage peer;
	socklen_t length;

	hide(pending);
	if (!siblings_move(&pending->call, &peer, &length))
		return false;
	pending->moved = true;
	operation_retry_at_once(connection_behind(pending));
	attempt_start(pending, (const struct sockaddr *)&peer, length);
	return true;
}

static void failure_serve(struct pending *pending)
{
	struct connection *connection = connection_behind(pending);
	struct call *call = &pending->call;
	struct operation_failure failure;

	call->asking = false;
	failure_decide(call, pending->error, &failure);
	if (call->asking) {
		held_until(pending, PHASE_ASKING, clock_ns() + ASK_TICK_NS);
		return;
	}
	if (failure.verdict.action == VERDICT_NEXT_ENDPOINT) {
		if (attempt_elsewhere(pending))
			return;
		call->immovable = true;
		failure_decide(call, pending->error, &failure);
	}
	failure_grace(call, &failure);
	if (failure.verdict.action == VERDICT_PASS_ON ||
	    failure.verdict.action == VERDICT_GIVE_UP) {
		failed(pending, &failure);
		return;
	}
	call->previous_delay_ns = failure.verdict.delay_ns;
	operation_retry(connection, &failure);
	held_until(pending, PHASE_WAITING, clock_ns() + (int64_t)failure.verdict.delay_ns);
}

/* error: 0 if it was another's attempt, whose errno is in the pending already. */
static void attempt_failed(struct pending *pending, int error)
{
	if (error) {
		pending->error = error;
		operation_attempt_failed(connection_behind(pending), error);
	}
	if (pending->moved) {
		hide(pending);
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
	if (error == EINPROGRESS)
		leader_check(pending);
	else
		outcome_settle(pending, error);
}

static void pending_serve(struct pending *pending)
{
	if (!call_is_current(&pending->call)) {
		abandoned(pending); /* closed by a raw system call */
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
	case PHASE_FOLLOWING:
	default:
		break;
	}
}

/* Soon, if what another thread is doing may change it. */
static int64_t next_due(int64_t now)
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

	if (!pending_any())
		return INT64_MAX;
	now = clock_ns();
	next = next_due(now);
	if (next > now)
		return next;
	/* A vfork child shares this memory, and its parent will do it. */
	if (engine_memory(NULL) != MEMORY_OWN)
		return INT64_MAX;
	if (!schedule_trylock(&signals))
		return now + TICK_NS;
	for (int i = 0; i < SERVED_AT_ONCE && (pending = schedule_pop(clock_ns())); i++) {
		if (!claim_take(pending))
			continue;
		pending_serve(pending);
		claim_give(pending);
	}
	schedule_unlock(&signals);
	errno = saved_errno;
	return next_due(now);
}

/* ---- what the hooks tell and ask --------------------------------------------------------------------- */

static enum outlook outlook_of(const struct connection *connection)
{
	uint32_t attention = atomic_load(&connection->attention);

	if (attention & ATTENTION_FAILED)
		return OUTLOOK_FAILED;
	if (!(attention & ATTENTION_PENDING))
		return OUTLOOK_CONNECTED;
	return attention & ATTENTION_HELD ? OUTLOOK_HELD : OUTLOOK_UNDER_WAY;
}

static void look(struct pending *pending, int fd, int error)
{
	struct call *call = &pending->call;

	if (call->ticket != operation_ticket(call->connection))
		return;
	if (connection_of(call->fd) != call->connection)
		call->fd = fd;
	if (!call->cookie)
		call->cookie = socket_cookie(call->fd);
	if (!error)
		error = outcome_find(pending);
	if (error != EINPROGRESS)
		outcome_settle(pending, error);
}

enum outlook pending_look(struct connection *connection, int fd, int error)
{
	struct pending *pending = connection->pending;
	int saved_errno = errno;
	uint64_t signals;

	if (outlook_of(connection) != OUTLOOK_UNDER_WAY || !connection_owned(connection))
		return outlook_of(connection);
	schedule_lock(&signals);
	if (outlook_of(connection) == OUTLOOK_UNDER_WAY && claim_take(pending)) {
		look(pending, fd, error);
		claim_give(pending);
	}
	schedule_unlock(&signals);
	errno = saved_errno;
	return outlook_of(connection);
}

void pending_connected(struct connection *connection, int fd)
{
	struct pending *pending = connection->pending;
	uint32_t attention = atomic_load(&connection->attention);

	if (!(attention & ATTENTION_PENDING))
		return;
	if (attention & ATTENTION_SCHEDULED) {
		pending_look(connection, fd, 0);
		return;
	}
	/* Out of use before anything else, for a jump out of a handler can come at any point: then
	 * the next call that sees success gets here again. */
	if (claim_change(pending, CLAIM_READY, CLAIM_UNUSED))
		name_connected(&pending->call);
	else if (atomic_load(&pending->claim) == CLAIM_BUSY)
		return;
	operation_succeed(connection, operation_ticket(connection));
	attention_change(connection, 0, ATTENTION_PENDING);
}

int pending_error_take(struct connection *connection)
{
	int error = atomic_exchange(&connection->error, 0);

	attention_change(connection, 0, ATTENTION_FAILED);
	return error;
}

void pending_close(struct connection *connection, int fd)
{
	struct pending *pending = connection->pending;
	int saved_errno = errno;
	uint64_t signals;

	schedule_lock(&signals);
	if (outlook_of(connection) == OUTLOOK_FAILED) {
		pending_error_take(connection);
	} else if (claim_take(pending)) {
		if (outlook_of(connection) == OUTLOOK_UNDER_WAY && tcp_is_connected(fd))
			succeeded(pending);
		else
			abandoned(pending);
		claim_give(pending);
	}
	schedule_unlock(&signals);
	errno = saved_errno;
}

void pending_shut(struct connection *connection)
{
	struct pending *pending = connection->pending;
	uint64_t signals;

	schedule_lock(&signals);
	if (outlook_of(connection) == OUTLOOK_HELD && claim_take(pending)) {
		tcp_reset(pending->call.fd);
		connection->error = ECONNRESET;
		abandoned(pending);
		show(pending, ATTENTION_FAILED, 0);
		claim_give(pending);
	}
	schedule_unlock(&signals);
}

void pending_renumber(struct connection *connection, int fd)
{
	struct pending *pending = connection->pending;
	uint64_t signals;
	int other;

	schedule_lock(&signals);
	if (pending->call.fd == fd && (other = connection_fd_next(connection, -1)) >= 0)
		pending->call.fd = other;
	schedule_unlock(&signals);
}

int pending_wait(struct connection *connection, int64_t until_ns)
{
	int64_t next;

	for (;;) {
		next = pending_run();
		if (outlook_of(connection) != OUTLOOK_HELD)
			return 0;
		if (clock_ns() >= until_ns)
			return EAGAIN;
		if (hold_until(next < until_ns ? next : until_ns) == EINTR)
			return EINTR;
	}
}

static bool is_sibling(const struct call *call, const struct call *other)
{
	in_port_t port = ((const struct sockaddr_in *)call->peer)->sin_port;

	return other->named && other->name.entry == call->name.entry &&
	       other->name.version == call->name.version &&
	       ((const struct sockaddr_in *)other->peer)->sin_port == port;
}

uint32_t pending_live(const struct call *call)
{
	struct connection *connection;
	uint32_t live = 0;

	for (uint32_t i = 0; (connection = connection_at(i)); i++) {
		struct pending *other = connection->pending;

		if (connection == call->connection ||
		    !(connection->attention & ATTENTION_PENDING) || !claim_take(other))
			continue;
		if (is_sibling(call, &other->call))
			live |= 1u << other->call.index;
		claim_give(other);
	}
	return live;
}

void pending_hide(struct connection *connection)
{
	uint64_t signals;

	schedule_lock(&signals);
	if (outlook_of(connection) == OUTLOOK_HELD)
		watch_take_out(connection, connection->pending->call.fd);
	schedule_unlock(&signals);
}

bool pending_control(struct connection *connection, int set, int operation, int fd,
		     const struct epoll_event *event, int *result)
{
	uint64_t signals;
	bool done;

	schedule_lock(&signals);
	done = outlook_of(connection) == OUTLOOK_HELD &&
	       watch_control(set, operation, fd, event, result);
	schedule_unlock(&signals);
	return done;
}

void pending_leave(void)
{
	struct pending *first;
	uint64_t signals;
	int saved_errno = errno;

	if (!pending_any_held() || !waiters_beyond(next_due(clock_ns())) ||
	    !schedule_trylock(&signals))
		return;
	first = schedule_first();
	if (first && outlook_of(connection_behind(first)) == OUTLOOK_HELD)
		watch_put_back(connection_behind(first), first->call.fd);
	schedule_unlock(&signals);
	errno = saved_errno;
}
