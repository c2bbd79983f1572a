/* SPDX-License-Identifier: MIT */
/* The table of ways to wait. */
#include "record.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <time.h>
#include <unistd.h>

/* What a program that is compiled with _FORTIFY_SOURCE calls; no header declares them. */
int __poll_chk(struct pollfd *fds, nfds_t count, int timeout, size_t size);
int __ppoll_chk(struct pollfd *fds, nfds_t count, const struct timespec *timeout,
		const sigset_t *mask, size_t size);

#define DATA UINT64_C(0x1122334455667788)

static const struct {
	uint32_t bit;
	const char *name;
} event_names[] = {
	{ POLLIN, "IN" },   { POLLPRI, "PRI" },     { POLLOUT, "OUT" },   { POLLERR, "ERR" },
	{ POLLHUP, "HUP" }, { POLLRDHUP, "RDHUP" }, { POLLNVAL, "NVAL" },
};

/* poll() and epoll have the same bits for these. */
static void events_say(uint32_t events)
{
	const char *separator = " ";

	for (unsigned int i = 0; i < sizeof(event_names) / sizeof(event_names[0]); i++) {
		if (!(events & event_names[i].bit))
			continue;
		say("%s%s", separator, event_names[i].name);
		separator = "|";
		events &= ~event_names[i].bit;
	}
	if (events)
		say("%s%#x", separator, events);
}

void revents_say(short revents)
{
	events_say((uint16_t)revents);
}

static short poll_events(unsigned int want)
{
	return (short)((want & WANT_OUT ? POLLOUT : 0) | (want & WANT_IN ? POLLIN : 0) |
		       (want & WANT_HANGUP ? POLLRDHUP : 0) | (want & WANT_URGENT ? POLLPRI : 0));
}

static const struct timespec *duration(int milliseconds, struct timespec *span)
{
	span->tv_sec = milliseconds / 1000;
	span->tv_nsec = milliseconds % 1000 * 1000000L;
	return milliseconds < 0 ? NULL : span;
}

/* ---- poll ------------------------------------------------------------------------------ */

static int poll_said(long result, const struct pollfd *wait, short events)
{
	if (result > 0)
		revents_say(wait->revents);
	else if (result == 0 && wait->revents)
		say(" revents were not cleared");
	if (wait->events != events)
		say(" events were changed");
	return (int)result;
}

static int wait_poll(struct subject *s, int milliseconds)
{
	struct pollfd wait = { s->fd, poll_events(s->want), -1 };

	return poll_said(CALL(poll(&wait, 1, milliseconds)), &wait, poll_events(s->want));
}

static int wait_ppoll(struct subject *s, int milliseconds)
{
	struct pollfd wait = { s->fd, poll_events(s->want), -1 };
	struct timespec span;

	return poll_said(CALL(ppoll(&wait, 1, duration(milliseconds, &span), NULL)), &wait,
			 poll_events(s->want));
}

static int wait_poll_chk(struct subject *s, int milliseconds)
{
	struct pollfd wait = { s->fd, poll_events(s->want), -1 };

	return poll_said(CALL(__poll_chk(&wait, 1, milliseconds, sizeof(wait))), &wait,
			 poll_events(s->want));
}

static int wait_ppoll_chk(struct subject *s, int milliseconds)
{
	struct pollfd wait = { s->fd, poll_events(s->want), -1 };
	struct timespec span;
	sigset_t mask;

	sigemptyset(&mask);
	return poll_said(
		CALL(__ppoll_chk(&wait, 1, duration(milliseconds, &span), &mask, sizeof(wait))),
		&wait, poll_events(s->want));
}

/* ---- select ---------------------------------------------------------------------------- */

struct sets {
	fd_set read, write, except;
};

