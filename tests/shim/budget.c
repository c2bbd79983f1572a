/* SPDX-License-Identifier: MIT */
/* How often, how long and whether at all a refused blocking connect() is retried. */
#include "net.h"
#include "peek.h"

struct outcome {
	int result;
	int error;
	int64_t ms;
};

static struct outcome connect_to(const struct server *server, int fd)
{
	int64_t began = now_ms();
	struct outcome outcome;

	errno = 0;
	outcome.result = server_connect(server, fd);
	outcome.error = errno;
	outcome.ms = now_ms() - began;
	return outcome;
}

static struct outcome connect_dead(void)
{
	struct server server = server_bind(AF_INET);

	return connect_to(&server, stream_socket(&server));
}

static void expect_refused(struct outcome outcome, int64_t low_ms, int64_t high_ms)
{
	EXPECT_IS(outcome.result, -1);
	EXPECT_ERROR(outcome.error, ECONNREFUSED);
	EXPECT_WITHIN(outcome.ms, low_ms, high_ms);
	EXPECT_COUNT(operations, 1);
	EXPECT_COUNT(failures, 1);
	EXPECT_COUNT(recovered, 0);
	EXPECT_COUNTS_ADD_UP();
}

static void retries_exact(void)
{
	expect_refused(connect_dead(), 150, 1000);
	EXPECT_COUNT(attempts, 4);
	EXPECT_COUNT(attempt_failures, 4);
	EXPECT_COUNT(retries, 3);
	EXPECT_COUNT(retries_denied_limit, 1);
	EXPECT_COUNT(retries_denied_deadline, 0);
	EXPECT_COUNT_WITHIN(backoff_ns, 150000000, 1000000000);
}

static void retries_none(void)
{
	expect_refused(connect_dead(), 0, 90);
	EXPECT_COUNT(attempts, 1);
	EXPECT_COUNT(retries, 0);
	EXPECT_COUNT(backoff_ns, 0);
}

static void schedule(void)
{
	/* 100 + 200 + 300 (capped) + 300 */
	expect_refused(connect_dead(), 900, 1900);
	EXPECT_COUNT(attempts, 5);
}

static void schedule_jittered(void)
{
	/* four delays of 200 ms, each between half and one and a half of that */
	expect_refused(connect_dead(), 400, 2200);
	EXPECT_COUNT(attempts, 5);
}

static void deadline(void)
{
	/* at 0, 400, 800, and once more at the deadline of 1,000 ms */
	expect_refused(connect_dead(), 1000, 1800);
	EXPECT_COUNT(attempts, 4);
	EXPECT_COUNT(retries_denied_deadline, 1);
	EXPECT_COUNT(retries_denied_limit, 0);
}

static void deadline_last_attempt(void)
{
	struct server server = server_bind(AF_INET);

	/* Up at 600 ms, the next retry would be at 20 s, the deadline is at 900 ms. */
	server_listen_after(&server, 600);
	struct outcome outcome = connect_to(&server, stream_socket(&server));

	EXPECT_IS(outcome.result, 0);
	EXPECT_WITHIN(outcome.ms, 895, 1150);
	EXPECT_COUNT(recovered, 1);
}

static void deadline_first_attempt(void)
{
	struct server server = server_full();
	int fd = stream_socket(&server);
	struct outcome outcome;

	/* The kernel gives up after 1 + 2 s; the deadline is at 300 ms. */
	syn_retries(fd, 1);
	outcome = connect_to(&server, fd);
	EXPECT_IS(outcome.result, -1);
	EXPECT_ERROR(outcome.error, ETIMEDOUT);
	EXPECT_WITHIN(outcome.ms, 2500, 6000);
	EXPECT_COUNT(attempts, 1);
	EXPECT_COUNT(retries_denied_deadline, 1);
}

