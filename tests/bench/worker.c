/* SPDX-License-Identifier: MIT */
/*
 * One side of a measurement: worker MODE [ARGUMENT].  For every line "N" on
 * standard input it does N operations and prints one number.  The driver (run)
 * holds one worker with the preload and one without, and asks them in turn, so
 * that both see the same machine.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CONNECTS_AT_ONCE 32 /* below every backlog */
#define LATENCIES_MAX 100000
#define PAGE_BYTES 4096
#define FDS_MANY 100
#define BULK_BYTES 65536
#define LINE_BYTES 128

static int client = -1, server = -1; /* two ends of one connection */
static int listener = -1;
static int other = -1; /* what a mode works on besides */
static struct pollfd watched[FDS_MANY];
static struct sockaddr_in address = { .sin_family = AF_INET };
static const char *argument;

static void die(const char *what)
{
	fprintf(stderr, "worker: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int check(int result, const char *what)
{
	if (result < 0)
		die(what);
	return result;
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static int stream_socket(void)
{
	return check(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket");
}

static void listener_setup(void)
{
	socklen_t length = sizeof(address);

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	listener = stream_socket();
	check(bind(listener, (struct sockaddr *)&address, sizeof(address)), "bind");
	check(listen(listener, 2 * CONNECTS_AT_ONCE), "listen");
	check(getsockname(listener, (struct sockaddr *)&address, &length), "getsockname");
}

static int connect_one(void)
{
	int fd = stream_socket();

	check(connect(fd, (struct sockaddr *)&address, sizeof(address)), "connect");
	return fd;
}

static int accept_one(void)
{
	return check(accept4(listener, NULL, NULL, SOCK_CLOEXEC), "accept4");
}

static void pair_setup(void)
{
	int on = 1;

	listener_setup();
	client = connect_one();
	server = accept_one();
	check(setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)), "TCP_NODELAY");
	check(setsockopt(server, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)), "TCP_NODELAY");
}

static void exchange_one(void)
{
	char byte = 'x';

	if (send(client, &byte, 1, 0) != 1 || recv(server, &byte, 1, 0) != 1 ||
	    send(server, &byte, 1, 0) != 1 || recv(client, &byte, 1, 0) != 1)
		die("exchange");
}

static uint64_t exchange_block(unsigned int n)
{
	uint64_t begin = now_ns();

	while (n--)
		exchange_one();
	return now_ns() - begin;
}

static char bulk[BULK_BYTES];     /* lines, as of a log */
static unsigned int bulk_answers; /* one for so many writes */

/* The buffers have a size, since how large they would become is luck, and counts for more than what
 * is measured. It is the one that one_way would choose. */
static void bulk_setup(void)
{
	int size = 4 * BULK_BYTES;

	for (size_t i = LINE_BYTES - 1; i < sizeof(bulk); i += LINE_BYTES)
		bulk[i] = '\n';
	bulk_answers = (unsigned int)strtoul(argument, NULL, 10);
	pair_setup();
	check(setsockopt(client, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)), "SO_SNDBUF");
	check(setsockopt(server, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size)), "SO_RCVBUF");
}

/* Both ends in turn, since two processes preempt each other as luck has it, too. What comes is
 * not looked at, so that the sender is most of what is measured. */
static uint64_t bulk_block(unsigned int n)
{
	uint64_t begin = now_ns();
	char byte = 'x';

	for (unsigned int i = 1; i <= n; i++) {
		if (send(client, bulk, sizeof(bulk), 0) != sizeof(bulk))
			die("bulk");
		for (ssize_t got, left = sizeof(bulk); left > 0; left -= got)
			if ((got = recv(server, NULL, (size_t)left, MSG_TRUNC)) <= 0)
				die("drain");
		if (i % bulk_answers == 0 &&
		    (send(server, &byte, 1, 0) != 1 || recv(client, &byte, 1, 0) != 1))
			die("answer");
	}
	return now_ns() - begin;
}

