/* SPDX-License-Identifier: MIT */
/* epoll_wait(), its relatives, and epoll_ctl() */
#include <errno.h>

#include "connection.h"
#include "loss.h"
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

/* When a real call began. */
struct moment {
	uint32_t turn;    /* the lock's word before it */
	int64_t since_ns; /* CLOCK_MONOTONIC; 0: nothing was pending */
};

/* Whether an event's data is the number of a connect that is under way, and registered as that. */
static bool is_connects(const struct connection *connection, int set,
			const struct epoll_event *event)
{
	return connection && connection_is_under_way(connection) &&
	       watch_is_with(set, (int)event->data.u32, event->data.u64);
}

static bool is_set(int fd, const void *of)
{
	(void)of;
	return fd_kind(fd) & FD_SET_OF_FDS;
}

/* A set in a set is ready for what was in it before it was looked at. */
static bool set_correct(int outer, struct epoll_event *event, int set)
{
	struct epoll_event again = { watch_events(outer, set), event->data };

	if (set_is_ready(set))
		return true;
	if (again.events & EPOLLONESHOT)
		LIBC(epoll_ctl)(outer, EPOLL_CTL_MOD, set, &again);
	return false;
}

/* False if the program is not to see it. */
static bool event_correct(int set, struct epoll_event *event, int64_t since_ns)
{
	int fd = (int)event->data.u32;
	struct connection *connection = connection_of(fd);

	if (is_connects(connection, set, event)) {
		pending_told(connection, fd,
			     LOAD(watch_habits) & HABIT_OTHER_NUMBERS ? 0 : since_ns);
		return true;
	}
	if (!(LOAD(watch_habits) & HABIT_NESTS))
		return true;
	fd = watch_find(set, event->data.u64, false, is_set, NULL);
	return fd < 0 || set_correct(set, event, fd);
}

#define END_EVENTS (EPOLLERR | EPOLLHUP | EPOLLRDHUP)

static bool is_kept(int fd, const void *of)
{
	const struct connection *connection = connection_of(fd);

	(void)of;
	return connection && connection->attention & ATTENTION_KEPT;
}

/* False if the program is not to see it. */
static bool end_correct(int set, struct epoll_event *event)
{
	int fd = event->events & END_EVENTS && schedule_get()->tended
			 ? watch_find(set, event->data.u64, true, is_kept, NULL)
			 : -1;
	struct connection *connection = fd < 0 ? NULL : connection_of(fd);

	switch (connection ? loss_look(connection, fd) : LOSS_SEEN) {
	case LOSS_HIDDEN:
		return false;
	case LOSS_EARLY:
		/* An edge is told once. */
		if (event->events & EPOLLIN && !(watch_events(set, fd) & EPOLLET))
			event->events &= ~(uint32_t)END_EVENTS;
		return true;
	case LOSS_SEEN:
	default:
		return true;
	}
}

