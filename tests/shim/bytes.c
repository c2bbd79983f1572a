/* SPDX-License-Identifier: MIT */
/* Every call that moves bytes on a socket counts exactly those bytes on its connection. */
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/uio.h>

#include "net.h"
#include "peek.h"

/* What programs built with _FORTIFY_SOURCE call; declared nowhere. */
ssize_t __read_chk(int fd, void *data, size_t size, size_t room);
ssize_t __recv_chk(int fd, void *data, size_t size, size_t room, int flags);
ssize_t __recvfrom_chk(int fd, void *data, size_t size, size_t room, int flags,
		       struct sockaddr *peer, socklen_t *length);
/* The names that a large-file build calls. */
ssize_t preadv64v2(int fd, const struct iovec *vector, int count, off64_t offset, int flags);
ssize_t pwritev64v2(int fd, const struct iovec *vector, int count, off64_t offset, int flags);

static char data[4096];
static struct iovec vectors[3] = { { data, 100 }, { data + 100, 20 }, { data + 120, 3 } };

/* A file of 4,096 bytes, read from its start. */
static int file_open(void)
{
	int fd = open(getenv("CHECK_DIR"), O_TMPFILE | O_RDWR, 0600);

	REQUIRE(fd >= 0 && pwrite(fd, data, sizeof(data), 0) == (ssize_t)sizeof(data));
	return fd;
}

/* ---- each sends or receives, and returns how much --------------------------------------- */

static ssize_t by_send(int fd)
{
	return send(fd, data, 77, 0);
}

static ssize_t by_sendto(int fd)
{
	return sendto(fd, data, 78, 0, NULL, 0);
}

static ssize_t by_sendmsg(int fd)
{
	struct msghdr message = { .msg_iov = vectors, .msg_iovlen = 3 };

	return sendmsg(fd, &message, 0);
}

static ssize_t by_sendmmsg(int fd)
{
	struct mmsghdr messages[2] = {
		{ .msg_hdr = { .msg_iov = vectors, .msg_iovlen = 3 } },
		{ .msg_hdr = { .msg_iov = vectors, .msg_iovlen = 2 } },
	};

	return sendmmsg(fd, messages, 2, 0) == 2 ? 123 + 120 : -1;
}

static ssize_t by_write(int fd)
{
	return write(fd, data, 79);
}

static ssize_t by_writev(int fd)
{
	return writev(fd, vectors, 3);
}

static ssize_t by_pwritev2(int fd)
{
	return pwritev2(fd, vectors, 3, -1, 0);
}

static ssize_t by_pwritev64v2(int fd)
{
	return pwritev64v2(fd, vectors, 3, -1, 0);
}

static ssize_t by_sendfile(int fd)
{
	int file = file_open();
	off_t offset = 96;
	ssize_t n = sendfile(fd, file, &offset, 1000);

	close(file);
	return n;
}

static ssize_t by_sendfile64(int fd)
{
	int file = file_open();
	off64_t offset = 3996;
	ssize_t n = sendfile64(fd, file, &offset, 1000);

	close(file);
	return n;
}

static ssize_t by_splice_out(int fd)
{
	int pipes[2];
	ssize_t n;

	REQUIRE(pipe(pipes) == 0 && write(pipes[1], data, 333) == 333);
	n = splice(pipes[0], NULL, fd, NULL, 333, 0);
	close(pipes[0]);
	close(pipes[1]);
	return n;
}

