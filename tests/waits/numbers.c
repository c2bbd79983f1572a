/* SPDX-License-Identifier: MIT */
/* Numbers of pending connects: those that stood for something else before, and those that go. */
#include <sys/resource.h>

#include "waits.h"

static void expect_writable(int fd)
{
	int64_t began = now_ms(), cpu = cpu_us();
	struct timeval limit = { 1, 0 };
	int set = set_make();
	fd_set writable;

	EXPECT_IS(poll_out(fd, 1000), POLLOUT);
	FD_ZERO(&writable);
	FD_SET(fd, &writable);
	EXPECT_IS(select(fd + 1, NULL, &writable, NULL, &limit), 1);
	set_add(set, fd, EPOLLOUT);
	EXPECT_IS(set_wait(set, 1000), EPOLLOUT);
	EXPECT_WITHIN(now_ms() - began, 0, 500);
	EXPECT_WITHIN(cpu_us() - cpu, 0, 200000);
}

static void number_of_a_set(bool unseen)
{
	struct server server = server_late(LATE_MS);
	int set = set_make(), counter, fd;

	if (unseen)
		syscall(SYS_close, set);
	else
		close(set);
	counter = eventfd(0, EFD_CLOEXEC);
	REQUIRE(counter == set);
	fd = pending_socket(&server);
	expect_writable(counter);
	expect_pending(&server, fd, 100);
	expect_writable(counter);
	expect_connects(fd);
}

static void number_of_a_closed_set(void)
{
	number_of_a_set(false);
}

static void number_of_a_set_closed_unseen(void)
{
	number_of_a_set(true);
}

/* Told with the data of the registration that the program knows of. */
static void expect_told(int set, uint64_t data, uint32_t events)
{
	struct epoll_event event = { 0 };
	bool is_told = false;

	for (int64_t end = now_ms() + LIMIT_MS; now_ms() < end && !is_told;)
		is_told = epoll_wait(set, &event, 1, 500) == 1 && event.data.u64 == data;
	EXPECT_IS(is_told, true);
	EXPECT_IS(event.events, events);
}

/* Registered by a number that is closed, which the kernel goes on reporting. */
static void registered_by_its_duplicate(struct server server, int held_ms)
{
	int fd = pending_socket(&server), copy, set = set_make();

	REQUIRE(set_control(set, EPOLL_CTL_ADD, fd, EPOLLOUT, 100) == 0);
	if (held_ms)
		expect_pending(&server, fd, held_ms);
	copy = dup(fd);
	close(fd);
	EXPECT_IS(set_control(set, EPOLL_CTL_MOD, copy, EPOLLOUT, 200), -1);
	EXPECT_ERRNO(ENOENT);
	EXPECT_IS(set_control(set, EPOLL_CTL_DEL, copy, 0, 0), -1);
	EXPECT_ERRNO(ENOENT);
	EXPECT_IS(set_control(set, EPOLL_CTL_ADD, copy, EPOLLOUT, 200), 0);
	EXPECT_IS(set_control(set, EPOLL_CTL_ADD, copy, EPOLLOUT, 200), -1);
	EXPECT_ERRNO(EEXIST);
	EXPECT_IS(set_control(set, EPOLL_CTL_MOD, copy, EPOLLOUT, 300), 0);
	expect_told(set, 300, EPOLLOUT);
	expect_works(copy);
	EXPECT_IS(set_control(set, EPOLL_CTL_DEL, copy, 0, 0), 0);
	EXPECT_IS(set_control(set, EPOLL_CTL_DEL, copy, 0, 0), -1);
	EXPECT_ERRNO(ENOENT);
}

static void duplicate_of_one_under_way(void)
{
	registered_by_its_duplicate(server_greeting(), 0);
}

static void duplicate_of_a_late_one(void)
{
	registered_by_its_duplicate(server_late(LATE_MS), 0);
}

static void duplicate_of_a_held_one(void)
{
	registered_by_its_duplicate(server_late(LATE_MS), 150);
}

static void duplicate_registered_once_connected(void)
{
	struct server server = server_greeting();
	int fd = pending_socket(&server), copy, set = set_make();

	REQUIRE(set_control(set, EPOLL_CTL_ADD, fd, EPOLLOUT, 100) == 0);
	copy = dup(fd);
	close(fd);
	expect_connects(copy);
	EXPECT_IS(set_control(set, EPOLL_CTL_ADD, copy, EPOLLOUT, 200), 0);
	expect_told(set, 200, EPOLLOUT);
}

static void replaced_by_dup2(void)
{
	struct server server = server_late(LATE_MS);
	int fd = pending_socket(&server), copy, set = set_make();
	int64_t began = now_ms();

	REQUIRE(set_control(set, EPOLL_CTL_ADD, fd, EPOLLOUT, 100) == 0);
	copy = dup(fd);
	REQUIRE(dup2(open("/dev/null", O_RDWR | O_CLOEXEC), fd) == fd);
	expect_told(set, 100, EPOLLOUT);
	EXPECT(now_ms() - began > LATE_MS / 2);
	expect_works(copy);
	expect_one_recovered();
}