static int events_correct(const struct epoll_call *call, int count, const struct moment *began)
{
	int kept = 0;

	for (int i = 0; i < count; i++) {
		struct epoll_event event = call->events[i];

		if (!end_correct(call->set, &event))
			continue;

		if (event.events & (EPOLLERR | EPOLLHUP)
			    ? pending_event(call->set, &event, began->turn)
			    : event_correct(call->set, &event, began->since_ns))
			call->events[kept++] = event;
	}
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
static int epoll_bounded(const struct epoll_call *call, int64_t until_ns, struct wait_mask *signals,
			 struct moment *began)
{
	struct epoll_call bounded = *call;
	int64_t next_ns = wait_serve(until_ns);
	const struct timespec next = wait_span(next_ns);
	sigset_t inside = signals->inside;
	int saved_errno = errno;
	int result;

	bounded.mask = &inside;
	if (call->kind == EPOLL_PWAIT2) {
		bounded.timeout = &next;
	} else {
		bounded.kind = EPOLL_PWAIT;
		bounded.timeout_ms = wait_span_ms(next_ns);
	}
	waiter_begin(call->set, next_ns);
	*began = (struct moment){ schedule_lock_word(), clock_ns() };
	result = epoll_real(&bounded);
	/* By a sandbox that knows the older call only. */
	if (result < 0 && call->kind == EPOLL_WAIT && wait_is_refused()) {
		bounded.kind = EPOLL_WAIT;
		wait_mask_end(signals);
		errno = saved_errno;
		result = epoll_real(&bounded);
		wait_mask_begin(signals, &inside);
	}
	waiter_end();
	return result;
}

/* result: of a real call that was made already; 0: none was. */
static __attribute__((noinline, cold)) int epoll_serve(const struct epoll_call *call,
						       int64_t until_ns, int result,
						       struct moment began)
{
	bool called = result > 0;
	struct wait_mask signals;

	signals.is_begun = false;
	for (;;) {
		if (result > 0)
			result = events_correct(call, result, &began);
		if (result || (called && wait_is_over(until_ns)))
			break;
		/* Mostly nothing is waited for, and no signal has to be kept out. */
		wait_mask_begin(&signals, call->mask);
		result = epoll_bounded(call, until_ns, &signals, &began);
		called = true;
	}
	pending_leave();
	wait_mask_end(&signals);
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

static __attribute__((noinline)) int epoll_any(const struct epoll_call *call)
{
	uint32_t turn = schedule_lock_word();
	bool pending;
	int64_t began = 0;
	int result = 0;

	waiter_begin(call->set, WAIT_FOREVER);
	pending = pending_any();
	if (!pending || !pending_any_due() ||
	    (call->kind == EPOLL_PWAIT2 && !timeout_is_valid(call->timeout))) {
		began = pending ? clock_ns() : wait_began(call_is_timed(call));
		if (!call_waits(call))
			waiter_end();
		result = epoll_real(call);
		waiter_end();
		if (result <= 0 || !pending_any())
			return result;
	}
	return epoll_serve(call, call_until(call, began), result,
			   (struct moment){ turn, pending ? began : 0 });
}

static __attribute__((noinline)) int epoll_wait_any(int set, struct epoll_event *events, int room,
						    int timeout_ms)
{
	const struct epoll_call call = { .set = set,
					 .events = events,
					 .room = room,
					 .timeout_ms = timeout_ms,
					 .kind = EPOLL_WAIT };

	return epoll_any(&call);
}

int engine_epoll_wait(int set, struct epoll_event *events, int room, int timeout_ms)
{
	if (!pending_any() && wait_is_alone())
		return LIBC(epoll_wait)(set, events, room, timeout_ms);
	return epoll_wait_any(set, events, room, timeout_ms);
}

static __attribute__((noinline)) int epoll_pwait_any(int set, struct epoll_event *events, int room,
						     int timeout_ms, const sigset_t *mask)
{
	const struct epoll_call call = { .set = set,
					 .events = events,
					 .room = room,
					 .timeout_ms = timeout_ms,
					 .mask = mask,
					 .kind = EPOLL_PWAIT };

	return epoll_any(&call);
}

int engine_epoll_pwait(int set, struct epoll_event *events, int room, int timeout_ms,
		       const sigset_t *mask)
{
	if (!pending_any() && wait_is_alone())
		return LIBC(epoll_pwait)(set, events, room, timeout_ms, mask);
	return epoll_pwait_any(set, events, room, timeout_ms, mask);
}

static __attribute__((noinline)) int epoll_pwait2_any(int set, struct epoll_event *events, int room,
						      const struct timespec *timeout,
						      const sigset_t *mask)
{
	const struct epoll_call call = { .set = set,
					 .events = events,
					 .room = room,
					 .timeout = timeout,
					 .mask = mask,
					 .kind = EPOLL_PWAIT2 };

	return epoll_any(&call);
}

int engine_epoll_pwait2(int set, struct epoll_event *events, int room,
			const struct timespec *timeout, const sigset_t *mask)
{
	if (!pending_any() && wait_is_alone())
		return LIBC(epoll_pwait2)(set, events, room, timeout, mask);
	return epoll_pwait2_any(set, events, room, timeout, mask);
}

/* ---- registrations ------------------------------------------------------------------------------ */

static __attribute__((noinline)) int epoll_ctl_watched(struct connection *connection, int set,
						       int operation, int fd,
						       struct epoll_event *event)
{
	uint32_t lock;
	int result;

	if (fd_kind(fd) & FD_MOVED ||
	    (registrations_move() && (!connection || pending_is_current(connection, fd))))
		return pending_control(connection_of(fd), set, operation, fd, event);
	lock = schedule_lock_word();
	result = watch_make_call(set, operation, fd, event, false);
	/* Another thread has served something meanwhile, perhaps just this one. */
	if (lock % 2 || schedule_lock_word() != lock)
		result = pending_renew(connection, set, operation, fd, event, result);
	return result;
}

/* On a plain connection, which another thread may be connecting again. */
static __attribute__((noinline)) int epoll_ctl_beside(int set, int operation, int fd,
						      struct epoll_event *event)
{
	uint32_t lock = schedule_lock_word();
	int result;

	if (!(fd_kind(fd) & FD_UNWATCHED))
		fd_unwatched(fd);
	result = LIBC(epoll_ctl)(set, operation, fd, event);
	if ((lock % 2 || schedule_lock_word() != lock) && !(fd_kind(fd) & FD_UNWATCHED))
		result = pending_renew(connection_of(fd), set, operation, fd, event, result);
	return result;
}

static int control(int set, int operation, int fd, struct epoll_event *event)
{
	struct connection *connection = connection_of(fd);
	unsigned int kind = fd_kind(fd);

	if (kind & FD_SET_OF_FDS)
		watch_habit(HABIT_NESTS);
	if (connection ? kind & FD_MOVED || !connection_is_plain(connection)
		       : kind & (FD_STREAM | FD_SET_OF_FDS))
		return epoll_ctl_watched(connection, set, operation, fd, event);
	if (connection && !wait_is_alone())
		return epoll_ctl_beside(set, operation, fd, event);
	if (connection && !(kind & FD_UNWATCHED))
		fd_unwatched(fd);
	return LIBC(epoll_ctl)(set, operation, fd, event);
}

int engine_epoll_ctl(int set, int operation, int fd, struct epoll_event *event)
{
	int result = control(set, operation, fd, event);

	/* Looked at once the kernel has been able to. */
	if (result == 0 && operation != EPOLL_CTL_DEL && (int)event->data.u32 != fd &&
	    event->data.u32 < FD_CHUNKS * FDS_PER_CHUNK)
		watch_habit(HABIT_OTHER_NUMBERS);
	return result;
}
