/* SPDX-License-Identifier: MIT */
#include "transfer.h"

#include <errno.h>

#include "operation.h"
#include "pending.h"
#include "tcp.h"

/* How long a call that may block waits at most, by one of the socket's own timeouts. */
static int64_t blocking_until(int fd)
{
	struct timeval limit = { 0, 0 };

	receive_timeout_get(fd, &limit);
	if (!limit.tv_sec && !limit.tv_usec)
		send_timeout_get(fd, &limit);
	return socket_timeout_until(&limit, clock_ns());
}

static bool may_wait(int fd, int flags)
{
	return !(flags & MSG_DONTWAIT) && fd_may_block(fd);
}

bool transfer_attend(struct connection *connection, int fd, int flags)
{
	int error = 0;

	engine_attend(connection, fd);
	if (!connection_is_pending(connection)) {
		error = pending_foreign_error(connection, fd);
		errno = error ? error : errno;
		return !error;
	}
	if (connection->attention & (ATTENTION_HELD | ATTENTION_FAILED) &&
	    !pending_is_current(connection, fd))
		return true;
	pending_run();
	if (connection->attention & ATTENTION_HELD)
		error = may_wait(fd, flags) ? pending_wait(connection, blocking_until(fd)) : EAGAIN;
	if (!error && connection->attention & ATTENTION_FAILED)
		error = pending_error_take(connection);
	if (error)
		errno = error;
	return !error;
}

/* Those that say something of the call and nothing of the connection. */
static bool error_is_the_calls(int error)
{
	return error == EAGAIN || error == EINTR || error == EINPROGRESS || error == EFAULT ||
	       error == EINVAL || error == EMSGSIZE || error == EOPNOTSUPP || error == EBADF ||
	       error == EALREADY || error == EDESTADDRREQ;
}

bool transfer_settle(struct connection *connection, int fd, int flags, ssize_t *result)
{
	int error = *result < 0 ? errno : 0;

	/* Not the program's mode, but ours for the moment of another thread's attempt. */
	if (error == EAGAIN)
		return may_wait(fd, flags) && blocking_until(fd) == INT64_MAX;
	if (!connection_is_pending(connection))
		return false;
	if (*result > 0 || (!error_is_the_calls(error) && tcp_is_connected(fd))) {
		pending_connected(connection, fd);
		return false;
	}
	if (error_is_the_calls(error))
		return false;
	/* Another thread was told of the failure while this one asked, or is just being told. */
	if (!error && !tcp_is_connecting(fd))
		pending_look(connection, fd, 0);
	if (connection->attention & (ATTENTION_HELD | ATTENTION_FAILED))
		return true;
	/* Nothing was transferred: a call for no bytes, or whoever shares the socket knows more. */
	if (!error)
		return false;
	switch (pending_look(connection, fd, error)) {
	case OUTLOOK_FAILED:
		errno = pending_error_take(connection);
		*result = -1;
		return false;
	case OUTLOOK_CONNECTED:
		/* Moved to another address at once; or another thread knew already. */
		return error != 0;
	case OUTLOOK_HELD:
	case OUTLOOK_UNDER_WAY:
	default:
		if (may_wait(fd, flags))
			return true;
		errno = EAGAIN;
		*result = -1;
		return false;
	}
}
