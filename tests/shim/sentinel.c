/* SPDX-License-Identifier: MIT */
/* errno is changed by no call that succeeds, and no fd of ours is ever open. */
#include <dirent.h>
#include <linux/close_range.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/uio.h>

#include "net.h"
#include "peek.h"

ssize_t __read_chk(int fd, void *data, size_t size, size_t room);
ssize_t __recv_chk(int fd, void *data, size_t size, size_t room, int flags);
ssize_t __recvfrom_chk(int fd, void *data, size_t size, size_t room, int flags,
		       struct sockaddr *peer, socklen_t *length);
ssize_t preadv64v2(int fd, const struct iovec *vector, int count, off64_t offset, int flags);
ssize_t pwritev64v2(int fd, const struct iovec *vector, int count, off64_t offset, int flags);
extern int fcntl64(int fd, int command, ...);

#define SENTINEL 4711

/* The call succeeds and leaves errno alone. */
#define KEEPS(call)                         \
	do {                                \
		errno = SENTINEL;           \
		EXPECT((call) >= 0);        \
		EXPECT_IS(errno, SENTINEL); \
	} while (0)
#define KEEPS_VOID(call)                    \
	do {                                \
		errno = SENTINEL;           \
		(call);                     \
		EXPECT_IS(errno, SENTINEL); \
	} while (0)

static char bytes[64];
static struct iovec vector = { bytes, 4 };

static void keeps_transfers(int fd, int peer)
{
	struct msghdr message = { .msg_iov = &vector, .msg_iovlen = 1 };
	struct mmsghdr messages = { .msg_hdr = message };
	int file = open("/proc/self/exe", O_RDONLY), pipes[2];
	off_t offset = 0;
	off64_t offset64 = 0;

	REQUIRE(send(peer, bytes, sizeof(bytes), 0) == (ssize_t)sizeof(bytes) && pipe(pipes) == 0);
	bytes_waiting(fd, sizeof(bytes));
	KEEPS(send(fd, bytes, 4, 0));
	KEEPS(sendto(fd, bytes, 4, 0, NULL, 0));
	KEEPS(sendmsg(fd, &message, 0));
	KEEPS(sendmmsg(fd, &messages, 1, 0));
	KEEPS(write(fd, bytes, 4));
	KEEPS(writev(fd, &vector, 1));
	KEEPS(pwritev2(fd, &vector, 1, -1, 0));
	KEEPS(pwritev64v2(fd, &vector, 1, -1, 0));
	KEEPS(sendfile(fd, file, &offset, 4));
	KEEPS(sendfile64(fd, file, &offset64, 4));
	KEEPS(recv(fd, bytes, 4, MSG_PEEK));
	KEEPS(recv(fd, bytes, 4, 0));
	KEEPS(recvfrom(fd, bytes, 4, 0, NULL, NULL));
	KEEPS(recvmsg(fd, &message, 0));
	KEEPS(recvmmsg(fd, &messages, 1, 0, NULL));
	KEEPS(read(fd, bytes, 4));
	KEEPS(readv(fd, &vector, 1));
	KEEPS(preadv2(fd, &vector, 1, -1, 0));
	KEEPS(preadv64v2(fd, &vector, 1, -1, 0));
	KEEPS(__read_chk(fd, bytes, 4, sizeof(bytes)));
	KEEPS(__recv_chk(fd, bytes, 4, sizeof(bytes), 0));
	KEEPS(__recvfrom_chk(fd, bytes, 4, sizeof(bytes), 0, NULL, NULL));
	KEEPS(splice(fd, NULL, pipes[1], NULL, 4, 0));
	KEEPS(splice(pipes[0], NULL, fd, NULL, 4, 0));
}

static void keeps_the_rest(int fd)
{
	int on = 1, pair[2], copy, value;
	socklen_t length = sizeof(value);
	FILE *stream;

	KEEPS(getsockopt(fd, SOL_SOCKET, SO_ERROR, &value, &length));
	KEEPS(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)));
	KEEPS(fcntl(fd, F_SETFL, O_NONBLOCK));
	KEEPS(fcntl64(fd, F_SETFL, 0));
	KEEPS(ioctl(fd, FIONBIO, &on));
	on = 0;
	KEEPS(ioctl(fd, FIONBIO, &on));
	KEEPS(copy = dup(fd));
	KEEPS(dup2(fd, copy));
	KEEPS(dup3(fd, copy, O_CLOEXEC));
	stream = fdopen(copy, "r+");
	KEEPS(fclose(stream));
	KEEPS(copy = fcntl(fd, F_DUPFD, 2500));
	KEEPS(close(copy));
	KEEPS(copy = fcntl64(fd, F_DUPFD_CLOEXEC, 100));
	KEEPS(close_range((unsigned int)copy, (unsigned int)copy, 0));
	KEEPS(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	KEEPS(close(fd));
	KEEPS_VOID(closefrom(3));
}

