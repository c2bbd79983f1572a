/* SPDX-License-Identifier: MIT */
/* Several threads and one pending connect: who began to wait when, who goes away, who is left. */
#include "waiter.h"

/* Longer than any connect takes. */
#define AWAY_MS 3000

/* ---- blocked before the connect ---------------------------------------------------------------- */

static void blocked_before(uint32_t trigger)
{
	struct server server = server_late(LATE_MS);
	struct waiter waiter = { .set = set_make(), .timeout_ms = -1 };
	int64_t began;
	int fd;

	waiter_blocks(&waiter, waiter_epoll);
	began = now_ms();
	fd = pending_socket(&server);
	set_add(waiter.set, fd, EPOLLOUT | trigger);
	expect_told(&waiter, began, EPOLLOUT);
	expect_works(fd);
	expect_one_recovered();
}

static void blocked_before_level(void)
{
	blocked_before(0);
}

static void blocked_before_edge(void)
{
	blocked_before(EPOLLET);
}

static void blocked_before_oneshot(void)
{
	blocked_before(EPOLLONESHOT);
}

static void blocked_before_exclusive(void)
{
	blocked_before(EPOLLEXCLUSIVE);
}

/* Registered before too. An edge is all that keeps an idle socket from being told at once. */
static void blocked_and_registered_before(void)
{
	struct server server = server_late(LATE_MS);
	struct waiter waiter = { .set = set_make(), .timeout_ms = -1 };
	int fd = nonblocking_socket(&server);
	int64_t began;

	set_add(waiter.set, fd, EPOLLOUT | EPOLLET);
	EXPECT_IS(set_wait(waiter.set, 0), EPOLLOUT | EPOLLHUP);
	waiter_blocks(&waiter, waiter_epoll);
	began = now_ms();
	connect_begin(&server, fd);
	expect_told(&waiter, began, EPOLLOUT);
	expect_works(fd);
	expect_one_recovered();
}

/*
 * As loops do without epoll: the thread waits for a wakeup, is told by another of a
 * socket that is already connecting, and waits for both.
 */
struct loop {
	int wakeup;
	_Atomic int fd;
	bool use_select;
	int64_t told;
	int64_t told_at;
};

static short loop_poll(const struct loop *loop)
{
	struct pollfd waits[2] = { { .fd = loop->wakeup, .events = POLLIN },
				   { .fd = loop->fd, .events = POLLOUT } };

	poll(waits, 2, -1);
	return waits[1].revents;
}

static short loop_select(const struct loop *loop)
{
	int last = loop->fd > loop->wakeup ? loop->fd : loop->wakeup;
	fd_set readable, writable;

	FD_ZERO(&readable);
	FD_ZERO(&writable);
	FD_SET(loop->wakeup, &readable);
	if (loop->fd >= 0)
		FD_SET(loop->fd, &writable);
	if (select(last + 1, &readable, &writable, NULL, NULL) < 0)
		return -1;
	return loop->fd >= 0 && FD_ISSET(loop->fd, &writable) ? POLLOUT : 0;
}

static void *loop_run(void *data)
{
	struct loop *loop = data;
	uint64_t count;

	while (!loop->told) {
		loop->told = loop->use_select ? loop_select(loop) : loop_poll(loop);
		if (!loop->told && read(loop->wakeup, &count, sizeof(count)) < 0)
			break;
	}
	loop->told_at = now_ms();
	return NULL;
}

static void woken_into_wait(bool use_select)
{
	struct server server = server_late(LATE_MS);
	struct loop loop = { .wakeup = eventfd(0, EFD_CLOEXEC),
			     .fd = -1,
			     .use_select = use_select };
	pthread_t thread = thread_start(loop_run, &loop);
	const uint64_t one = 1;
	int64_t began;

	sleep_ms(60);
	began = now_ms();
	loop.fd = pending_socket(&server);
	EXPECT_IS(write(loop.wakeup, &one, sizeof(one)), sizeof(one));
	if (EXPECT(thread_ends(thread, NULL, LIMIT_MS))) {
		EXPECT_IS(loop.told, POLLOUT);
		EXPECT_WITHIN(loop.told_at - began, 0, IN_TIME_MS);
	}
	expect_works(loop.fd);
	expect_one_recovered();
}

