/* SPDX-License-Identifier: MIT */
/* The wait calls: one for a batch, in each of its forms. */
#include "loops.h"

#include <errno.h>
#include <time.h>

#include "loops_calls.h"

#define BELL UINT64_MAX
#define NONE (-1)

/* One wait: what it may last, and the seats that it found. */
struct wait {
	int timeout_ms; /* NONE: for ever */
	struct timespec timeout;
	const struct timespec *until; /* NULL: for ever */
	const sigset_t *mask;
	uint64_t form; /* which of the family */
	unsigned int *found;
	int count;
};

static sigset_t without_interrupting;

static _Thread_local struct worker *self;

static void on_signal(int signal)
{
}

static void on_jump(int signal)
{
	if (self && atomic_exchange(&self->may_jump, false))
		siglongjmp(self->back, 1);
}

void waits_prepare(void)
{
	struct sigaction restarting = { .sa_handler = on_signal, .sa_flags = SA_RESTART };
	struct sigaction interrupting = { .sa_handler = on_signal };
	struct sigaction jumping = { .sa_handler = on_jump };

	sigaction(SIGNAL_RESTARTING, &restarting, NULL);
	sigaction(SIGNAL_INTERRUPTING, &interrupting, NULL);
	sigaction(SIGNAL_JUMP, &jumping, NULL);
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&without_interrupting);
	sigaddset(&without_interrupting, SIGNAL_INTERRUPTING);
}

static int64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

/* ---- epoll --------------------------------------------------------------------------------- */

static int set_wait(const struct wait *wait, int set, struct epoll_event *events, int room)
{
	switch (wait->form) {
	case 0:
		return call_epoll_pwait(set, events, room, wait->timeout_ms, wait->mask);
	case 1:
		return call_epoll_pwait2(set, events, room, wait->until, wait->mask);
	default:
		return call_epoll_wait(set, events, room, wait->timeout_ms);
	}
}

static int wait_epoll(struct wait *wait, const struct team *team, int room)
{
	struct epoll_event events[BATCH_MAX + 1];
	int count = set_wait(wait, team->batch.set, events, room);

	for (int i = 0; i < count; i++)
		if (events[i].data.u64 != BELL)
			wait->found[wait->count++] = (unsigned int)events[i].data.u64;
	return count;
}

/* A set in a set: the outer says that there is something to be had from the inner. */
static int wait_nested(struct wait *wait, const struct team *team, int room)
{
	struct wait look = { .timeout_ms = 0, .form = 2, .found = wait->found };
	struct epoll_event outer;
	int count = set_wait(wait, team->batch.outer, &outer, 1);

	if (count > 0)
		wait_epoll(&look, team, room);
	wait->count = look.count;
	return count;
}

/* ---- poll and select ------------------------------------------------------------------------- */

/* Only the team's one thread changes the state of its sockets. */
static bool seat_waits(const struct seat *seat)
{
	return atomic_load(&seat->state) == SEAT_LONE;
}

static bool seat_reads(const struct batch *batch, const struct seat *seat)
{
	return seat_events(batch, seat) & EPOLLIN;
}

static int wait_poll(struct wait *wait, const struct team *team)
{
	struct pollfd fds[BATCH_MAX + 1] = { { .fd = team->bell, .events = POLLIN } };
	const struct batch *batch = &team->batch;
	unsigned int indices[BATCH_MAX + 1];
	nfds_t used = 1;
	int count;

	for (unsigned int i = 0; i < batch->total; i++) {
		if (!seat_waits(&batch->seats[i]))
			continue;
		indices[used] = i;
		fds[used].fd = batch->seats[i].fd;
		fds[used++].events = seat_reads(batch, &batch->seats[i]) ? POLLIN : POLLOUT;
	}
	if (wait->form == 0)
		count = call_ppoll(fds, used, wait->until, wait->mask);
	else
		count = call_poll(fds, used, wait->timeout_ms);
	for (nfds_t i = 1; count > 0 && i < used; i++)
		if (fds[i].revents)
			wait->found[wait->count++] = indices[i];
	return count;
}

struct fd_sets {
	fd_set in, out, except;
	int beyond; /* one more than the highest */
};

