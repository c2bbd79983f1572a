/* SPDX-License-Identifier: MIT */
/* Pending connects: what the hooks tell and ask. */
#include "pending.h"

#include <errno.h>

#include "hold.h"
#include "patience.h"
#include "pending_state.h"
#include "shim/libc.h"
#include "shim/sys.h"
#include "signals.h"
#include "silence.h"
#include "tcp.h"
#include "tended.h"
#include "watch.h"

static void look(struct pending *pending, int fd, int error)
{
	struct call *call = &pending->call;

	if (call->ticket != operation_ticket(call->connection)) {
		state_over(pending);
		return;
	}
	/* fd may be what another thread believed before the connection was another socket's. */
	if (connection_of(call->fd) != call->connection && connection_of(fd) == call->connection)
		call->fd = fd;
	if (!call->cookie)
		connection_behind(pending)->cookie = call->cookie = socket_cookie(call->fd);
	if (!call_is_current(call)) {
		state_abandoned(pending);
		return;
	}
	if (!error)
		error = outcome_find(pending);
	if (error != EINPROGRESS)
		outcome_settle(pending, error);
}

bool pending_is_current(struct connection *connection, int fd)
{
	uint64_t cookie = connection->cookie;

	if (!connection_is_pending(connection) || !cookie || socket_cookie(fd) == cookie)
		return true;
	/* Or another thread has just closed it, and the number is another connection's. */
	if (connection_of(fd) == connection)
		fd_closing(fd);
	return false;
}

enum outlook state_look(struct connection *connection, int fd, int error)
{
	struct pending *pending = connection->pending;

	if (pending_outlook(connection) == OUTLOOK_UNDER_WAY && claim_take(pending)) {
		look(pending, fd, error);
		claim_give(pending);
	}
	return pending_outlook(connection);
}

enum outlook pending_look(struct connection *connection, int fd, int error)
{
	int saved_errno = errno;
	uint64_t signals;

	if (pending_outlook(connection) != OUTLOOK_UNDER_WAY || !connection_owned(connection))
		return pending_outlook(connection);
	schedule_lock(&signals);
	state_look(connection, fd, error);
	serve_unlock(&signals);
	errno = saved_errno;
	return pending_outlook(connection);
}

void pending_bound(struct connection *connection)
{
	struct pending *pending = connection->pending;
	uint64_t signals;

	schedule_lock(&signals);
	if (pending_outlook(connection) == OUTLOOK_UNDER_WAY && claim_take(pending)) {
		if (pending->call.ticket == operation_ticket(connection)) {
			connection->cookie = pending->call.cookie = socket_cookie(pending->call.fd);
			serve_under_way(pending);
		}
		claim_give(pending);
	}
	schedule_unlock(&signals);
}

void pending_commit(struct call *call)
{
	struct pending *pending;
	uint64_t signals;

	if (!pending_begin(call))
		return;
	pending = call->connection->pending;
	schedule_lock(&signals);
	if (claim_take(pending)) {
		pending->call.committed = true;
		claim_give(pending);
	}
	schedule_unlock(&signals);
}

void pending_drop(struct connection *connection)
{
	struct pending *pending = connection->pending;
	uint64_t signals;

	schedule_lock(&signals);
	if (claim_take(pending)) {
		state_over(pending);
		claim_give(pending);
	}
	schedule_unlock(&signals);
}

/* Another thread saw it fail, and held it, just before it was taken out of use. */
static void held_late(struct pending *pending)
{
	uint64_t signals;

	schedule_lock(&signals);
	if (claim_change(pending, CLAIM_UNUSED, CLAIM_BUSY)) {
		state_over(pending);
		claim_give(pending);
	}
	schedule_unlock(&signals);
}

/*
 * Out of use before anything else, for a jump out of a handler can come at any point: then the next
 * call that sees success gets here again. False: another thread has to do with it.
 */
static bool connected_settle(struct connection *connection, int fd, uint32_t ticket)
{
	struct pending *pending = connection->pending;
	uint32_t present = operation_ticket(connection);

	/* Closed by another thread, and the next connect's already. */
	if (present && present != ticket)
		return true;
	if (claim_change(pending, CLAIM_READY, CLAIM_UNUSED)) {
		if (connection->attention & ATTENTION_SCHEDULED)
			held_late(pending);
		connection_made(connection, fd, connection->generation);
		name_connected(connection);
	} else if (atomic_load(&pending->claim) == CLAIM_BUSY) {
		return false;
	}
	if (!operation_succeed(connection, ticket) && operation_ticket(connection))
		return true;
	attention_change(connection, 0, ATTENTION_PENDING);
	return true;
}

