/* SPDX-License-Identifier: MIT */
/* connect(): the first attempt as the program made it, then whatever the policy decides. */
#include "connect.h"

#include <errno.h>

#include "call.h"
#include "engine.h"
#include "hold.h"
#include "keep.h"
#include "operation.h"
#include "pending.h"
#include "pools.h"
#include "shim/libc.h"
#include "shim/sys.h"
#include "siblings.h"
#include "target.h"
#include "tcp.h"
#include "tended.h"
#include "transfer.h"

/* ---- failed attempts ------------------------------------------------------------------------ */

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

/* A rule that names a pool is chosen, and has somewhere else to go. */
static bool first_is_bounded(const struct call *call)
{
	return call->settings->connect.first_attempt_bounded || call->pooled;
}

/* What attempt_again() or a wait said that ends the call without being a failure. */
static bool outcome_is_final(struct call *call, int error)
{
	if (error && error != EINTR && error != EINPROGRESS && error != EALREADY)
		return false;
	call->connection->reported = !error;
	if (!error && call->pooled)
		pool_connected(call);
	if (!error)
		connection_made(call->connection, call->fd, call->connection->generation);
	if (!error)
		operation_succeed(call->connection, call->ticket);
	else if (pending_begin(call) && first_is_bounded(call) && fd_is_nonblocking(call->fd))
		pending_bound(call->connection);
	if (!error && call->named)
		name_walk_end(&call->name);
	return true;
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

/* Another thread has closed the socket. */
static bool call_is_left(const struct call *call)
{
	if (call_is_current(call))
		return false;
	operation_abandon(call->connection, call->ticket);
	return true;
}

/* The pool's next endpoint, at once. False if none is left in this round. */
static bool endpoint_next(struct call *call, const struct operation_failure *failure, int *error)
{
	if (!pool_next(call))
		return false;
	operation_retry(call->connection, failure);
	operation_attempt(call->connection);
	*error = attempt_again(call);
	return true;
}

/* One failed attempt: waits and makes the next. True when the call is at its end, with *error. */
static bool failure_serve(struct call *call, int *error)
{
	struct operation_failure failure;
	bool interrupted;
	uint32_t retries;

	operation_attempt_failed(call->connection, *error);
	failure_decide(call, *error, &failure);
	if (call->pooled && call_is_left(call))
		return true;
	if (failure.verdict.action == VERDICT_NEXT_ENDPOINT) {
		if (call->pooled ? endpoint_next(call, &failure, error)
				 : siblings_take_over(call, error))
			return outcome_is_final(call, *error);
		call->immovable = true;
		failure_decide(call, *error, &failure);
	}
	failure_grace(call, &failure);
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
	retries = call_retries(call, failure.category);
	interrupted = hold(call->connection, &failure, retries, &call->said) == EINTR;
	if (call_is_left(call))
		return true;
	if (call->pooled)
		pool_round(call);
	operation_attempt(call->connection);
	*error = interrupted ? attempt_begin(call) : attempt_again(call);
	if (outcome_is_final(call, *error))
		return true;
	if (interrupted)
		failure_pass_on(call, *error);
	return interrupted;
}

/* As call_end(), for one whose failure is told by this very call. */
static int connect_told(struct connection *connection)
{
	errno = pending_error_take(connection);
	return -1;
}

/* The same where the kernel has not been asked: it would have forgotten the old attempt by that. */
static int connect_tell(struct connection *connection, int fd)
{
	if (connection->record->endpoint.kind != ENDPOINT_UNIX)
		tcp_reset(fd);
	return connect_told(connection);
}

/* The attempt of a connect that does not block failed at once: the policy may hold it. */
static int connect_refused(struct call *call, int error)
{
	if (pending_look(call->connection, call->fd, error) == OUTLOOK_FAILED)
		return connect_told(call->connection);
	return call_end(call, call->connection->attention & ATTENTION_PENDING ? EINPROGRESS : 0);
}

static int64_t caller_limit(const struct connection *connection, int fd)
{
	struct timeval timeout;

	if (!send_timeout_get(fd, &timeout))
		return INT64_MAX;
	return socket_timeout_until(&timeout, connection->began_ns);
}

/* The first attempt failed. */
static __attribute__((noinline, cold)) int connect_recover(struct call *call, int error)
{
	struct connection *connection = call->connection;

	if (outcome_is_final(call, error))
		return call_end(call, error);
	/* A datagram socket is not connected by trying again: there is no route, and it asks nobody. */
	if (!connection->is_stream) {
		failure_pass_on(call, error);
		return call_end(call, error);
	}
	connection->nonblocking = fd_is_nonblocking(call->fd);
	/* ECONNABORTED is no attempt: the kernel reports that an earlier one failed, whose
	 * error the program has read already. */
	if (connection->nonblocking && error != ECONNABORTED && pending_begin(call))
		return connect_refused(call, error);
	/* Its mode was changed where we do not see it. */
	if (!connection->nonblocking && connection->attention & ATTENTION_PENDING)
		pending_drop(connection);
	if (!connection->nonblocking && error != ECONNABORTED)
		call->cookie = socket_cookie(call->fd);
	if (!call->cookie) {
		failure_pass_on(call, error);
		if (connection->attention & ATTENTION_PENDING)
			pending_close(connection, call->fd);
		return call_end(call, error);
	}
	if (call->caller_limit_ns == INT64_MAX)
		call->caller_limit_ns = caller_limit(connection, call->fd);
	while (!failure_serve(call, &error))
		;
	return call_end(call, error);
}

/* ---- the call --------------------------------------------------------------------------------- */

/* Asked by a second connect() while one is held: as if it were under way. */
static int connect_held(struct connection *connection, int fd)
{
	struct timeval limit = { 0, 0 };
	int error = EALREADY;

	if (operation_is_rebuild(connection)) {
		errno = EISCONN;
		return -1;
	}
	if (fd_may_block(fd)) {
		send_timeout_get(fd, &limit);
		error = pending_wait(connection, socket_timeout_until(&limit, clock_ns()));
		if (error == 0)
			return 0;
		error = error == EAGAIN ? EALREADY : error;
	}
	errno = error;
	return -1;
}

/*
 * Another thread has read the errno, and is about to say so; perhaps it has begun the
 * next attempt since, of which this says nothing. False if nobody says anything.
 */
static bool aborted_settle(struct connection *connection, int fd)
{
	while (pending_look(connection, fd, 0) == OUTLOOK_UNDER_WAY) {
		if (tcp_is_connecting(fd) || tcp_is_connected(fd))
			return true;
		SYS(SYS_sched_yield);
	}
	return connection->attention & ATTENTION_CONNECT;
}

/* A connect that is pending is asked about, not begun. */
static int connect_again(struct connection *connection, int fd, const struct sockaddr *peer,
			 socklen_t length)
{
	enum outlook outlook;
	int result, error;

	pending_run();
	for (;;) {
		if (connection->attention & ATTENTION_HELD && connect_held(connection, fd) < 0)
			return -1;
		if (connection->attention & ATTENTION_FAILED)
			return connect_tell(connection, fd);
		/* The kernel would begin one to the address that the program believes in, should
		 * another thread just be leaving the attempt. */
		if (pool_is_named(connection->rule) && !fd_may_block(fd)) {
			outlook = pending_look(connection, fd, 0);
			if (outlook == OUTLOOK_HELD || outlook == OUTLOOK_FAILED)
				continue;
			if (outlook == OUTLOOK_UNDER_WAY) {
				errno = EALREADY;
				return -1;
			}
		}
		result = LIBC(connect)(fd, peer, length);
		error = result < 0 ? errno : 0;
		connection->reported = !error;
		if (!error || error == EISCONN) {
			pending_connected(connection, fd);
			return result;
		}
		/* Of a call that may block it is our own mode, set for the moment of an attempt. */
		if (error == EALREADY && fd_may_block(fd) &&
		    caller_limit(connection, fd) == INT64_MAX)
			continue;
		if (error == EALREADY || error == EINPROGRESS || error == EINTR)
			return result;
		if (error == ECONNABORTED && aborted_settle(connection, fd))
			continue;
		if (pending_look(connection, fd, error) == OUTLOOK_FAILED)
			return connect_told(connection);
		if (!(connection->attention & ATTENTION_PENDING))
			break;
	}
	errno = error;
	return -1;
}

/* connect(AF_UNSPEC) dissolves an association; what fd stood for is over. */
static int connect_dissolve(int fd, const struct sockaddr *peer, socklen_t length)
{
	struct connection *connection = connection_of(fd);
	enum outlook outlook = connection_is_pending(connection) ? pending_look(connection, fd, 0)
								 : OUTLOOK_CONNECTED;
	int result = LIBC(connect)(fd, peer, length);

	if (result == 0 && outlook == OUTLOOK_HELD)
		pending_shut(connection);
	else if (result == 0 && outlook == OUTLOOK_FAILED)
		pending_anew(connection, true);
	else if (result == 0)
		fd_dissolved(fd);
	return result;
}

/* As the program makes it. */
static int attempt_first(struct call *call, uint64_t bound_ns)
{
	struct first_send *send = call->send;

	if (send) {
		send->result = send->message ? LIBC(sendmsg)(call->fd, send->message, send->flags)
					     : LIBC(sendto)(call->fd, send->data, send->size,
							    send->flags, call->peer, call->length);
		return send->result < 0 ? errno : 0;
	}
	if (bound_ns != DURATION_OFF)
		return attempt_make(call, bound_ns);
	return LIBC(connect)(call->fd, call->peer, call->length) < 0 ? errno : 0;
}

/* Where it goes: to the pool that the rule names, if the socket can reach an endpoint of it. */
static bool target_choose(struct target *target, struct call *call, struct sockaddr_in6 *endpoint)
{
	if (!target_find(target, call->fd, call->peer, call->length))
		return false;
	if (target->pool < 0 || !endpoint || !pool_begin(call, target->pool, endpoint))
		return target_record(target, call->peer, call->length);
	target->record = call->pool.record;
	/* Data that the kernel had taken could go to no other endpoint: it follows. */
	call->send = NULL;
	return true;
}

/* The socket is made ready for its endpoint; if it cannot be it goes where the program said. */
static void pool_enter(struct call *call, const struct sockaddr *own, socklen_t length)
{
	if (pool_start(call))
		return;
	call->pooled = false;
	call->peer = own;
	call->length = length;
}

/*
 * Asks one that is believed to be connected. Most likely it says EISCONN, or the success that
 * only the program's wait has told so far: then *error is the answer, and there is no
 * operation. Else the entry was stale, and this was the first attempt.
 */
static bool connect_asks(const struct call *call, struct connection *before, int *error)
{
	*error = LIBC(connect)(call->fd, call->peer, call->length) < 0 ? errno : 0;
	if (*error == EISCONN || *error == EALREADY || (!*error && !before->reported)) {
		before->reported = 1;
		return true;
	}
	/* Of the connection that was there: it was lost before it was asked about. */
	return *error == ECONNRESET || *error == EPIPE || *error == ECONNABORTED;
}

/*
 * The same of one that failed and was shut down: a connect() that begins nothing leaves the
 * failure to be told.
 */
static bool connect_begins_nothing(const struct call *call, struct connection *before, int *error)
{
	*error = LIBC(connect)(call->fd, call->peer, call->length) < 0 ? errno : 0;
	if (*error == EINVAL)
		return true;
	pending_error_take(before);
	return false;
}

static int connect_managed(struct call *call, struct connection *before)
{
	const struct sockaddr *own = call->peer;
	socklen_t length = call->length;
	struct sockaddr_in6 endpoint;
	uint64_t bound = DURATION_OFF;
	bool connected = before && before->is_stream && !call->send && !operation_ticket(before) &&
			 (before->slot->state == SLOT_CONNECTED || before->loss);
	bool anew = before && before->attention & ATTENTION_ANEW;
	struct target target;
	int error = 0;

	/* The address that the program gave is not to be tried where it stands for a pool. */
	if (connected && engine.policy->pool_count && socket_is_fresh(call->fd))
		connected = false;
	if (anew && engine.policy->pool_count) {
		pending_error_take(before);
		anew = false;
	}
	if (anew ? connect_begins_nothing(call, before, &error)
		 : connected && connect_asks(call, before, &error))
		return call_end(call, error);
	connected = connected || anew;
	if (!target_choose(&target, call, connected ? NULL : &endpoint)) {
		if (!connected)
			fd_dissolved(call->fd);
		return call_end(call, connected ? error : attempt_first(call, DURATION_OFF));
	}
	call->connection = connection_open(call->fd, target.record, target.rule, target.owner);
	if (!call->connection)
		return call_end(call, connected ? error : attempt_first(call, DURATION_OFF));
	STORE(call->connection->is_stream, target.is_stream);
	call->settings = policy_settings(engine.policy, target.rule);
	call->ticket = operation_begin(call->connection);
	if (call->pooled)
		pool_enter(call, own, length);
	else if (target.is_stream && names_known())
		siblings_begin(call);
	/* Published first: another thread's wait may be the one that sees it fail. */
	if (fd_kind(call->fd) & FD_NONBLOCKING || (call->pooled && fd_is_nonblocking(call->fd)))
		pending_begin(call);
	else if (first_is_bounded(call) && target.is_stream) {
		call->caller_limit_ns = caller_limit(call->connection, call->fd);
		bound = call_attempt_bound(call);
	}
	if (!connected)
		error = attempt_first(call, bound);
	if (!error && call->send && !tcp_is_connected(call->fd)) {
		pending_commit(call);
		return 0;
	}
	if (__builtin_expect(error == 0, 1)) {
		STORE(call->connection->reported, 1);
		if (call->pooled)
			pool_connected(call);
		connection_made(call->connection, call->fd, call->connection->generation);
		pending_connected(call->connection, call->fd);
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
	if (before && before->attention & ATTENTION_CONNECT &&
	    !(before->attention & ATTENTION_ANEW) && connection_owned(before))
		return connect_again(before, fd, peer, length);
	return connect_managed(&call, before);
}

/* The data, now that it is connected by an attempt without. */
static ssize_t send_first(int fd, const struct first_send *send)
{
	int flags = send->flags & ~MSG_FASTOPEN;

	return send->message ? SEND_MESSAGE(fd, flags, send->message)
			     : SEND_BYTES(fd, flags, send->data, send->size,
					  LIBC(send)(fd, send->data, send->size, flags));
}

ssize_t engine_send_connecting(int fd, const struct msghdr *message, const void *data, size_t size,
			       int flags, const struct sockaddr *peer, socklen_t length)
{
	struct first_send send = { message, data, size, flags, -1 };
	struct call call = {
		.fd = fd,
		.peer = peer,
		.length = length,
		.saved_errno = errno,
		.caller_limit_ns = INT64_MAX,
		.send = &send,
	};
	struct connection *before = connection_of(fd);
	bool in_use = before && (before->attention || operation_ticket(before) ||
				 before->slot->state == SLOT_CONNECTED);

	if (!peer || length < sizeof(sa_family_t) || in_use || !target_is_ours(peer, length) ||
	    peer->sa_family == AF_UNIX || !engine_ready())
		return message ? SEND_MESSAGE(fd, flags, message)
			       : SEND_BYTES(fd, flags, data, size,
					    LIBC(sendto)(fd, data, size, flags, peer, length));
	if (connect_managed(&call, before) < 0)
		return -1;
	if (send.result < 0)
		return send_first(fd, &send);
	call.connection = connection_of(fd);
	if (!call.connection)
		return send.result;
	if (transfer_keeps(call.connection) && send.result > 0)
		keep_missed(call.connection, (uint64_t)send.result);
	return transfer_sent(call.connection, send.result);
}
