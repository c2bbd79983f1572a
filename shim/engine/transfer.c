/* SPDX-License-Identifier: MIT */
#include "transfer.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>

#include "call.h"
#include "engine.h"
#include "keep.h"
#include "loss.h"
#include "operation.h"
#include "patience.h"
#include "pending_state.h"
#include "shim/libc.h"
#include "shim/sys.h"
#include "signals.h"
#include "silence.h"
#include "tcp.h"
#include "tended.h"
#include "transient.h"

_Thread_local int *errno_known __attribute__((tls_model("initial-exec")));

/* How often the ring is looked at while only the peer can make room in it. */
#define ROOM_TICK_NS INT64_C(1000000)

/* How long a call that may block waits at most, by the socket's own timeout for that direction. */
static int64_t blocking_until(int fd, bool sends)
{
	struct timeval limit = { 0, 0 };

	if (sends)
		send_timeout_get(fd, &limit);
	else
		receive_timeout_get(fd, &limit);
	return socket_timeout_until(&limit, clock_ns());
}

static bool may_wait(int fd, int flags)
{
	return !(flags & MSG_DONTWAIT) && fd_may_block(fd);
}

int64_t transfer_until(int fd, int flags, bool sends)
{
	return may_wait(fd, flags) ? blocking_until(fd, sends) : 0;
}

/* One-way output goes into the ring while the connection is away. */
static bool takes_output(const struct connection *connection)
{
	return connection->attention & ATTENTION_KEPT && operation_is_rebuild(connection) &&
	       connection_settings(connection)->transfer.replay == REPLAY_ONE_WAY;
}

/* Until it is held no more, if the call may wait; and what came of it. */
static int held_wait(struct connection *connection, int fd, int flags, bool sends)
{
	int error = 0;

	if (connection->attention & ATTENTION_HELD)
		error = may_wait(fd, flags) ? pending_wait(connection, blocking_until(fd, sends))
					    : EAGAIN;
	if (!error && connection->attention & ATTENTION_FAILED)
		error = pending_error_take(connection);
	return error;
}

static int pending_attend(struct connection *connection, int fd, int flags, bool sends)
{
	int error = 0;

	if (connection->attention & (ATTENTION_HELD | ATTENTION_FAILED) &&
	    !pending_is_current(connection, fd))
		return 0;
	pending_run();
	/* What is sent first is kept, too: the program may know before any wait of its has told us. */
	if (pending_outlook(connection) == OUTLOOK_UNDER_WAY && connection_is_tended(connection) &&
	    tcp_is_connected(fd))
		pending_connected(connection, fd);
	if (!(connection->attention & ATTENTION_HELD && sends && takes_output(connection)))
		error = held_wait(connection, fd, flags, sends);
	pending_leave();
	return error;
}

