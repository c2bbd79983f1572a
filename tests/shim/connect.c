/* SPDX-License-Identifier: MIT */
/* A blocking connect() whose server comes late, over every kind of socket. */
#include "net.h"
#include "peek.h"

#define LATE_MS 350

static void expect_recovered(void)
{
	EXPECT_COUNT(operations, 1);
	EXPECT_COUNT(succeeded, 1);
	EXPECT_COUNT(recovered, 1);
	EXPECT_COUNT(failures, 0);
	EXPECT_COUNT_WITHIN(retries, 1, 6);
	EXPECT_COUNTS_ADD_UP();
}

static void late_family(int family)
{
	struct server server = server_bind(family);
	int fd = stream_socket(&server);
	int64_t began = now_ms();
	char byte = 0;
	int peer;

	server_listen_after(&server, LATE_MS);
	EXPECT_IS(server_connect(&server, fd), 0);
	EXPECT_WITHIN(now_ms() - began, LATE_MS - 5, LATE_MS + 3000);
	peer = accept(server.fd, NULL, NULL);
	EXPECT_IS(send(fd, "x", 1, 0), 1);
	EXPECT_IS(recv(peer, &byte, 1, 0), 1);
	EXPECT_IS(byte, 'x');
	expect_recovered();
	EXPECT_SLOT(fd, state, SLOT_CONNECTED);
	EXPECT_SLOT(fd, sent_bytes, 1);
	EXPECT(peek_record(peek_process(getpid()), ENDPOINT_TCP,
			   family == AF_INET ? "127.0.0.1" : "::1", server_port(&server)));
}

static void late_tcp4(void)
{
	late_family(AF_INET);
}

static void late_tcp6(void)
{
	late_family(AF_INET6);
}

static void late_mapped(void)
{
	struct server server = server_bind(AF_INET);
	struct sockaddr_in6 mapped = { .sin6_family = AF_INET6 };
	int fd = socket(AF_INET6, SOCK_STREAM, 0);

	if (fd < 0)
		check_skip("there is no IPv6 here");
	mapped.sin6_port = server.address.v4.sin_port;
	inet_pton(AF_INET6, "::ffff:127.0.0.1", &mapped.sin6_addr);
	server_listen_after(&server, LATE_MS);
	EXPECT_IS(connect(fd, (struct sockaddr *)&mapped, sizeof(mapped)), 0);
	expect_recovered();
	EXPECT(peek_record(peek_process(getpid()), ENDPOINT_TCP, "127.0.0.1",
			   server_port(&server)));
}

static void server_up(void)
{
	struct server server = server_listening(AF_INET);
	int fd = stream_socket(&server);
	int64_t began = now_ms();

	EXPECT_IS(server_connect(&server, fd), 0);
	EXPECT_WITHIN(now_ms() - began, 0, 90);
	EXPECT_COUNT(operations, 1);
	EXPECT_COUNT(succeeded, 1);
	EXPECT_COUNT(recovered, 0);
	EXPECT_COUNT(retries, 0);
	EXPECT_COUNT(attempts, 1);
	EXPECT_COUNT(backoff_ns, 0);
}

static void second_connect(void)
{
	struct server server = server_listening(AF_INET);
	struct pair pair = pair_connect(&server);

	EXPECT_IS(server_connect(&server, pair.client), -1);
	EXPECT_ERRNO(EISCONN);
	EXPECT_COUNT(operations, 1);
	EXPECT_IS(send(pair.client, "x", 1, 0), 1);
}

static void socket_kept(void)
{
	struct server server = server_bind(AF_INET);
	struct sockaddr_in own = { .sin_family = AF_INET }, after;
	int fd = stream_socket(&server);
	socklen_t length;
	int one = 1, got = 0;

	own.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	/* A port that the kernel chose itself would be let go by the kernel at the refusal. */
	own.sin_port = htons((uint16_t)(10240 + getpid() % 20000));
	while (bind(fd, (struct sockaddr *)&own, sizeof(own)) < 0 && errno == EADDRINUSE)
		own.sin_port = htons((uint16_t)(ntohs(own.sin_port) + 1));
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	server_listen_after(&server, LATE_MS);
	EXPECT_IS(server_connect(&server, fd), 0);
	expect_recovered();
	length = sizeof(after);
	REQUIRE(getsockname(fd, (struct sockaddr *)&after, &length) == 0);
	EXPECT_IS(ntohs(after.sin_port), ntohs(own.sin_port));
	length = sizeof(got);
	getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &got, &length);
	EXPECT(got);
	EXPECT_IS(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
}

