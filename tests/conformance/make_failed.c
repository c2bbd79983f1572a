/* SPDX-License-Identifier: MIT */
/* Connects that fail or hang, and what is no connection or no socket at all. */
#include "make.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

/* ---- connects that fail, or hang ----------------------------------------------------- */

void make_refused(struct subject *s)
{
	open_socket(s);
	expect(connect_to(s, &s->world->dead) < 0, "a refusal");
	settle(s, false);
}

void make_refused_told(struct subject *s)
{
	make_refused(s);
	error_read(s);
}

void make_refused_asked(struct subject *s)
{
	make_refused(s);
	connect_to(s, &s->world->dead);
}

void make_refused_bound(struct subject *s)
{
	make_bound(s);
	expect(connect_to(s, &s->world->dead) < 0, "a refusal");
	settle(s, false);
}

void make_refused_then_connected(struct subject *s)
{
	make_refused(s);
	expect(connect_to(s, &s->world->server) == 0, "connect");
	s->peer = raw_accept(&s->world->server);
}

/* Made blocking while its refusal was not yet asked for. */
void make_refused_unblocked(struct subject *s)
{
	make_refused(s);
	block(s, true);
}

void make_refused_through_dup(struct subject *s)
{
	int copy;

	open_socket(s);
	copy = dup(s->fd);
	expect(connect(copy, &s->world->dead.address.any, s->world->dead.length) < 0, "a refusal");
	s->target = &s->world->dead;
	settle(s, false);
	close(copy);
}

void make_connecting(struct subject *s)
{
	open_socket(s);
	s->silent = true;
	expect(connect_to(s, &s->world->full) < 0, "a connect that hangs");
}

void make_interrupted(struct subject *s)
{
	interrupt_soon(5);
	make_connecting(s);
	interrupt_never();
}

void make_timed_out(struct subject *s)
{
	const struct timeval limit = { .tv_usec = 4000 };

	open_socket(s);
	s->silent = true;
	s->patience_ms = 2000;
	setsockopt(s->fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	expect(connect_to(s, &s->world->full) < 0, "a connect that hangs");
}

void make_connecting_dissolved(struct subject *s)
{
	make_connecting(s);
	dissolve(s);
	s->silent = false;
	s->target = &s->world->server;
}

/* UDP: the refusal comes as ICMP. */
void make_unreachable(struct subject *s)
{
	open_socket(s);
	expect(connect_to(s, &s->world->dead) == 0, "a connect of UDP");
	s->resets = true;
}

void make_unreachable_sent(struct subject *s)
{
	make_unreachable(s);
	expect(send(s->fd, "x", 1, 0) == 1, "send");
	settle(s, true);
}

void make_unreachable_told(struct subject *s)
{
	make_unreachable_sent(s);
	error_read(s);
}

/* Something lies in its queue, from the server. */
void make_datagram(struct subject *s)
{
	union address own;
	socklen_t length = sizeof(own);

	if (s->state->family == AF_UNIX) {
		make_bound(s);
	} else {
		make_connected(s);
	}
	syscall(SYS_getsockname, s->fd, &own, &length);
	if (s->state->family == FAMILY_MAPPED) {
		in_port_t port = own.v6.sin6_port;

		length = place_any(&own, AF_INET);
		own.v4.sin_port = port;
	}
	expect(syscall(SYS_sendto, s->world->server.fd, "data", 4, 0, &own, length) == 4, "sendto");
	expect(wait_for(s->fd, POLLIN), "a datagram");
}

void make_absent(struct subject *s)
{
	static struct place absent;

	absent = s->world->dead;
	strcat(absent.address.local.sun_path, ".none");
	absent.length += 5;
	open_socket(s);
	expect(connect_to(s, &absent) < 0, "a name that is not there");
}

/* ---- pairs, and what is no socket at all --------------------------------------------- */

void make_pair(struct subject *s)
{
	int fds[2];

	expect(socketpair(AF_UNIX, s->state->type | SOCK_CLOEXEC, 0, fds) == 0, "socketpair");
	s->fd = fds[0];
	s->peer = fds[1];
}

void make_pair_data(struct subject *s)
{
	make_pair(s);
	peer_send(s);
}

void make_pair_closed(struct subject *s)
{
	make_pair(s);
	syscall(SYS_close, s->peer);
	s->peer = -1;
}

void make_closed(struct subject *s)
{
	make_connected(s);
	close(s->fd);
}

void make_closed_unseen(struct subject *s)
{
	make_connected(s);
	syscall(SYS_close, s->fd);
}

void make_negative(struct subject *s)
{
	s->fd = -1;
}

void make_beyond(struct subject *s)
{
	s->fd = 1 << 30;
}

void make_pipe_read(struct subject *s)
{
	int fds[2];

	expect(pipe2(fds, O_CLOEXEC) == 0, "pipe");
	s->fd = fds[0];
	s->peer = fds[1];
}

void make_pipe_write(struct subject *s)
{
	int fds[2];

	expect(pipe2(fds, O_CLOEXEC) == 0, "pipe");
	s->fd = fds[1];
	s->peer = fds[0];
}

void make_file(struct subject *s)
{
	s->fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
}

void make_directory(struct subject *s)
{
	s->fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

void make_null(struct subject *s)
{
	s->fd = open("/dev/null", O_RDWR | O_CLOEXEC);
}

void make_event(struct subject *s)
{
	s->fd = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
}