static void keeps_errno(void)
{
	struct server server = server_listening(AF_INET);
	int fd, peer;

	KEEPS(fd = socket(AF_INET, SOCK_STREAM, 0));
	KEEPS(server_connect(&server, fd));
	KEEPS(peer = accept(server.fd, NULL, NULL));
	keeps_transfers(fd, peer);
	KEEPS(fd = socket(AF_INET, SOCK_STREAM, 0));
	KEEPS(server_connect(&server, fd));
	KEEPS(accept4(server.fd, NULL, NULL, SOCK_CLOEXEC));
	keeps_the_rest(fd);
	KEEPS(fd = socket(AF_INET, SOCK_DGRAM, 0));
	KEEPS(server_connect(&server, fd));
	KEEPS(fd = socket(AF_UNIX, SOCK_STREAM, 0));
	KEEPS(close(fd));
}

static void keeps_errno_of_recovery(void)
{
	struct server server = server_bind(AF_INET);
	int fd = stream_socket(&server);

	server_listen_after(&server, 250);
	KEEPS(server_connect(&server, fd));
	EXPECT_COUNT(recovered, 1);
	keeps_the_rest(fd);
}

static void keeps_errno_of_pending(void)
{
	struct server server = server_listening(AF_INET);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	struct pollfd wait = { .fd = fd, .events = POLLOUT };

	server_connect(&server, fd);
	poll(&wait, 1, 2000);
	KEEPS(send(fd, "x", 1, 0));
	fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	server_connect(&server, fd);
	wait.fd = fd;
	poll(&wait, 1, 2000);
	KEEPS(close(fd));
}

/* ---- open files ----------------------------------------------------------------------------- */

static int files_open(void)
{
	DIR *names = opendir("/proc/self/fd");
	int count = 0;

	while (readdir(names))
		count++;
	closedir(names);
	return count;
}

static void no_fd_of_ours(void)
{
	int before = files_open();
	struct server late = server_bind(AF_INET), server = server_listening(AF_INET);
	struct pair pair = pair_connect(&server);
	int fd = stream_socket(&late);

	server_listen_after(&late, 200);
	EXPECT_IS(server_connect(&late, fd), 0);
	EXPECT_IS(files_open(), before + 5);
	EXPECT_IS(pair.client, server.fd + 1);
	EXPECT_IS(fd, pair.peer + 1);
}

static void standard_fds_closed(void)
{
	struct server server;
	int fd, peer;

	close(0);
	close(1);
	close(2);
	server = server_bind(AF_INET);
	fd = stream_socket(&server);
	/* The numbers 0 and 1 are the program's sockets now, and 2 is free. */
	if (server.fd != 0 || fd != 1)
		check_exit(10);
	server_listen_after(&server, 250);
	if (server_connect(&server, fd) != 0)
		check_exit(11);
	peer = accept(server.fd, NULL, NULL);
	if (peer != 2 || send(fd, "abc", 3, 0) != 3 || recv(peer, bytes, 10, 0) != 3)
		check_exit(12);
	if (preloaded() && (peek_all().counters[COUNTER_recovered] != 1 ||
			    peek_all().counters[COUNTER_sent_bytes] != 3))
		check_exit(13);
}

/* 0, 1, 2 and the server's: one is left for the client's socket, none for us. */
static void four_files(void)
{
	struct rlimit limit = { 4, 4 };
	struct server server;
	int fd;

	closefrom(3);
	server = server_bind(AF_INET);
	REQUIRE(setrlimit(RLIMIT_NOFILE, &limit) == 0);
	close(0);
	fd = stream_socket(&server);
	EXPECT_IS(fd, 0);
	server_listen_after(&server, 250);
	EXPECT_IS(server_connect(&server, fd), 0);
	EXPECT_IS(send(fd, "abc", 3, 0), 3);
	EXPECT_IS(close(fd), 0);
}

