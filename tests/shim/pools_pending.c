/* SPDX-License-Identifier: MIT */
/* Connects to a pool that do not block: served in whatever wait the program makes. */
#include "pools.h"

/* Whose port is bound, and nobody listens. */
static struct pool pool_dead(unsigned int count, const char *network)
{
	struct pool pool = { .count = count, .network = network };

	for (unsigned int i = 0; i < count; i++)
		pool.servers[i] = server_bind(AF_INET);
	pool_write(&pool);
	return pool;
}

static int socket_begun(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	REQUIRE(fd >= 0);
	if (destination_connect(fd) < 0)
		EXPECT_ERRNO(EINPROGRESS);
	return fd;
}

static int wait_poll(int fd, int ms)
{
	return poll_out(fd, ms);
}

static int wait_select(int fd, int ms)
{
	struct timeval span = { ms / 1000, ms % 1000 * 1000 };
	fd_set writable;

	FD_ZERO(&writable);
	FD_SET(fd, &writable);
	return select(fd + 1, NULL, &writable, NULL, &span) > 0 ? POLLOUT : 0;
}

static int wait_epoll(int fd, int ms)
{
	int set = set_make();

	set_add(set, fd, EPOLLOUT);
	return set_wait(set, ms) == EPOLLOUT ? POLLOUT : -1;
}

static int wait_epoll_edge(int fd, int ms)
{
	int set = set_make();

	set_add(set, fd, EPOLLOUT | EPOLLET | EPOLLONESHOT);
	return set_wait(set, ms) == EPOLLOUT ? POLLOUT : -1;
}

static int (*const waits[])(int fd, int ms) = { wait_poll, wait_select, wait_epoll,
						wait_epoll_edge };
#define WAITS (sizeof(waits) / sizeof(waits[0]))

/* ---- what it comes to ----------------------------------------------------------------- */

static void next_at_once(void)
{
	struct pool pool = pool_dead(3, POOL_ONCE);

	server_begin(&pool.servers[2]);
	for (unsigned int i = 0; i < WAITS; i++) {
		int64_t began = now_ms();
		int fd = socket_begun();

		EXPECT_IS(waits[i](fd, LIMIT_MS), POLLOUT);
		EXPECT_WITHIN(now_ms() - began, 0, 1000);
		EXPECT_IS(pool_reached(&pool, fd), 2);
		expect_works(fd);
		expect_in_use(fd, &pool.servers[2]);
	}
	EXPECT_COUNT(operations, WAITS);
	EXPECT_COUNT(succeeded, WAITS);
	EXPECT_COUNT(recovered, WAITS);
	EXPECT_COUNT(failovers, WAITS);
	/* A failure of a moment ago is the next one's, too. */
	EXPECT_COUNT_WITHIN(attempts, 2 * WAITS + 1, 3 * WAITS);
	EXPECT_COUNTS_ADD_UP();
	EXPECT(pool_record(&pool.servers[0])->counters[COUNTER_failovers] == WAITS);
}

static void late(void)
{
	struct pool pool = pool_dead(2, NULL);
	int fds[WAITS];

	server_listen_after(&pool.servers[1], 400);
	for (unsigned int i = 0; i < WAITS; i++)
		fds[i] = socket_begun();
	for (unsigned int i = 0; i < WAITS; i++) {
		EXPECT_IS(waits[i](fds[i], LIMIT_MS), POLLOUT);
		EXPECT_IS(pool_reached(&pool, fds[i]), 1);
		expect_works(fds[i]);
	}
	EXPECT_COUNT(recovered, WAITS);
	EXPECT_COUNTS_ADD_UP();
}

