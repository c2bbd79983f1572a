/* SPDX-License-Identifier: MIT */
/* epoll_ctl on held sockets, what is told once, and sockets in company. */
#include "waits.h"

#define NOTHING 0x5eed /* data that no registration has */

/* ---- epoll_ctl -------------------------------------------------------------------------------- */

static void expect_control(int set, int operation, int fd, int error)
{
	EXPECT_IS(set_control(set, operation, fd, EPOLLOUT, 1), error ? -1 : 0);
	if (error)
		EXPECT_ERRNO(error);
}

static void controlled(void)
{
	struct server server = server_late(LATE_MS);
	int fd = pending_socket(&server);
	int set = set_make();

	expect_control(set, EPOLL_CTL_MOD, fd, ENOENT);
	expect_control(set, EPOLL_CTL_DEL, fd, ENOENT);
	expect_control(set, EPOLL_CTL_ADD, fd, 0);
	EXPECT_IS(set_wait(set, 120), 0);
	expect_control(set, EPOLL_CTL_ADD, fd, EEXIST);
	expect_control(set, EPOLL_CTL_MOD, fd, 0);
	EXPECT_IS(set_wait(set, 50), 0);
	expect_control(set, EPOLL_CTL_DEL, fd, 0);
	expect_control(set, EPOLL_CTL_DEL, fd, ENOENT);
	expect_control(set, EPOLL_CTL_MOD, fd, ENOENT);
	EXPECT_IS(set_wait(set, 50), 0);
	expect_control(set, EPOLL_CTL_ADD, fd, 0);
	expect_control(set, EPOLL_CTL_ADD, fd, EEXIST);
	EXPECT_IS(set_wait(set, LIMIT_MS), EPOLLOUT);
	expect_control(set, EPOLL_CTL_ADD, fd, EEXIST);
	expect_control(set, EPOLL_CTL_DEL, fd, 0);
	EXPECT_IS(set_wait(set, 50), 0);
	expect_works(fd);
	expect_one_recovered();
}

/* What was changed meanwhile is what is told then. */
static void data_changed(void)
{
	struct server server = server_late(LATE_MS);
	int fd = pending_socket(&server);
	struct epoll_event event = { .data.u64 = NOTHING };
	int set = set_make();

	REQUIRE(set_control(set, EPOLL_CTL_ADD, fd, EPOLLOUT | EPOLLONESHOT, 1) == 0);
	EXPECT_IS(set_wait(set, 150), 0);
	EXPECT_IS(set_control(set, EPOLL_CTL_MOD, fd, EPOLLOUT | EPOLLIN | EPOLLET, 2), 0);
	EXPECT_IS(set_wait(set, 100), 0);
	EXPECT_IS(epoll_wait(set, &event, 1, LIMIT_MS), 1);
	EXPECT_IS(event.data.u64, 2);
	EXPECT(event.events & EPOLLOUT);
	expect_works(fd);
	expect_one_recovered();
}

static void set_closed(void)
{
	struct server server = server_late(LATE_MS);
	int fd = pending_socket(&server);
	int set = set_make(), other;

	set_add(set, fd, EPOLLOUT);
	EXPECT_IS(set_wait(set, 150), 0);
	EXPECT_IS(close(set), 0);
	other = set_make();
	EXPECT_IS(other, set);
	/* The number is a set's again, but this one knows nothing of the socket. */
	EXPECT_IS(set_wait(other, 150), 0);
	expect_control(other, EPOLL_CTL_MOD, fd, ENOENT);
	set_add(other, fd, EPOLLOUT);
	EXPECT_IS(set_wait(other, LIMIT_MS), EPOLLOUT);
	expect_works(fd);
	expect_one_recovered();
}

static void socket_closed(uint32_t trigger)
{
	struct server server = server_never();
	int fd = pending_socket(&server);
	int set = set_make();

	set_add(set, fd, EPOLLOUT | trigger);
	EXPECT_IS(set_wait(set, 150), 0);
	EXPECT_IS(close(fd), 0);
	EXPECT_IS(set_wait(set, 300), 0);
	expect_control(set, EPOLL_CTL_DEL, fd, EBADF);
	expect_one_abandoned();
}

static void socket_closed_level(void)
{
	socket_closed(0);
}

static void socket_closed_edge(void)
{
	socket_closed(EPOLLET);
}

static void told_once(uint32_t trigger)
{
	struct server server = server_late(LATE_MS);
	int fd = pending_socket(&server);
	int set = set_make();

	set_add(set, fd, EPOLLOUT | trigger);
	EXPECT_IS(set_wait(set, LIMIT_MS), EPOLLOUT);
	EXPECT_IS(set_wait(set, 300), 0);
	expect_works(fd);
	EXPECT_IS(set_wait(set, 100), 0);
	expect_one_recovered();
}

static void told_once_edge(void)
{
	told_once(EPOLLET);
}

static void told_once_oneshot(void)
{
	told_once(EPOLLONESHOT);
}

/* ---- company ---------------------------------------------------------------------------------- */

/* Always something else to tell, so that no wait ever waits. */
static void busy_neighbour(int (*wait)(int set, int fd, int pipe))
{
	struct server server = server_late(LATE_MS);
	int fd = pending_socket(&server);
	int set = set_make();
	int told = 0;
	int ends[2];

	REQUIRE(pipe2(ends, O_CLOEXEC) == 0 && write(ends[1], "x", 1) == 1);
	set_add(set, ends[0], EPOLLIN);
	set_add(set, fd, EPOLLOUT);
	for (int64_t end = now_ms() + LIMIT_MS; now_ms() < end && !told; raw_pause_ms(5))
		told = wait(set, fd, ends[0]);
	EXPECT_IS(told, POLLOUT);
	expect_works(fd);
	expect_one_recovered();
}