bool transfer_attend(struct connection *connection, int fd, int flags, bool sends)
{
	int error = 0;

	engine_attend(connection, fd);
	if (LOAD(*reconnects.word) != reconnects.seen)
		reconnects_look();
	if (connection->attention & ATTENTION_WANTED)
		loss_force(connection, fd, sends);
	if (connection->attention & ATTENTION_CONNECT)
		error = connection_is_pending(connection)
				? pending_attend(connection, fd, flags, sends)
				: pending_foreign_error(connection, fd);
	if (!error && !sends && connection->attention & ATTENTION_IDLE &&
	    !(connection->attention & ATTENTION_CONNECT) && connection_owned(connection))
		error = silence_wait(connection, fd, transfer_until(fd, flags, false));
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

/* What a call on a pending connect, or one that was so before, came to. */
static bool pending_settle(struct connection *connection, int fd, int flags, bool sends,
			   ssize_t *result)
{
	int error = *result < 0 ? errno : 0;

	/* Not the program's mode, but ours for the moment of another thread's attempt. */
	if (error == EAGAIN)
		return may_wait(fd, flags) && blocking_until(fd, sends) == INT64_MAX;
	if (!connection_is_pending(connection))
		return false;
	if (*result > 0 || (!error_is_the_calls(error) && tcp_has_connected(fd))) {
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

/* ---- losses ------------------------------------------------------------------------------ */

/* True if the call is to be made again, on a connection that is made anew. */
static bool loss_settle(struct connection *connection, int fd, bool sends, uint32_t operation,
			ssize_t *result)
{
	int error = *result < 0 ? errno : 0;

	if (loss_is_past(connection, operation))
		return true;
	if (!sends && !error && (error = keep_error_take(connection))) {
		errno = error;
		*result = -1;
		return false;
	}
	/* After one that could not be made anew the socket is as new: the program knows of an end. */
	if (error == ENOTCONN && connection->loss == LOSS_TOLD && !sends) {
		*result = 0;
		return false;
	}
	if (!sends && !error && silence_told(connection)) {
		if (loss_serve(connection, fd, ETIMEDOUT, LOSS_BY_SILENCE, operation))
			return true;
		errno = ETIMEDOUT;
		*result = -1;
		return false;
	}
	/* Another thread has just left it, to make it anew. */
	if (error == ENOTCONN)
		return loss_is_mended(connection, operation);
	if (error ? !error_is_loss(error) : sends || !loss_is_end(connection, fd))
		return false;
	return loss_serve(connection, fd, error, sends ? LOSS_BY_SEND : LOSS_BY_READ, operation);
}

/* True if the call is to be made again. */
static bool settle(struct connection *connection, int fd, int flags, bool sends,
		   const struct transfer_before *before, ssize_t *result)
{
	if ((before->attention | connection->attention) & ATTENTION_CONNECT &&
	    pending_settle(connection, fd, flags, sends, result))
		return true;
	if (*result < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (*result >= 0 && connection->attention & ATTENTION_RETRIED)
		transient_end(connection);
	if (*result > 0) {
		if (connection->attention & ATTENTION_IDLE)
			silence_break(connection);
		if (transfer_keeps(connection) && sends)
			keep_spoil(connection, (uint64_t)*result);
		else if (transfer_keeps(connection))
			keep_deliver(connection, (size_t)*result);
		return false;
	}
	if (*result < 0 && transient_serve(connection, fd, flags, errno, sends))
		return true;
	return connection->is_stream &&
	       loss_settle(connection, fd, sends, before->operation, result);
}

bool transfer_settle(struct connection *connection, int fd, int flags, bool sends,
		     const struct transfer_before *before, ssize_t *result)
{
	if (!settle(connection, fd, flags, sends, before, result))
		return false;
	errno = before->saved_errno;
	return true;
}

bool transfer_back(struct connection *connection, int fd, int flags)
{
	int error = 0;

	while (!error && connection->attention & ATTENTION_HELD &&
	       connection_is_pending(connection))
		error = held_wait(connection, fd, flags, true);
	if (error)
		errno = error;
	return !error;
}

/* ---- sends that are kept -------------------------------------------------------------------- */

static void room_rest(void)
{
	const struct timespec tick = { 0, ROOM_TICK_NS };

	SYS(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &tick, NULL);
}

/*
 * Until the kernel takes more, or for a moment where it is the ring that is full. Signals come in
 * here only: none is missed that is to end the call.
 */
static int room_wait(int fd, int64_t until_ns, bool is_full, struct wait_mask *signals)
{
	const struct timespec tick = { 0, ROOM_TICK_NS };
	struct pollfd wait = { .fd = fd, .events = POLLOUT };
	int64_t now = clock_ns(), left = until_ns == INT64_MAX ? SECOND_NS : until_ns - now;
	struct timespec timeout;
	int result, error;

	if (left <= 0)
		return EAGAIN;
	if (is_full && left > ROOM_TICK_NS)
		left = ROOM_TICK_NS;
	timeout = (struct timespec){ left / SECOND_NS, left % SECOND_NS };
	result = LIBC(ppoll)(&wait, is_full ? 0 : 1, &timeout, &signals->inside);
	/* An error queue that is not read: no event, and no signal is let in. */
	if (result > 0 && !(wait.revents & POLLOUT))
		result = LIBC(ppoll)(NULL, 0, &tick, &signals->inside);
	if (result >= 0)
		return 0;
	error = errno;
	wait_mask_end(signals);
	if (error == EINTR)
		return signals_restart() ? 0 : EINTR;
	/* A sandbox may not know ppoll(). */
	room_rest();
	return 0;
}

size_t vector_size(const struct iovec *vector, int count)
{
	size_t size = 0;

	for (int i = 0; i < count; i++)
		size += vector[i].iov_len;
	return size;
}

/* As the kernel does it: to the thread that made the call. */
static void sigpipe_raise(int flags)
{
	if (errno != EPIPE || flags & MSG_NOSIGNAL)
		return;
	SYS(SYS_tgkill, sys_getpid(), SYS(SYS_gettid), SIGPIPE);
	errno = EPIPE;
}

/* Why nothing more went: 0 to look again, else the errno that the program is told. */
static int keep_wait(struct connection *connection, int fd, int flags, uint32_t operation,
		     int64_t until_ns, bool is_begun, struct wait_mask *signals)
{
	bool is_away = connection->attention & ATTENTION_CONNECT;
	int error = errno;
	bool is_full = error == EAGAIN && !is_away &&
		       (keep_is_rewound(connection) || fd_takes_output(fd));

	/* The ring waits for what nobody will acknowledge any more. */
	if (is_full && tcp_is_lost(fd)) {
		if (is_begun)
			return 0;
		error = socket_error(fd);
		error = error ? error : EPIPE;
	}
	if (error != EAGAIN || is_away)
		wait_mask_end(signals);
	if (error != EAGAIN && error_is_the_calls(error))
		return error;
	if (error != EAGAIN)
		return transient_serve(connection, fd, flags, error, true) ||
				       loss_serve(connection, fd, error, LOSS_BY_SEND, operation)
			       ? 0
			       : error;
	if (!may_wait(fd, flags)) {
		/* Told by poll() that there is room a loop is back at once, until the peer makes some. */
		if (is_full)
			room_rest();
		return EAGAIN;
	}
	/* It is full for as long as the connection is away. */
	if (is_away)
		return pending_wait(connection, until_ns);
	return room_wait(fd, until_ns, is_full, signals);
}

bool transfer_keeps(const struct connection *connection)
{
	return connection->attention & ATTENTION_KEPT && engine_is_owner(connection->owner);
}

ssize_t transfer_keep(struct connection *connection, int fd, const struct iovec *vector, int count,
		      int flags)
{
	size_t size = vector_size(vector, count), done = 0;
	int64_t until = INT64_MAX;
	int saved_errno = errno, error = keep_error_take(connection);
	struct wait_mask signals;
	bool looked = false;
	uint32_t operation;
	ssize_t sent;

	signals.is_begun = false;
	if (error) {
		errno = error;
		return -1;
	}
	do {
		if (connection->attention & ATTENTION_CONNECT) {
			wait_mask_end(&signals);
			if (!transfer_attend(connection, fd, flags, true)) {
				error = errno;
				break;
			}
		}
		operation = connection->operation;
		/* As by the kernel, it is the next call that is told: the socket is not asked why. */
		if (done && !(connection->attention & ATTENTION_CONNECT) && tcp_is_lost(fd)) {
			if (loss_serve(connection, fd, ECONNRESET, LOSS_BY_SEND, operation))
				continue;
			break;
		}
		wait_mask_begin(&signals, NULL);
		sent = keep_send(connection, fd, vector, count, done, flags);
		if (sent >= 0) {
			done += (size_t)sent;
			if (connection->attention & ATTENTION_RETRIED)
				transient_end(connection);
			continue;
		}
		error = errno;
		if (!looked && error == EAGAIN && may_wait(fd, flags))
			until = blocking_until(fd, true);
		looked = looked || error == EAGAIN;
		errno = error;
		error = keep_wait(connection, fd, flags, operation, until, done > 0, &signals);
	} while (done < size && !error);
	wait_mask_end(&signals);
	if (done && connection->attention & ATTENTION_IDLE)
		silence_break(connection);
	if (done || !error) {
		/* The kernel would have told the next call, and has it no more. */
		if (error && error_is_loss(error) && error != EPIPE)
			connection_kept(connection)->untold = error;
		errno = saved_errno;
		return (ssize_t)done;
	}
	errno = error;
	sigpipe_raise(flags);
	return -1;
}