static void all_dead(void)
{
	struct pool pool = pool_dead(3, POOL_BRIEF);
	int64_t began = now_ms();
	int fd = socket_begun();

	EXPECT_IS(pool.count, 3);
	EXPECT(poll_out(fd, LIMIT_MS) & POLLERR);
	EXPECT_WITHIN(now_ms() - began, 400, 1500);
	EXPECT_IS(socket_error(fd), ECONNREFUSED);
	EXPECT_IS(socket_error(fd), 0);
	EXPECT_COUNT(attempts, 9);
	EXPECT_COUNT(failures, 1);
	EXPECT_COUNT(retries_denied_limit, 1);
	EXPECT_COUNTS_ADD_UP();
}

static void all_dead_in_a_set(void)
{
	struct pool pool = { .count = 2, .network = POOL_BRIEF };
	int set = set_make(), fd;
	socklen_t length = sizeof(fd);
	int family = 0;

	pool.servers[0] = server_bind(AF_INET);
	pool.servers[1] = server_bind(AF_INET6);
	pool_write(&pool);
	fd = socket_begun();
	set_add(set, fd, EPOLLOUT);
	EXPECT(set_wait(set, LIMIT_MS) & EPOLLERR);
	REQUIRE(getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &length) == 0);
	EXPECT_IS(family, AF_INET);
	EXPECT_IS(socket_error(fd), ECONNREFUSED);
	EXPECT_COUNT(attempts, 6);
}

static void asked(void)
{
	struct pool pool = pool_dead(2, NULL);
	int fd = socket_begun();
	char byte;

	for (int i = 0; i < 3; i++) {
		EXPECT_IS(poll_out(fd, 50), 0);
		EXPECT_IS(socket_error(fd), 0);
		EXPECT_IS(destination_connect(fd), -1);
		EXPECT_ERRNO(EALREADY);
		EXPECT_IS(recv(fd, &byte, 1, 0), -1);
		EXPECT_ERRNO(EAGAIN);
	}
	EXPECT_IS(pool_reached(&pool, fd), -1);
	server_begin(&pool.servers[1]);
	EXPECT_IS(poll_out(fd, LIMIT_MS), POLLOUT);
	if (destination_connect(fd) < 0)
		EXPECT_ERRNO(EISCONN);
	EXPECT_IS(destination_connect(fd), -1);
	EXPECT_ERRNO(EISCONN);
	expect_one_recovered();
	EXPECT_COUNT(failovers, 1);
	EXPECT_IS(pool_reached(&pool, fd), 1);
}

/* It asks by connect() alone. */
static void asked_only(void)
{
	struct pool pool = pool_dead(2, NULL);
	int fd = socket_begun();

	server_listen_after(&pool.servers[1], 250);
	for (int64_t end = now_ms() + LIMIT_MS; now_ms() < end; sleep_ms(5)) {
		if (destination_connect(fd) == 0 || errno == EISCONN)
			break;
		EXPECT_ERRNO(EALREADY);
	}
	EXPECT_IS(pool_reached(&pool, fd), 1);
	expect_one_recovered();
}

static void made_blocking(void)
{
	struct pool pool = pool_dead(2, NULL);
	int fd = socket_begun();

	server_listen_after(&pool.servers[1], 250);
	REQUIRE(fcntl(fd, F_SETFL, 0) == 0);
	EXPECT_IS(send(fd, "x", 1, 0), 1);
	EXPECT_IS(pool_reached(&pool, fd), 1);
}

static void closed(void)
{
	struct pool pool = pool_dead(2, NULL);
	int fd = socket_begun();

	EXPECT_IS(pool.count, 2);
	EXPECT_IS(poll_out(fd, 250), 0);
	close(fd);
	expect_one_abandoned();
}

/* ---- silence --------------------------------------------------------------------------- */

static void silent(void)
{
	struct pool pool = { .connect = ",\"attempt_timeout\":\"300ms\"", .count = 2 };
	int64_t began = now_ms();
	int fd;

	pool.servers[0] = server_silent();
	pool.servers[1] = server_listening(AF_INET);
	pool_write(&pool);
	fd = socket_begun();
	EXPECT_IS(poll_out(fd, LIMIT_MS), POLLOUT);
	EXPECT_WITHIN(now_ms() - began, 280, 900);
	EXPECT_IS(pool_reached(&pool, fd), 1);
	expect_one_recovered();
	EXPECT_COUNT(failovers, 1);
}

