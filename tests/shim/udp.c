/* SPDX-License-Identifier: MIT */
/*
 * Connected UDP sockets: that nobody is there is said by a later call, once, to
 * the program as without holdfast, and counted as an attempt that failed; the
 * operation stays the success that connect() was, and nothing is held.
 */
#include <sys/mman.h>
#include <sys/uio.h>

#include "net.h"
#include "peek.h"

/* Everything is retried for long: whoever is held does not come back in time. */
#define POLICY_HOLD POLICY_NETWORK("\"max_retries\":\"unlimited\",\"base_delay\":\"5s\"")

struct peer {
	int fd;
	union address address;
	socklen_t length;
};

/* A port that is bound, or was a moment ago. */
static struct peer peer_bind(int family)
{
	struct peer peer = { .length = family == AF_INET ? sizeof(peer.address.v4)
							 : sizeof(peer.address.v6) };

	peer.address.any.sa_family = (sa_family_t)family;
	if (family == AF_INET)
		peer.address.v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	else
		peer.address.v6.sin6_addr = in6addr_loopback;
	peer.fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	REQUIRE(peer.fd >= 0);
	if (bind(peer.fd, &peer.address.any, peer.length) < 0)
		check_skip("there is no ::1 here");
	REQUIRE(getsockname(peer.fd, &peer.address.any, &peer.length) == 0);
	return peer;
}

static void peer_leave(struct peer *peer)
{
	close(peer->fd);
}