static void woken_into_poll(void)
{
	woken_into_wait(false);
}

static void woken_into_select(void)
{
	woken_into_wait(true);
}

/*
 * In its wait before anything has failed: nobody answers for a second, then the port
 * refuses, and listens again later.
 */
static void play_silent_refused_up(void *argument)
{
	const struct play *play = argument;

	sleep_ms(300);
	if (preloaded())
		shutdown(play->server->fd, SHUT_RDWR);
	sleep_ms(1200);
	play_greeter(&(struct play){ play->server, 0 });
}

static void blocked_before_failure(void *(*body)(void *))
{
	struct server server = server_silent();
	struct play play = { &server, 0 };
	struct waiter waiter = { .set = set_make(), .timeout_ms = -1 };

	helper_start(play_silent_refused_up, &play);
	waiter.fd = pending_socket(&server);
	set_add(waiter.set, waiter.fd, EPOLLOUT);
	waiter_start(&waiter, body);
	if (EXPECT(thread_ends(waiter.thread, NULL, LIMIT_MS)))
		EXPECT_IS(waiter.told, POLLOUT);
	expect_works(waiter.fd);
	expect_one_recovered();
}

static void blocked_before_failure_epoll(void)
{
	blocked_before_failure(waiter_epoll);
}

static void blocked_before_failure_poll(void)
{
	blocked_before_failure(waiter_poll);
}

static void blocked_before_failure_select(void)
{
	blocked_before_failure(waiter_select);
}

/* ---- the owner goes away ------------------------------------------------------------------------ */

/* Takes the failure in a wait of its own, and then makes no call that anybody sees. */
static void owner_away(uint32_t trigger, void *(*body)(void *))
{
	struct server server = server_late(LATE_MS);
	struct waiter waiter = { .set = set_make(), .timeout_ms = -1 };
	int64_t began = now_ms();
	int64_t own;

	waiter.fd = pending_socket(&server);
	set_add(waiter.set, waiter.fd, EPOLLOUT | trigger);
	waiter_start(&waiter, body);
	own = set_wait(waiter.set, 60);
	EXPECT_IS(own, 0);
	while (now_ms() < began + AWAY_MS && pthread_tryjoin_np(waiter.thread, NULL) == EBUSY)
		raw_pause_ms(5);
	EXPECT_IS(waiter.told, EPOLLOUT);
	EXPECT_WITHIN(waiter.told_at - began, 0, IN_TIME_MS);
	expect_works(waiter.fd);
	expect_one_recovered();
}

static void owner_away_level(void)
{
	owner_away(0, waiter_epoll);
}

static void owner_away_edge(void)
{
	owner_away(EPOLLET, waiter_epoll);
}

static void owner_away_oneshot(void)
{
	owner_away(EPOLLONESHOT, waiter_epoll);
}

static void owner_away_poll(void)
{
	owner_away(0, waiter_poll);
}

/* The sibling is the first to wait, so that it takes the failure; then the owner comes and goes. */
static void sibling_first(void)
{
	struct server server = server_late(LATE_MS);
	struct waiter waiter = { .set = set_make(), .timeout_ms = -1 };
	int64_t began;

	waiter_blocks(&waiter, waiter_epoll);
	began = now_ms();
	waiter.fd = pending_socket(&server);
	set_add(waiter.set, waiter.fd, EPOLLOUT | EPOLLET);
	for (int i = 0; i < 5; i++)
		EXPECT_IS(set_wait(waiter.set, 20), 0);
	expect_told(&waiter, began, EPOLLOUT);
	expect_one_recovered();
}

