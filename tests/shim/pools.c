/* SPDX-License-Identifier: MIT */
/* Blocking connects to a pool: where they go, in which order, and what is counted. */
#include "pools.h"

#include <setjmp.h>

#include "alarm.h"

static struct pool pool_of_listening(unsigned int count, const char *balance)
{
	struct pool pool = { .balance = balance, .count = count };

	for (unsigned int i = 0; i < count; i++)
		pool.servers[i] = server_listening(AF_INET);
	pool_write(&pool);
	return pool;
}

/* Their ports are bound, and nobody listens. */
static struct pool pool_of_dead(unsigned int count, const char *balance, const char *network)
{
	struct pool pool = { .balance = balance, .network = network, .count = count };

	for (unsigned int i = 0; i < count; i++)
		pool.servers[i] = server_bind(AF_INET);
	pool_write(&pool);
	return pool;
}

/* ---- balance ------------------------------------------------------------------------ */

static void first(void)
{
	struct pool pool = pool_of_listening(3, "first");

	for (int i = 0; i < 5; i++)
		EXPECT_IS(pool_visit(&pool), 0);
	EXPECT_COUNT(operations, 5);
	EXPECT_COUNT(succeeded, 5);
	EXPECT_COUNT(attempts, 5);
	EXPECT_COUNT(recovered, 0);
	EXPECT_COUNT(failovers, 0);
	EXPECT(pool_record(&pool.servers[0]));
	EXPECT(!pool_record(&destination));
}

static void round_robin(void)
{
	struct pool pool = pool_of_listening(3, "round_robin");
	int before = pool_visit(&pool);

	for (int i = 0; i < 8; i++) {
		int reached = pool_visit(&pool);

		EXPECT_IS(reached, (before + 1) % 3);
		before = reached;
	}
	EXPECT_COUNT(failovers, 0);
	EXPECT_COUNT(attempts, 9);
}

/* Processes of one connect each, be they forked after a connect of their parent's. */
static void round_robin_spreads(void)
{
	struct pool pool = pool_of_listening(2, "round_robin");
	int reached[3] = { 0 };

	for (int i = 0; i < 48; i++) {
		int status;
		pid_t child;

		if (i == 24)
			EXPECT(pool_visit(&pool) >= 0);
		child = fork();
		if (child == 0)
			check_exit(10 + pool_visit(&pool));
		status = child_wait(child);
		REQUIRE(status == 10 || status == 11);
		reached[status - 10]++;
		/* A chance of 1 in 2^22 that all of one half go to one. */
		if (i == 23 || i == 47) {
			EXPECT(reached[0] > 0 && reached[1] > 0);
			reached[0] = reached[1] = 0;
		}
	}
}

static void at_random(void)
{
	struct pool pool = pool_of_listening(3, "random");
	int reached[3] = { 0 };

	for (int i = 0; i < 120; i++) {
		int server = pool_visit(&pool);

		REQUIRE(server >= 0);
		reached[server]++;
	}
	/* 40 each is expected; less than 15 comes once in 10^7. */
	for (int i = 0; i < 3; i++)
		EXPECT_WITHIN(reached[i], 15, 75);
	EXPECT_COUNT(attempts, 120);
}

/* Whichever comes first: each of a round is tried once. */
static void at_random_each_once(void)
{
	struct pool pool = pool_of_dead(8, "random", POOL_BRIEF);

	server_begin(&pool.servers[5]);
	for (int i = 0; i < 20; i++)
		EXPECT_IS(pool_visit(&pool), 5);
	EXPECT_COUNT(backoff_ns, 0);
	EXPECT_COUNTS_ADD_UP();
	EXPECT_COUNT_WITHIN(attempts, 21, 160);
}

static void sticky(void)
{
	struct pool pool = pool_of_dead(3, "sticky", NULL);

	server_begin(&pool.servers[2]);
	EXPECT_IS(pool_visit(&pool), 2);
	EXPECT_COUNT(attempts, 3);
	server_begin(&pool.servers[0]);
	EXPECT_IS(pool_visit(&pool), 2);
	EXPECT_COUNT(attempts, 4);
	EXPECT_COUNT(failovers, 1);
	server_stop(&pool.servers[2]);
	EXPECT_IS(pool_visit(&pool), 0);
	EXPECT_COUNT(attempts, 6);
	server_begin(&pool.servers[2]);
	EXPECT_IS(pool_visit(&pool), 0);
	EXPECT_COUNT(attempts, 7);
}

/* ---- failures ------------------------------------------------------------------------- */

