/* SPDX-License-Identifier: MIT */
#include "silence.h"

#include <errno.h>
#include <poll.h>

#include "engine.h"
#include "keep.h"
#include "pending_state.h"
#include "shim/libc.h"
#include "shim/sys.h"
#include "signals.h"
#include "tcp.h"

static int64_t limit_of(const struct connection *connection)
{
	return (int64_t)connection_settings(connection)->heartbeat.idle_timeout_ns;
}

/* ---- the deadline ---------------------------------------------------------------------- */

/* A connect that did not have to wait has left nothing there. */
static void deadline_set(struct connection *connection, int64_t at_ns)
{
	connection->pending->call.connection = connection;
	connection->pending->phase = PHASE_IDLE;
	schedule_set(connection->pending, at_ns);
}

void silence_begin(struct connection *connection, const struct policy_heartbeat *heartbeat)
{
	struct keep *keep;

	if (heartbeat->idle_timeout_ns == DURATION_OFF || connection->attention & ATTENTION_IDLE ||
	    !(keep = connection_keep(connection)) || !connection_pending(connection))
		return;
	keep->heard_at_ns = clock_ns();
	keep->is_silent = 0;
	attention_set(connection, ATTENTION_IDLE);
	schedule_tend(1);
	/* Whoever serves its connect just now resumes it at the end. */
	if (!connection->pending->place)
		deadline_set(connection, keep->heard_at_ns + limit_of(connection));
}

void silence_end(struct connection *connection)
{
	silence_pause(connection);
	if (attention_clear(connection, ATTENTION_IDLE) & ATTENTION_IDLE)
		schedule_tend(-1);
}

void silence_pause(struct connection *connection)
{
	if (connection->attention & ATTENTION_IDLE && connection->pending->phase == PHASE_IDLE)
		schedule_remove(connection->pending);
}

void silence_resume(struct connection *connection)
{
	if (!(connection->attention & ATTENTION_IDLE))
		return;
	silence_break(connection);
	connection_kept(connection)->is_silent = 0;
	deadline_set(connection, connection_kept(connection)->heard_at_ns + limit_of(connection));
}

/* Reading ends, for every thread and every kind of wait; nothing is sent by that. */
static void reading_end(const struct connection *connection, int fd)
{
	int saved_errno = errno;

	connection_kept(connection)->is_silent = 1;
	SYS(SYS_shutdown, fd, SHUT_RD);
	errno = saved_errno;
}

void silence_serve(struct pending *pending)
{
	struct connection *connection = connection_behind(pending);
	const struct keep *keep = connection_kept(connection);
	int64_t at = keep->heard_at_ns + limit_of(connection);
	int fd;

	if (!(connection->attention & ATTENTION_IDLE) ||
	    connection->attention & ATTENTION_CONNECT || keep->is_silent || connection->is_shared)
		return;
	fd = connection_fd(connection);
	if (fd < 0 || !tcp_is_connected(fd))
		return;
	/* What has come in time is read first, however busy the program is. */
	if (socket_unread(fd))
		at = clock_ns() + limit_of(connection);
	if (at > clock_ns())
		deadline_set(connection, at);
	else
		reading_end(connection, fd);
}

/* ---- reads ---------------------------------------------------------------------------------- */

void silence_break(struct connection *connection)
{
	connection_kept(connection)->heard_at_ns = clock_ns();
}

bool silence_told(struct connection *connection)
{
	return connection->attention & ATTENTION_IDLE &&
	       atomic_exchange(&connection_kept(connection)->is_silent, 0);
}

/* True if something came, or is to be told. */
static bool wait_until(int fd, int64_t until_ns)
{
	struct pollfd wait = { .fd = fd, .events = POLLIN };
	int64_t left = until_ns - clock_ns();
	struct timespec timeout = { 0, 0 };

	if (left > 0)
		timeout = (struct timespec){ left / SECOND_NS, left % SECOND_NS };
	return LIBC(ppoll)(&wait, 1, &timeout, NULL) != 0;
}

int silence_wait(struct connection *connection, int fd, int64_t until_ns)
{
	const struct keep *keep = connection_kept(connection);
	int saved_errno = errno;
	int64_t end;

	if (connection->is_shared)
		return 0;
	errno = 0;
	/* Another thread may send meanwhile. */
	while ((end = keep->heard_at_ns + limit_of(connection)) < until_ns || end <= clock_ns()) {
		if (wait_until(fd, end)) {
			if (errno != EINTR)
				break;
			if (!signals_restart())
				return EINTR;
			errno = 0;
		} else if (keep->heard_at_ns + limit_of(connection) <= clock_ns()) {
			reading_end(connection, fd);
			break;
		}
	}
	errno = saved_errno;
	return 0;
}
