/* SPDX-License-Identifier: MIT */
/* Questions that change nothing: options, names, waits. */
#include "say.h"

#include <netinet/tcp.h>
#include <poll.h>
#include <sys/epoll.h>
#include <unistd.h>

/* ---- options ------------------------------------------------------------------------- */

void say_option(struct subject *s, const struct word *word)
{
	int value = -1;
	socklen_t length = sizeof(value);

	if (CALL(getsockopt(s->fd, (int)word->a, (int)word->b, &value, &length)) < 0)
		return;
	if (word->a == SOL_SOCKET && word->b == SO_ERROR)
		answer(" says %s", value ? error_name(value) : "0");
	else
		answer(" says %d", value);
}

void say_state(struct subject *s, const struct word *word)
{
	struct tcp_info info = { 0 };
	socklen_t length = 1;

	if (CALL(getsockopt(s->fd, IPPROTO_TCP, TCP_INFO, &info, &length)) == 0)
		answer(" says %d", info.tcpi_state);
}

void say_sndtimeo(struct subject *s, const struct word *word)
{
	struct timeval value = { -1, -1 };
	socklen_t length = sizeof(value);

	if (CALL(getsockopt(s->fd, SOL_SOCKET, SO_SNDTIMEO, &value, &length)) == 0)
		answer(" says %ld.%06ld", (long)value.tv_sec, (long)value.tv_usec);
}

void say_sndtimeo_set(struct subject *s, const struct word *word)
{
	const struct timeval value = { 7, 500000 };

	CALL(setsockopt(s->fd, SOL_SOCKET, SO_SNDTIMEO, &value, sizeof(value)));
}

void say_option_set(struct subject *s, const struct word *word)
{
	int value = 1;

	CALL(setsockopt(s->fd, (int)word->a, (int)word->b, &value, sizeof(value)));
}

/* a: the room for SO_ERROR's int. */
void say_error_room(struct subject *s, const struct word *word)
{
	int value = 0;
	socklen_t length = (socklen_t)word->a;

	if (CALL(getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &value, &length)) == 0)
		answer(" says %d of %u bytes", value, length);
}

void say_error_nowhere(struct subject *s, const struct word *word)
{
	CALL(getsockopt(s->fd, SOL_SOCKET, SO_ERROR, nowhere, nowhere));
}

/* ---- names --------------------------------------------------------------------------- */

typedef int name_call(int, struct sockaddr *, socklen_t *);

static void name_ask(struct subject *s, const struct word *word, name_call *ask)
{
	union address address = { 0 };
	socklen_t length = word->a ? (socklen_t)word->a : sizeof(address);
	char text[128];

	if (CALL(ask(s->fd, &address.any, &length)) < 0)
		return;
	if (word->a) {
		answer(" of %u bytes", length);
		return;
	}
	place_name(s->world, &address, length, text, sizeof(text));
	answer(" says %s", text);
}

static int name_of_peer(int fd, struct sockaddr *address, socklen_t *length)
{
	return getpeername(fd, address, length);
}

static int name_of_own(int fd, struct sockaddr *address, socklen_t *length)
{
	return getsockname(fd, address, length);
}

void say_getpeername(struct subject *s, const struct word *word)
{
	name_ask(s, word, name_of_peer);
}

void say_getsockname(struct subject *s, const struct word *word)
{
	name_ask(s, word, name_of_own);
}

void say_getpeername_nowhere(struct subject *s, const struct word *word)
{
	CALL(getpeername(s->fd, nowhere, nowhere));
}

/* ---- waiting ------------------------------------------------------------------------- */

static void answer_events(unsigned int events)
{
	static const struct {
		unsigned int bit;
		const char *name;
	} names[] = {
		{ POLLIN, "IN" },       { POLLPRI, "PRI" }, { POLLOUT, "OUT" },
		{ POLLERR, "ERR" },     { POLLHUP, "HUP" }, { POLLNVAL, "NVAL" },
		{ POLLRDHUP, "RDHUP" },
	};

	answer(" says");
	for (unsigned int i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (events & names[i].bit)
			answer(" %s", names[i].name);
}

void say_poll(struct subject *s, const struct word *word)
{
	struct pollfd look = { .fd = s->fd, .events = (short)word->a };

	CALL(poll(&look, 1, 0));
	answer_events((unsigned short)look.revents);
}

void say_select(struct subject *s, const struct word *word)
{
	fd_set reading, writing, except;
	struct timeval at_once = { 0, 0 };

	if (s->fd < 0 || s->fd >= FD_SETSIZE) {
		answer(" no number for select");
		return;
	}
	FD_ZERO(&reading);
	FD_SET(s->fd, &reading);
	writing = except = reading;
	if (CALL(select(s->fd + 1, &reading, &writing, &except, &at_once)) >= 0)
		answer(" says%s%s%s", FD_ISSET(s->fd, &reading) ? " r" : "",
		       FD_ISSET(s->fd, &writing) ? " w" : "", FD_ISSET(s->fd, &except) ? " x" : "");
}

/* a: further flags of the registration. Waits twice: an edge comes once. */
void say_epoll(struct subject *s, const struct word *word)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLOUT | EPOLLPRI | EPOLLRDHUP };
	int epoll = epoll_create1(EPOLL_CLOEXEC);

	event.events |= (uint32_t)word->a;
	if (CALL(epoll_ctl(epoll, EPOLL_CTL_ADD, s->fd, &event)) == 0)
		for (int i = 0; i < 2; i++)
			if (CALL(epoll_wait(epoll, &event, 1, 0)) == 1)
				answer_events(event.events);
	close(epoll);
}