static void next_at_once(void)
{
	struct pool pool = pool_of_dead(3, "first", "\"max_retries\":5,\"base_delay\":\"10s\"");
	int64_t began = now_ms();
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	server_begin(&pool.servers[2]);
	errno = 0;
	EXPECT_IS(destination_connect(fd), 0);
	EXPECT_ERRNO(0);
	EXPECT_WITHIN(now_ms() - began, 0, 1000);
	EXPECT_IS(pool_reached(&pool, fd), 2);
	expect_one_recovered();
	EXPECT_COUNT(attempts, 3);
	EXPECT_COUNT(attempt_failures, 2);
	EXPECT_COUNT(failovers, 1);
	EXPECT_COUNT(backoff_ns, 0);
	expect_in_use(fd, &pool.servers[2]);
	EXPECT(pool_record(&pool.servers[0])->counters[COUNTER_succeeded] == 1);
	EXPECT(pool_record(&pool.servers[2])->counters[COUNTER_operations] == 0);
	EXPECT_IS(send(fd, "x", 1, 0), 1);
	EXPECT_SLOT(fd, sent_bytes, 1);
	/* The slot's next connection begins where it should. */
	close(fd);
	server_begin(&pool.servers[0]);
	fd = socket(AF_INET, SOCK_STREAM, 0);
	EXPECT_IS(destination_connect(fd), 0);
	EXPECT_IS(pool_reached(&pool, fd), 0);
	EXPECT_SLOT(fd, in_use, 0);
}

static void after_a_round(void)
{
	struct pool pool = pool_of_dead(3, "first", POOL_BRIEF);
	int64_t began = now_ms();
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	EXPECT_IS(destination_connect(fd), -1);
	EXPECT_ERRNO(ECONNREFUSED);
	EXPECT_WITHIN(now_ms() - began, 400, 1500);
	EXPECT_COUNT(attempts, 9);
	EXPECT_COUNT(attempt_failures, 9);
	EXPECT_COUNT(failures, 1);
	EXPECT_COUNT(retries_denied_limit, 1);
	EXPECT_COUNT_WITHIN(backoff_ns, INT64_C(400000000), INT64_C(1500000000));
	EXPECT_COUNTS_ADD_UP();
	EXPECT_SLOT(fd, state, SLOT_FAILED);
	EXPECT_SLOT(fd, in_use, 0);
	/* The same fd can be used again. */
	server_begin(&pool.servers[1]);
	EXPECT_IS(destination_connect(fd), 0);
	EXPECT_IS(pool_reached(&pool, fd), 1);
}

static void no_retries(void)
{
	struct pool pool = pool_of_dead(4, "round_robin", POOL_ONCE);

	EXPECT_IS(pool_visit(&pool), -1);
	EXPECT_ERRNO(ECONNREFUSED);
	EXPECT_COUNT(attempts, 4);
	EXPECT_COUNT(backoff_ns, 0);
}

static void late(void)
{
	struct pool pool = pool_of_dead(2, "first", NULL);
	int64_t began = now_ms();

	server_listen_after(&pool.servers[1], 350);
	EXPECT_IS(pool_visit(&pool), 1);
	EXPECT_WITHIN(now_ms() - began, 300, 3000);
	expect_one_recovered();
	EXPECT_COUNT(failovers, 1);
}

/* Many, tried one after the other on the smallest stack. */
static void *visit_run(void *data)
{
	return (void *)(intptr_t)pool_visit(data);
}

static void small_stack(void)
{
	struct pool pool = pool_of_dead(8, "first", POOL_BRIEF);
	pthread_attr_t attributes;
	pthread_t thread;
	void *result;

	server_begin(&pool.servers[7]);
	pthread_attr_init(&attributes);
	REQUIRE(pthread_attr_setstacksize(&attributes, 16384) == 0);
	REQUIRE(pthread_create(&thread, &attributes, visit_run, &pool) == 0);
	pthread_join(thread, &result);
	EXPECT_IS((intptr_t)result, 7);
}

static void silent(void)
{
	struct pool pool = { .connect = ",\"attempt_timeout\":\"300ms\"", .count = 2 };
	int64_t began = now_ms();
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	pool.servers[0] = server_silent();
	pool.servers[1] = server_listening(AF_INET);
	pool_write(&pool);
	EXPECT_IS(destination_connect(fd), 0);
	EXPECT_WITHIN(now_ms() - began, 280, 900);
	EXPECT_IS(pool_reached(&pool, fd), 1);
	EXPECT_IS(send_timeout_ms(fd), 0);
	EXPECT_IS(peek_slot(fd)->last_error, ETIMEDOUT);
	expect_one_recovered();
}

/* The caller's own limit goes before all. */
static void silent_and_limited(void)
{
	struct pool pool = { .connect = ",\"attempt_timeout\":\"200ms\"", .count = 2 };
	int64_t began = now_ms();
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	pool.servers[0] = server_silent();
	pool.servers[1] = server_silent();
	pool_write(&pool);
	send_timeout_ask(fd, 500);
	EXPECT_IS(destination_connect(fd), -1);
	EXPECT_ERRNO(EINPROGRESS);
	EXPECT_WITHIN(now_ms() - began, 480, 1200);
	EXPECT_IS(send_timeout_ms(fd), 500);
}

static sigjmp_buf out;

static void jump(int signal)
{
	siglongjmp(out, 1);
}

static void jumps(void)
{
	struct pool pool = pool_of_dead(2, "first", NULL);

	signal(SIGALRM, jump);
	if (sigsetjmp(out, 1) == 0) {
		alarm(1);
		pool_visit(&pool);
		EXPECT(!"it is left by a jump");
	}
	server_begin(&pool.servers[1]);
	EXPECT_IS(pool_visit(&pool), 1);
	EXPECT_COUNT(operations, 2);
	EXPECT_COUNT(succeeded, 1);
}