static int busy_epoll(int set, int fd, int pipe)
{
	struct epoll_event events[2];
	int count = epoll_wait(set, events, 2, 1000);
	int told = 0;

	EXPECT(count >= 1);
	for (int i = 0; i < count; i++)
		if (events[i].data.u64 == (uint64_t)fd)
			told = (int)events[i].events;
		else
			EXPECT_IS(events[i].events, EPOLLIN);
	return told;
}

/* Room for one: they take turns. */
static int busy_epoll_one(int set, int fd, int pipe)
{
	struct epoll_event event;

	EXPECT_IS(epoll_wait(set, &event, 1, 1000), 1);
	return event.data.u64 == (uint64_t)fd ? (int)event.events : 0;
}

static int busy_poll(int set, int fd, int pipe)
{
	struct pollfd waits[2] = { { .fd = pipe, .events = POLLIN },
				   { .fd = fd, .events = POLLOUT } };

	int count = poll(waits, 2, 1000);

	EXPECT_IS(count, 1 + (waits[1].revents != 0));
	EXPECT_IS(waits[0].revents, POLLIN);
	return waits[1].revents;
}

static int busy_select(int set, int fd, int pipe)
{
	struct timeval span = { 1, 0 };
	fd_set readable, writable;

	FD_ZERO(&readable);
	FD_ZERO(&writable);
	FD_SET(pipe, &readable);
	FD_SET(fd, &writable);
	EXPECT(select((fd > pipe ? fd : pipe) + 1, &readable, &writable, NULL, &span) >= 1);
	EXPECT(FD_ISSET(pipe, &readable));
	return FD_ISSET(fd, &writable) ? POLLOUT : 0;
}

static void busy_in_epoll(void)
{
	busy_neighbour(busy_epoll);
}

static void busy_in_epoll_one(void)
{
	busy_neighbour(busy_epoll_one);
}

static void busy_in_poll(void)
{
	busy_neighbour(busy_poll);
}

static void busy_in_select(void)
{
	busy_neighbour(busy_select);
}

#define MANY 300

static void many(void)
{
	struct server server = server_late(LATE_MS);
	struct epoll_event events[16];
	int fds[MANY], told[MANY] = { 0 };
	int set = set_make();
	int count, left = MANY;

	for (unsigned int i = 0; i < MANY; i++) {
		fds[i] = pending_socket(&server);
		REQUIRE(set_control(set, EPOLL_CTL_ADD, fds[i], EPOLLOUT | EPOLLET, i) == 0);
	}
	for (int64_t end = now_ms() + LIMIT_MS; now_ms() < end && left > 0;) {
		count = epoll_wait(set, events, 16, 1000);
		for (int i = 0; i < count; i++) {
			EXPECT_IS(events[i].events, EPOLLOUT);
			told[events[i].data.u64]++;
			left--;
		}
	}
	EXPECT_IS(set_wait(set, 200), 0);
	for (unsigned int i = 0; i < MANY; i++) {
		EXPECT_IS(told[i], 1);
		EXPECT_IS(socket_error(fds[i]), 0);
	}
	EXPECT_COUNT(operations, MANY);
	EXPECT_COUNT(succeeded, MANY);
	EXPECT_COUNTS_ADD_UP();
}

/* What connect() says then is of the connection that was, and no operation. */
static void lost_before_asked(void)
{
	struct linger at_once = { 1, 0 };
	struct server server = server_listening(AF_INET);
	int fd = pending_socket(&server), accepted;
	int set = set_make();

	set_add(set, fd, EPOLLOUT);
	EXPECT_IS(set_wait(set, LIMIT_MS), EPOLLOUT);
	accepted = accept(server.fd, NULL, NULL);
	REQUIRE(accepted >= 0);
	setsockopt(accepted, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	close(accepted);
	EXPECT_IS(connect(fd, (struct sockaddr *)&server.address, server.length), -1);
	EXPECT_ERRNO(ECONNRESET);
	EXPECT_COUNT(operations, 1);
	EXPECT_COUNT(succeeded, 1);
	EXPECT_COUNT(failures, 0);
	EXPECT_COUNTS_ADD_UP();
}

#define NEVER(name, run) SAME_UNDER(POLICY_FOR_EVER, name, run)

static const struct check_case cases[] = {
	SAME("epoll_ctl on a held socket", controlled),
	SAME("epoll_ctl changes events and data of a held socket", data_changed),
	SAME("the set is closed, and another one made", set_closed),
	NEVER("the socket is closed: nobody is woken, abandoned", socket_closed_level),
	NEVER("the socket is closed: nobody is woken, abandoned, edge", socket_closed_edge),
	SAME("told once: edge", told_once_edge),
	SAME("told once: oneshot", told_once_oneshot),
	SAME("a neighbour that is always ready: epoll_wait", busy_in_epoll),
	SAME("a neighbour that is always ready: epoll_wait, room for one", busy_in_epoll_one),
	SAME("a neighbour that is always ready: poll", busy_in_poll),
	SAME("a neighbour that is always ready: select", busy_in_select),
	SAME("lost again before anybody asked: connect() says so", lost_before_asked),
	SAME("three hundred in one set: each is told once", many),
};

WAITS_MAIN(cases, 6)
