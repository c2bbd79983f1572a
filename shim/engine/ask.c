/* SPDX-License-Identifier: MIT */
/* Questions to one connection that are no transfers, and shutdown(). */
#include <errno.h>
#include <string.h>

#include "connect.h"
#include "drain.h"
#include "keep.h"
#include "loss.h"
#include "pending.h"
#include "shim/libc.h"
#include "tcp.h"

/* SO_ERROR of a pending connect, as the kernel gave it or as it would have. */
static void error_correct(struct connection *connection, int fd, int *error)
{
	if (*error && connection->attention & ATTENTION_PENDING &&
	    connection_is_pending(connection) && tcp_has_connected(fd))
		pending_connected(connection, fd);
	if (!connection_is_pending(connection)) {
		*error = *error ? *error : pending_foreign_error(connection, fd);
		*error = *error ? *error : keep_error_take(connection);
		/* Whoever asks first is told of a loss: a read that follows says 0. */
		if (*error && connection->is_stream && error_is_loss(*error) &&
		    loss_serve(connection, fd, *error, LOSS_BY_READ, connection->operation))
			*error = 0;
	} else if (connection->attention & ATTENTION_PENDING && *error)
		*error = pending_look(connection, fd, *error) == OUTLOOK_FAILED
				 ? pending_error_take(connection)
				 : 0;
	else if (connection->attention & ATTENTION_FAILED)
		*error = pending_error_take(connection);
}

/* The kernel gives as much of it as there is room for. */
static void error_copy(void *to, const void *from, socklen_t length)
{
	if (__builtin_expect(length >= sizeof(int), 1))
		memcpy(to, from, sizeof(int));
	else
		memcpy(to, from, length);
}

int engine_getsockopt(int fd, int level, int name, void *value, socklen_t *length)
{
	struct connection *connection = connection_of(fd);
	int result, error = 0;

	if (!connection)
		return LIBC(getsockopt)(fd, level, name, value, length);
	if (connection->attention)
		engine_attend(connection, fd);
	if (level != SOL_SOCKET || name != SO_ERROR)
		return LIBC(getsockopt)(fd, level, name, value, length);
	if (connection_is_pending(connection))
		pending_run();
	result = LIBC(getsockopt)(fd, level, name, value, length);
	if (result < 0)
		return result;
	error_copy(&error, value, *length);
	error_correct(connection, fd, &error);
	error_copy(value, &error, *length);
	return result;
}

int engine_shutdown(int fd, int how)
{
	struct connection *connection = connection_of(fd);
	int result;

	if (!connection)
		return LIBC(shutdown)(fd, how);
	if (how != SHUT_RD && connection->attention & ATTENTION_KEPT)
		drain_output(connection, fd);
	connection->is_half_closed = 1;
	if (__builtin_expect(!connection->attention, 1) || !connection_is_pending(connection))
		return LIBC(shutdown)(fd, how);
	/* The kernel may know of a failure that nobody has asked about. */
	if (pending_look(connection, fd, 0) == OUTLOOK_HELD && how >= SHUT_RD && how <= SHUT_RDWR) {
		pending_shut(connection);
		return 0;
	}
	result = LIBC(shutdown)(fd, how);
	pending_anew(connection, false);
	/* The kernel has left the attempt: what follows is between it and the program. */
	if (result == 0 && connection->attention & ATTENTION_PENDING)
		pending_close(connection, fd);
	return result;
}

/* The kernel may know of a failure that nobody has asked about. */
static bool is_held(int fd)
{
	struct connection *connection = connection_of(fd);

	return __builtin_expect(connection && connection->attention & ATTENTION_PENDING, 0) &&
	       connection_is_pending(connection) && pending_look(connection, fd, 0) == OUTLOOK_HELD;
}

int engine_bind(int fd, const struct sockaddr *own, socklen_t length)
{
	/* A socket that is being connected has an address already. */
	if (is_held(fd) && own) {
		errno = EINVAL;
		return -1;
	}
	return LIBC(bind)(fd, own, length);
}

bool engine_nothing_queued(int fd)
{
	return is_held(fd);
}
