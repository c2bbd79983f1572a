/* SPDX-License-Identifier: MIT */
/* Attempts on a socket that has failed before, and the bounds of blocking ones. */
#include <errno.h>

#include "call.h"
#include "connect.h"
#include "operation.h"
#include "shim/libc.h"
#include "signals.h"
#include "tcp.h"

/* ---- SO_SNDTIMEO, borrowed to bound a blocking attempt ----------------------------- */

/*
 * The caller's value is kept in the connection before it is replaced, and the
 * attention bit makes the next call give it back if this one is left by a jump.
 */
static void send_timeout_borrow(struct call *call, int64_t bound_ns)
{
	struct connection *connection = call->connection;
	struct timeval bound = {
		.tv_sec = (time_t)(bound_ns / SECOND_NS),
		.tv_usec = (suseconds_t)(bound_ns % SECOND_NS / 1000),
	};

	/* Zero would mean for ever. */
	if (bound_ns < 1000)
		bound = (struct timeval){ .tv_usec = 1 };
	if (!(connection->attention & ATTENTION_SEND_TIMEOUT) &&
	    !send_timeout_get(call->fd, &connection->send_timeout))
		return;
	attention_set(connection, ATTENTION_SEND_TIMEOUT);
	send_timeout_set(call->fd, &bound);
}

void engine_attend(struct connection *connection, int fd)
{
	if (!(connection->attention & ATTENTION_SEND_TIMEOUT) || !connection_owned(connection))
		return;
	send_timeout_set(fd, &connection->send_timeout);
	attention_clear(connection, ATTENTION_SEND_TIMEOUT);
}

/* ---- one attempt --------------------------------------------------------------------- */

/*
 * A bounded attempt; ETIME when the bound cut it. With SO_SNDTIMEO the kernel does
 * not restart after handlers with SA_RESTART, so that is done here, with what is
 * left of the bound.
 */
static int attempt_bounded(struct call *call, const struct sockaddr *peer, socklen_t length,
			   int64_t bound_ns)
{
	int64_t until = clock_ns() + bound_ns;
	int error;

	do {
		send_timeout_borrow(call, until - clock_ns());
		error = LIBC(connect)(call->fd, peer, length) < 0 ? errno : 0;
	} while (error == EINTR && signals_restart());
	engine_attend(call->connection, call->fd);
	/* EALREADY where the wait that timed out was a second one for the same attempt;
	 * EAGAIN is what AF_UNIX says of a full backlog, in its own time. */
	return error == EINPROGRESS || error == EALREADY ? ETIME : error;
}

static int attempt_bound_at(struct call *call, const struct sockaddr *peer, socklen_t length,
			    uint64_t bound_ns)
{
	bool limited = call->caller_limit_ns != INT64_MAX;
	int64_t left = limited ? call->caller_limit_ns - clock_ns() : INT64_MAX;
	bool ours = bound_ns != DURATION_OFF && (int64_t)bound_ns < left;
	int error;

	if (!ours && !limited)
		return LIBC(connect)(call->fd, peer, length) < 0 ? errno : 0;
	error = attempt_bounded(call, peer, length, ours ? (int64_t)bound_ns : left);
	if (error != ETIME)
		return error;
	if (!ours)
		return EINPROGRESS;
	/* As after a timeout of the kernel's: nothing is under way. */
	tcp_reset(call->fd);
	return ETIMEDOUT;
}

int attempt_make(struct call *call, uint64_t bound_ns)
{
	return attempt_bound_at(call, call->peer, call->length, bound_ns);
}

int attempt_at(struct call *call, const struct sockaddr *peer, socklen_t length)
{
	struct connection *connection = call->connection;
	uint64_t bound = call_attempt_bound(call);
	int error;

	if (peer->sa_family == AF_UNIX)
		return attempt_bound_at(call, peer, length, bound);
	tcp_reset(call->fd);
	error = attempt_bound_at(call, peer, length, bound);
	if (!error && connection->is_stream && tcp_is_self_connected(call->fd)) {
		tcp_reset(call->fd);
		error = ECONNREFUSED;
	}
	return error;
}

int attempt_again(struct call *call)
{
	return attempt_at(call, call->peer, call->length);
}

int attempt_begin(struct call *call)
{
	int error;

	if (call->peer->sa_family != AF_UNIX)
		tcp_reset(call->fd);
	error = connect_start(call->fd, call->peer, call->length);
	return error == EINPROGRESS || error == EAGAIN ? EINTR : error;
}
