/* SPDX-License-Identifier: MIT */
/*
 * Thousands of sockets that are connecting in one epoll set.
 *
 *	crowd hold SOCKETS SECONDS ADDRESSES   to a port that nobody listens on, of so many
 *	                                       addresses: what it costs to do nothing
 *	crowd rise SOCKETS SECONDS             to a server that comes up after so many
 *	                                       seconds: how long they take to notice
 *
 * Prints a word and a number a line. Exit code 77: it cannot be tried here, with the
 * reason on standard error.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common.h"

#define SOCKETS_MAX 20000
#define SPARE_FDS 64
#define EVENTS 64
#define PATIENCE_MS 20000

/* What the server process tells. */
struct server {
	_Atomic int64_t up_ms; /* 0: not yet */
	_Atomic unsigned int accepted;
};

static struct crowd {
	unsigned int count;
	int fds[SOCKETS_MAX];
	int set;
	unsigned int connected, failed;
	uint64_t events;
	int last_error;
} crowd;

static struct sockaddr_in address = { .sin_family = AF_INET };

static uint64_t cpu_us(void)
{
	struct timespec used;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
	return (uint64_t)used.tv_sec * 1000000 + (uint64_t)used.tv_nsec / 1000;
}

struct memory {
	uint64_t own;  /* bytes */
	uint64_t ring; /* of the events, which all processes share and which does not grow */
};

/*
 * Memory that is there for this process alone: dirty pages, and shared ones that only
 * it maps to write to, even when they have been written back already.
 */
static struct memory memory_now(void)
{
	FILE *smaps = fopen("/proc/self/smaps", "re");
	struct memory memory = { 0, 0 };
	bool shared_writable = false, is_ring = false;
	char line[512], mode[5];
	uint64_t kib;

	if (!smaps)
		give_up("/proc/self/smaps");
	while (fgets(line, sizeof(line), smaps)) {
		if (sscanf(line, "%*x-%*x %4s ", mode) == 1) {
			shared_writable = mode[1] == 'w' && mode[3] == 's';
			is_ring = shared_writable && strstr(line, "/events\n");
		} else if (sscanf(line, "Private_Dirty: %" SCNu64 " kB", &kib) == 1 ||
			   (shared_writable &&
			    sscanf(line, "Private_Clean: %" SCNu64 " kB", &kib) == 1)) {
			*(is_ring ? &memory.ring : &memory.own) += kib * 1024;
		}
	}
	fclose(smaps);
	return memory;
}

static void say(const char *word, uint64_t number)
{
	printf("%s %" PRIu64 "\n", word, number);
	fflush(stdout);
}

/* ---- the server ------------------------------------------------------------------------------ */

static void fds_allow(unsigned int count)
{
	struct rlimit limit;

	getrlimit(RLIMIT_NOFILE, &limit);
	if (limit.rlim_cur >= count)
		return;
	limit.rlim_cur = count;
	if (limit.rlim_max < count)
		limit.rlim_max = count;
	if (setrlimit(RLIMIT_NOFILE, &limit) == 0)
		return;
	fprintf(stderr, "%u descriptors are not allowed: %s\n", count, strerror(errno));
	exit(77);
}

/* A port of all of 127.0.0.0/8 that is ours. Below the ephemeral range nothing connects to itself. */
static int server_bind(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	uint64_t random = draw_seed((uint64_t)getpid(), 0);

	for (int tries = 0; fd >= 0 && tries < 200; tries++) {
		address.sin_port = htons((uint16_t)(10240 + draw(&random, 22000)));
		if (bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
			return fd;
	}
	give_up("a server's port");
}

/* Listens once it is told to, with room for all of them at once, and keeps whatever comes. */
static _Noreturn void server_run(int fd, int told, struct server *server)
{
	char byte;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (read(told, &byte, 1) != 1)
		_exit(1);
	atomic_store(&server->up_ms, now_ms());
	if (listen(fd, SOCKETS_MAX) < 0)
		give_up("listen");
	while (accept4(fd, NULL, NULL, SOCK_CLOEXEC) >= 0)
		atomic_fetch_add(&server->accepted, 1);
	give_up("accept");
}

static struct server *server_start(int fd, int *tell, pid_t *pid)
{
	struct server *server = mmap(NULL, sizeof(*server), PROT_READ | PROT_WRITE,
				     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int ends[2];

	if (server == MAP_FAILED || pipe2(ends, O_CLOEXEC) < 0)
		give_up("a server");
	*pid = fork();
	if (*pid < 0)
		give_up("fork");
	if (*pid == 0) {
		close(ends[1]);
		server_run(fd, ends[0], server);
	}
	close(ends[0]);
	*tell = ends[1];
	return server;
}

/* ---- the crowd ------------------------------------------------------------------------------- */

static void crowd_add(unsigned int count, unsigned int addresses)
{
	for (unsigned int i = crowd.count; i < crowd.count + count; i++) {
		struct epoll_event event = { .events = EPOLLIN | EPOLLOUT, .data.u32 = i };
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

		if (fd < 0)
			give_up("socket");
		address.sin_addr.s_addr = htonl(INADDR_LOOPBACK + i % addresses);
		if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0 ||
		    errno != EINPROGRESS)
			give_up("connect");
		if (epoll_ctl(crowd.set, EPOLL_CTL_ADD, fd, &event) < 0)
			give_up("epoll_ctl");
		crowd.fds[i] = fd;
	}
	crowd.count += count;
}

/* Its outcome; it stays open, so that what it costs stays. */
static void crowd_told(unsigned int index)
{
	int fd = crowd.fds[index], error = 0;
	socklen_t length = sizeof(error);
	struct sockaddr_in peer;

	getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length);
	length = sizeof(peer);
	if (!error && getpeername(fd, (struct sockaddr *)&peer, &length) < 0)
		error = errno;
	if (error) {
		crowd.failed++;
		crowd.last_error = error;
	} else {
		crowd.connected++;
	}
	epoll_ctl(crowd.set, EPOLL_CTL_DEL, fd, NULL);
}