static void no_old_error(void)
{
	struct server server = server_bind(AF_INET);
	int fd = stream_socket(&server);
	struct pollfd wait = { .fd = fd, .events = POLLIN | POLLOUT };

	server_listen_after(&server, LATE_MS);
	EXPECT_IS(server_connect(&server, fd), 0);
	EXPECT_IS(poll(&wait, 1, 1000), 1);
	EXPECT_IS(wait.revents, POLLOUT);
	EXPECT_IS(socket_error(fd), 0);
}

/* ---- AF_UNIX ---------------------------------------------------------------------- */

static struct server unix_address(const char *name)
{
	struct server server = { .fd = socket(AF_UNIX, SOCK_STREAM, 0) };
	char *path = server.address.local.sun_path;

	server.address.any.sa_family = AF_UNIX;
	if (name)
		snprintf(path + 1, sizeof(server.address.local.sun_path) - 1, "%s-%d", name,
			 getpid());
	else
		snprintf(path, sizeof(server.address.local.sun_path), "%s/socket",
			 getenv("CHECK_DIR"));
	server.length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (name ? 1 : 0) +
				    strlen(path + (name ? 1 : 0)));
	unlink(path);
	return server;
}

static void bind_later(void *argument)
{
	const struct server *server = argument;

	sleep_ms(LATE_MS);
	bind(server->fd, &server->address.any, server->length);
	listen(server->fd, 10);
	sleep_ms(CHECK_LIMIT_MS);
}

static void late_unix(const char *name)
{
	struct server server = unix_address(name);
	int64_t began = now_ms();
	int fd = stream_socket(&server);

	helper_start(bind_later, &server);
	EXPECT_IS(server_connect(&server, fd), 0);
	EXPECT_WITHIN(now_ms() - began, LATE_MS - 5, LATE_MS + 3000);
	EXPECT_IS(write(fd, "abc", 3), 3);
	expect_recovered();
	EXPECT_SLOT(fd, sent_bytes, 3);
}

static void late_unix_path(void)
{
	late_unix(NULL);
}

static void late_unix_abstract(void)
{
	late_unix("holdfast-test");
}

static void late_unix_refused(void)
{
	struct server server = unix_address(NULL);
	int fd = stream_socket(&server);

	REQUIRE(bind(server.fd, &server.address.any, server.length) == 0);
	server_listen_after(&server, LATE_MS);
	EXPECT_IS(server_connect(&server, fd), 0);
	expect_recovered();
}

/* A full queue blocks a blocking connect(), so there is something to retry only at SO_SNDTIMEO. */
static void unix_queue_full(void)
{
	struct server server = unix_address(NULL);
	int64_t began;
	int fd = stream_socket(&server), filler = stream_socket(&server);

	REQUIRE(bind(server.fd, &server.address.any, server.length) == 0);
	REQUIRE(listen(server.fd, 0) == 0);
	REQUIRE(syscall(SYS_connect, filler, &server.address, server.length) == 0);
	send_timeout_ask(fd, 400);
	began = now_ms();
	EXPECT_IS(server_connect(&server, fd), -1);
	EXPECT_ERRNO(EAGAIN);
	EXPECT_WITHIN(now_ms() - began, 390, 1500);
	EXPECT_IS(send_timeout_ms(fd), 400);
}

static void unix_without_rule(void)
{
	struct server server = unix_address(NULL);
	int fd = stream_socket(&server);
	int64_t began = now_ms();
	struct stat status;

	EXPECT_IS(server_connect(&server, fd), -1);
	EXPECT_ERRNO(ENOENT);
	REQUIRE(bind(server.fd, &server.address.any, server.length) == 0);
	EXPECT_IS(server_connect(&server, fd), -1);
	EXPECT_ERRNO(ECONNREFUSED);
	REQUIRE(listen(server.fd, 1) == 0);
	EXPECT_IS(server_connect(&server, fd), 0);
	EXPECT_IS(write(fd, "abc", 3), 3);
	EXPECT_WITHIN(now_ms() - began, 0, 90);
	EXPECT_COUNT(operations, 0);
	EXPECT_COUNT(sent_bytes, 0);
	/* Under `standard` nothing even had to be attached. */
	if (!getenv("HOLDFAST_POLICY"))
		EXPECT(stat(peek_state_dir(), &status) < 0 && errno == ENOENT);
}

/* ---- UDP --------------------------------------------------------------------------- */