static void sets_fill(struct sets *sets, int fd, unsigned int want)
{
	FD_ZERO(&sets->read);
	FD_ZERO(&sets->write);
	FD_ZERO(&sets->except);
	if (want & WANT_IN)
		FD_SET(fd, &sets->read);
	if (want & WANT_OUT)
		FD_SET(fd, &sets->write);
	if (want & WANT_URGENT)
		FD_SET(fd, &sets->except);
}

static void sets_say(const struct sets *sets, int fd)
{
	say(" %s%s%s", FD_ISSET(fd, &sets->read) ? "r" : "", FD_ISSET(fd, &sets->write) ? "w" : "",
	    FD_ISSET(fd, &sets->except) ? "x" : "");
}

static int wait_select(struct subject *s, int milliseconds)
{
	struct timeval span = { milliseconds / 1000, milliseconds % 1000 * 1000 };
	struct sets sets;
	long result;

	sets_fill(&sets, s->fd, s->want);
	result = CALL(select(s->fd + 1, &sets.read, &sets.write, &sets.except,
			     milliseconds < 0 ? NULL : &span));
	if (result >= 0)
		sets_say(&sets, s->fd);
	/* Linux leaves there what is left of it. */
	if (result == 0 && (span.tv_sec || span.tv_usec))
		say(" with time left");
	return (int)result;
}

static int wait_pselect(struct subject *s, int milliseconds)
{
	struct timespec span;
	struct sets sets;
	sigset_t mask;
	long result;

	sigemptyset(&mask);
	sets_fill(&sets, s->fd, s->want);
	result = CALL(pselect(s->fd + 1, &sets.read, &sets.write, NULL,
			      duration(milliseconds, &span), &mask));
	if (result >= 0)
		sets_say(&sets, s->fd);
	if (milliseconds >= 0 &&
	    (span.tv_sec != milliseconds / 1000 || span.tv_nsec != milliseconds % 1000 * 1000000L))
		say(" its timeout was changed");
	return (int)result;
}

/* ---- epoll ----------------------------------------------------------------------------- */

#define ROOM 4

static int wait_epoll_pwait(struct subject *s, int milliseconds);
static int wait_epoll_pwait2(struct subject *s, int milliseconds);

static int call_epoll(const struct subject *s, struct epoll_event *events, int milliseconds)
{
	struct timespec span;
	sigset_t mask;

	sigemptyset(&mask);
	if (s->way->wait == wait_epoll_pwait)
		return epoll_pwait(s->set, events, ROOM, milliseconds, &mask);
	if (s->way->wait == wait_epoll_pwait2)
		return epoll_pwait2(s->set, events, ROOM, duration(milliseconds, &span), NULL);
	return epoll_wait(s->set, events, ROOM, milliseconds);
}

/*
 * The kernel wakes twice at a failure. If we are quick between the two, one that is
 * edge-triggered is told twice: that is chance, and not written down.
 */
static void second_edge(const struct subject *s, uint32_t told)
{
	struct epoll_event events[ROOM];

	if (!(s->way->trigger & EPOLLET) || !(told & EPOLLHUP))
		return;
	raw_pause(2);
	if (call_epoll(s, events, 0) > 0 && events[0].events != told) {
		say(" then");
		events_say(events[0].events);
	}
}

static int wait_epoll(struct subject *s, int milliseconds)
{
	struct epoll_event events[ROOM];
	long result = CALL(call_epoll(s, events, milliseconds));

	for (long i = 0; i < result && i < ROOM; i++) {
		events_say(events[i].events);
		if (events[i].data.u64 != DATA)
			say(" of something else");
	}
	if (result > 0)
		second_edge(s, events[0].events);
	return (int)result;
}

/* Apart, so that each has a name. */
static int wait_epoll_pwait(struct subject *s, int milliseconds)
{
	return wait_epoll(s, milliseconds);
}

static int wait_epoll_pwait2(struct subject *s, int milliseconds)
{
	return wait_epoll(s, milliseconds);
}

