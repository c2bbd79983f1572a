/* SPDX-License-Identifier: MIT */
/* connect(): the first attempt as the program made it, then whatever the policy decides. */
#include "connect.h"

#include <errno.h>

#include "call.h"
#include "engine.h"
#include "hold.h"
#include "operation.h"
#include "shim/libc.h"
#include "shim/sys.h"
#include "siblings.h"
#include "target.h"
#include "tcp.h"

int64_t call_elapsed(const struct call *call)
{
	int64_t elapsed = clock_ns() - call->connection->began_ns;

	return elapsed > 0 ? elapsed : 0;
}

bool call_is_current(const struct call *call)
{
	return operation_ticket(call->connection) == call->ticket && call->cookie &&
	       socket_cookie(call->fd) == call->cookie;
}

void call_leave_pending(struct call *call)
{
	atomic_fetch_or_explicit(&call->connection->attention, ATTENTION_PENDING,
				 memory_order_relaxed);
}

/* ---- the decision ------------------------------------------------------------------------- */

uint64_t random_draw(void)
{
	uint64_t random;

	if (sys_getrandom(&random, sizeof(random)) != sizeof(random))
		random = (uint64_t)clock_ns() * UINT64_C(0x9e3779b97f4a7c15);
	return random;
}

static void failure_decide(struct call *call, int error, struct operation_failure *failure)
{
	struct connection *connection = call->connection;
	struct policy_situation situation = {
		.operation = OPERATION_CONNECT,
		.error = error,
		.attempt = connection->attempts,
		.previous_delay_ns = call->previous_delay_ns,
		.elapsed_ns = (uint64_t)call_elapsed(call),
		.random = random_draw(),
	};

	failure->error = error;
	failure->category = policy_classify(call->settings, call->peer->sa_family, error);
	failure->decision = call->settings->strategies[failure->category].decision;
	situation.category = (uint8_t)failure->category;
	/* Asked only where the answer can matter. */
	if (call->named && failure->decision != DECISION_NONE)
		situation.sibling = (uint8_t)siblings_ask(call, error, &situation.other_endpoint);
	failure->verdict = policy_decide(engine.policy, connection->rule, &situation);
}

/* The caller asked for less patience than the policy has: one last attempt at its end. */
static bool caller_limit_apply(const struct call *call, uint64_t *delay_ns)
{
	int64_t left = call->caller_limit_ns - clock_ns();

	if (left <= 0)
		return false;
	if (*delay_ns > (uint64_t)left)
		*delay_ns = (uint64_t)left;
	return true;
}

static int call_end(const struct call *call, int error)
{
	errno = error ? error : call->saved_errno;
	return error ? -1 : 0;
}

/* What attempt_again() or a wait said that ends the call without being a failure. */
static bool outcome_is_final(struct call *call, int error)
{
	if (error && error != EINTR && error != EINPROGRESS && error != EALREADY)
		return false;
	call->connection->reported = !error;
	if (!error)
		operation_succeed(call->connection, call->ticket);
	else
		call_leave_pending(call);
	if (!error && call->named)
		name_walk_end(&call->name);
	return true;
}

/* Passed on, or given up. */
static void failure_end(struct call *call, const struct operation_failure *failure)
{
	if (call->named && failure->verdict.action == VERDICT_GIVE_UP)
		name_walk_spend(&call->name);
	operation_fail(call->connection, call->ticket, failure);
}

/*
 * Another address has come up while this one was held. A program that knows only
 * this one would fail now, though the server may just be opening its addresses
 * one by one: this one gets a moment and a last attempt.
 */
#define GRACE_NS UINT64_C(50000000)

static void grace_apply(struct call *call, struct operation_failure *failure)
{
	if (failure->verdict.cause != CAUSE_FALLBACK || call->graced ||
	    call->connection->attempts == 1)
		return;
	call->graced = true;
	failure->verdict = (struct policy_verdict){ GRACE_NS, VERDICT_RETRY_AFTER, CAUSE_NONE };
}