/* For so long another thread is waited for: in a forked child's copy it is not there. */
#define LOOKS 10000

static void connected(struct connection *connection, int fd, uint32_t ticket)
{
	for (int i = 0; i < LOOKS; i++) {
		uint32_t attention = atomic_load(&connection->attention);

		if (!(attention & ATTENTION_PENDING))
			return;
		if (attention & ATTENTION_SCHEDULED) {
			pending_look(connection, fd, 0);
			return;
		}
		if (connected_settle(connection, fd, ticket))
			return;
		SYS(SYS_sched_yield);
	}
}

void pending_connected(struct connection *connection, int fd)
{
	connected(connection, fd, operation_ticket(connection));
}

void pending_told(struct connection *connection, int fd, int64_t since_ns)
{
	uint32_t ticket = operation_ticket(connection);
	int saved_errno = errno;

	if (connection->began_ns < since_ns || tcp_is_connected(fd))
		connected(connection, fd, ticket);
	errno = saved_errno;
}

void pending_anew(struct connection *connection, bool is_left)
{
	if (connection->attention & ATTENTION_FAILED)
		attention_change(connection, is_left ? ATTENTION_TOLD : ATTENTION_ANEW, 0);
}

/* Another thread may have closed the number, or connected it anew. */
static bool is_of(const struct call *call, uint32_t generation)
{
	return call->connection->generation == generation &&
	       connection_of(call->fd) == call->connection;
}

bool pending_rebuild(struct call *call, uint32_t generation, uint64_t delay_ns)
{
	struct connection *connection = call->connection;
	uint64_t signals;
	bool begun = false;

	if (!schedule_make())
		return false;
	schedule_lock(&signals);
	if (is_of(call, generation)) {
		silence_pause(connection);
		call->ticket = operation_begin_rebuild(connection);
		begun = pending_begin(call) && claim_take(connection->pending);
		if (!begun)
			operation_abandon(connection, call->ticket);
	}
	if (begun) {
		connection->cookie = call->cookie;
		/* Whoever closes it from now on waits for the lock. */
		if (is_of(call, generation))
			serve_rebuild(connection->pending, delay_ns);
		else
			state_abandoned(connection->pending);
		claim_give(connection->pending);
	}
	serve_unlock(&signals);
	return begun;
}

int pending_error_take(struct connection *connection)
{
	int error = atomic_exchange(&connection->error, 0);

	attention_change(connection, 0, ATTENTION_TOLD);
	return error;
}

void pending_close(struct connection *connection, int fd)
{
	struct pending *pending = connection->pending;
	int saved_errno = errno;
	uint64_t signals;

	schedule_lock(&signals);
	if (pending_outlook(connection) == OUTLOOK_FAILED) {
		pending_error_take(connection);
	} else if (claim_take(pending)) {
		if (pending_outlook(connection) == OUTLOOK_UNDER_WAY && tcp_has_connected(fd))
			state_succeeded(pending);
		else
			state_abandoned(pending);
		claim_give(pending);
	} else {
		schedule_remove(pending);
	}
	/* A jump can have left an entry behind that nobody uses. */
	attention_change(connection, 0,
			 ATTENTION_PENDING | ATTENTION_HELD | ATTENTION_SCHEDULED | ATTENTION_TOLD);
	schedule_unlock(&signals);
	errno = saved_errno;
}

void pending_shut(struct connection *connection)
{
	struct pending *pending = connection->pending;
	uint64_t signals;

	schedule_lock(&signals);
	if (pending_outlook(connection) == OUTLOOK_HELD && claim_take(pending)) {
		tcp_reset(pending->call.fd);
		connection->error = ECONNRESET;
		state_abandoned(pending);
		state_show(pending, ATTENTION_TOLD, 0);
		claim_give(pending);
	}
	schedule_unlock(&signals);
}

void pending_renumber(struct connection *connection, int fd)
{
	struct pending *pending = connection->pending;
	uint64_t signals;
	int other;

	if (!pending)
		return;
	other = connection_fd_next(connection, -1);
	if (other == fd)
		other = connection_fd_next(connection, fd);
	/* The program may have been told already: then nothing is taken out any more. */
	if (other >= 0 && tcp_is_connected(fd) && !(connection->attention & ATTENTION_SCHEDULED)) {
		pending_connected(connection, other);
		if (!(connection->attention & ATTENTION_PENDING))
			return;
	}
	schedule_lock(&signals);
	if (other >= 0)
		watch_move(fd, other);
	/* The number of one that is just being filled in is put right by look(). */
	if (other >= 0 && claim_take(pending)) {
		if (pending->call.fd == fd)
			pending->call.fd = other;
		claim_give(pending);
	}
	schedule_unlock(&signals);
}