void way_begin(struct subject *s)
{
	s->set = -1;
	if (!s->way->is_epoll)
		return;
	s->set = epoll_create1(EPOLL_CLOEXEC);
	if (s->set < 0)
		give_up("epoll_create1");
}

int way_control(struct subject *s, int operation, unsigned int want, uint32_t trigger)
{
	struct epoll_event event = { .events = (uint16_t)poll_events(want), .data.u64 = DATA };

	/* The kernel takes no others together with it. */
	if (trigger & EPOLLEXCLUSIVE)
		event.events &= EPOLLIN | EPOLLOUT;
	event.events |= trigger;
	return epoll_ctl(s->set, operation, s->registered, &event);
}

/* ---- looking without waiting -------------------------------------------------------------- */

void look_poll(int fd)
{
	struct pollfd wait = { fd, poll_events(WANT_ALL), -1 };

	if (poll(&wait, 1, 0) == 0)
		say(" 0");
	events_say((uint16_t)wait.revents);
}

void look_epoll(int fd)
{
	struct epoll_event event = { .events = (uint16_t)poll_events(WANT_ALL) };
	int set = epoll_create1(EPOLL_CLOEXEC);

	if (epoll_ctl(set, EPOLL_CTL_ADD, fd, &event) < 0)
		say(" %s", strerrorname_np(errno));
	else if (epoll_wait(set, &event, 1, 0) > 0)
		events_say(event.events);
	else
		say(" 0");
	close(set);
}

void look_select(int fd)
{
	struct timeval none = { 0, 0 };
	struct sets sets;

	sets_fill(&sets, fd, WANT_ALL);
	if (select(fd + 1, &sets.read, &sets.write, &sets.except, &none) < 0)
		say(" %s", strerrorname_np(errno));
	else
		sets_say(&sets, fd);
}

void look(int fd)
{
	look_poll(fd);
	say(" /");
	look_select(fd);
	say(" /");
	look_epoll(fd);
}

/* ---- the table ------------------------------------------------------------------------- */

#define CALL_ONLY(name, wait, typical)               \
	{                                            \
		name, wait, 0, false, false, typical \
	}
#define EPOLL(name, wait, trigger, before, typical)        \
	{                                                  \
		name, wait, trigger, true, before, typical \
	}

const struct way ways[] = {
	CALL_ONLY("poll", wait_poll, true),
	CALL_ONLY("ppoll", wait_ppoll, false),
	CALL_ONLY("__poll_chk", wait_poll_chk, false),
	CALL_ONLY("__ppoll_chk", wait_ppoll_chk, false),
	CALL_ONLY("select", wait_select, true),
	CALL_ONLY("pselect", wait_pselect, false),
	EPOLL("epoll_wait level after", wait_epoll, 0, false, true),
	EPOLL("epoll_wait level before", wait_epoll, 0, true, false),
	EPOLL("epoll_wait edge after", wait_epoll, EPOLLET, false, false),
	EPOLL("epoll_wait edge before", wait_epoll, EPOLLET, true, true),
	EPOLL("epoll_wait oneshot after", wait_epoll, EPOLLONESHOT, false, false),
	EPOLL("epoll_wait oneshot before", wait_epoll, EPOLLONESHOT, true, false),
	EPOLL("epoll_wait exclusive after", wait_epoll, EPOLLEXCLUSIVE, false, false),
	EPOLL("epoll_wait exclusive before", wait_epoll, EPOLLEXCLUSIVE, true, false),
	EPOLL("epoll_pwait level after", wait_epoll_pwait, 0, false, false),
	EPOLL("epoll_pwait edge before", wait_epoll_pwait, EPOLLET, true, false),
	EPOLL("epoll_pwait2 edge after", wait_epoll_pwait2, EPOLLET, false, false),
	EPOLL("epoll_pwait2 oneshot before", wait_epoll_pwait2, EPOLLONESHOT, true, false),
};
const unsigned int way_count = sizeof(ways) / sizeof(ways[0]);