static void sets_fill(struct fd_sets *sets, const struct team *team)
{
	const struct batch *batch = &team->batch;

	FD_ZERO(&sets->in);
	FD_ZERO(&sets->out);
	FD_ZERO(&sets->except);
	FD_SET(team->bell, &sets->in);
	sets->beyond = team->bell + 1;
	for (unsigned int i = 0; i < batch->total; i++) {
		int fd = batch->seats[i].fd;

		if (!seat_waits(&batch->seats[i]))
			continue;
		if (fd >= FD_SETSIZE)
			give_up("too many descriptors for select()");
		FD_SET(fd, seat_reads(batch, &batch->seats[i]) ? &sets->in : &sets->out);
		FD_SET(fd, &sets->except);
		if (fd >= sets->beyond)
			sets->beyond = fd + 1;
	}
}

static int wait_select(struct wait *wait, const struct team *team)
{
	struct timeval left = { wait->timeout.tv_sec, wait->timeout.tv_nsec / 1000 };
	const struct batch *batch = &team->batch;
	struct fd_sets sets;
	int count;

	sets_fill(&sets, team);
	if (wait->form == 0)
		count = call_pselect(sets.beyond, &sets.in, &sets.out, &sets.except, wait->until,
				     wait->mask);
	else
		count = call_select(sets.beyond, &sets.in, &sets.out, &sets.except,
				    wait->until ? &left : NULL);
	for (unsigned int i = 0; count > 0 && i < batch->total; i++) {
		int fd = batch->seats[i].fd;

		if (seat_waits(&batch->seats[i]) &&
		    (FD_ISSET(fd, &sets.in) || FD_ISSET(fd, &sets.out) ||
		     FD_ISSET(fd, &sets.except)))
			wait->found[wait->count++] = i;
	}
	return count;
}

/* ---- any of them ------------------------------------------------------------------------------ */

static void wait_draw(struct wait *wait, struct worker *worker, const struct batch *batch)
{
	wait->form = draw(&worker->random, 3);
	wait->mask = draw(&worker->random, 2) ? &without_interrupting : NULL;
	wait->timeout_ms = NONE;
	if (batch->patience == PATIENCE_SHORT)
		wait->timeout_ms = (int)draw(&worker->random, 4);
	else if (batch->patience == PATIENCE_LONG || worker->child)
		wait->timeout_ms = PATIENCE_MS;
	if (wait->timeout_ms == NONE)
		return;
	wait->timeout.tv_sec = wait->timeout_ms / 1000;
	wait->timeout.tv_nsec = wait->timeout_ms % 1000 * 1000000L;
	wait->until = &wait->timeout;
}

static int wait_once(struct wait *wait, struct worker *worker, const struct team *team)
{
	int room = 1 + (int)draw(&worker->random, BATCH_MAX);

	switch (team->batch.medium) {
	case MEDIUM_POLL:
		return wait_poll(wait, team);
	case MEDIUM_SELECT:
		return wait_select(wait, team);
	case MEDIUM_NESTED:
		return wait_nested(wait, team, room);
	case MEDIUM_EPOLL:
	case MEDIUM_COUNT:
	default:
		return wait_epoll(wait, team, room);
	}
}

/* What it said by itself: no event needs a timeout, and a signal an EINTR. */
static void wait_judge(const struct wait *wait, int count, int error, int64_t taken_ns)
{
	if (count == 0 &&
	    (wait->timeout_ms == NONE || taken_ns < wait->timeout_ms * INT64_C(1000000)))
		COUNT(hasty);
	if (count >= 0)
		return;
	if (error == EINTR && (MAY(signal) || MAY(jump)))
		COUNT(interrupted);
	else
		outcome_note(SERVER_UP, TELLER_wait, error);
}

/*
 * What a call had taken out of the set when it was left is lost to the program, so
 * that it has to look at everything again.
 */
static int wait_left(const struct batch *batch, unsigned int *found)
{
	int count = 0;

	COUNT(jumped);
	for (unsigned int i = 0; i < batch->total; i++)
		if (atomic_load(&batch->seats[i].state) != SEAT_UNUSED)
			found[count++] = i;
	return -count;
}

int batch_wait(struct worker *worker, struct team *team, unsigned int found[BATCH_MAX])
{
	struct wait wait = { .found = found };
	int64_t began_ns;
	int count;

	self = worker;
	wait_draw(&wait, worker, &team->batch);
	if (sigsetjmp(worker->back, 1) != 0)
		return wait_left(&team->batch, found);
	began_ns = now_ns();
	atomic_store(&worker->may_jump, MAY(jump) && !worker->child);
	count = wait_once(&wait, worker, team);
	atomic_store(&worker->may_jump, false);
	wait_judge(&wait, count, errno, now_ns() - began_ns);
	return wait.count;
}