/* Leaves because of something else, and takes its time over that. */
static void owner_called_away(void)
{
	struct server server = server_late(LATE_MS);
	struct waiter waiter = { .set = set_make(), .timeout_ms = -1 };
	int event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	const uint64_t one = 1;
	int64_t began = now_ms();
	int own = set_make();

	waiter.fd = pending_socket(&server);
	set_add(waiter.set, waiter.fd, EPOLLOUT);
	/* Only the owner is interested in the event: its own set knows both. */
	set_add(own, waiter.set, EPOLLIN);
	set_add(own, event, EPOLLIN);
	waiter_start(&waiter, waiter_epoll);
	EXPECT_IS(set_wait(own, 100), 0);
	EXPECT_IS(write(event, &one, sizeof(one)), sizeof(one));
	EXPECT_IS(set_wait(own, 100), EPOLLIN);
	while (now_ms() < began + AWAY_MS && pthread_tryjoin_np(waiter.thread, NULL) == EBUSY)
		raw_pause_ms(5);
	EXPECT_IS(waiter.told, EPOLLOUT);
	EXPECT_WITHIN(waiter.told_at - began, 0, IN_TIME_MS);
	expect_one_recovered();
}

/* Nobody waits meanwhile: done soon after somebody does. */
static void all_away(void)
{
	struct server server = server_late(300);
	int set = set_make();
	int fd = pending_socket(&server);
	int64_t began;

	set_add(set, fd, EPOLLOUT);
	EXPECT_IS(set_wait(set, 60), 0);
	raw_pause_ms(1500);
	began = now_ms();
	EXPECT_IS(set_wait(set, LIMIT_MS), EPOLLOUT);
	EXPECT_WITHIN(now_ms() - began, 0, 400);
	expect_works(fd);
	expect_one_recovered();
}

/* ---- many ------------------------------------------------------------------------------------------ */

#define CROWD 20
#define CROWD_THREADS 4

struct crowd {
	int set;
	_Atomic int told[CROWD];
	_Atomic int strange;
	_Atomic int left;
};

static void *crowd_run(void *data)
{
	struct crowd *crowd = data;
	struct epoll_event event;

	while (crowd->left > 0) {
		if (epoll_wait(crowd->set, &event, 1, 200) <= 0)
			continue;
		if (event.events != EPOLLOUT || event.data.u64 >= CROWD) {
			crowd->strange++;
			continue;
		}
		crowd->told[event.data.u64]++;
		crowd->left--;
	}
	/* Anything that is told once more is told now. */
	while (epoll_wait(crowd->set, &event, 1, 300) > 0)
		crowd->strange++;
	return NULL;
}

static void crowd(uint32_t trigger)
{
	struct server server = server_late(LATE_MS);
	struct crowd crowd = { .set = set_make(), .left = CROWD };
	pthread_t threads[CROWD_THREADS];
	int fds[CROWD];

	for (unsigned int i = 0; i < CROWD_THREADS; i++)
		threads[i] = thread_start(crowd_run, &crowd);
	for (unsigned int i = 0; i < CROWD; i++) {
		fds[i] = pending_socket(&server);
		REQUIRE(set_control(crowd.set, EPOLL_CTL_ADD, fds[i], EPOLLOUT | trigger, i) == 0);
	}
	for (unsigned int i = 0; i < CROWD_THREADS; i++)
		EXPECT(thread_ends(threads[i], NULL, LIMIT_MS));
	EXPECT_IS(crowd.strange, 0);
	for (unsigned int i = 0; i < CROWD; i++) {
		EXPECT_IS(crowd.told[i], 1);
		EXPECT_IS(socket_error(fds[i]), 0);
	}
	EXPECT_COUNT(operations, CROWD);
	EXPECT_COUNT(succeeded, CROWD);
	EXPECT_COUNTS_ADD_UP();
}

static void crowd_edge(void)
{
	crowd(EPOLLET);
}

static void crowd_oneshot(void)
{
	crowd(EPOLLONESHOT);
}

/* Two that wait for the same socket, in different ways. */
static void two_waits(void)
{
	struct server server = server_late(LATE_MS);
	struct waiter first = { .timeout_ms = -1 }, second, third;
	int64_t began = now_ms();

	first.fd = pending_socket(&server);
	first.set = set_make();
	set_add(first.set, first.fd, EPOLLOUT);
	second = third = first;
	waiter_start(&first, waiter_poll);
	waiter_start(&second, waiter_epoll);
	waiter_start(&third, waiter_select);
	expect_told(&first, began, POLLOUT);
	expect_told(&second, began, EPOLLOUT);
	expect_told(&third, began, POLLOUT);
	expect_works(first.fd);
	expect_one_recovered();
}