static void peer_return(struct peer *peer)
{
	peer->fd = socket(peer->address.any.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	REQUIRE(bind(peer->fd, &peer->address.any, peer->length) == 0);
}

static int datagram_connect(const struct peer *peer)
{
	int fd = socket(peer->address.any.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct timeval timeout = { 5, 0 };

	REQUIRE(fd >= 0 && connect(fd, &peer->address.any, peer->length) == 0);
	/* No call here waits for longer, whatever becomes of it. */
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
	return fd;
}

/* A datagram that comes back as an error; loopback delivers both within the call. */
static void provoke(int fd)
{
	EXPECT_IS(send(fd, "x", 1, 0), 1);
}

static void expect_counts(unsigned int operations, unsigned int failed)
{
	EXPECT_COUNT(operations, operations);
	EXPECT_COUNT(attempts, operations);
	EXPECT_COUNT(succeeded, operations);
	EXPECT_COUNT(attempt_failures, failed);
	EXPECT_COUNT(failures, 0);
	EXPECT_COUNT(retries, 0);
	EXPECT_COUNT(backoff_ns, 0);
	EXPECT_COUNTS_ADD_UP();
}

static void expect_last_error(const struct peer *peer, int error)
{
	bool is_v6 = peer->address.any.sa_family == AF_INET6;
	const struct endpoint_record *record;

	if (!preloaded())
		return;
	record = peek_record(peek_process(getpid()), ENDPOINT_UDP, is_v6 ? "::1" : "127.0.0.1",
			     ntohs(peer->address.v4.sin_port));
	REQUIRE(record != NULL);
	EXPECT_IS(record->last_error, error);
	EXPECT_IS(record->last_error_at_ns != 0, error != 0);
}

/* ---- each call that can say it ------------------------------------------------------------ */

static char byte;
static struct iovec vector = { &byte, 1 };

static ssize_t by_recv(int fd)
{
	return recv(fd, &byte, 1, 0);
}

static ssize_t by_recv_dontwait(int fd)
{
	return recv(fd, &byte, 1, MSG_DONTWAIT);
}

static ssize_t by_recvfrom(int fd)
{
	return recvfrom(fd, &byte, 1, 0, NULL, NULL);
}

static ssize_t by_recvmsg(int fd)
{
	struct msghdr message = { .msg_iov = &vector, .msg_iovlen = 1 };

	return recvmsg(fd, &message, 0);
}

static ssize_t by_recvmmsg(int fd)
{
	struct mmsghdr messages = { .msg_hdr = { .msg_iov = &vector, .msg_iovlen = 1 } };

	return recvmmsg(fd, &messages, 1, 0, NULL);
}

static ssize_t by_read(int fd)
{
	return read(fd, &byte, 1);
}

static ssize_t by_readv(int fd)
{
	return readv(fd, &vector, 1);
}

static ssize_t by_send(int fd)
{
	return send(fd, "y", 1, 0);
}

static ssize_t by_sendto(int fd)
{
	return sendto(fd, "y", 1, 0, NULL, 0);
}

static ssize_t by_sendmsg(int fd)
{
	struct msghdr message = { .msg_iov = &vector, .msg_iovlen = 1 };

	return sendmsg(fd, &message, 0);
}

static ssize_t by_sendmmsg(int fd)
{
	struct mmsghdr messages = { .msg_hdr = { .msg_iov = &vector, .msg_iovlen = 1 } };

	return sendmmsg(fd, &messages, 1, 0);
}

static ssize_t by_write(int fd)
{
	return write(fd, "y", 1);
}

static ssize_t by_writev(int fd)
{
	return writev(fd, &vector, 1);
}

static const struct way {
	const char *name;
	ssize_t (*call)(int fd);
} ways[] = {
	{ "recv", by_recv },         { "recv MSG_DONTWAIT", by_recv_dontwait },
	{ "recvfrom", by_recvfrom }, { "recvmsg", by_recvmsg },
	{ "recvmmsg", by_recvmmsg }, { "read", by_read },
	{ "readv", by_readv },       { "send", by_send },
	{ "sendto", by_sendto },     { "sendmsg", by_sendmsg },
	{ "sendmmsg", by_sendmmsg }, { "write", by_write },
	{ "writev", by_writev },
};
#define WAYS (sizeof(ways) / sizeof(ways[0]))

/* ---- cases --------------------------------------------------------------------------------------- */

static void told_once_by(int family)
{
	struct peer peer = peer_bind(family);
	int64_t began = now_ms();

	peer_leave(&peer);
	for (unsigned int i = 0; i < WAYS; i++) {
		int fd = datagram_connect(&peer);
		int failures_before = check_failures;

		expect_last_error(&peer, i ? ECONNREFUSED : 0);
		provoke(fd);
		EXPECT_IS(ways[i].call(fd), -1);
		EXPECT_ERRNO(ECONNREFUSED);
		/* It was consumed. */
		EXPECT_IS(recv(fd, &byte, 1, MSG_DONTWAIT), -1);
		EXPECT_ERRNO(EAGAIN);
		EXPECT_SLOT(fd, state, SLOT_CONNECTED);
		EXPECT_SLOT(fd, last_error, ECONNREFUSED);
		expect_counts(i + 1, i + 1);
		close(fd);
		if (check_failures != failures_before)
			check_say("by %s", ways[i].name);
	}
	expect_last_error(&peer, ECONNREFUSED);
	EXPECT_WITHIN(now_ms() - began, 0, 4000);
}

static void told_once(void)
{
	told_once_by(AF_INET);
}

static void told_once_ipv6(void)
{
	told_once_by(AF_INET6);
}

/* The association stays, and the socket works again as soon as its peer does. */
static void peer_comes_and_goes(void)
{
	struct peer peer = peer_bind(AF_INET);
	int fd = datagram_connect(&peer);
	int64_t began = now_ms();

	for (unsigned int i = 1; i <= 3; i++) {
		EXPECT_IS(send(fd, "ab", 2, 0), 2);
		EXPECT_IS(bytes_waiting(peer.fd, 2), 2);
		peer_leave(&peer);
		provoke(fd);
		EXPECT_IS(send(fd, "lost", 4, 0), -1);
		EXPECT_ERRNO(ECONNREFUSED);
		expect_counts(1, i);
		peer_return(&peer);
	}
	EXPECT_IS(send(fd, "abc", 3, 0), 3);
	EXPECT_IS(bytes_waiting(peer.fd, 3), 3);
	EXPECT_COUNT(sent_bytes, 3 * 3 + 3);
	EXPECT_SLOT(fd, state, SLOT_CONNECTED);
	EXPECT_WITHIN(now_ms() - began, 0, 4000);
}

static void refused_for_ever(void)
{
	struct peer peer = peer_bind(AF_INET);
	unsigned int refused = 0;
	int fd;

	peer_leave(&peer);
	fd = datagram_connect(&peer);
	for (int i = 0; i < 100; i++)
		refused += send(fd, "x", 1, 0) < 0;
	/* The first goes out, the second is told of it, the third goes out. */
	EXPECT_IS(refused, 50);
	expect_counts(1, 50);
}

/* Errors that say nothing of the network. */
static void other_errors(void)
{
	struct peer peer = peer_bind(AF_INET);
	static char large[70000];
	int fd = datagram_connect(&peer);

	EXPECT_IS(recv(fd, &byte, 1, MSG_DONTWAIT), -1);
	EXPECT_ERRNO(EAGAIN);
	EXPECT_IS(send(fd, large, sizeof(large), 0), -1);
	EXPECT_ERRNO(EMSGSIZE);
	EXPECT_IS(shutdown(fd, SHUT_WR), 0);
	EXPECT_IS(send(fd, "x", 1, MSG_NOSIGNAL), -1);
	EXPECT_ERRNO(EPIPE);
	expect_last_error(&peer, 0);
	expect_counts(1, 0);
}

/* Nobody connected it, so nobody is told. */
static void not_connected(void)
{
	struct peer peer = peer_bind(AF_INET);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	peer_leave(&peer);
	for (int i = 0; i < 4; i++)
		EXPECT_IS(sendto(fd, "x", 1, 0, &peer.address.any, peer.length), 1);
	expect_counts(0, 0);
}

static void classified_otherwise(void)
{
	struct peer peer = peer_bind(AF_INET);
	int fd;

	peer_leave(&peer);
	fd = datagram_connect(&peer);
	provoke(fd);
	EXPECT_IS(recv(fd, &byte, 1, 0), -1);
	EXPECT_ERRNO(ECONNREFUSED);
	expect_counts(1, 0);
	expect_last_error(&peer, 0);
}

static void bypassed(void)
{
	struct peer peer = peer_bind(AF_INET);
	int fd;

	peer_leave(&peer);
	fd = datagram_connect(&peer);
	provoke(fd);
	EXPECT_IS(recv(fd, &byte, 1, 0), -1);
	EXPECT_ERRNO(ECONNREFUSED);
	expect_counts(0, 0);
}

/* An inherited socket: the words that count it are its parent's, as those of bytes are. */
static void refused_to_a_child(void)
{
	struct peer peer = peer_bind(AF_INET);
	pid_t pid;
	int fd;

	peer_leave(&peer);
	fd = datagram_connect(&peer);
	pid = fork();
	if (pid == 0) {
		provoke(fd);
		check_exit(recv(fd, &byte, 1, 0) < 0 && errno == ECONNREFUSED ? 0 : 1);
	}
	EXPECT_IS(child_wait(pid), 0);
	expect_counts(1, 1);
}

/* A parent and its child count in one record at once, and none of it is lost. */
static void refused_to_both(void)
{
	unsigned int *refusals = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
				      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct peer peer = peer_bind(AF_INET);
	int fds[2];
	pid_t pid;

	REQUIRE(refusals != MAP_FAILED);
	peer_leave(&peer);
	for (int i = 0; i < 2; i++)
		fds[i] = datagram_connect(&peer);
	pid = fork();
	for (int i = 0, mine = pid == 0; i < 300000; i++)
		refusals[mine] += send(fds[mine], "x", 1, 0) < 0 && errno == ECONNREFUSED;
	if (pid == 0)
		check_exit(0);
	EXPECT_IS(child_wait(pid), 0);
	EXPECT(refusals[0] > 0 && refusals[1] > 0);
	expect_counts(2, refusals[0] + refusals[1]);
}

/* A handler that interrupts finds errno as it was, and so does the interrupted. */
static int handler_fd;
static void on_signal(int number)
{
	(void)number;
	provoke(handler_fd);
	if (recv(handler_fd, &byte, 1, 0) >= 0 || errno != ECONNREFUSED)
		check_failures++;
	errno = EDOM;
}

static void refused_in_a_handler(void)
{
	struct peer peer = peer_bind(AF_INET);

	peer_leave(&peer);
	handler_fd = datagram_connect(&peer);
	signal(SIGUSR1, on_signal);
	raise(SIGUSR1);
	expect_counts(1, 1);
}

/* TCP's refusals are another matter: one operation that failed. */
static void streams_are_no_datagrams(void)
{
	struct server server = server_listening(AF_INET);
	struct pair pair = pair_connect(&server);
	struct linger reset = { 1, 0 };

	EXPECT_IS(send(pair.client, &byte, 1, 0), 1);
	EXPECT_IS(recv(pair.peer, &byte, 1, 0), 1);
	setsockopt(pair.peer, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	close(pair.peer);
	EXPECT_IS(recv(pair.client, &byte, 1, 0), -1);
	EXPECT_ERRNO(ECONNRESET);
	EXPECT_COUNT(attempt_failures, 0);
}

#define CASE(name, run) CASE_TOLD(name, run, POLICY_HOLD)

static const struct check_case cases[] = {
	CASE("a refusal is told once by every call, and counted", told_once),
	CASE("over IPv6 as well", told_once_ipv6),
	CASE("a peer comes and goes, the socket goes on", peer_comes_and_goes),
	CASE("every second of a hundred datagrams is refused", refused_for_ever),
	CASE("errors that are not of the network are not counted", other_errors),
	CASE("a socket that was not connected", not_connected),
	{ "ECONNREFUSED classified as permanent is not counted", classified_otherwise,
	  "{\"version\":1,\"defaults\":{\"classify\":{\"ECONNREFUSED\":\"permanent\"}}}", NULL,
	  CHECK_ALSO_PLAIN },
	{ "a rule that bypasses it: nothing is counted", bypassed,
	  "{\"version\":1,\"rules\":[{\"name\":\"us\",\"match\":{\"addresses\":[\"127.0.0.1\"]},"
	  "\"action\":\"bypass\"}]}",
	  NULL, CHECK_ALSO_PLAIN },
	CASE("an inherited socket is refused in a child", refused_to_a_child),
	CASE("a parent and its child are refused at once", refused_to_both),
	CASE("in a signal handler", refused_in_a_handler),
	CASE("a connection that is reset is none of these", streams_are_no_datagrams),
};

CHECK_MAIN(cases)
