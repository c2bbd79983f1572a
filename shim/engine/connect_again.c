/* SPDX-License-Identifier: MIT */
#include "connect_again.h"

#include <errno.h>

#include "engine.h"
#include "operation.h"
#include "patience.h"
#include "pending.h"
#include "pools.h"
#include "shim/libc.h"
#include "shim/sys.h"
#include "tcp.h"

int64_t connect_limit(const struct connection *connection, int fd)
{
	struct timeval timeout;

	if (!send_timeout_get(fd, &timeout))
		return INT64_MAX;
	return socket_timeout_until(&timeout, connection->began_ns);
}

int connect_told(struct connection *connection)
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

/* ---- one that is pending ------------------------------------------------------------------- */

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

int connect_again(struct connection *connection, int fd, const struct sockaddr *peer,
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
		/* The kernel tells of a loss in the words of a failure, and forgets what it was. */
		if (connection_is_under_way(connection) && tcp_is_lost(fd))
			pending_connected(connection, fd);
		result = LIBC(connect)(fd, peer, length);
		error = result < 0 ? errno : 0;
		connection->reported = !error;
		if (!error || error == EISCONN) {
			pending_connected(connection, fd);
			return result;
		}
		/* Of a call that may block it is our own mode, set for the moment of an attempt. */
		if (error == EALREADY && fd_may_block(fd) &&
		    connect_limit(connection, fd) == INT64_MAX)
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

int connect_dissolve(int fd, const struct sockaddr *peer, socklen_t length)
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

/* ---- one that is over ---------------------------------------------------------------------- */

/*
 * Asks one that is believed to be connected. Most likely it says EISCONN, or the success that
 * only the program's wait has told so far: then *error is the answer, and there is no
 * operation. Else the entry was stale, and this was the first attempt.
 */
static bool connect_asks(const struct call *call, struct connection *before, int *error)
{
	bool is_lost = tcp_is_lost(call->fd);

	*error = LIBC(connect)(call->fd, call->peer, call->length) < 0 ? errno : 0;
	if (*error == EISCONN || *error == EALREADY || (!*error && !before->reported)) {
		before->reported = 1;
		return true;
	}
	/* Of the connection that was there: it was lost before it was asked about. */
	return is_lost || *error == ECONNRESET || *error == EPIPE || *error == ECONNABORTED;
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

enum asked connect_ask(const struct call *call, struct connection *before, int *error)
{
	bool connected = before && before->is_stream && !call->send && !operation_ticket(before) &&
			 (before->slot->state == SLOT_CONNECTED || before->loss);
	bool anew = before && before->attention & ATTENTION_ANEW;

	/* The address that the program gave is not to be tried where it stands for a pool. */
	if (engine.policy->pool_count && (anew || (connected && socket_is_fresh(call->fd)))) {
		if (anew)
			pending_error_take(before);
		return ASKED_NOTHING;
	}
	if (!anew && !connected)
		return ASKED_NOTHING;
	return (anew ? connect_begins_nothing(call, before, error)
		     : connect_asks(call, before, error))
		       ? ASKED_ANSWER
		       : ASKED_BEGUN;
}