static void attempt_timeout(void)
{
	struct server server = server_full();
	int fd = stream_socket(&server);
	struct outcome outcome;

	/*
	 * A SYN is repeated only after 1 s: with attempts of 300 ms and 100 ms between
	 * them, those at 0 and 400 ms are lost and the one at 800 ms gets through.
	 */
	server_drain_after(&server, 600);
	outcome = connect_to(&server, fd);
	EXPECT_IS(outcome.result, 0);
	EXPECT_WITHIN(outcome.ms, 700, 990);
	EXPECT_COUNT(attempts, 3);
	EXPECT_COUNT(recovered, 1);
	EXPECT_IS(send_timeout_ms(fd), 0);
	EXPECT_IS(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
}

static void attempt_timeout_last(void)
{
	struct server server = server_full();
	int fd = stream_socket(&server);
	struct outcome outcome;

	/* Two attempts of 300 ms, and the last one to its own end after 3 s. */
	syn_retries(fd, 1);
	outcome = connect_to(&server, fd);
	EXPECT_IS(outcome.result, -1);
	EXPECT_ERROR(outcome.error, ETIMEDOUT);
	EXPECT_WITHIN(outcome.ms, 3200, 7000);
	EXPECT_COUNT(attempts, 3);
	EXPECT_COUNT(retries_denied_limit, 1);
	EXPECT_IS(send_timeout_ms(fd), 0);
}

static void attempt_timeout_only(void)
{
	struct server server = server_full();
	int fd = stream_socket(&server);
	struct outcome outcome;

	syn_retries(fd, 1);
	outcome = connect_to(&server, fd);
	EXPECT_ERROR(outcome.error, ETIMEDOUT);
	EXPECT_WITHIN(outcome.ms, 2500, 6000);
	EXPECT_COUNT(attempts, 1);
}

/* Told ETIMEDOUT, the socket is no longer connecting: as after the kernel's own timeout. */
static void given_up_for_good(void)
{
	struct server server = server_full();
	struct tcp_info info = { 0 };
	socklen_t length = sizeof(info);
	int fd = stream_socket(&server);
	struct outcome outcome;

	if (!preloaded())
		syn_retries(fd, 1);
	outcome = connect_to(&server, fd);
	EXPECT_IS(outcome.result, -1);
	EXPECT_ERROR(outcome.error, ETIMEDOUT);
	REQUIRE(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length) == 0);
	EXPECT_IS(info.tcpi_state, TCP_CLOSE);
	EXPECT_COUNT(retries_denied_deadline, 1);
}

static void multipath(void)
{
	struct server server = server_bind(AF_INET);
	int fd = socket(AF_INET, SOCK_STREAM, 262 /* IPPROTO_MPTCP */);
	struct outcome outcome;

	if (fd < 0)
		check_skip("this kernel has no MPTCP");
	server_listen_after(&server, 250);
	outcome = connect_to(&server, fd);
	EXPECT_IS(outcome.result, 0);
	EXPECT_IS(send(fd, "abc", 3, 0), 3);
	EXPECT_IS(bytes_waiting(accept(server.fd, NULL, NULL), 3), 3);
	EXPECT_COUNT(recovered, 1);
}

/* Category and decision, and what the program is told at once. */
static void not_retried(void)
{
	expect_refused(connect_dead(), 0, 90);
	EXPECT_COUNT(attempts, 1);
	EXPECT_COUNT(retries_denied_limit, 0);
}

static void retried_once(void)
{
	expect_refused(connect_dead(), 45, 900);
	EXPECT_COUNT(attempts, 2);
	EXPECT_COUNT(retries, 1);
}

static void bypassed(void)
{
	struct outcome outcome = connect_dead();

	EXPECT_ERROR(outcome.error, ECONNREFUSED);
	EXPECT_WITHIN(outcome.ms, 0, 90);
	EXPECT_COUNT(operations, 0);
	EXPECT_COUNT(attempts, 0);
}

static void inert(void)
{
	struct outcome outcome = connect_dead();
	struct stat status;

	EXPECT_ERROR(outcome.error, ECONNREFUSED);
	EXPECT_WITHIN(outcome.ms, 0, 90);
	EXPECT(stat(peek_state_dir(), &status) < 0 && errno == ENOENT);
}