/* Until the time is over or, if the crowd is to end, all have. */
static void crowd_wait(int64_t end_ms, bool ends)
{
	struct epoll_event events[EVENTS];
	int64_t left;

	while ((left = end_ms - now_ms()) > 0 &&
	       !(ends && crowd.connected + crowd.failed == crowd.count)) {
		int count = epoll_wait(crowd.set, events, EVENTS, (int)left);

		if (count < 0)
			give_up("epoll_wait");
		crowd.events += (uint64_t)count;
		for (int i = 0; i < count; i++)
			crowd_told(events[i].data.u32);
	}
}

static void crowd_say(void)
{
	say("connected", crowd.connected);
	say("failed", crowd.failed);
	say("events", crowd.events);
	if (crowd.last_error)
		fprintf(stderr, "the last error: %s\n", strerror(crowd.last_error));
}

static void hold(unsigned int count, unsigned int seconds, unsigned int addresses)
{
	/* What the first ones cost is there once, however many follow. */
	unsigned int first = count / 10;
	struct memory some, all;
	uint64_t cpu_first, cpu_made;
	int64_t made_ms;

	server_bind();
	crowd_add(first, addresses);
	crowd_wait(now_ms() + 100, false);
	some = memory_now();
	cpu_first = cpu_us();
	crowd_add(count - first, addresses);
	cpu_made = cpu_us();
	made_ms = now_ms();
	crowd_wait(made_ms + seconds * INT64_C(1000), false);
	say("cpu_us", cpu_us() - cpu_made);
	say("cpu_with_connects_us", cpu_us() - cpu_first);
	say("wall_ms", (uint64_t)(now_ms() - made_ms));
	all = memory_now();
	say("further", count - first);
	say("memory_further", all.own - some.own);
	say("ring_further", all.ring - some.ring);
	crowd_say();
}

static void rise(unsigned int count, unsigned int seconds)
{
	struct server *server;
	int fd = server_bind(), tell;
	pid_t pid;

	server = server_start(fd, &tell, &pid);
	close(fd);
	crowd_add(count, 1);
	crowd_wait(now_ms() + seconds * INT64_C(1000), false);
	say("early", crowd.connected + crowd.failed);
	if (write(tell, "", 1) != 1)
		give_up("the server");
	crowd_wait(now_ms() + PATIENCE_MS, true);
	say("slowest_ms", (uint64_t)(now_ms() - atomic_load(&server->up_ms)));
	crowd_say();
	/* Whatever else it accepted in the meantime would be there by now. */
	usleep(200000);
	say("accepted", atomic_load(&server->accepted));
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

int main(int argc, char **argv)
{
	unsigned int count = argc > 3 ? (unsigned int)strtoul(argv[2], NULL, 10) : 0;
	unsigned int seconds = argc > 3 ? (unsigned int)strtoul(argv[3], NULL, 10) : 0;

	if (count < 10 || count > SOCKETS_MAX - SPARE_FDS) {
		fputs("usage: crowd hold SOCKETS SECONDS ADDRESSES\n"
		      "       crowd rise SOCKETS SECONDS\n",
		      stderr);
		return 64;
	}
	fds_allow(count + SPARE_FDS);
	crowd.set = epoll_create1(EPOLL_CLOEXEC);
	if (crowd.set < 0)
		give_up("epoll_create1");
	if (strcmp(argv[1], "hold") == 0 && argc == 5)
		hold(count, seconds, (unsigned int)strtoul(argv[4], NULL, 10));
	else
		rise(count, seconds);
	return 0;
}
