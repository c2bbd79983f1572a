/* SPDX-License-Identifier: MIT */
/* epoll_wait(), its relatives, and epoll_ctl() */
#include <errno.h>

#include "connection.h"
#include "operation.h"
#include "patience.h"
#include "pending.h"
#include "shim/libc.h"
#include "tcp.h"
#include "wait.h"
#include "watch.h"

/* One call of the family, as the program made it. */
struct epoll_call {
	int set;
	int room;
	struct epoll_event *events;
	const struct timespec *timeout; /* epoll_pwait2(); else timeout_ms */
	const sigset_t *mask;
	int timeout_ms;
	enum { EPOLL_WAIT, EPOLL_PWAIT, EPOLL_PWAIT2 } kind;
};

/* ---- what was reported -------------------------------------------------------------------- */

/* What the kernel says of a connect that failed and was not asked about yet. */
#define FAILED_EVENTS (EPOLLIN | EPOLLRDNORM | EPOLLRDHUP | EPOLLOUT | EPOLLWRNORM)

static bool is_under_way(struct connection *connection, int fd)
{
	return connection_is_pending(connection) &&
	       (connection->attention & (ATTENTION_PENDING | ATTENTION_HELD)) == ATTENTION_PENDING;
}

/* Whether an error event can be this one's. It is served, if it has failed. */
static bool is_to_blame(struct connection *connection, int fd)
{
	if (!connection_is_pending(connection) ||
	    (is_under_way(connection, fd) && tcp_is_connected(fd)))
		return false;
	return pending_look(connection, fd, 0) != OUTLOOK_UNDER_WAY;
}

/* False if the program is not to see it. */
static bool event_correct(int set, struct epoll_event *event)
{
	bool is_error = event->events & (EPOLLERR | EPOLLHUP);
	int fd = watch_find(set, event->data.u64, is_error, is_error ? is_to_blame : is_under_way);
	struct connection *connection;

	if (fd < 0 && is_error && pending_unwatched()) {
		watch_learn(set, event->data.u64);
		fd = watch_find(set, event->data.u64, true, is_to_blame);
	}
	connection = fd < 0 ? NULL : connection_of(fd);
	if (!connection)
		return true;
	if (!is_error) {
		/* Other data than the number may be another socket's too. */
		if ((int)event->data.u32 == fd)
			pending_connected(connection, fd);
		return true;
	}
	if (connection->attention & ATTENTION_FAILED) {
		event->events |= EPOLLERR | EPOLLHUP | (watch_events(set, fd) & FAILED_EVENTS);
		return true;
	}
	/* It was put back to wake somebody, or is connected to another address by now. */
	pending_hide(connection);
	return false;
}

static int events_correct(const struct epoll_call *call, int count)
{
	int kept = 0;

	for (int i = 0; i < count; i++)
		if (event_correct(call->set, &call->events[i]))
			call->events[kept++] = call->events[i];
	return kept;
}

/* ---- the wait -------------------------------------------------------------------------------- */

/* The program's own call. */
static int epoll_real(const struct epoll_call *call)
{
	if (call->kind == EPOLL_PWAIT2)
		return LIBC(epoll_pwait2)(call->set, call->events, call->room, call->timeout,
					  call->mask);
	if (call->kind == EPOLL_PWAIT)
		return LIBC(epoll_pwait)(call->set, call->events, call->room, call->timeout_ms,
					 call->mask);
	return LIBC(epoll_wait)(call->set, call->events, call->room, call->timeout_ms);
}

/* No longer than until something is due. */
static int epoll_bounded(const struct epoll_call *call, int64_t until_ns)
{
	struct epoll_call bounded = *call;
	struct timespec next;
	int64_t due = pending_run();
	int result;

	if (call->kind == EPOLL_PWAIT2) {
		next = wait_next(until_ns);
		bounded.timeout = &next;
	} else {
		bounded.timeout_ms = wait_next_ms(until_ns);
	}
	waiter_set(due < until_ns ? due : until_ns);
	result = epoll_real(&bounded);
	waiter_set(0);
	return result;
}

/* result: of a real call that was made already; 0: none was. */
static __attribute__((noinline, cold)) int epoll_serve(const struct epoll_call *call,
						       int64_t until_ns, int result)
{
	bool called = result > 0;

	for (;;) {
		if (result > 0)
			result = events_correct(call, result);
		if (result || (called && wait_is_over(until_ns)))
			break;
		result = epoll_bounded(call, until_ns);
		called = true;
	}
	pending_leave();
	return result;
}

static inline bool call_is_timed(const struct epoll_call *call)
{
	return call->kind == EPOLL_PWAIT2 ? call->timeout != NULL : call->timeout_ms > 0;
}

static inline bool call_waits(const struct epoll_call *call)
{
	return call->kind == EPOLL_PWAIT2 || call->timeout_ms != 0;
}

static int64_t call_until(const struct epoll_call *call, int64_t began_ns)
{
	return call->kind == EPOLL_PWAIT2 ? wait_until(began_ns, call->timeout)
					  : wait_until_ms(began_ns, call->timeout_ms);
}

static inline int epoll_any(const struct epoll_call *call)
{
	bool pending = pending_any();
	int64_t began = 0;
	int result = 0;

	if (!pending || !pending_any_due()) {
		began = pending ? clock_ns() : wait_began(call_is_timed(call));
		if (call_waits(call))
			waiter_set(WAIT_FOREVER);
		result = epoll_real(call);
		if (call_waits(call))
			waiter_set(0);
		if (result <= 0 || !pending_any())
			return result;
	}
	return epoll_serve(call, call_until(call, began), result);
}

int engine_epoll_wait(int set, struct epoll_event *events, int room, int timeout_ms)
{
	const struct epoll_call call = { .set = set,
					 .events = events,
					 .room = room,
					 .timeout_ms = timeout_ms,
					 .kind = EPOLL_WAIT };

	return epoll_any(&call);
}

int engine_epoll_pwait(int set, struct epoll_event *events, int room, int timeout_ms,
		       const sigset_t *mask)
{
	const struct epoll_call call = { .set = set,
					 .events = events,
					 .room = room,
					 .timeout_ms = timeout_ms,
					 .mask = mask,
					 .kind = EPOLL_PWAIT };

	return epoll_any(&call);
}

int engine_epoll_pwait2(int set, struct epoll_event *events, int room,
			const struct timespec *timeout, const sigset_t *mask)
{
	const struct epoll_call call = { .set = set,
					 .events = events,
					 .room = room,
					 .timeout = timeout,
					 .mask = mask,
					 .kind = EPOLL_PWAIT2 };

	return epoll_any(&call);
}

/* ---- registrations ------------------------------------------------------------------------------ */

int engine_epoll_ctl(int set, int operation, int fd, struct epoll_event *event)
{
	struct connection *connection = connection_of(fd);
	int result;

	if (!connection && !(fd_kind(fd) & FD_STREAM))
		return LIBC(epoll_ctl)(set, operation, fd, event);
	if (connection && connection->attention & ATTENTION_HELD &&
	    connection_is_pending(connection) &&
	    pending_control(connection, set, operation, fd, event, &result))
		return result;
	result = LIBC(epoll_ctl)(set, operation, fd, event);
	if (result == 0) {
		watch_note(set, operation, fd, event);
		if (connection && connection->attention & ATTENTION_HELD)
			pending_hide(connection);
	}
	return result;
}
