/* SPDX-License-Identifier: MIT */
/*
 * Servers are made and played by raw system calls: what is tested here is the
 * subject, and nobody else may be touched by a preload.
 */
#include "record.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/*
 * A SYN that nobody answered is sent again after a second, so that is how long a
 * slow connect lasts if the server changes its mind before.
 */
#define SLOW_MS 300
#define LATE_MS 800
#define PEERS 8
#define PATIENCE_MS 5000

const char *const world_names[WORLD_COUNT] = {
	[WORLD_UP] = "up",     [WORLD_SILENT] = "silent", [WORLD_SLOW] = "slow",
	[WORLD_LATE] = "late", [WORLD_DEAD] = "dead",     [WORLD_SLOW_DEAD] = "slow-dead",
};

void give_up(const char *what)
{
	fprintf(stderr, "record: %s: %s\n", what, strerrorname_np(errno));
	_exit(2);
}

int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * INT64_C(1000) + now.tv_nsec / 1000000;
}

void raw_pause(int milliseconds)
{
	const struct timespec pause = { milliseconds / 1000, milliseconds % 1000 * 1000000 };

	syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &pause, NULL);
}

bool raw_wait(int fd, short events, int milliseconds)
{
	struct pollfd wait = { .fd = fd, .events = events };

	return syscall(SYS_poll, &wait, 1, milliseconds) > 0;
}

/* ---- addresses ----------------------------------------------------------------------- */

static socklen_t loopback(union address *address, int family)
{
	memset(address, 0, sizeof(*address));
	if (family == AF_INET) {
		address->v4.sin_family = AF_INET;
		address->v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		return sizeof(address->v4);
	}
	address->v6.sin6_family = AF_INET6;
	if (family == AF_INET6)
		address->v6.sin6_addr = in6addr_loopback;
	else
		inet_pton(AF_INET6, "::ffff:127.0.0.1", &address->v6.sin6_addr);
	return sizeof(address->v6);
}

static int raw_socket(int family)
{
	const int on = 1;
	int fd = (int)syscall(SYS_socket, family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		give_up("socket");
	syscall(SYS_setsockopt, fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	return fd;
}

/*
 * Bound twice: whoever stops to listen gives its port up, and then somebody else
 * could be given it.
 */
static void place_bind(struct place *place, int family)
{
	union address address;
	socklen_t length = loopback(&address, family ? family : AF_INET);
	int keeper = raw_socket(address.any.sa_family);

	place->fd = raw_socket(address.any.sa_family);
	if (syscall(SYS_bind, keeper, &address, length) < 0 ||
	    syscall(SYS_getsockname, keeper, &address, &length) < 0 ||
	    syscall(SYS_bind, place->fd, &address, length) < 0)
		give_up("bind");
	place->address = address;
	place->length = length;
	if (!family) {
		in_port_t port = address.v4.sin_port;

		place->length = loopback(&place->address, 0);
		place->address.v6.sin6_port = port;
	}
}

static void raw_listen(int fd, int backlog)
{
	if (syscall(SYS_listen, fd, backlog) < 0)
		give_up("listen");
}

/* Listening, and what one backlog holds already in it: further SYNs are dropped. */
static void place_fill(const struct place *place)
{
	int filler = (int)syscall(SYS_socket, place->address.any.sa_family,
				  SOCK_STREAM | SOCK_CLOEXEC, 0);

	raw_listen(place->fd, 0);
	if (syscall(SYS_connect, filler, &place->address, place->length) < 0)
		give_up("the connection that fills a backlog");
}

/* ---- the process that plays the servers ---------------------------------------------- */

static void peer_echo(struct pollfd *peer)
{
	char bytes[256];
	long size = syscall(SYS_recvfrom, peer->fd, bytes, sizeof(bytes), 0, NULL, NULL);

	if (size > 0 && syscall(SYS_sendto, peer->fd, bytes, size, MSG_NOSIGNAL, NULL, 0) == size)
		return;
	/* At an end of stream it only stops to listen: what the subject sees stays the same. */
	if (size < 0)
		syscall(SYS_close, peer->fd);
	peer->fd = -1;
}

static int peer_accept(int listener)
{
	return (int)syscall(SYS_accept4, listener, NULL, NULL, SOCK_CLOEXEC);
}

/* listener: -1, or one of those that are listened to */
static _Noreturn void serve(int listener, int other)
{
	struct pollfd all[PEERS + 2] = { { .fd = listener, .events = POLLIN },
					 { .fd = other, .events = POLLIN } };
	unsigned int peers = 0;

	for (;;) {
		if (syscall(SYS_poll, all, peers + 2, -1) <= 0)
			_exit(0);
		for (unsigned int i = 2; i < peers + 2; i++)
			if (all[i].fd >= 0 && all[i].revents)
				peer_echo(&all[i]);
		for (unsigned int i = 0; i < 2; i++)
			if (all[i].revents && peers < PEERS)
				all[2 + peers++] = (struct pollfd){ peer_accept(all[i].fd), POLLIN,
								    0 };
	}
}

static _Noreturn void play(const struct subject *s)
{
	const struct place *server = &s->server;
	char byte;

	syscall(SYS_close, s->start[1]);
	syscall(SYS_read, s->start[0], &byte, 1);
	if (s->world == WORLD_SLOW || s->world == WORLD_SLOW_DEAD)
		raw_pause(SLOW_MS);
	else if (s->world == WORLD_LATE)
		raw_pause(LATE_MS);
	if (s->world == WORLD_SLOW || s->world == WORLD_LATE)
		raw_listen(server->fd, 64);
	else if (s->world == WORLD_SLOW_DEAD)
		syscall(SYS_shutdown, server->fd, SHUT_RDWR);
	serve(s->world == WORLD_UP || s->world == WORLD_SLOW || s->world == WORLD_LATE ? server->fd
										       : -1,
	      s->other.fd);
}

void world_make(struct subject *s, int family)
{
	pid_t parent = getpid();
	pid_t pid;

	place_bind(&s->server, family);
	place_bind(&s->other, family);
	raw_listen(s->other.fd, 64);
	if (s->world == WORLD_UP)
		raw_listen(s->server.fd, 64);
	else if (s->world == WORLD_SILENT || s->world == WORLD_SLOW || s->world == WORLD_SLOW_DEAD)
		place_fill(&s->server);
	if (syscall(SYS_pipe2, s->start, O_CLOEXEC) < 0)
		give_up("pipe");
	pid = fork();
	if (pid < 0)
		give_up("fork");
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(0);
		play(s);
	}
}

void world_begin(const struct subject *s)
{
	syscall(SYS_close, s->start[0]);
	syscall(SYS_close, s->start[1]);
}

/* ---- waiting until the kernel is done ------------------------------------------------- */

static int state_of(int fd)
{
	struct tcp_info info = { 0 };
	socklen_t length = 1;

	if (syscall(SYS_getsockopt, fd, IPPROTO_TCP, TCP_INFO, &info, &length) < 0)
		return 0;
	return info.tcpi_state;
}

static bool is_in_transit(const struct subject *s)
{
	int state = state_of(s->fd);

	return (state == TCP_SYN_SENT && s->world == WORLD_UP) || state == TCP_FIN_WAIT1 ||
	       state == TCP_CLOSING || state == TCP_LAST_ACK;
}

/* Loopback answers within the call as a rule, but not always. */
void settle(const struct subject *s)
{
	const struct timespec pause = { 0, 200000 };
	int64_t end = now_ms() + PATIENCE_MS;

	while (is_in_transit(s) && now_ms() < end)
		syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &pause, NULL);
}