static void errors_at_once(void)
{
	struct server server = server_listening(AF_INET);
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_addr = in6addr_loopback };
	struct sockaddr_in v4 = server.address.v4;
	int64_t began = now_ms();
	int pipes[2], fd = stream_socket(&server), datagram = socket(AF_INET, SOCK_DGRAM, 0);

	REQUIRE(pipe(pipes) == 0);
	EXPECT(connect(-1, &server.address.any, server.length) < 0 && errno == EBADF);
	EXPECT(connect(9999, &server.address.any, server.length) < 0 && errno == EBADF);
	EXPECT(connect(pipes[0], &server.address.any, server.length) < 0 && errno == ENOTSOCK);
	EXPECT(connect(fd, &server.address.any, 4) < 0 && errno == EINVAL);
	EXPECT(connect(fd, &server.address.any, 0) < 0 && errno == EINVAL);
	EXPECT(connect(fd, NULL, server.length) < 0 && errno == EFAULT);
	EXPECT(connect(fd, (struct sockaddr *)&v6, sizeof(v6)) < 0 && errno == EAFNOSUPPORT);
	v4.sin_addr.s_addr = htonl(INADDR_BROADCAST);
	EXPECT(connect(datagram, (struct sockaddr *)&v4, sizeof(v4)) < 0 && errno == EACCES);
	EXPECT(connect(server.fd, &server.address.any, server.length) < 0 && errno == EISCONN);
	EXPECT_WITHIN(now_ms() - began, 0, 200);
	/* None of it has spoiled the socket. */
	EXPECT_IS(server_connect(&server, fd), 0);
	EXPECT_COUNT(retries, 0);
	EXPECT_COUNT(succeeded, 1);
	EXPECT_COUNTS_ADD_UP();
}

/* 2 retries of 50 ms unless an override says otherwise. */
#define SHORT POLICY_NETWORK("\"max_retries\":2,\"base_delay\":\"50ms\"")