static void udp_counted(void)
{
	int receiver = socket(AF_INET, SOCK_DGRAM, 0), fd = socket(AF_INET, SOCK_DGRAM, 0);
	struct sockaddr_in address = { .sin_family = AF_INET };
	const struct endpoint_record *record;
	socklen_t length = sizeof(address);
	char buffer[16];

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	REQUIRE(bind(receiver, (struct sockaddr *)&address, length) == 0);
	REQUIRE(getsockname(receiver, (struct sockaddr *)&address, &length) == 0);
	EXPECT_IS(connect(fd, (struct sockaddr *)&address, length), 0);
	EXPECT_IS(send(fd, "12345", 5, 0), 5);
	EXPECT_IS(
		recvfrom(receiver, buffer, sizeof(buffer), 0, (struct sockaddr *)&address, &length),
		5);
	EXPECT_IS(sendto(receiver, "123", 3, 0, (struct sockaddr *)&address, length), 3);
	EXPECT_IS(recv(fd, buffer, sizeof(buffer), 0), 3);
	length = sizeof(address);
	REQUIRE(getsockname(receiver, (struct sockaddr *)&address, &length) == 0);
	record = peek_record(peek_process(getpid()), ENDPOINT_UDP, "127.0.0.1",
			     ntohs(address.sin_port));
	if (preloaded() && EXPECT(record != NULL)) {
		EXPECT_IS(record->counters[COUNTER_operations], 1);
		EXPECT_IS(record->counters[COUNTER_succeeded], 1);
	}
	/* The receiver's socket was never connected, so it is not managed. */
	EXPECT_COUNT(sent_bytes, 5);
	EXPECT_COUNT(received_bytes, 3);
}

/* A UDP socket may change its peer; every connect() is an operation of its own. */
static void udp_again(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(9) };
	const struct sockaddr nowhere = { .sa_family = AF_UNSPEC };
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	EXPECT_IS(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	address.sin_port = htons(10);
	EXPECT_IS(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	EXPECT_IS(connect(fd, &nowhere, sizeof(nowhere)), 0);
	EXPECT_IS(send(fd, "x", 1, 0), -1);
	EXPECT_ERRNO(EDESTADDRREQ);
	EXPECT_COUNT(operations, 2);
	EXPECT_COUNT(succeeded, 2);
	EXPECT_COUNTS_ADD_UP();
}

#define PLAIN CHECK_ALSO_PLAIN

static const struct check_case cases[] = {
	{ "TCP over IPv4: a late server is waited for", late_tcp4, POLICY_PATIENT, NULL, 0 },
	{ "TCP over IPv6: a late server is waited for", late_tcp6, POLICY_PATIENT, NULL, 0 },
	{ "a v4-mapped address is waited for and counted as IPv4", late_mapped, POLICY_PATIENT,
	  NULL, 0 },
	{ "a server that is up costs no retry", server_up, POLICY_PATIENT, NULL, PLAIN },
	{ "connect() on a connected socket says EISCONN and is no operation", second_connect,
	  POLICY_PATIENT, NULL, PLAIN },
	{ "bound port, options and blocking mode survive the retries", socket_kept, POLICY_PATIENT,
	  NULL, 0 },
	{ "after a recovery poll() reports no old error", no_old_error, POLICY_PATIENT, NULL, 0 },
	{ "AF_UNIX by a rule: a path that does not exist yet (ENOENT)", late_unix_path, POLICY_UNIX,
	  NULL, 0 },
	{ "AF_UNIX by a rule: an abstract name", late_unix_abstract, POLICY_UNIX, NULL, 0 },
	{ "AF_UNIX by a rule: nobody listens yet (ECONNREFUSED)", late_unix_refused, POLICY_UNIX,
	  NULL, 0 },
	{ "AF_UNIX by a rule: a full queue, EAGAIN at the caller's SO_SNDTIMEO", unix_queue_full,
	  POLICY_UNIX, NULL, PLAIN },
	{ "AF_UNIX without a rule is left alone and leaves no state, no policy", unix_without_rule,
	  NULL, NULL, PLAIN },
	{ "AF_UNIX without a rule is left alone, a policy of TCP only", unix_without_rule,
	  POLICY_PATIENT, NULL, PLAIN },
	{ "UDP: connect and bytes are counted as udp:", udp_counted, NULL, NULL, PLAIN },
	{ "UDP: a change of peer is an operation, dissolving is none", udp_again, NULL, NULL,
	  PLAIN },
};

CHECK_MAIN(cases)
