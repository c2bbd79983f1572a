/* SPDX-License-Identifier: MIT */
/* connect(): the first attempt as the program made it, then whatever the policy decides. */
#include "connect.h"

#include <errno.h>

#include "call.h"
#include "connect_again.h"
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

/* The attempt of a connect that does not block failed at once: the policy may hold it. */
static int connect_refused(struct call *call, int error)
{
	if (pending_look(call->connection, call->fd, error) == OUTLOOK_FAILED)
		return connect_told(call->connection);
	return call_end(call, call->connection->attention & ATTENTION_PENDING ? EINPROGRESS : 0);
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
		call->caller_limit_ns = connect_limit(connection, call->fd);
	while (!failure_serve(call, &error))
		;
	return call_end(call, error);
}

/* ---- the call --------------------------------------------------------------------------------- */

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

/* Its first attempt, without anything that had to be done. */
static void connect_succeeded(struct call *call)
{
	STORE(call->connection->reported, 1);
	if (call->pooled)
		pool_connected(call);
	connection_made(call->connection, call->fd, call->connection->generation);
	pending_connected(call->connection, call->fd);
	operation_succeed(call->connection, call->ticket);
	if (call->named)
		name_walk_end(&call->name);
}

static int connect_managed(struct call *call, struct connection *before)
{
	const struct sockaddr *own = call->peer;
	socklen_t length = call->length;
	struct sockaddr_in6 endpoint;
	uint64_t bound = DURATION_OFF;
	struct target target;
	int error = 0;
	enum asked asked = connect_ask(call, before, &error);
	bool begun = asked == ASKED_BEGUN;

	if (asked == ASKED_ANSWER)
		return call_end(call, error);
	if (!target_choose(&target, call, begun ? NULL : &endpoint)) {
		if (!begun)
			fd_dissolved(call->fd);
		return call_end(call, begun ? error : attempt_first(call, DURATION_OFF));
	}
	call->connection = connection_open(call->fd, target.record, target.rule, target.owner);
	if (!call->connection)
		return call_end(call, begun ? error : attempt_first(call, DURATION_OFF));
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
		call->caller_limit_ns = connect_limit(call->connection, call->fd);
		bound = call_attempt_bound(call);
	}
	if (!begun)
		error = attempt_first(call, bound);
	if (__builtin_expect(error != 0, 0))
		return connect_recover(call, error);
	if (call->send && !tcp_is_connected(call->fd))
		pending_commit(call);
	else
		connect_succeeded(call);
	return 0;
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
		keep_spoil(call.connection, (uint64_t)send.result);
	return transfer_sent(call.connection, send.result);
}
