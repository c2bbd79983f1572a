/* SPDX-License-Identifier: MIT */
/*
 * The program that kill.py kills.
 *	kill serve               answers on a port that it prints, and keeps another one,
 *	                         printed second, that refuses
 *	kill busy PORT DEAD LOG  threads that connect, transfer and close for ever
 * Every thread notes each finished call in LOG, in memory shared with the file:
 * what the outside world knows of, to compare the store with.
 */
#include <pthread.h>
#include <sys/mman.h>

#include "net.h"

#define BLOCKING_THREADS 2
#define MESSAGE 100

struct outside {
	_Atomic uint64_t succeeded, failures, sent, received;
};

static struct outside *outside;
static struct sockaddr_in server_address, dead_address;

static void note(_Atomic uint64_t *word, uint64_t n)
{
	__atomic_fetch_add((uint64_t *)word, n, __ATOMIC_SEQ_CST);
}

/* No TIME_WAIT: a busy hour would use the ports up. */
static void close_at_once(int fd)
{
	struct linger linger = { 1, 0 };

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	close(fd);
}

static void *blocking_run(void *data)
{
	char message[MESSAGE] = { 0 };

	for (;;) {
		int fd = socket(AF_INET, SOCK_STREAM, 0);

		if (connect(fd, (struct sockaddr *)&server_address, sizeof(server_address)) < 0)
			check_exit(20);
		note(&outside->succeeded, 1);
		for (int i = 0; i < 3; i++) {
			if (send(fd, message, MESSAGE, 0) != MESSAGE)
				check_exit(21);
			note(&outside->sent, MESSAGE);
			if (recv(fd, message, MESSAGE, MSG_WAITALL) != MESSAGE)
				check_exit(22);
			note(&outside->received, MESSAGE);
		}
		close_at_once(fd);
	}
	return NULL;
}

static void *refused_run(void *data)
{
	for (;;) {
		int fd = socket(AF_INET, SOCK_STREAM, 0);

		if (connect(fd, (struct sockaddr *)&dead_address, sizeof(dead_address)) == 0 ||
		    errno != ECONNREFUSED)
			check_exit(23);
		note(&outside->failures, 1);
		close(fd);
	}
	return NULL;
}

static void *nonblocking_run(void *data)
{
	for (;;) {
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		struct pollfd wait = { .fd = fd, .events = POLLOUT };

		connect(fd, (struct sockaddr *)&server_address, sizeof(server_address));
		poll(&wait, 1, -1);
		if (socket_error(fd) != 0)
			check_exit(24);
		note(&outside->succeeded, 1);
		close_at_once(fd);
	}
	return NULL;
}

static void *serve_run(void *data)
{
	const struct server *server = data;
	char message[MESSAGE];

	for (;;) {
		int fd = accept(server->fd, NULL, NULL);

		while (recv(fd, message, MESSAGE, MSG_WAITALL) == MESSAGE)
			send(fd, message, MESSAGE, MSG_NOSIGNAL);
		close(fd);
	}
	return NULL;
}

static int serve(void)
{
	struct server server = server_listening(AF_INET), dead = server_bind(AF_INET);
	pthread_t thread;

	for (int i = 0; i < 4; i++)
		REQUIRE(pthread_create(&thread, NULL, serve_run, &server) == 0);
	printf("%u %u\n", server_port(&server), server_port(&dead));
	fflush(stdout);
	pause();
	return 0;
}

static void address_fill(struct sockaddr_in *address, const char *port)
{
	address->sin_family = AF_INET;
	address->sin_port = htons((uint16_t)atoi(port));
	address->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
}

static int busy(char **arguments)
{
	int log = open(arguments[2], O_RDWR);
	pthread_t thread;

	address_fill(&server_address, arguments[0]);
	address_fill(&dead_address, arguments[1]);
	outside = mmap(NULL, sizeof(*outside), PROT_READ | PROT_WRITE, MAP_SHARED, log, 0);
	REQUIRE(outside != MAP_FAILED);
	close(log);
	for (int i = 0; i < BLOCKING_THREADS; i++)
		REQUIRE(pthread_create(&thread, NULL, blocking_run, NULL) == 0);
	REQUIRE(pthread_create(&thread, NULL, nonblocking_run, NULL) == 0);
	refused_run(NULL);
	return 1;
}

int main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "serve") == 0)
		return serve();
	if (argc == 5 && strcmp(argv[1], "busy") == 0)
		return busy(argv + 2);
	return 64;
}
