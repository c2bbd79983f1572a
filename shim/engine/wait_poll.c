/* SPDX-License-Identifier: MIT */
/* poll() and ppoll() */
#include <errno.h>
#include <string.h>

#include "connection.h"
#include "loss.h"
#include "operation.h"
#include "patience.h"
#include "pending.h"
#include "shim/libc.h"
#include "shim/sys.h"
#include "wait.h"

/* ---- without what is held ------------------------------------------------------------- */

#define FEW 256
/* More are not managed, and so great a count may just be wrong: the kernel says that. */
#define MOST (FD_CHUNKS * FDS_PER_CHUNK)

static bool is_held(int fd)
{
	struct connection *connection = fd < 0 ? NULL : connection_of(fd);

	return connection && connection->attention & ATTENTION_HELD &&
	       connection_is_pending(connection) && pending_is_current(connection, fd);
}

static int poll_bounded(struct pollfd *fds, nfds_t count, int64_t until_ns,
			struct wait_mask *signals)
{
	const struct timespec next = wait_span(until_ns);
	sigset_t inside = signals->inside;
	int saved_errno = errno;
	int result = LIBC(ppoll)(fds, count, &next, &inside);

	if (result >= 0 || !wait_is_refused())
		return result;
	/* A sandbox that knows the older call only. */
	wait_mask_end(signals);
	errno = saved_errno;
	result = LIBC(poll)(fds, count, wait_span_ms(until_ns));
	wait_mask_begin(signals, &inside);
	return result;
}

static int poll_without_held(struct pollfd *fds, nfds_t count, int64_t until_ns,
			     struct wait_mask *signals)
{
	struct pollfd few[FEW], *copy = few;
	int result;

	/* The program's array must not be changed: a jump would leave it so. */
	if (count > FEW)
		copy = count < MOST ? scratch_get(count * sizeof(*copy)) : NULL;

	if (!copy)
		return poll_bounded(fds, count, until_ns, signals);
	for (nfds_t i = 0; i < count; i++) {
		copy[i] = fds[i];
		if (is_held(fds[i].fd))
			copy[i].fd = -1;
	}
	result = poll_bounded(copy, count, until_ns, signals);
	for (nfds_t i = 0; i < count && result >= 0; i++)
		fds[i].revents = copy[i].revents;
	return result;
}

/* ---- what was reported ------------------------------------------------------------------- */

/* What the kernel says of a connect that failed and was not asked about yet. */
#define FAILED_EVENTS (POLLIN | POLLRDNORM | POLLRDHUP | POLLOUT | POLLWRNORM)

#define END_EVENTS (POLLERR | POLLHUP | POLLRDHUP)

static short events_failed(const struct connection *connection, short events)
{
	short told = connection->attention & ATTENTION_LEFT ? POLLOUT | POLLWRNORM : FAILED_EVENTS;

	return (short)((events & told) | POLLERR | POLLHUP);
}

/* since_ns: when the real call began, CLOCK_MONOTONIC; 0: nothing was pending then. */
static short events_correct(struct connection *connection, const struct pollfd *fd,
			    int64_t since_ns)
{
	if (connection->attention & ATTENTION_FAILED)
		return events_failed(connection, fd->events);
	if (connection->attention & ATTENTION_HELD)
		return 0;
	if (!(fd->revents & (POLLERR | POLLHUP))) {
		pending_told(connection, fd->fd, since_ns);
		return fd->revents;
	}
	switch (pending_look(connection, fd->fd, 0)) {
	case OUTLOOK_FAILED:
		return events_failed(connection, fd->events);
	case OUTLOOK_CONNECTED:
		/* And lost meanwhile; or at another address, just now. */
		if (pending_was_lost(connection))
			return fd->revents;
		return (short)(fd->events & fd->revents & (POLLOUT | POLLWRNORM));
	case OUTLOOK_HELD:
	case OUTLOOK_UNDER_WAY:
	default:
		return 0;
	}
}

static short end_correct(struct connection *connection, const struct pollfd *fd)
{
	switch (loss_look(connection, fd->fd)) {
	case LOSS_HIDDEN:
		return 0;
	case LOSS_EARLY:
		return fd->revents & POLLIN ? (short)(fd->revents & ~END_EVENTS) : fd->revents;
	case LOSS_SEEN:
	default:
		return fd->revents;
	}
}

static int poll_correct(struct pollfd *fds, nfds_t count, int64_t since_ns)
{
	int ready = 0;

	for (nfds_t i = 0; i < count; i++) {
		struct connection *connection;

		if (!fds[i].revents)
			continue;
		connection = connection_of(fds[i].fd);
		if (connection && connection_is_pending(connection) &&
		    !(fds[i].revents & POLLNVAL) && pending_is_current(connection, fds[i].fd))
			fds[i].revents = events_correct(connection, &fds[i], since_ns);
		else if (connection && fds[i].revents & END_EVENTS)
			fds[i].revents = end_correct(connection, &fds[i]);
		else if (!connection && fd_kind(fds[i].fd) & FD_SET_OF_FDS &&
			 !set_is_ready(fds[i].fd))
			fds[i].revents = 0;
		ready += fds[i].revents != 0;
	}
	return ready;
}

/* ---- the wait ------------------------------------------------------------------------------- */

/* result: of a real call that was made already, at since_ns; 0: none was. */
static __attribute__((noinline, cold)) int poll_serve(struct pollfd *fds, nfds_t count,
						      int64_t until_ns, const sigset_t *mask,
						      int result, int64_t since_ns)
{
	bool called = result > 0;
	struct wait_mask signals;

	signals.is_begun = false;
	for (;;) {
		int64_t next_ns;

		if (result > 0)
			result = poll_correct(fds, count, since_ns);
		if (result || (called && wait_is_over(until_ns)))
			break;
		/* Mostly nothing is waited for, and no signal has to be kept out. */
		wait_mask_begin(&signals, mask);
		next_ns = wait_serve(until_ns);
		since_ns = clock_ns();
		result = pending_any_held() ? poll_without_held(fds, count, next_ns, &signals)
					    : poll_bounded(fds, count, next_ns, &signals);
		called = true;
	}
	pending_leave();
	wait_mask_end(&signals);
	return result;
}

int engine_poll(struct pollfd *fds, nfds_t count, int timeout_ms)
{
	bool pending = pending_any();
	int64_t began = 0;
	int result = 0;

	/* In tail position: a frame that returns after a system call costs more than the look. */
	if (!pending && wait_is_alone())
		return LIBC(poll)(fds, count, timeout_ms);
	if (!pending || !pending_any_due()) {
		began = pending ? clock_ns() : wait_began(timeout_ms > 0);
		result = LIBC(poll)(fds, count, timeout_ms);
		if (result <= 0 || !pending_any())
			return result;
	}
	return poll_serve(fds, count, wait_until_ms(began, timeout_ms), NULL, result,
			  pending ? began : 0);
}

int engine_ppoll(struct pollfd *fds, nfds_t count, const struct timespec *timeout,
		 const sigset_t *mask)
{
	bool pending = pending_any();
	int64_t began = 0;
	int result = 0;

	if (!pending && wait_is_alone())
		return LIBC(ppoll)(fds, count, timeout, mask);
	if (!pending || !pending_any_due() || !timeout_is_valid(timeout)) {
		began = pending ? clock_ns() : wait_began(timeout != NULL);
		result = LIBC(ppoll)(fds, count, timeout, mask);
		if (result <= 0 || !pending_any())
			return result;
	}
	return poll_serve(fds, count, wait_until(began, timeout), mask, result,
			  pending ? began : 0);
}