/* ---- numbers that are used anew ------------------------------------------------------------- */

struct reuse {
	struct server up, down;
	int set;
	atomic_bool over;
};

/* Never waits, and so is always about to be told of what had the number before. */
static void *reuse_look(void *argument)
{
	struct reuse *reuse = argument;
	struct epoll_event events[8];

	while (!reuse->over)
		epoll_wait(reuse->set, events, 8, 0);
	return NULL;
}

static int reuse_connect(struct reuse *reuse, const struct server *server)
{
	int fd = nonblocking_socket(server);

	set_add(reuse->set, fd, EPOLLOUT);
	EXPECT_IS(server_connect(server, fd), -1);
	EXPECT_ERRNO(EINPROGRESS);
	return fd;
}

/* One that worked is closed, and its number is connected to where nobody listens: that is held. */
static void number_used_anew(void)
{
	struct reuse reuse = { server_listening(AF_INET), server_bind(AF_INET), set_make(), false };
	const struct linger hard = { 1, 0 };
	int64_t end = now_ms() + 2000;
	unsigned int told = 0, seed = 1;
	pthread_t thread;

	REQUIRE(pthread_create(&thread, NULL, reuse_look, &reuse) == 0);
	while (now_ms() < end && !check_failures) {
		int fd = reuse_connect(&reuse, &reuse.up), error = 0;
		socklen_t length = sizeof(error);

		setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
		/* Until the other is told, or about to be. */
		seed = seed * 1103515245 + 12345;
		for (volatile unsigned int i = 0; i < (seed >> 16) % 3000; i++)
			;
		close(fd);
		close(accept(reuse.up.fd, NULL, NULL));
		fd = reuse_connect(&reuse, &reuse.down);
		getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length);
		told += error != 0;
		close(fd);
	}
	reuse.over = true;
	EXPECT(thread_ends(thread, NULL, LIMIT_MS));
	EXPECT_IS(told, 0);
}

static const struct check_case cases[] = {
	SAME("in epoll_wait before the connect: level", blocked_before_level),
	SAME("in epoll_wait before the connect: edge", blocked_before_edge),
	SAME("in epoll_wait before the connect: oneshot", blocked_before_oneshot),
	SAME("in epoll_wait before the connect: exclusive", blocked_before_exclusive),
	SAME("in epoll_wait, and registered, before the connect", blocked_and_registered_before),
	SAME("in poll before the connect, woken by an event", woken_into_poll),
	SAME("in select before the connect, woken by an event", woken_into_select),
	SAME("in epoll_wait before the first failure", blocked_before_failure_epoll),
	SAME("in poll before the first failure", blocked_before_failure_poll),
	SAME("in select before the first failure", blocked_before_failure_select),
	SAME("an owner that computes for 3 s, a sibling in epoll_wait: level", owner_away_level),
	SAME("an owner that computes for 3 s, a sibling in epoll_wait: edge", owner_away_edge),
	SAME("an owner that computes for 3 s, a sibling in epoll_wait: oneshot",
	     owner_away_oneshot),
	SAME("an owner that computes for 3 s, a sibling in poll", owner_away_poll),
	SAME("an owner that comes and goes, a sibling that waited first", sibling_first),
	SAME("an owner that waits for the set and for something else, which comes",
	     owner_called_away),
	SAME("all compute for 1.5 s: done as soon as somebody waits", all_away),
	SAME("four threads and twenty sockets: each is told once, edge", crowd_edge),
	SAME("four threads and twenty sockets: each is told once, oneshot", crowd_oneshot),
	SAME("poll, epoll_wait and select in three threads for one socket", two_waits),
	HELD("a number used anew while another thread is told of it", number_used_anew),
};

WAITS_MAIN(cases, 6)