/* Without a word in fd's mode that we saw: it came with fork and exec, perhaps. */
static void silent_unseen(void)
{
	struct pool pool = { .connect = ",\"attempt_timeout\":\"300ms\"", .count = 2 };
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	int64_t began = now_ms();

	pool.servers[0] = server_silent();
	pool.servers[1] = server_listening(AF_INET);
	pool_write(&pool);
	REQUIRE(syscall(SYS_fcntl, fd, F_SETFL, O_NONBLOCK) == 0);
	EXPECT_IS(destination_connect(fd), -1);
	EXPECT_ERRNO(EINPROGRESS);
	EXPECT_WITHIN(now_ms() - began, 0, 200);
	EXPECT_IS(poll_out(fd, LIMIT_MS), POLLOUT);
	EXPECT_IS(pool_reached(&pool, fd), 1);
}

/* ---- many ------------------------------------------------------------------------------- */

#define MANY 40

static void many_begin(struct pollfd *polled)
{
	for (int i = 0; i < MANY; i++)
		polled[i] = (struct pollfd){ .fd = socket_begun(), .events = POLLOUT };
}

static void many_connect(const struct pool *pool, struct pollfd *polled, int server)
{
	int64_t end = now_ms() + LIMIT_MS;
	int left = MANY;

	while (left > 0 && now_ms() < end && poll(polled, MANY, LIMIT_MS) > 0)
		for (int i = 0; i < MANY; i++)
			if (polled[i].fd >= 0 && polled[i].revents) {
				EXPECT_IS(pool_reached(pool, polled[i].fd), server);
				polled[i].fd = -1;
				left--;
			}
	EXPECT_IS(left, 0);
}

/* Of those that wait for the same endpoint one tries it, and the others take what comes of it. */
static void one_attempt_an_endpoint(void)
{
	struct pool pool = pool_dead(2, NULL);
	struct pollfd polled[MANY];
	int64_t attempts, rounds;

	many_begin(polled);
	EXPECT_IS(poll(polled, MANY, 650), 0);
	attempts = (int64_t)peek_all().counters[COUNTER_attempts];
	/* Each made its first; then there is one at each endpoint a tick at most. */
	rounds = 10;
	EXPECT_WITHIN(attempts, MANY + 1, MANY + 2 * rounds * 4);
	server_begin(&pool.servers[1]);
	many_connect(&pool, polled, 1);
	EXPECT_COUNT(succeeded, MANY);
	EXPECT_COUNT(failovers, MANY);
	EXPECT_COUNTS_ADD_UP();
}

/* All follow one at a silent endpoint, and then go on together. */
static void many_at_a_silent_one(void)
{
	struct pool pool = { .connect = ",\"attempt_timeout\":\"400ms\"",
			     .network = POOL_ONCE,
			     .count = 3 };
	struct pollfd polled[MANY];
	int64_t began = now_ms();

	pool.servers[0] = server_bind(AF_INET);
	pool.servers[1] = server_silent();
	pool.servers[2] = server_listening(AF_INET);
	pool_write(&pool);
	many_begin(polled);
	many_connect(&pool, polled, 2);
	EXPECT_WITHIN(now_ms() - began, 380, 1500);
	EXPECT_COUNT(succeeded, MANY);
	EXPECT_COUNT_WITHIN(attempts, 2 * MANY + 1, 2 * MANY + 4);
	EXPECT_COUNTS_ADD_UP();
}