static ssize_t by_send_more(int fd)
{
	ssize_t n = send(fd, data, 10, MSG_MORE);

	return n + send(fd, data, 11, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static ssize_t by_recv(int fd)
{
	return recv(fd, data, 41, 0);
}

static ssize_t by_recvfrom(int fd)
{
	return recvfrom(fd, data, 42, 0, NULL, NULL);
}

static ssize_t by_recvmsg(int fd)
{
	struct msghdr message = { .msg_iov = vectors, .msg_iovlen = 3 };

	return recvmsg(fd, &message, 0);
}

static ssize_t by_recvmmsg(int fd)
{
	struct mmsghdr messages[2] = {
		{ .msg_hdr = { .msg_iov = vectors, .msg_iovlen = 2 } },
		{ .msg_hdr = { .msg_iov = vectors, .msg_iovlen = 1 } },
	};

	return recvmmsg(fd, messages, 2, 0, NULL) == 2 ? 120 + 100 : -1;
}

static ssize_t by_read(int fd)
{
	return read(fd, data, 43);
}

static ssize_t by_readv(int fd)
{
	return readv(fd, vectors, 3);
}

static ssize_t by_preadv2(int fd)
{
	return preadv2(fd, vectors, 3, -1, 0);
}

static ssize_t by_preadv64v2(int fd)
{
	return preadv64v2(fd, vectors, 3, -1, 0);
}

static ssize_t by_splice_in(int fd)
{
	int pipes[2];
	ssize_t n;

	REQUIRE(pipe(pipes) == 0);
	n = splice(fd, NULL, pipes[1], NULL, 222, 0);
	close(pipes[0]);
	close(pipes[1]);
	return n;
}

static ssize_t by_read_chk(int fd)
{
	return __read_chk(fd, data, 44, sizeof(data));
}

static ssize_t by_recv_chk(int fd)
{
	return __recv_chk(fd, data, 45, sizeof(data), 0);
}

static ssize_t by_recvfrom_chk(int fd)
{
	return __recvfrom_chk(fd, data, 46, sizeof(data), 0, NULL, NULL);
}

/* What is only looked at is not received yet. */
static ssize_t by_peek(int fd)
{
	struct msghdr message = { .msg_iov = vectors, .msg_iovlen = 3 };
	struct mmsghdr messages = { .msg_hdr = message };

	EXPECT_IS(recv(fd, data, 50, MSG_PEEK), 50);
	EXPECT_IS(recvfrom(fd, data, 51, MSG_PEEK, NULL, NULL), 51);
	EXPECT_IS(recvmsg(fd, &message, MSG_PEEK), 123);
	EXPECT_IS(recvmmsg(fd, &messages, 1, MSG_PEEK, NULL), 1);
	EXPECT_IS(__recv_chk(fd, data, 52, sizeof(data), MSG_PEEK), 52);
	EXPECT_IS(__recvfrom_chk(fd, data, 53, sizeof(data), MSG_PEEK, NULL, NULL), 53);
	return recv(fd, data, 54, 0);
}

/* Looks at the error queue, where nothing is. */
static ssize_t by_errqueue(int fd)
{
	EXPECT_IS(recv(fd, data, 50, MSG_ERRQUEUE | MSG_DONTWAIT), -1);
	return 0;
}

static ssize_t by_truncated(int fd)
{
	return recv(fd, NULL, 60, MSG_TRUNC);
}

struct way {
	const char *name;
	ssize_t (*move)(int fd);
	int64_t expected;
	bool sends;
};

static const struct way ways[] = {
	{ "send", by_send, 77, true },
	{ "sendto", by_sendto, 78, true },
	{ "sendmsg", by_sendmsg, 123, true },
	{ "sendmmsg", by_sendmmsg, 243, true },
	{ "write", by_write, 79, true },
	{ "writev", by_writev, 123, true },
	{ "pwritev2 at -1", by_pwritev2, 123, true },
	{ "pwritev64v2 at -1", by_pwritev64v2, 123, true },
	{ "sendfile", by_sendfile, 1000, true },
	{ "sendfile64, cut at the end of the file", by_sendfile64, 100, true },
	{ "splice out of a pipe", by_splice_out, 333, true },
	{ "send with flags", by_send_more, 21, true },
	{ "recv", by_recv, 41, false },
	{ "recvfrom", by_recvfrom, 42, false },
	{ "recvmsg", by_recvmsg, 123, false },
	{ "recvmmsg", by_recvmmsg, 220, false },
	{ "read", by_read, 43, false },
	{ "readv", by_readv, 123, false },
	{ "preadv2 at -1", by_preadv2, 123, false },
	{ "preadv64v2 at -1", by_preadv64v2, 123, false },
	{ "splice into a pipe", by_splice_in, 222, false },
	{ "__read_chk", by_read_chk, 44, false },
	{ "__recv_chk", by_recv_chk, 45, false },
	{ "__recvfrom_chk", by_recvfrom_chk, 46, false },
	{ "MSG_PEEK, six ways, then recv", by_peek, 54, false },
	{ "MSG_ERRQUEUE", by_errqueue, 0, false },
	{ "recv into nowhere, MSG_TRUNC", by_truncated, 60, false },
};
#define WAYS (sizeof(ways) / sizeof(ways[0]))

/*
 * Which fd the client has: whichever comes, or the first of those that are not in the
 * table of the first 1,024, or one far away.
 */
static const int numbers[] = { 0, 1024, 9000 };
#define NUMBERS (sizeof(numbers) / sizeof(numbers[0]))

static struct pair pair_at(const struct server *server, int number)
{
	struct rlimit limit;
	struct pair pair;
	int fd;

	if (!number)
		return pair_connect(server);
	REQUIRE(getrlimit(RLIMIT_NOFILE, &limit) == 0);
	limit.rlim_cur = limit.rlim_max;
	REQUIRE(setrlimit(RLIMIT_NOFILE, &limit) == 0);
	fd = stream_socket(server);
	pair.client = fcntl(fd, F_DUPFD_CLOEXEC, number);
	REQUIRE(pair.client == number && close(fd) == 0);
	REQUIRE(server_connect(server, pair.client) == 0);
	pair.peer = accept4(server->fd, NULL, NULL, SOCK_CLOEXEC);
	REQUIRE(pair.peer >= 0);
	return pair;
}

/* Between two of our own, so that a byte too many on either side shows. */
static void way_check(const struct way *way, int number)
{
	struct server server = server_listening(AF_INET);
	struct pair pair = pair_at(&server, number);

	if (!way->sends) {
		REQUIRE(send(pair.peer, data, 2000, 0) == 2000);
		bytes_waiting(pair.client, 2000);
	}
	EXPECT_IS(way->move(pair.client), way->expected);
	EXPECT_SLOT(pair.client, sent_bytes, way->sends ? way->expected : 0);
	EXPECT_SLOT(pair.client, received_bytes, way->sends ? 0 : way->expected);
	if (way->sends)
		EXPECT_IS(bytes_waiting(pair.peer, way->expected), way->expected);
	else
		EXPECT_IS(bytes_waiting(pair.client, 2000 - way->expected), 2000 - way->expected);
	EXPECT_COUNT(sent_bytes, way->sends ? way->expected : 0);
	EXPECT_COUNT(received_bytes, way->sends ? 0 : way->expected);
}

/* ---- further properties -------------------------------------------------------------------- */

static void failures_count_nothing(void)
{
	struct server server = server_listening(AF_INET);
	struct pair pair = pair_connect(&server);
	char byte;

	EXPECT_IS(recv(pair.client, &byte, 1, MSG_DONTWAIT), -1);
	EXPECT_ERRNO(EAGAIN);
	close(pair.peer);
	EXPECT_IS(recv(pair.client, &byte, 1, 0), 0);
	EXPECT_COUNT(received_bytes, 0);
}

/* The whole of a stream that is sent piecemeal, with short counts and EAGAIN. */
static void large_stream(void)
{
	struct server server = server_listening(AF_INET);
	struct pair pair = pair_connect(&server);
	char block[10000] = { 0 };
	int64_t sent = 0, received = 0;

	fcntl(pair.client, F_SETFL, O_NONBLOCK);
	while (sent < 20000000) {
		ssize_t n = write(pair.client, block, sizeof(block));

		if (n > 0) {
			sent += n;
			continue;
		}
		REQUIRE(errno == EAGAIN);
		n = read(pair.peer, block, sizeof(block));
		REQUIRE(n > 0);
		received += n;
	}
	EXPECT(received <= sent);
	EXPECT_SLOT(pair.client, sent_bytes, sent);
	EXPECT_COUNT(sent_bytes, sent);
	EXPECT_COUNT(received_bytes, 0);
}

/* Accepted sockets, pairs, pipes and files are not managed. */
static void others_count_nothing(void)
{
	struct server server = server_listening(AF_INET);
	struct pair pair = pair_connect(&server);
	int pipes[2], both[2];
	int file = file_open();

	REQUIRE(pipe(pipes) == 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, both) == 0);
	EXPECT_IS(write(pipes[1], data, 10), 10);
	EXPECT_IS(read(pipes[0], data, 10), 10);
	EXPECT_IS(send(both[0], data, 11, 0), 11);
	EXPECT_IS(recv(both[1], data, 11, 0), 11);
	EXPECT_IS(write(file, data, 12), 12);
	EXPECT_IS(send(pair.peer, data, 13, 0), 13);
	EXPECT_COUNT(sent_bytes, 0);
	EXPECT_COUNT(received_bytes, 0);
	EXPECT_IS(recv(pair.client, data, 100, 0), 13);
	EXPECT_COUNT(received_bytes, 13);
}

/* A slot that is used again starts from zero for its connection, and totals go on. */
static void two_in_one_slot(void)
{
	struct server server = server_listening(AF_INET);

	for (int i = 0; i < 5; i++) {
		struct pair pair = pair_connect(&server);
		const struct connection_slot *slot;

		EXPECT_IS(send(pair.client, data, 100, 0), 100);
		slot = preloaded() ? peek_slot(pair.client) : NULL;
		if (slot)
			EXPECT_IS(slot->sent_bytes - slot->sent_base, 100);
		EXPECT_COUNT(sent_bytes, (i + 1) * 100);
		close(pair.client);
		close(pair.peer);
	}
}

static const struct check_case properties[] = {
	{ "calls that fail or end the stream count nothing", failures_count_nothing, NULL, NULL,
	  CHECK_ALSO_PLAIN },
	{ "20 MB in short writes are counted to the byte", large_stream, NULL, NULL,
	  CHECK_ALSO_PLAIN },
	{ "other kinds of fd count nothing", others_count_nothing, NULL, NULL, CHECK_ALSO_PLAIN },
	{ "one connection after another: each its own, the sum of all", two_in_one_slot, NULL, NULL,
	  CHECK_ALSO_PLAIN },
};
#define PROPERTIES (sizeof(properties) / sizeof(properties[0]))

/* Each way on each number. */
static char names[NUMBERS][WAYS][80];
static const char *asked;

static void way_run(void)
{
	for (size_t n = 0; n < NUMBERS; n++)
		for (size_t i = 0; i < WAYS; i++)
			if (strcmp(names[n][i], asked) == 0)
				way_check(&ways[i], numbers[n]);
}

static void way_name(size_t n, size_t i)
{
	if (numbers[n])
		snprintf(names[n][i], sizeof(names[n][i]), "%s, on fd %d", ways[i].name,
			 numbers[n]);
	else
		snprintf(names[n][i], sizeof(names[n][i]), "%s", ways[i].name);
}

int main(int argc, char **argv)
{
	struct check_case cases[NUMBERS * WAYS + PROPERTIES];

	asked = argc > 1 ? argv[1] : "";
	for (size_t n = 0; n < NUMBERS; n++)
		for (size_t i = 0; i < WAYS; i++) {
			way_name(n, i);
			cases[n * WAYS + i] = (struct check_case){ names[n][i], way_run, NULL, NULL,
								   CHECK_ALSO_PLAIN };
		}
	memcpy(cases + NUMBERS * WAYS, properties, sizeof(properties));
	return check_main(argc, argv, cases, NUMBERS * WAYS + PROPERTIES);
}