/* A failure that is the program's at once, whatever the policy. */
static void failure_pass_on(struct call *call, int error)
{
	struct operation_failure failure;

	call->named = false;
	operation_attempt_failed(call->connection, error);
	failure_decide(call, error, &failure);
	failure.verdict = (struct policy_verdict){ .action = VERDICT_PASS_ON };
	operation_fail(call->connection, call->ticket, &failure);
}

/* One failed attempt: waits and makes the next. True when the call is at its end, with *error. */
static bool failure_serve(struct call *call, int *error)
{
	struct operation_failure failure;
	bool interrupted;
	uint32_t retries;

	operation_attempt_failed(call->connection, *error);
	failure_decide(call, *error, &failure);
	if (failure.verdict.action == VERDICT_NEXT_ENDPOINT) {
		if (siblings_take_over(call, error))
			return outcome_is_final(call, *error);
		call->immovable = true;
		failure_decide(call, *error, &failure);
	}
	grace_apply(call, &failure);
	if (failure.verdict.action == VERDICT_PASS_ON ||
	    failure.verdict.action == VERDICT_GIVE_UP) {
		failure_end(call, &failure);
		return true;
	}
	if (!caller_limit_apply(call, &failure.verdict.delay_ns)) {
		operation_abandon(call->connection, call->ticket);
		return true;
	}
	call->previous_delay_ns = failure.verdict.delay_ns;
	operation_retry(call->connection, &failure);
	retries = call->settings->strategies[failure.category].max_retries;
	interrupted = hold(call->connection, &failure, retries, &call->said) == EINTR;
	if (!call_is_current(call)) {
		operation_abandon(call->connection, call->ticket);
		return true;
	}
	*error = interrupted ? attempt_begin(call) : attempt_again(call);
	if (outcome_is_final(call, *error))
		return true;
	if (interrupted)
		failure_pass_on(call, *error);
	return interrupted;
}

static int64_t caller_limit(const struct connection *connection, int fd)
{
	struct timeval timeout;

	if (!send_timeout_get(fd, &timeout) || (!timeout.tv_sec && !timeout.tv_usec))
		return INT64_MAX;
	return connection->began_ns + timeout.tv_sec * SECOND_NS + timeout.tv_usec * 1000;
}

/* The first attempt failed. */
static __attribute__((noinline, cold)) int connect_recover(struct call *call, int error)
{
	struct connection *connection = call->connection;

	if (outcome_is_final(call, error))
		return call_end(call, error);
	connection->nonblocking = fd_is_nonblocking(call->fd);
	/* ECONNABORTED is no attempt: the kernel reports that an earlier one failed, whose
	 * error the program has read already. */
	if (!connection->nonblocking && error != ECONNABORTED)
		call->cookie = socket_cookie(call->fd);
	if (!call->cookie) {
		failure_pass_on(call, error);
		return call_end(call, error);
	}
	if (call->caller_limit_ns == INT64_MAX)
		call->caller_limit_ns = caller_limit(connection, call->fd);
	while (!failure_serve(call, &error))
		;
	return call_end(call, error);
}

/* ---- the call --------------------------------------------------------------------------------- */

/* A connect that the kernel has under way already is asked about, not begun. */
static int connect_again(struct connection *connection, int fd, const struct sockaddr *peer,
			 socklen_t length)
{
	int result = LIBC(connect)(fd, peer, length);
	int error = result < 0 ? errno : 0;

	connection->reported = !error;
	if (!error || error == EISCONN)
		engine_settle(connection, fd, 0);
	else if (error != EALREADY && error != EINPROGRESS && error != EINTR)
		engine_settle(connection, fd, error);
	return result;
}