/* dup2() that fails closes nothing. */
static void not_replaced(void)
{
	struct server server = server_late(LATE_MS);
	int fd = pending_socket(&server);

	EXPECT_IS(dup2(999, fd), -1);
	EXPECT_ERRNO(EBADF);
	EXPECT_IS(dup3(fd + 1, fd, O_APPEND), -1);
	EXPECT_ERRNO(EINVAL);
	expect_pending(&server, fd, 100);
	expect_connects(fd);
	expect_one_recovered();
}

/* dup2() that the kernel refuses for its target. */
static void not_replaced_beyond_the_limit(void)
{
	struct server server = server_late(LATE_MS);
	struct rlimit limit = { 100, 4096 };
	int low = nonblocking_socket(&server), fd = fcntl(low, F_DUPFD_CLOEXEC, 500);

	close(low);
	connect_begin(&server, fd);
	EXPECT_IS(poll_out(fd, 100), 0);
	REQUIRE(setrlimit(RLIMIT_NOFILE, &limit) == 0);
	EXPECT_IS(dup2(0, fd), -1);
	EXPECT_ERRNO(EBADF);
	expect_connects(fd);
	expect_one_recovered();
}

static void exclusive_by_its_duplicate(void)
{
	struct server server = server_late(LATE_MS);
	int fd = pending_socket(&server), copy, set = set_make();

	REQUIRE(set_control(set, EPOLL_CTL_ADD, fd, EPOLLOUT | EPOLLEXCLUSIVE, 100) == 0);
	copy = dup(fd);
	close(fd);
	EXPECT_IS(set_control(set, EPOLL_CTL_MOD, copy, EPOLLOUT, 200), -1);
	EXPECT_ERRNO(ENOENT);
	EXPECT_IS(set_control(set, EPOLL_CTL_ADD, copy, EPOLLOUT | EPOLLEXCLUSIVE, 200), 0);
	expect_told(set, 200, EPOLLOUT);
}

/* Both numbers are registered, and one goes before the connect has failed. */
static void one_of_two_closed(void)
{
	struct server server = server_late(LATE_MS);
	int fd = pending_socket(&server), copy, set = set_make();
	int64_t began = now_ms(), cpu = cpu_us();

	REQUIRE(set_control(set, EPOLL_CTL_ADD, fd, EPOLLOUT, 100) == 0);
	copy = dup(fd);
	REQUIRE(set_control(set, EPOLL_CTL_ADD, copy, EPOLLOUT, 200) == 0);
	close(fd);
	expect_told(set, 200, EPOLLOUT);
	EXPECT(now_ms() - began > LATE_MS / 2);
	EXPECT_WITHIN(cpu_us() - cpu, 0, 200000);
	expect_works(copy);
}

/* What was told once is not told again because a number goes. */
static void told_before_it_is_closed(uint32_t trigger)
{
	struct server server = server_greeting();
	int fd = pending_socket(&server), set = set_make();

	REQUIRE(set_control(set, EPOLL_CTL_ADD, fd, EPOLLOUT | trigger, 1000000007) == 0);
	EXPECT_IS(set_wait(set, LIMIT_MS), EPOLLOUT);
	REQUIRE(dup(fd) >= 0);
	close(fd);
	EXPECT_IS(set_wait(set, 200), 0);
}

static void told_by_oneshot(void)
{
	told_before_it_is_closed(EPOLLONESHOT);
}

static void told_by_edge(void)
{
	told_before_it_is_closed(EPOLLET);
}

/* Nothing was asked for, and adding it again says that it is there. */
static void asked_for_nothing(void)
{
	struct server server = server_late(LATE_MS);
	int fd = pending_socket(&server), set = set_make(), other = set_make();

	set_add(set, fd, EPOLLOUT);
	set_add(other, fd, 0);
	EXPECT_IS(set_control(other, EPOLL_CTL_ADD, fd, EPOLLOUT, 7), -1);
	EXPECT_ERRNO(EEXIST);
	EXPECT_IS(set_wait(other, 100), 0);
	EXPECT_IS(set_wait(set, LIMIT_MS), EPOLLOUT);
}

static const struct check_case cases[] = {
	SAME("the number of a closed set", number_of_a_closed_set),
	SAME("the number of a set that was closed unseen", number_of_a_set_closed_unseen),
	SAME("registered by a duplicate: under way", duplicate_of_one_under_way),
	SAME("registered by a duplicate: late", duplicate_of_a_late_one),
	SAME("registered by a duplicate: held", duplicate_of_a_held_one),
	SAME("registered by a duplicate: connected", duplicate_registered_once_connected),
	SAME("its number is another's by dup2(), a duplicate is left", replaced_by_dup2),
	SAME("dup2() that fails", not_replaced),
	SAME("dup2() to a number beyond the limit", not_replaced_beyond_the_limit),
	SAME("registered by a duplicate: exclusive", exclusive_by_its_duplicate),
	SAME("registered by both numbers, one is closed", one_of_two_closed),
	SAME("told, and then its number is closed: oneshot", told_by_oneshot),
	SAME("told, and then its number is closed: edge triggered", told_by_edge),
	SAME("registered for nothing", asked_for_nothing),
};

WAITS_MAIN(cases, 8)