static const struct check_case cases[] = {
	{ "max_retries is exact: attempts are retries and one", retries_exact,
	  POLICY_NETWORK("\"max_retries\":3,\"base_delay\":\"50ms\""), NULL, 0 },
	{ "max_retries 0: one attempt, at once", retries_none,
	  POLICY_NETWORK("\"max_retries\":0,\"base_delay\":\"50ms\""), NULL, 0 },
	{ "delays grow by the factor up to max_delay", schedule,
	  "{\"version\":1,\"defaults\":{\"strategies\":{\"network\":{\"decision\":\"backoff\","
	  "\"max_retries\":4,\"base_delay\":\"100ms\",\"max_delay\":\"300ms\","
	  "\"backoff_factor\":2,\"jitter\":0}}}}",
	  NULL, 0 },
	{ "jitter stays within its ratio", schedule_jittered,
	  "{\"version\":1,\"defaults\":{\"strategies\":{\"network\":{\"decision\":\"backoff\","
	  "\"max_retries\":4,\"base_delay\":\"200ms\",\"max_delay\":\"1s\",\"backoff_factor\":1,"
	  "\"jitter\":0.5}}}}",
	  NULL, 0 },
	{ "deadline ends the waiting, after one last attempt", deadline,
	  POLICY_CONNECT("\"deadline\":\"1s\"",
			 "\"max_retries\":\"unlimited\",\"base_delay\":\"400ms\""),
	  NULL, 0 },
	{ "the attempt at the deadline is a real one", deadline_last_attempt,
	  POLICY_CONNECT("\"deadline\":\"900ms\"",
			 "\"max_retries\":\"unlimited\",\"base_delay\":\"20s\""),
	  NULL, 0 },
	{ "deadline does not cut the first attempt", deadline_first_attempt,
	  POLICY_CONNECT("\"deadline\":\"300ms\"",
			 "\"max_retries\":\"unlimited\",\"base_delay\":\"100ms\""),
	  NULL, 0 },
	{ "attempt_timeout cuts hanging attempts while others are left", attempt_timeout,
	  POLICY_CONNECT("\"attempt_timeout\":\"300ms\"",
			 "\"max_retries\":20,\"base_delay\":\"100ms\""),
	  NULL, 0 },
	{ "attempt_timeout does not cut the last attempt", attempt_timeout_last,
	  POLICY_CONNECT("\"attempt_timeout\":\"300ms\"",
			 "\"max_retries\":2,\"base_delay\":\"100ms\""),
	  NULL, 0 },
	{ "attempt_timeout does not cut the only attempt", attempt_timeout_only,
	  POLICY_CONNECT("\"attempt_timeout\":\"300ms\"",
			 "\"max_retries\":0,\"base_delay\":\"100ms\""),
	  NULL, 0 },
	{ "given up at the deadline, a hanging attempt is over", given_up_for_good,
	  POLICY_CONNECT("\"attempt_timeout\":\"300ms\",\"deadline\":\"1s\"",
			 "\"max_retries\":\"unlimited\",\"base_delay\":\"100ms\""),
	  NULL, CHECK_ALSO_PLAIN },
	{ "Multipath TCP is held too", multipath, POLICY_PATIENT, NULL, 0 },
	{ "a category whose decision is none passes at once", not_retried,
	  "{\"version\":1,\"defaults\":{\"strategies\":{\"network\":{\"decision\":\"none\"}}}}",
	  NULL, 0 },
	{ "HOLDFAST_MAX_RETRIES does not wake such a category", not_retried,
	  "{\"version\":1,\"defaults\":{\"strategies\":{\"network\":{\"decision\":\"none\"}}}}",
	  "HOLDFAST_MAX_RETRIES=3", 0 },
	{ "an errno can be moved to such a category", not_retried,
	  "{\"version\":1,\"defaults\":{\"classify\":{\"ECONNREFUSED\":\"permanent\"}}}", NULL, 0 },
	{ "a rule by program applies", retried_once,
	  "{\"version\":1,\"rules\":[{\"name\":\"r\",\"match\":{\"programs\":[\"budget\"]},"
	  "\"strategies\":{\"network\":{\"max_retries\":1,\"base_delay\":\"50ms\"}}}]}",
	  NULL, 0 },
	{ "HOLDFAST_MAX_RETRIES", retried_once, SHORT, "HOLDFAST_MAX_RETRIES=1", 0 },
	{ "HOLDFAST_NETWORK_MAX_RETRIES", retried_once, SHORT,
	  "HOLDFAST_NETWORK_MAX_RETRIES=1 HOLDFAST_SYSTEM_MAX_RETRIES=9", 0 },
	{ "HOLDFAST_BASE_DELAY", retries_exact,
	  POLICY_NETWORK("\"max_retries\":3,\"base_delay\":\"20s\""), "HOLDFAST_BASE_DELAY=50ms",
	  0 },
	{ "HOLDFAST_MAX_DELAY and HOLDFAST_JITTER", retries_exact,
	  POLICY_NETWORK("\"max_retries\":3,\"base_delay\":\"20s\""),
	  "HOLDFAST_MAX_DELAY=50ms HOLDFAST_JITTER=0", 0 },
	{ "HOLDFAST_DEADLINE", deadline,
	  POLICY_NETWORK("\"max_retries\":\"unlimited\",\"base_delay\":\"400ms\""),
	  "HOLDFAST_DEADLINE=1s", 0 },
	{ "overrides of a shipped profile", retried_once, "production",
	  "HOLDFAST_MAX_RETRIES=1 HOLDFAST_BASE_DELAY=60ms", 0 },
	{ "a bypass rule: at once and uncounted", bypassed,
	  "{\"version\":1,\"rules\":[{\"name\":\"r\",\"match\":{\"addresses\":[\"127.0.0.0/8\"]},"
	  "\"action\":\"bypass\"}]}",
	  NULL, CHECK_ALSO_PLAIN },
	{ "HOLDFAST_ENABLED=0: at once, and no state", inert, POLICY_PATIENT, "HOLDFAST_ENABLED=0",
	  CHECK_ALSO_PLAIN },
	{ "errors that waiting cannot cure come at once", errors_at_once, POLICY_PATIENT, NULL,
	  CHECK_ALSO_PLAIN },
};

CHECK_MAIN(cases)
