/* SPDX-License-Identifier: MIT */
/* Who connects is greeted with a byte, and kept until it goes away. */
#include "loops.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define BACKLOG 4096
#define EVENTS 64
#define GREETING "g"

/*
 * A port asked for by number stays bound through listen() and shutdown(), one that
 * the kernel chose does not. Below the ephemeral range nothing connects to itself.
 */
static int server_bind(struct sockaddr_in *address, uint64_t *random)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int on = 1;

	*address = (struct sockaddr_in){ .sin_family = AF_INET };
	address->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	for (int tries = 0; fd >= 0 && tries < 200; tries++) {
		address->sin_port = htons((uint16_t)(10240 + draw(random, 22000)));
		if (bind(fd, (struct sockaddr *)address, sizeof(*address)) < 0)
			continue;
		/* It listens again while there still are connections of the last time. */
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
		return fd;
	}
	give_up("a server's port");
}

static void watch(int set, int fd)
{
	struct epoll_event event = { .events = EPOLLIN, .data.fd = fd };

	if (epoll_ctl(set, EPOLL_CTL_ADD, fd, &event) < 0)
		give_up("a server's epoll_ctl");
}

static void server_accept(int set, int fd)
{
	int client;

	while ((client = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0) {
		send(client, GREETING, 1, MSG_NOSIGNAL);
		watch(set, client);
	}
}

static void client_serve(int fd)
{
	char bytes[64];

	/* What it says is of no interest; that it went away is. */
	if (recv(fd, bytes, sizeof(bytes), 0) <= 0)
		close(fd);
}

/* Up or down for some milliseconds, then the other. shutdown() makes it refuse. */
static void server_flap(int set, int fd, bool *up)
{
	*up = !*up;
	if (*up) {
		if (listen(fd, BACKLOG) < 0)
			give_up("a server's listen");
		watch(set, fd);
	} else {
		epoll_ctl(set, EPOLL_CTL_DEL, fd, NULL);
		shutdown(fd, SHUT_RDWR);
	}
}

static _Noreturn void servers_run(const int fds[SERVER_COUNT])
{
	uint64_t random = draw_seed(loops.seed, 1000);
	struct epoll_event events[EVENTS];
	int set = epoll_create1(EPOLL_CLOEXEC);
	bool up = false;
	int64_t flap_ms = 0;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	watch(set, fds[SERVER_UP]);
	for (;;) {
		int count = epoll_wait(set, events, EVENTS, 1);

		for (int i = 0; i < count; i++) {
			int fd = events[i].data.fd;

			if (fd == fds[SERVER_UP] || fd == fds[SERVER_FLAP])
				server_accept(set, fd);
			else
				client_serve(fd);
		}
		if (now_ms() >= flap_ms) {
			server_flap(set, fds[SERVER_FLAP], &up);
			flap_ms = now_ms() + 1 + (int64_t)draw(&random, 15);
		}
	}
}

pid_t servers_start(void)
{
	uint64_t random = draw_seed(loops.seed, 2000);
	int fds[SERVER_COUNT];
	pid_t pid;

	for (unsigned int i = 0; i < SERVER_COUNT; i++)
		fds[i] = server_bind(&loops.servers[i], &random);
	if (listen(fds[SERVER_UP], BACKLOG) < 0)
		give_up("listen");
	pid = fork();
	if (pid < 0)
		give_up("fork");
	if (pid == 0)
		servers_run(fds);
	return pid;
}