/* One turn, in which signals come only while it sleeps: between two of them none is missed. */
static int turn_wait(int64_t until_ns, struct wait_mask *signals)
{
	const struct timespec timeout = wait_span(until_ns);
	int error = 0;

	if (LIBC(ppoll)(NULL, 0, &timeout, &signals->inside) == 0)
		return 0;
	error = errno;
	wait_mask_end(signals);
	/* A sandbox may not know ppoll(). */
	if (error != EINTR)
		error = hold_until(until_ns);
	else if (signals_restart())
		error = 0;
	wait_mask_begin(signals, NULL);
	return error;
}

int pending_wait(struct connection *connection, int64_t until_ns)
{
	struct wait_mask signals;
	int error = 0;
	int64_t next;

	signals.is_begun = false;
	wait_mask_begin(&signals, NULL);
	while (!error) {
		next = pending_run();
		if (pending_outlook(connection) != OUTLOOK_HELD)
			break;
		if (clock_ns() >= until_ns)
			error = EAGAIN;
		else
			error = turn_wait(next < until_ns ? next : until_ns, &signals);
	}
	wait_mask_end(&signals);
	return error;
}

static bool is_sibling(const struct call *call, const struct call *other)
{
	return other->named && other->name.entry == call->name.entry &&
	       other->name.version == call->name.version && call_port(other) == call_port(call);
}

uint32_t pending_live(const struct call *call)
{
	struct connection *connection;
	uint32_t live = 0;

	for (uint32_t i = 0; (connection = connection_at(i)); i++) {
		struct pending *other = connection->pending;

		if (connection == call->connection ||
		    !(connection->attention & ATTENTION_PENDING) || !claim_take(other))
			continue;
		if (is_sibling(call, &other->call))
			live |= 1u << other->call.index;
		claim_give(other);
	}
	return live;
}

int pending_foreign_error(struct connection *connection, int fd)
{
	int error = connection->slot->last_error;

	if (!(connection->attention & (ATTENTION_HELD | ATTENTION_FAILED)) ||
	    connection_is_pending(connection))
		return 0;
	/* The number can be anything here: the parent may have opened that one after the fork. */
	if (socket_cookie(fd) != connection->cookie || tcp_is_connected(fd) ||
	    tcp_is_connecting(fd))
		return 0;
	return error ? error : ECONNREFUSED;
}

int pending_control(struct connection *connection, int set, int operation, int fd,
		    struct epoll_event *event)
{
	uint64_t signals;
	int result;

	/* Nobody takes it out or puts it back meanwhile. */
	schedule_lock(&signals);
	if (!watch_control(set, operation, fd, event, &result)) {
		result = watch_make_call(set, operation, fd, event, true);
		if (result == 0 && connection && pending_outlook(connection) == OUTLOOK_HELD)
			lure_settle(connection->pending, clock_ns());
	}
	schedule_unlock(&signals);
	return result;
}

int pending_renew(struct connection *connection, int set, int operation, int fd,
		  struct epoll_event *event, int result)
{
	int saved_errno = errno;
	uint64_t signals;

	schedule_lock(&signals);
	errno = saved_errno;
	result = watch_renew(set, operation, fd, event, result);
	saved_errno = errno;
	if (result == 0 && connection && pending_outlook(connection) == OUTLOOK_HELD)
		lure_settle(connection->pending, clock_ns());
	schedule_unlock(&signals);
	errno = saved_errno;
	return result;
}

bool fd_may_block(int fd)
{
	uint64_t signals;
	bool may_block;

	schedule_lock(&signals);
	may_block = !fd_is_nonblocking(fd);
	schedule_unlock(&signals);
	return may_block;
}

void pending_leave(void)
{
	struct pending *first;
	uint64_t signals;
	int saved_errno = errno;

	if (!pending_any_held() || !waiters_beyond(serve_next(clock_ns()), NULL, 0))
		return;
	schedule_lock(&signals);
	first = schedule_first();
	if (first && pending_outlook(connection_behind(first)) == OUTLOOK_HELD)
		lure_set(first);
	schedule_unlock(&signals);
	errno = saved_errno;
}