static int latency_order(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* The 99.9th percentile of n exchanges. */
static uint64_t latency_block(unsigned int n)
{
	static uint64_t latencies[LATENCIES_MAX];

	if (n == 0 || n > LATENCIES_MAX)
		exit(64);
	for (unsigned int i = 0; i < n; i++) {
		uint64_t begin = now_ns();

		exchange_one();
		latencies[i] = now_ns() - begin;
	}
	qsort(latencies, n, sizeof(latencies[0]), latency_order);
	return latencies[(uint64_t)n * 999 / 1000];
}

/* Only the client's calls are timed; the other end is emptied between the chunks. */
static uint64_t connect_block(unsigned int n)
{
	uint64_t total = 0;

	while (n > 0) {
		unsigned int chunk = n < CONNECTS_AT_ONCE ? n : CONNECTS_AT_ONCE;
		uint64_t begin = now_ns();

		for (unsigned int i = 0; i < chunk; i++)
			close(connect_one());
		total += now_ns() - begin;
		for (unsigned int i = 0; i < chunk; i++)
			close(accept_one());
		n -= chunk;
	}
	return total;
}

/* With a managed connection in the process, so that holdfast is at work. */
static void zero_setup(void)
{
	pair_setup();
	other = check(open("/dev/zero", O_RDONLY | O_CLOEXEC), "/dev/zero");
}

static uint64_t zero_block(unsigned int n)
{
	uint64_t begin = now_ns();
	char byte;

	while (n--)
		if (read(other, &byte, 1) != 1)
			die("read");
	return now_ns() - begin;
}

static void epoll_setup(void)
{
	struct epoll_event event = { .events = EPOLLIN };

	pair_setup();
	other = check(epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
	check(epoll_ctl(other, EPOLL_CTL_ADD, client, &event), "epoll_ctl");
}

static uint64_t epoll_block(unsigned int n)
{
	struct epoll_event event;
	uint64_t begin = now_ns();

	while (n--)
		if (epoll_wait(other, &event, 1, 0) != 0)
			die("epoll_wait");
	return now_ns() - begin;
}

static void poll_setup(void)
{
	pair_setup();
	watched[0] = (struct pollfd){ .fd = client, .events = POLLIN };
}

/* The same connection under many numbers: each of them is managed. */
static void poll_many_setup(void)
{
	pair_setup();
	for (size_t i = 0; i < FDS_MANY; i++)
		watched[i] = (struct pollfd){ .fd = check(dup(client), "dup"), .events = POLLIN };
}

static uint64_t poll_block_of(unsigned int n, nfds_t count)
{
	uint64_t begin = now_ns();

	while (n--)
		if (poll(watched, count, 0) != 0)
			die("poll");
	return now_ns() - begin;
}

static uint64_t poll_block(unsigned int n)
{
	return poll_block_of(n, 1);
}

static uint64_t poll_many_block(unsigned int n)
{
	return poll_block_of(n, FDS_MANY);
}

static uint64_t select_block(unsigned int n)
{
	uint64_t begin = now_ns();

	while (n--) {
		struct timeval zero = { 0, 0 };
		fd_set set;

		FD_ZERO(&set);
		FD_SET(client, &set);
		if (select(client + 1, &set, NULL, NULL, &zero) != 0)
			die("select");
	}
	return now_ns() - begin;
}

static void null_setup(void)
{
	pair_setup();
	other = check(open("/dev/null", O_WRONLY | O_CLOEXEC), "/dev/null");
}

static uint64_t write_block(unsigned int n)
{
	uint64_t begin = now_ns();

	while (n--)
		if (write(other, "x", 1) != 1)
			die("write");
	return now_ns() - begin;
}

/* The end that was accepted is not managed. Nothing is sent and nothing is there, so that the
 * calls are as short as they can be. */
static uint64_t send_block(unsigned int n)
{
	uint64_t begin = now_ns();

	while (n--)
		if (send(server, "", 0, MSG_DONTWAIT) != 0)
			die("send");
	return now_ns() - begin;
}

static uint64_t recv_block(unsigned int n)
{
	uint64_t begin = now_ns();
	char byte;

	while (n--)
		if (recv(server, &byte, 1, MSG_DONTWAIT) != -1)
			die("recv");
	return now_ns() - begin;
}

/* fork, exec of /bin/true with LD_PRELOAD=argument ("-": none), wait. */
static void exec_setup(void)
{
	if (strcmp(argument, "-") == 0)
		unsetenv("LD_PRELOAD");
	else
		setenv("LD_PRELOAD", argument, 1);
}

static uint64_t exec_block(unsigned int n)
{
	char *const argv[] = { (char[]){ "true" }, NULL };
	uint64_t begin = now_ns();

	while (n--) {
		int status;
		pid_t pid = check(fork(), "fork");

		if (pid == 0) {
			execve("/bin/true", argv, environ);
			_exit(127);
		}
		if (waitpid(pid, &status, 0) != pid || status != 0)
			die("/bin/true");
	}
	return now_ns() - begin;
}

static void port_setup(void)
{
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	address.sin_port = htons((uint16_t)strtoul(argument, NULL, 10));
}

/* The first socket and connect of the process, to a port that the driver listens on. */
static uint64_t first_block(unsigned int n)
{
	uint64_t begin = now_ns();
	int fd = connect_one();

	begin = now_ns() - begin;
	close(fd);
	return begin;
}

static void memory_setup(void)
{
	struct rlimit limit;

	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	listener_setup();
}

/* Opens n further connections, which stay, and sends a byte over each. */
static uint64_t memory_block(unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		client = connect_one();
		server = accept_one();
		exchange_one();
	}
	return n;
}

static void fsync_setup(void)
{
	other = check(open(argument, O_WRONLY | O_CREAT | O_CLOEXEC, 0600), argument);
}

/* Asked for anything it works for ever: the driver ends it. */
static uint64_t fsync_block(unsigned int n)
{
	static char page[PAGE_BYTES];

	while (n > 0) {
		page[0]++;
		if (pwrite(other, page, sizeof(page), 0) != sizeof(page) || fsync(other) < 0)
			die("fsync");
	}
	return 0;
}

static const struct {
	const char *name;
	void (*setup)(void);
	uint64_t (*block)(unsigned int n);
} modes[] = {
	{ "exchange", pair_setup, exchange_block },
	{ "bulk", bulk_setup, bulk_block },
	{ "latency", pair_setup, latency_block },
	{ "connect", listener_setup, connect_block },
	{ "zero", zero_setup, zero_block },
	{ "write", null_setup, write_block },
	{ "send", pair_setup, send_block },
	{ "recv", pair_setup, recv_block },
	{ "poll", poll_setup, poll_block },
	{ "poll-many", poll_many_setup, poll_many_block },
	{ "select", pair_setup, select_block },
	{ "epoll", epoll_setup, epoll_block },
	{ "exec", exec_setup, exec_block },
	{ "first", port_setup, first_block },
	{ "memory", memory_setup, memory_block },
	{ "fsync", fsync_setup, fsync_block },
};

int main(int argc, char **argv)
{
	char line[32];

	argument = argc > 2 ? argv[2] : "";
	for (size_t i = 0; argc > 1 && i < sizeof(modes) / sizeof(modes[0]); i++) {
		if (strcmp(argv[1], modes[i].name) != 0)
			continue;
		modes[i].setup();
		while (fgets(line, sizeof(line), stdin)) {
			unsigned int n = (unsigned int)strtoul(line, NULL, 10);

			printf("%llu\n", (unsigned long long)modes[i].block(n));
			fflush(stdout);
		}
		return 0;
	}
	fputs("usage: worker MODE [ARGUMENT]\n", stderr);
	return 64;
}
