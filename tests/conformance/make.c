/* SPDX-License-Identifier: MIT */
/* What the subject itself does goes through libc, as in any program. */
#include "make.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

/* ---- small moves --------------------------------------------------------------------- */

void open_socket(struct subject *s)
{
	int family = s->state->family == FAMILY_MAPPED ? AF_INET6 : s->state->family;
	int mode = s->state->flags & STATE_NONBLOCKING ? SOCK_NONBLOCK : 0;

	s->fd = socket(family, s->state->type | SOCK_CLOEXEC | mode, 0);
	if (s->fd < 0)
		give_up("socket");
}

int connect_to(struct subject *s, const struct place *place)
{
	s->target = place;
	return connect(s->fd, &place->address.any, place->length);
}

void dissolve(struct subject *s)
{
	const struct sockaddr nowhere = { .sa_family = AF_UNSPEC };

	if (connect(s->fd, &nowhere, sizeof(nowhere)) < 0)
		give_up("AF_UNSPEC");
}

void expect(bool held, const char *what)
{
	if (!held)
		give_up(what);
}

void block(struct subject *s, bool blocking)
{
	fcntl(s->fd, F_SETFL, blocking ? 0 : O_NONBLOCK);
}

void error_read(struct subject *s)
{
	int error;
	socklen_t length = sizeof(error);

	getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &length);
}

void peer_send(struct subject *s)
{
	expect(syscall(SYS_sendto, s->peer, "data", 4, 0, NULL, 0) == 4, "the peer's send");
	expect(wait_for(s->fd, POLLIN), "data from the peer");
}

void peer_close(struct subject *s)
{
	syscall(SYS_close, s->peer);
	s->peer = -1;
	s->resets = true;
	expect(wait_for(s->fd, POLLRDHUP | POLLHUP), "the peer's end");
}

void peer_reset(struct subject *s)
{
	raw_close_hard(s->peer);
	s->peer = -1;
	expect(wait_for(s->fd, POLLHUP), "the peer's reset");
}

/* ---- before a connection ------------------------------------------------------------- */

void make_fresh(struct subject *s)
{
	open_socket(s);
}

void make_bound(struct subject *s)
{
	union address address;
	socklen_t length = place_any(&address, s->state->family);

	open_socket(s);
	if (s->state->family == AF_UNIX) {
		snprintf(address.local.sun_path, sizeof(address.local.sun_path), "%s/bound",
			 state_directory);
		unlink(address.local.sun_path);
		length = sizeof(address.local);
	}
	expect(bind(s->fd, &address.any, length) == 0, "bind");
}

void make_listening(struct subject *s)
{
	make_bound(s);
	expect(listen(s->fd, 4) == 0, "listen");
}

/* Somebody waits to be accepted. */
void make_visited(struct subject *s)
{
	union address address;
	socklen_t length = sizeof(address);
	int visitor;

	make_listening(s);
	syscall(SYS_getsockname, s->fd, &address, &length);
	visitor = (int)syscall(SYS_socket, address.any.sa_family, s->state->type | SOCK_CLOEXEC, 0);
	expect(syscall(SYS_connect, visitor, &address, length) == 0, "the visitor");
	expect(wait_for(s->fd, POLLIN), "a visitor");
	s->peer = visitor;
}

void make_accepted(struct subject *s)
{
	int listening;

	make_visited(s);
	listening = s->fd;
	s->fd = accept(listening, NULL, NULL);
	close(listening);
	expect(s->fd >= 0, "accept");
}

/* ---- connected, and what comes after ------------------------------------------------- */

void make_connected(struct subject *s)
{
	int result;

	open_socket(s);
	result = connect_to(s, &s->world->server);
	expect(result == 0 || errno == EINPROGRESS, "connect");
	expect(wait_for(s->fd, POLLOUT), "a connection");
	if (s->state->type != SOCK_DGRAM)
		s->peer = raw_accept(&s->world->server);
}

/* The program asked, as it does after EINPROGRESS. */
void make_told(struct subject *s)
{
	make_connected(s);
	error_read(s);
}

void make_data(struct subject *s)
{
	make_connected(s);
	peer_send(s);
}

void make_shut_read(struct subject *s)
{
	make_connected(s);
	expect(shutdown(s->fd, SHUT_RD) == 0, "SHUT_RD");
}

void make_shut_write(struct subject *s)
{
	make_connected(s);
	expect(shutdown(s->fd, SHUT_WR) == 0, "SHUT_WR");
	settle(s, false);
}

void make_shut_both(struct subject *s)
{
	make_connected(s);
	expect(shutdown(s->fd, SHUT_RDWR) == 0, "SHUT_RDWR");
	settle(s, false);
}

void make_peer_closed(struct subject *s)
{
	make_connected(s);
	peer_close(s);
}

void make_peer_shut(struct subject *s)
{
	make_connected(s);
	syscall(SYS_shutdown, s->peer, SHUT_WR);
	expect(wait_for(s->fd, POLLRDHUP), "the peer's end");
}

void make_peer_closed_data(struct subject *s)
{
	make_data(s);
	peer_close(s);
}

void make_broken(struct subject *s)
{
	make_peer_closed(s);
	expect(send(s->fd, "x", 1, MSG_NOSIGNAL) == 1, "send after the peer's end");
	settle(s, true);
}

/* One on which no byte was moved would be made anew. */
void make_reset(struct subject *s)
{
	char byte;

	make_connected(s);
	expect(send(s->fd, "x", 1, MSG_NOSIGNAL) == 1, "send before the reset");
	expect(syscall(SYS_recvfrom, s->peer, &byte, 1, 0, NULL, NULL) == 1, "its arrival");
	peer_reset(s);
}

void make_reset_data(struct subject *s)
{
	make_data(s);
	peer_reset(s);
}

void make_reset_told(struct subject *s)
{
	make_reset(s);
	error_read(s);
}

void make_dissolved(struct subject *s)
{
	make_connected(s);
	dissolve(s);
}

void make_connected_again(struct subject *s)
{
	make_dissolved(s);
	if (s->peer >= 0)
		syscall(SYS_close, s->peer);
	expect(connect_to(s, &s->world->other) == 0, "connect");
	if (s->state->type != SOCK_DGRAM)
		s->peer = raw_accept(&s->world->other);
}

void make_connected_by_dup(struct subject *s)
{
	int copy;

	open_socket(s);
	copy = s->fd;
	s->fd = dup(copy);
	connect_to(s, &s->world->server);
	s->peer = raw_accept(&s->world->server);
	close(s->fd);
	s->fd = copy;
}

/* Connected, then another socket was put under the number. */
void make_replaced(struct subject *s)
{
	int connected;

	make_connected(s);
	connected = s->fd;
	open_socket(s);
	expect(dup2(s->fd, connected) == connected, "dup2");
	close(s->fd);
	s->fd = connected;
}

/* The same past libc: what was known of the number is stale. */
void make_replaced_unseen(struct subject *s)
{
	int connected;

	make_connected(s);
	connected = s->fd;
	open_socket(s);
	syscall(SYS_dup2, s->fd, connected);
	syscall(SYS_close, s->fd);
	s->fd = connected;
}

/* Made non-blocking, then blocking again by another name. */
void make_mode_changed(struct subject *s)
{
	int copy;

	make_connected(s);
	copy = dup(s->fd);
	fcntl(copy, F_SETFL, O_NONBLOCK);
	close(copy);
}
