/* SPDX-License-Identifier: MIT */
/*
 * Servers are made and asked by raw system calls: what is tested here is the
 * subject, and nobody else may be touched by a preload.
 */
#include "conform.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define UDP_NOBODY 1 /* tcpmux, never over UDP */
#define PATIENCE_MS 5000

void give_up(const char *what)
{
	fprintf(stderr, "conform: %s: %s\n", what, strerrorname_np(errno));
	exit(2);
}

static void pause_briefly(void)
{
	const struct timespec pause = { 0, 200000 };

	syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &pause, NULL);
}

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * INT64_C(1000) + now.tv_nsec / 1000000;
}

/* ---- addresses ----------------------------------------------------------------------- */

/* The family's loopback, port 0; for AF_UNIX a name of the caller's own choice follows. */
socklen_t place_any(union address *address, int family)
{
	memset(address, 0, sizeof(*address));
	if (family == AF_INET) {
		address->v4.sin_family = AF_INET;
		address->v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		return sizeof(address->v4);
	}
	if (family == AF_UNIX) {
		address->local.sun_family = AF_UNIX;
		return sizeof(sa_family_t);
	}
	address->v6.sin6_family = AF_INET6;
	if (family == AF_INET6)
		address->v6.sin6_addr = in6addr_loopback;
	else
		inet_pton(AF_INET6, "::ffff:127.0.0.1", &address->v6.sin6_addr);
	return sizeof(address->v6);
}

static in_port_t *address_port(union address *address)
{
	return address->any.sa_family == AF_INET ? &address->v4.sin_port : &address->v6.sin6_port;
}

static const char *port_role(const struct world *world, in_port_t port)
{
	const struct {
		const char *role;
		const struct place *place;
	} roles[] = {
		{ "server", &world->server },
		{ "other", &world->other },
		{ "dead", &world->dead },
		{ "full", &world->full },
	};

	if (port == 0)
		return "0";
	for (unsigned int i = 0; i < sizeof(roles) / sizeof(roles[0]); i++)
		if (*address_port((union address *)&roles[i].place->address) == port)
			return roles[i].role;
	return "port";
}

/* The same text in every run: ports by what they are. */
void place_name(const struct world *world, const union address *address, socklen_t length,
		char *text, size_t size)
{
	char host[INET6_ADDRSTRLEN] = "?";
	const char *slash;

	if (length < sizeof(sa_family_t)) {
		snprintf(text, size, "nothing");
	} else if (address->any.sa_family == AF_INET) {
		inet_ntop(AF_INET, &address->v4.sin_addr, host, sizeof(host));
		snprintf(text, size, "%s:%s", host, port_role(world, address->v4.sin_port));
	} else if (address->any.sa_family == AF_INET6) {
		inet_ntop(AF_INET6, &address->v6.sin6_addr, host, sizeof(host));
		snprintf(text, size, "[%s]:%s", host, port_role(world, address->v6.sin6_port));
	} else if (address->any.sa_family == AF_UNIX && length > sizeof(sa_family_t)) {
		slash = strrchr(address->local.sun_path, '/');
		snprintf(text, size, "unix:%s",
			 address->local.sun_path[0] ? (slash ? slash + 1 : "?") : "@");
	} else {
		snprintf(text, size, "family %d", address->any.sa_family);
	}
}

/* ---- servers ------------------------------------------------------------------------- */

static int server_family(int family)
{
	return family == FAMILY_MAPPED ? AF_INET : family;
}

static void unix_name(struct place *place, const char *name)
{
	struct sockaddr_un *local = &place->address.local;

	snprintf(local->sun_path, sizeof(local->sun_path), "%s/%s", state_directory, name);
	place->length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) +
				    strlen(local->sun_path) + 1);
	unlink(local->sun_path);
}

/* As a socket of the subject's family must write the address that the server has. */
static void place_map(struct place *place)
{
	in_port_t port = place->address.v4.sin_port;

	place->length = place_any(&place->address, FAMILY_MAPPED);
	place->address.v6.sin6_port = port;
}

/* False if there is no such address here. */
static bool place_bind(struct place *place, int family, int type, const char *name)
{
	int socket_family = server_family(family);

	place->length = place_any(&place->address, socket_family);
	if (family == AF_UNIX)
		unix_name(place, name);
	place->fd = (int)syscall(SYS_socket, socket_family, type | SOCK_CLOEXEC, 0);
	if (place->fd < 0 || syscall(SYS_bind, place->fd, &place->address, place->length) < 0)
		return false;
	if (family == AF_UNIX)
		return true;
	syscall(SYS_getsockname, place->fd, &place->address, &place->length);
	if (family == FAMILY_MAPPED)
		place_map(place);
	return true;
}