static void four_files_refused(void)
{
	struct rlimit limit = { 4, 4 };
	struct server server;
	int fd;

	closefrom(3);
	server = server_bind(AF_INET);
	REQUIRE(setrlimit(RLIMIT_NOFILE, &limit) == 0);
	close(0);
	fd = stream_socket(&server);
	EXPECT_IS(server_connect(&server, fd), -1);
	EXPECT_ERRNO(ECONNREFUSED);
}

/* The kernel answers a write beyond the limit with a signal that ends the program. */
static void no_file_may_grow(void)
{
	struct rlimit limit = { 4096, 4096 };
	struct server server = server_bind(AF_INET);
	int fd = stream_socket(&server);
	sigset_t pending;

	REQUIRE(setrlimit(RLIMIT_FSIZE, &limit) == 0);
	server_listen_after(&server, 250);
	EXPECT_IS(server_connect(&server, fd), 0);
	EXPECT_IS(send(fd, "abc", 3, 0), 3);
	sigpending(&pending);
	EXPECT(!sigismember(&pending, SIGXFSZ));
}

/* The process file fits into the limit; the ring of events, made at the first retry, does not. */
static void few_files_may_grow(void)
{
	struct server server = server_bind(AF_INET), other = server_listening(AF_INET);
	struct rlimit limit = { 4096, 4096 };
	struct pair pair = pair_connect(&other);
	int fd = stream_socket(&server);

	REQUIRE(setrlimit(RLIMIT_FSIZE, &limit) == 0);
	server_listen_after(&server, 250);
	EXPECT_IS(server_connect(&server, fd), 0);
	EXPECT_IS(send(pair.client, "abc", 3, 0), 3);
	/* Nor can it grow by another chunk of slots. */
	for (int i = 0; i < 300; i++)
		pair = pair_connect(&other);
	EXPECT_IS(send(pair.client, "abc", 3, 0), 3);
	EXPECT_COUNT(sent_bytes, 6);
	EXPECT_COUNT(operations, 302);
}

/* All that is mapped must have memory: ours must not need much of it. */
static void little_memory(void)
{
	struct rlimit limit = { 64 << 20, 64 << 20 };
	struct server server = server_bind(AF_INET);
	int fd = stream_socket(&server);

	REQUIRE(setrlimit(RLIMIT_AS, &limit) == 0);
	server_listen_after(&server, 250);
	EXPECT_IS(server_connect(&server, fd), 0);
}

static const struct check_case cases[] = {
	{ "errno is kept by every call that succeeds", keeps_errno, NULL, NULL, CHECK_ALSO_PLAIN },
	{ "errno is kept by a connect() that recovered", keeps_errno_of_recovery, POLICY_PATIENT,
	  NULL, 0 },
	{ "errno is kept where a pending connect is settled", keeps_errno_of_pending,
	  POLICY_PATIENT, NULL, CHECK_ALSO_PLAIN },
	{ "no fd of ours is open, and no number is skipped", no_fd_of_ours, POLICY_PATIENT, NULL,
	  0 },
	{ "a program that closed 0, 1 and 2 uses them as its own", standard_fds_closed,
	  POLICY_PATIENT, NULL, 0 },
	{ "RLIMIT_NOFILE of 4: held all the same, nothing can be stored", four_files, NULL,
	  "HOLDFAST_BASE_DELAY=100ms HOLDFAST_LOG=off", 0 },
	{ "RLIMIT_FSIZE: no signal, held all the same", no_file_may_grow, NULL,
	  "HOLDFAST_BASE_DELAY=100ms HOLDFAST_LOG=off", 0 },
	{ "RLIMIT_FSIZE after the first connect: no signal, counted", few_files_may_grow,
	  POLICY_PATIENT, NULL, 0 },
	{ "RLIMIT_AS of 64 MiB: held", little_memory, NULL, "HOLDFAST_BASE_DELAY=100ms", 0 },
	{ "RLIMIT_NOFILE of 4: the errno is the program's", four_files_refused, NULL,
	  "HOLDFAST_MAX_RETRIES=1 HOLDFAST_BASE_DELAY=10ms HOLDFAST_LOG=off", CHECK_ALSO_PLAIN },
};

CHECK_MAIN(cases)