/* A pool's second endpoint is another connect's first. */
static void beside_another(void)
{
	struct pool pool = pool_dead(2, NULL);
	int pooled = socket_begun(), plain = pending_socket(&pool.servers[1]);

	EXPECT_IS(poll_out(pooled, 250), 0);
	EXPECT_IS(poll_out(plain, 50), 0);
	server_begin(&pool.servers[1]);
	EXPECT_IS(poll_out(pooled, LIMIT_MS), POLLOUT);
	EXPECT_IS(poll_out(plain, LIMIT_MS), POLLOUT);
	EXPECT_IS(pool_reached(&pool, plain), 1);
	EXPECT_COUNT(failovers, 1);
	EXPECT_COUNTS_ADD_UP();
}

struct waiting {
	int set;
	int64_t told;
};

static void *waiting_run(void *data)
{
	struct waiting *waiting = data;

	waiting->told = set_wait(waiting->set, LIMIT_MS);
	return NULL;
}

/* It waits in a set before the socket is there, and another thread connects. */
static void in_another_thread(void)
{
	struct pool pool = pool_dead(3, NULL);
	struct waiting waiting = { .set = set_make() };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	pthread_t thread = thread_start(waiting_run, &waiting);

	server_begin(&pool.servers[2]);
	/* Inside of its wait, as far as anybody can tell. */
	sleep_ms(50);
	if (destination_connect(fd) < 0)
		EXPECT_ERRNO(EINPROGRESS);
	set_add(waiting.set, fd, EPOLLOUT);
	EXPECT(thread_ends(thread, NULL, LIMIT_MS));
	EXPECT_IS(waiting.told, EPOLLOUT);
	EXPECT_IS(pool_reached(&pool, fd), 2);
}

/*
 * Used, told by a one-shot registration, and connected again: it comes to be a socket of the
 * other family, and is still in the set.
 */
static void used_again_disarmed(void)
{
	struct pool pool = { .count = 2,
			     .servers = { server_listening(AF_INET), server_listening(AF_INET6) } };
	const struct sockaddr nowhere = { .sa_family = AF_UNSPEC };
	int set = set_make(), peer, fd;
	char byte;

	pool_write(&pool);
	fd = nonblocking_socket(&destination);
	destination_connect(fd);
	expect_connects(fd);
	peer = accept(pool.servers[0].fd, NULL, NULL);
	EXPECT_IS(recv(peer, &byte, 1, 0), 1);
	set_add(set, fd, EPOLLIN | EPOLLONESHOT);
	EXPECT_IS(send(peer, "x", 1, 0), 1);
	EXPECT_IS(set_wait(set, LIMIT_MS), EPOLLIN);
	REQUIRE(connect(fd, &nowhere, sizeof(nowhere)) == 0);
	close(peer);
	close(pool.servers[0].fd);
	destination_connect(fd);
	expect_connects(fd);
	EXPECT_IS(set_control(set, EPOLL_CTL_MOD, fd, EPOLLOUT | EPOLLONESHOT, 78), 0);
	EXPECT_IS(set_wait(set, LIMIT_MS), EPOLLOUT);
}

static const struct check_case cases[] = {
	POOLED("poll, select, epoll: the next at once, and what is counted", next_at_once),
	POOLED("all dead, one comes up late", late),
	POOLED("all dead: the errno, after so many rounds", all_dead),
	POOLED("the same in a set, of two families", all_dead_in_a_set),
	POOLED("questions while it is held, and after", asked),
	POOLED("connect() is the only question", asked_only),
	POOLED("made blocking meanwhile", made_blocking),
	POOLED("closed while it is held", closed),
	POOLED("a silent first endpoint costs attempt_timeout", silent),
	POOLED("the same where its mode was set unseen", silent_unseen),
	POOLED("many: one attempt at each endpoint at a time", one_attempt_an_endpoint),
	POOLED("many: all follow the one at a silent endpoint", many_at_a_silent_one),
	POOLED("beside a connect to one of the endpoints", beside_another),
	POOLED("another thread waits", in_another_thread),
	POOLED("used again, its registration disarmed", used_again_disarmed),
};

POOLS_MAIN(cases, 4)