void engine_settle(struct connection *connection, int fd, int error)
{
	const struct policy_settings *settings = policy_settings(engine.policy, connection->rule);
	int family = connection->record->endpoint.kind == ENDPOINT_UNIX ? AF_UNIX : AF_INET;
	struct operation_failure failure = { .error = error };
	uint32_t ticket = operation_ticket(connection);
	int saved_errno = errno;

	if (!connection_owned(connection))
		return;
	atomic_fetch_and_explicit(&connection->attention, ~(uint32_t)ATTENTION_PENDING,
				  memory_order_relaxed);
	if (!error) {
		operation_succeed(connection, ticket);
	} else if (ticket) {
		operation_attempt_failed(connection, error);
		failure.category = policy_classify(settings, family, error);
		failure.decision = settings->strategies[failure.category].decision;
		failure.verdict.action = VERDICT_PASS_ON;
		operation_fail(connection, ticket, &failure);
	}
	errno = saved_errno;
}

/* connect(AF_UNSPEC) dissolves an association; what fd stood for is over. */
static int connect_dissolve(int fd, const struct sockaddr *peer, socklen_t length)
{
	int result = LIBC(connect)(fd, peer, length);

	if (result == 0)
		fd_closing(fd);
	return result;
}

static int connect_managed(struct call *call, struct connection *before)
{
	uint64_t bound = DURATION_OFF;
	bool connected = before && before->is_stream && !operation_ticket(before) &&
			 before->slot->state == SLOT_CONNECTED;
	struct target target;
	int error = 0;

	/* Most likely EISCONN, or the success that only the program's wait has told so far: no
	 * operation. Else the entry was stale. */
	if (connected) {
		error = LIBC(connect)(call->fd, call->peer, call->length) < 0 ? errno : 0;
		if (error == EISCONN || error == EALREADY || (!error && !before->reported)) {
			before->reported = 1;
			return call_end(call, error);
		}
	}
	if (!target_find(&target, call->fd, call->peer, call->length)) {
		if (connected)
			return call_end(call, error);
		fd_closing(call->fd);
		return LIBC(connect)(call->fd, call->peer, call->length);
	}
	call->connection = connection_open(call->fd, target.record, target.rule, target.owner);
	if (!call->connection)
		return connected ? call_end(call, error)
				 : LIBC(connect)(call->fd, call->peer, call->length);
	call->connection->is_stream = target.is_stream;
	call->settings = policy_settings(engine.policy, target.rule);
	call->ticket = operation_begin(call->connection);
	if (target.is_stream && names_known())
		siblings_begin(call);
	if (call->settings->connect.first_attempt_bounded && target.is_stream &&
	    !(fd_kind(call->fd) & FD_NONBLOCKING)) {
		call->caller_limit_ns = caller_limit(call->connection, call->fd);
		bound = policy_attempt_bound(call->settings, 1, 0);
	}
	if (!connected)
		error = bound == DURATION_OFF
				? (LIBC(connect)(call->fd, call->peer, call->length) < 0 ? errno
											 : 0)
				: attempt_make(call, bound);
	if (__builtin_expect(error == 0, 1)) {
		call->connection->reported = 1;
		operation_succeed(call->connection, call->ticket);
		if (call->named)
			name_walk_end(&call->name);
		return 0;
	}
	return connect_recover(call, error);
}

int engine_connect(int fd, const struct sockaddr *peer, socklen_t length)
{
	struct call call = {
		.fd = fd,
		.peer = peer,
		.length = length,
		.saved_errno = errno,
		.caller_limit_ns = INT64_MAX,
	};
	struct connection *before = connection_of(fd);

	if (!peer || length < sizeof(sa_family_t))
		return LIBC(connect)(fd, peer, length);
	if (before && peer->sa_family == AF_UNSPEC)
		return connect_dissolve(fd, peer, length);
	if (!target_is_ours(peer, length) || !engine_ready())
		return LIBC(connect)(fd, peer, length);
	if (before && before->attention & ATTENTION_PENDING && connection_owned(before))
		return connect_again(before, fd, peer, length);
	return connect_managed(&call, before);
}