/* The attempt that it leaves is at an endpoint, and so is the rest of it. */
static void interrupts(void)
{
	struct pool pool = pool_of_dead(2, "first", NULL);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	handle(SIGALRM, handler_count, 0);
	server_listen_after(&pool.servers[1], 1400);
	alarm(1);
	EXPECT_IS(destination_connect(fd), -1);
	EXPECT_ERRNO(EINTR);
	EXPECT_IS(poll_out(fd, LIMIT_MS), POLLOUT);
	EXPECT_IS(pool_reached(&pool, fd), 1);
	expect_one_recovered();
	EXPECT_COUNT(failovers, 1);
}

/* ---- what the program asks ------------------------------------------------------------ */

static void asked(void)
{
	struct pool pool = pool_of_dead(2, "first", NULL);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	server_begin(&pool.servers[1]);
	EXPECT_IS(destination_connect(fd), 0);
	EXPECT_IS(destination_connect(fd), -1);
	EXPECT_ERRNO(EISCONN);
	EXPECT_IS(socket_error(fd), 0);
	EXPECT_IS(poll_out(fd, 0), POLLOUT);
	EXPECT_COUNT(operations, 1);
	/* Left, and begun anew. */
	EXPECT_IS(
		connect(fd, &(struct sockaddr){ .sa_family = AF_UNSPEC }, sizeof(struct sockaddr)),
		0);
	EXPECT_IS(destination_connect(fd), 0);
	EXPECT_IS(pool_reached(&pool, fd), 1);
	EXPECT_COUNT(operations, 2);
}

/* What is known of a number is another socket's, and this one goes to the pool, too. */
static void closed_unseen(void)
{
	struct pool pool = pool_of_listening(1, "first");
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	EXPECT_IS(destination_connect(fd), 0);
	syscall(SYS_close, fd);
	REQUIRE(syscall(SYS_socket, AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0) == fd);
	EXPECT_IS(destination_connect(fd), 0);
	EXPECT_IS(pool_reached(&pool, fd), 0);
	EXPECT_COUNT(operations, 2);
	EXPECT_COUNT(succeeded, 2);
	EXPECT_COUNT(attempts, 2);
}

static void fast_open(void)
{
	struct pool pool = pool_of_dead(2, "first", NULL);
	char data[] = "abc";
	struct iovec vector = { data, 3 };
	struct msghdr message = { .msg_name = NULL, .msg_iov = &vector, .msg_iovlen = 1 };
	int fd;

	server_begin(&pool.servers[1]);
	for (int i = 0; i < 2; i++) {
		fd = socket(AF_INET, SOCK_STREAM, 0);
		message.msg_name = &destination.address;
		message.msg_namelen = destination.length;
		EXPECT_IS(i ? sendmsg(fd, &message, MSG_FASTOPEN)
			    : sendto(fd, "abc", 3, MSG_FASTOPEN, &destination.address.any,
				     destination.length),
			  3);
		EXPECT_IS(pool_reached(&pool, fd), 1);
		EXPECT_IS(bytes_waiting(accept(pool.servers[1].fd, NULL, NULL), 3), 3);
	}
	EXPECT_COUNT(sent_bytes, 6);
	EXPECT_COUNTS_ADD_UP();
}

static void datagrams(void)
{
	struct pool pool = pool_of_listening(1, "first");
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	union address peer;
	socklen_t length = sizeof(peer);

	EXPECT_IS(pool.count, 1);
	EXPECT_IS(destination_connect(fd), 0);
	EXPECT_IS(getpeername(fd, &peer.any, &length), 0);
	EXPECT_IS(ntohs(peer.v4.sin_port), server_port(&destination));
}

static const struct check_case cases[] = {
	POOLED("first: the first that is listed", first),
	POOLED("round_robin: in turn", round_robin),
	POOLED("round_robin: short processes begin at random places", round_robin_spreads),
	POOLED("random: all of them, about equally often", at_random),
	POOLED("random: each of a round once", at_random_each_once),
	POOLED("sticky: the last that it was connected to, then as listed", sticky),
	POOLED("the next is tried at once, and what is counted", next_at_once),
	POOLED("backoff after a round only; all dead: the errno, after so many rounds",
	       after_a_round),
	POOLED("max_retries 0: one round", no_retries),
	POOLED("all dead, one comes up late", late),
	POOLED("many endpoints on the smallest stack", small_stack),
	POOLED("a silent first endpoint costs attempt_timeout", silent),
	POOLED("SO_SNDTIMEO is kept", silent_and_limited),
	POOLED("a hold is left by a jump", jumps),
	POOLED("a hold is interrupted", interrupts),
	POOLED("getpeername() and a second connect()", asked),
	POOLED("a number that was closed unseen", closed_unseen),
	POOLED("MSG_FASTOPEN: the data follows", fast_open),
	POOLED("UDP goes where it is sent", datagrams),
};

POOLS_MAIN(cases, 4)