/* Listening, and what one backlog holds already in it. */
static void place_fill(struct place *place, int family, int type)
{
	struct place raw = *place;
	int filler;

	if (syscall(SYS_listen, place->fd, 0) < 0)
		give_up("listen");
	if (family == FAMILY_MAPPED) {
		raw.length = place_any(&raw.address, AF_INET);
		raw.address.v4.sin_port = place->address.v6.sin6_port;
	}
	for (int i = 0; i < 2; i++) {
		filler = (int)syscall(SYS_socket, server_family(family),
				      type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		syscall(SYS_connect, filler, &raw.address, raw.length);
		if (i == 0 && !wait_for(filler, POLLOUT))
			give_up("the first connection of a full backlog");
	}
}

static bool can_listen(int type)
{
	return type != SOCK_DGRAM;
}

/* Nobody reads what is sent there: a port without a socket, or a path of one that is closed. */
static void place_desert(struct place *place, int family)
{
	syscall(SYS_close, place->fd);
	place->fd = -1;
	if (family != AF_UNIX)
		*address_port(&place->address) = htons(UDP_NOBODY);
}

bool world_make(struct world *world, int family, int type)
{
	if (!place_bind(&world->server, family, type, "server") ||
	    !place_bind(&world->other, family, type, "other") ||
	    !place_bind(&world->dead, family, type, "dead") ||
	    !place_bind(&world->full, family, type, "full"))
		return false;
	if (!can_listen(type)) {
		place_desert(&world->dead, family);
		return true;
	}
	if (syscall(SYS_listen, world->server.fd, 64) < 0 ||
	    syscall(SYS_listen, world->other.fd, 64) < 0)
		give_up("listen");
	place_fill(&world->full, family, type);
	return true;
}

static void place_drain(const struct place *place)
{
	char buffer[64];
	int fd;

	for (;;) {
		struct pollfd look = { .fd = place->fd, .events = POLLIN };

		if (syscall(SYS_poll, &look, 1, 0) <= 0)
			return;
		fd = (int)syscall(SYS_accept4, place->fd, NULL, NULL, SOCK_CLOEXEC);
		if (fd >= 0)
			raw_close_hard(fd);
		else if (syscall(SYS_recvfrom, place->fd, buffer, sizeof(buffer), MSG_DONTWAIT,
				 NULL, NULL) < 0)
			return;
	}
}

void world_tidy(const struct world *world)
{
	place_drain(&world->server);
	place_drain(&world->other);
}

int raw_accept(const struct place *place)
{
	int fd;

	if (!wait_for(place->fd, POLLIN))
		give_up("nobody to accept");
	fd = (int)syscall(SYS_accept4, place->fd, NULL, NULL, SOCK_CLOEXEC);
	if (fd < 0)
		give_up("accept");
	return fd;
}

/* With RST: thousands of these shall not stay behind in TIME_WAIT. */
void raw_close_hard(int fd)
{
	const struct linger hard = { 1, 0 };

	syscall(SYS_setsockopt, fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
	syscall(SYS_close, fd);
}

/* ---- waiting, without touching anything ---------------------------------------------- */

int tcp_state_of(int fd)
{
	struct tcp_info info = { 0 };
	socklen_t length = 1;

	if (syscall(SYS_getsockopt, fd, IPPROTO_TCP, TCP_INFO, &info, &length) < 0)
		return 0;
	return info.tcpi_state;
}

bool raw_is_nonblocking(int fd)
{
	long flags = syscall(SYS_fcntl, fd, F_GETFL, 0);

	return flags >= 0 && (flags & O_NONBLOCK);
}

/* Until poll() says one of these events; with none, returns at once. */
bool wait_for(int fd, short events)
{
	struct pollfd look = { .fd = fd, .events = events };
	int64_t end = now_ms() + PATIENCE_MS;

	while (events && now_ms() < end) {
		if (syscall(SYS_poll, &look, 1, 50) > 0)
			return true;
	}
	return !events;
}

static bool is_in_transit(const struct subject *subject)
{
	int state = tcp_state_of(subject->fd);

	return (state == TCP_SYN_SENT && !subject->silent) || state == TCP_FIN_WAIT1 ||
	       state == TCP_CLOSING || state == TCP_LAST_ACK;
}

/*
 * Loopback answers within the call as a rule, but not always: before the next
 * question the kernel has to be done with the last one.
 */
void settle(const struct subject *subject, bool sent)
{
	int64_t end = now_ms() + PATIENCE_MS;

	while (is_in_transit(subject) && now_ms() < end)
		pause_briefly();
	if (!sent || !subject->resets)
		return;
	if (subject->state->type == SOCK_DGRAM)
		wait_for(subject->fd, POLLERR);
	else
		while (tcp_state_of(subject->fd) != TCP_CLOSE && now_ms() < end)
			pause_briefly();
}

/*
 * SIGALRM, whose handler has no SA_RESTART; again and again, since the first may come
 * before the call that it is meant for.
 */
void interrupt_soon(int milliseconds)
{
	const struct timeval period = { milliseconds / 1000, milliseconds % 1000 * 1000 };
	const struct itimerval timer = { period, period };

	setitimer(ITIMER_REAL, &timer, NULL);
}

void interrupt_never(void)
{
	interrupt_soon(0);
}
