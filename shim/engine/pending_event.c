/* SPDX-License-Identifier: MIT */
/*
 * Pending connects: which of them an error event of a set is about.
 *
 * All of it under the lock. A look at a socket from outside of it would keep the file
 * alive that another thread is just closing, and with it a registration that goes on
 * being reported.
 */
#include <errno.h>
#include <sys/single_threaded.h>

#include "engine.h"
#include "pending_state.h"
#include "tcp.h"
#include "watch.h"

/* What the kernel says of a connect that failed and was not asked about yet. */
#define FAILED_EVENTS (EPOLLIN | EPOLLRDNORM | EPOLLRDHUP | EPOLLOUT | EPOLLWRNORM)

/* With more of them a look through all would cost more than it is worth. */
#define A_FEW 64

static bool are_few_under_way(void)
{
	const struct schedule *s = schedule_get();

	return atomic_load(&s->pending) - atomic_load(&s->held) - atomic_load(&s->tended) <= A_FEW;
}

/* An event as the set gave it, to a call that began when the lock's word was `turn`. */
struct told {
	int set;
	uint32_t events;
	uint32_t turn;
};

/*
 * What a failed connect says of what its registration asks for, or one that we have left:
 * another's event, with the same data, need not be the same. Among threads it can be what was
 * asked for before, or what is so for a moment only.
 */
static bool event_fits(const struct told *told, int fd)
{
	uint32_t asked = watch_events(told->set, fd) & FAILED_EVENTS;
	uint32_t said = told->events & FAILED_EVENTS;

	return !__libc_single_threaded || said == asked ||
	       said == (asked & (EPOLLOUT | EPOLLWRNORM));
}

/* Whether what a set sees of it has changed since the call began: if not, no event is stale. */
static bool is_later(const struct connection *connection, const struct told *told)
{
	return (int32_t)(connection->pending->turn - told->turn) >= 0;
}

/* Whether an error event can be this one's. It is served, if it has failed. */
static bool is_to_blame(int fd, const void *of)
{
	struct connection *connection = connection_of(fd);
	const struct told *told = of;

	if (!connection || !connection_is_pending(connection) ||
	    (connection_is_under_way(connection) && tcp_is_connected(fd)))
		return false;
	if (watch_is_out(told->set, fd) && !is_later(connection, told))
		return false;
	/* Closed, though nobody has said why yet: another thread is about to. */
	return (state_look(connection, fd, 0) != OUTLOOK_UNDER_WAY || !tcp_is_connecting(fd)) &&
	       event_fits(told, fd);
}

/* It failed once, and was begun anew after the event was there. */
static bool is_retried(int fd, const void *of)
{
	const struct connection *connection = connection_of(fd);

	return connection && connection_is_pending(connection) &&
	       connection->attention & ATTENTION_SCHEDULED && is_later(connection, of) &&
	       event_fits(of, fd);
}

/* Whether one of a few is under way and registered in no set that is known. */
static bool any_is_unwatched(void)
{
	struct connection *connection;

	if (!are_few_under_way())
		return false;
	for (uint32_t i = 0; (connection = connection_at(i)); i++)
		if (connection_is_under_way(connection) && !watch_exists(connection->slot->fd))
			return true;
	return false;
}

/* -1: none of ours. */
static int event_find(const struct told *told, uint64_t data)
{
	int fd = watch_find(told->set, data, true, is_to_blame, told);

	if (fd < 0 && any_is_unwatched()) {
		watch_learn(told->set, data);
		fd = watch_find(told->set, data, true, is_to_blame, told);
	}
	return fd < 0 ? watch_find(told->set, data, true, is_retried, told) : fd;
}

static bool event_correct(int set, struct epoll_event *event, uint32_t turn)
{
	const struct told told = { set, event->events, turn };
	int fd = event_find(&told, event->data.u64);
	struct connection *connection = fd < 0 ? NULL : connection_of(fd);

	if (!connection)
		return true;
	if (connection->attention & ATTENTION_FAILED && connection_is_pending(connection)) {
		event->events |= EPOLLERR | EPOLLHUP;
		if (!(connection->attention & ATTENTION_LEFT))
			event->events |= watch_events(set, fd) & FAILED_EVENTS;
		return true;
	}
	/* And lost meanwhile, of which the set speaks. */
	if (pending_outlook(connection) == OUTLOOK_CONNECTED && pending_was_lost(connection))
		return true;
	/* It was put back to wake somebody, or is connected to another address by now. If it is
	 * held no more the set looks again: an event that was taken is not reported twice. */
	if (pending_outlook(connection) == OUTLOOK_HELD)
		lure_clear(connection->pending);
	else
		watch_rearm(fd);
	return false;
}

bool pending_event(int set, struct epoll_event *event, uint32_t turn)
{
	int saved_errno = errno;
	uint64_t signals;
	bool is_seen;

	if (!pending_any() || engine_memory(NULL) != MEMORY_OWN)
		return true;
	schedule_lock(&signals);
	is_seen = event_correct(set, event, turn);
	serve_unlock(&signals);
	errno = saved_errno;
	return is_seen;
}

void pending_look_at_all(void)
{
	bool few = are_few_under_way();
	int saved_errno = errno;
	struct connection *connection;
	uint64_t signals;

	if ((!few && !schedule_get()->lures) || engine_memory(NULL) != MEMORY_OWN)
		return;
	schedule_lock(&signals);
	for (uint32_t i = 0; (connection = connection_at(i)); i++) {
		if (!connection_is_pending(connection))
			continue;
		if (pending_outlook(connection) == OUTLOOK_HELD && connection->pending->is_lure)
			lure_clear(connection->pending);
		else if (few && connection_is_under_way(connection) &&
			 !tcp_is_connected(connection->slot->fd))
			state_look(connection, connection->slot->fd, 0);
	}
	serve_unlock(&signals);
	errno = saved_errno;
}
