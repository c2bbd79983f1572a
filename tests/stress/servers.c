/* SPDX-License-Identifier: MIT */
/* Ports are bound for as long as we run: nobody else gets them, nothing connects to itself. */
#include "stress.h"

#include <poll.h>
#include <sys/prctl.h>

#define BACKLOG 4096
#define KEPT 256
#define PATIENCE_MS 5000

/*
 * A port asked for by number stays bound through listen() and shutdown(), one that
 * the kernel chose does not. Below the ephemeral range nothing connects to itself.
 */
static int server_bind(struct sockaddr_in *address, uint64_t *random)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	*address = (struct sockaddr_in){ .sin_family = AF_INET };
	address->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	for (int tries = 0; fd >= 0 && tries < 200; tries++) {
		address->sin_port = htons((uint16_t)(10240 + draw(random, 22000)));
		if (bind(fd, (struct sockaddr *)address, sizeof(*address)) == 0)
			return fd;
	}
	give_up("a server's port");
}

/*
 * A connection is reset when it is accepted, or, where nothing is to go wrong, so
 * late that its client is done with it.
 */
static void server_accept(int fd)
{
	const struct linger hard = { 1, 0 };
	static int kept[KEPT];
	static unsigned int next;
	int client;

	while ((client = accept4(fd, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
		int *place = &kept[MAY(flap) ? 0 : next++ % KEPT];

		setsockopt(client, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
		if (*place) {
			struct pollfd end = { .fd = *place };

			poll(&end, 1, MAY(flap) ? 0 : PATIENCE_MS);
			close(*place);
		}
		*place = client;
	}
}

/* Up or down for some milliseconds, then the other. shutdown() makes it refuse. */
static void server_flap(int fd, bool *up)
{
	*up = !*up;
	if (*up)
		listen(fd, BACKLOG);
	else
		shutdown(fd, SHUT_RDWR);
}

static _Noreturn void servers_run(const int fds[SERVER_COUNT])
{
	uint64_t random = draw_seed(stress.seed, 1000);
	struct pollfd look[2] = {
		{ .fd = fds[SERVER_UP], .events = POLLIN },
		{ .fd = fds[SERVER_FLAP], .events = POLLIN },
	};
	bool up = false;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;) {
		server_flap(fds[SERVER_FLAP], &up);
		for (uint64_t left = 1 + draw(&random, 15); left; left--) {
			poll(look, up ? 2 : 1, 1);
			server_accept(fds[SERVER_UP]);
			if (up)
				server_accept(fds[SERVER_FLAP]);
		}
	}
}

pid_t servers_start(void)
{
	uint64_t random = draw_seed(stress.seed, 2000);
	int fds[SERVER_COUNT];
	pid_t pid;

	for (unsigned int i = 0; i < SERVER_COUNT; i++)
		fds[i] = server_bind(&stress.servers[i], &random);
	if (listen(fds[SERVER_UP], BACKLOG) < 0)
		give_up("listen");
	pid = fork();
	if (pid < 0)
		give_up("fork");
	if (pid == 0)
		servers_run(fds);
	return pid;
}
