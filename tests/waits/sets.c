/* SPDX-License-Identifier: MIT */
/* Epoll sets with pending connects in them: equal data, duplicates, nested sets, several sets. */
#include "waits.h"

/* ---- equal data ------------------------------------------------------------------------- */

#define CROWD 5

/* How often each was told, as far as equal data allows. */
struct tally {
	int events;
	int hung;
	int other; /* neither a success nor a failure, or of unknown data */
};

static void tally_wait(struct tally *tally, int set, int wanted, uint64_t data, int64_t limit_ms)
{
	struct epoll_event events[CROWD * 2];
	int count;

	for (int64_t end = now_ms() + limit_ms; now_ms() < end && tally->events < wanted;) {
		count = epoll_wait(set, events, CROWD * 2, 500);
		for (int i = 0; i < count; i++) {
			tally->events++;
			tally->hung += events[i].events == (EPOLLOUT | EPOLLERR | EPOLLHUP);
			tally->other += (events[i].events != EPOLLOUT &&
					 events[i].events != (EPOLLOUT | EPOLLERR | EPOLLHUP)) ||
					events[i].data.u64 != data;
		}
	}
}

static void crowd_begin(const struct server *server, int set, int *fds, uint32_t trigger)
{
	for (int i = 0; i < CROWD; i++) {
		fds[i] = pending_socket(server);
		REQUIRE(set_control(set, EPOLL_CTL_ADD, fds[i], EPOLLOUT | trigger, 0) == 0);
	}
}

static void equal_data(uint32_t trigger)
{
	struct server late = server_late(LATE_MS), up = server_greeting();
	int late_fds[CROWD], up_fds[CROWD];
	struct tally tally = { 0 };
	int set = set_make();

	crowd_begin(&late, set, late_fds, trigger);
	crowd_begin(&up, set, up_fds, trigger);
	tally_wait(&tally, set, CROWD, 0, LIMIT_MS);
	EXPECT_IS(tally.events, CROWD);
	/* The others are not told before their time, though their data says nothing. */
	EXPECT_IS(set_wait(set, 50), 0);
	for (int i = 0; i < CROWD; i++)
		expect_works(up_fds[i]);
	tally_wait(&tally, set, 2 * CROWD, 0, LIMIT_MS);
	EXPECT_IS(set_wait(set, 300), 0);
	EXPECT_IS(tally.events, 2 * CROWD);
	EXPECT_IS(tally.hung + tally.other, 0);
	for (int i = 0; i < CROWD; i++)
		expect_works(late_fds[i]);
	EXPECT_COUNT(operations, 2 * CROWD);
	EXPECT_COUNT(recovered, CROWD);
	EXPECT_COUNTS_ADD_UP();
}

static void equal_data_edge(void)
{
	equal_data(EPOLLET);
}

static void equal_data_oneshot(void)
{
	equal_data(EPOLLONESHOT);
}

/* Level-triggered: those that are up are told again and again, and the others are not. */
static void equal_data_level(void)
{
	struct server late = server_late(LATE_MS), up = server_greeting();
	int late_fds[CROWD], up_fds[CROWD];
	struct epoll_event events[CROWD * 4];
	int set = set_make();

	crowd_begin(&late, set, late_fds, 0);
	crowd_begin(&up, set, up_fds, 0);
	for (int i = 0; i < CROWD; i++)
		EXPECT_IS(poll_out(up_fds[i], 500), POLLOUT);
	for (int i = 0; i < 20; i++)
		EXPECT_IS(epoll_wait(set, events, CROWD * 4, 10), CROWD);
	for (int i = 0; i < CROWD; i++)
		EXPECT_IS(set_control(set, EPOLL_CTL_DEL, up_fds[i], 0, 0), 0);
	EXPECT_IS(epoll_wait(set, events, CROWD * 4, 50), 0);
	for (int i = 0; i < CROWD; i++)
		EXPECT_IS(poll_out(late_fds[i], LIMIT_MS), POLLOUT);
	EXPECT_IS(epoll_wait(set, events, CROWD * 4, 1000), CROWD);
	for (int i = 0; i < CROWD; i++)
		EXPECT_IS(events[i].events, EPOLLOUT);
}

/* Some succeed, some fail: as many of each as there are. */
static void equal_data_mixed(void)
{
	struct server late = server_late(150), dead = server_refusing();
	int late_fds[CROWD], dead_fds[CROWD];
	struct tally tally = { 0 };
	int set = set_make();

	crowd_begin(&late, set, late_fds, EPOLLONESHOT);
	crowd_begin(&dead, set, dead_fds, EPOLLONESHOT);
	tally_wait(&tally, set, 2 * CROWD, 0, LIMIT_MS);
	EXPECT_IS(set_wait(set, 200), 0);
	EXPECT_IS(tally.events, 2 * CROWD);
	EXPECT_IS(tally.hung, CROWD);
	EXPECT_IS(tally.other, 0);
	for (int i = 0; i < CROWD; i++) {
		expect_works(late_fds[i]);
		EXPECT_IS(socket_error(dead_fds[i]), ECONNREFUSED);
		EXPECT_IS(socket_error(dead_fds[i]), 0);
	}
	EXPECT_COUNT(succeeded, CROWD);
	EXPECT_COUNT(failures, CROWD);
	EXPECT_COUNTS_ADD_UP();
}

/* ---- duplicates --------------------------------------------------------------------------- */

static void duplicate_registered(uint32_t trigger, bool close_original)
{
	struct server server = server_late(LATE_MS);
	int fd = pending_socket(&server);
	int copy = dup(fd);
	int set = set_make();

	set_add(set, copy, EPOLLOUT | trigger);
	EXPECT_IS(set_wait(set, 100), 0);
	if (close_original)
		EXPECT_IS(close(fd), 0);
	EXPECT_IS(set_wait(set, 100), 0);
	EXPECT_IS(set_wait(set, LIMIT_MS), EPOLLOUT);
	expect_works(copy);
	expect_one_recovered();
}

static void duplicate_beside(void)
{
	duplicate_registered(0, false);
}

static void duplicate_beside_edge(void)
{
	duplicate_registered(EPOLLET, false);
}

static void duplicate_alone(void)
{
	duplicate_registered(0, true);
}

static void duplicate_alone_oneshot(void)
{
	duplicate_registered(EPOLLONESHOT, true);
}

/* The number that was registered is gone, but the socket is not: the kernel tells of it still. */
static void registered_number_gone(uint32_t trigger, bool reuse)
{
	struct server server = server_late(LATE_MS);
	int fd = pending_socket(&server);
	int copy = dup(fd);
	int set = set_make();

	set_add(set, copy, EPOLLOUT | trigger);
	EXPECT_IS(set_wait(set, 100), 0);
	EXPECT_IS(close(copy), 0);
	if (reuse)
		EXPECT_IS(open("/dev/null", O_RDONLY | O_CLOEXEC), copy);
	EXPECT_IS(set_wait(set, 100), 0);
	EXPECT_IS(set_wait(set, LIMIT_MS), EPOLLOUT);
	expect_works(fd);
	expect_one_recovered();
}

static void registered_number_closed(void)
{
	registered_number_gone(0, false);
}

static void registered_number_closed_edge(void)
{
	registered_number_gone(EPOLLET, false);
}

static void registered_number_reused(void)
{
	registered_number_gone(EPOLLONESHOT, true);
}

/* Both names, with data of their own: both are told. */
static void both_registered(void)
{
	struct server server = server_late(LATE_MS);
	int fd = pending_socket(&server);
	int copy = dup(fd);
	struct epoll_event events[4];
	int set = set_make();
	int count;

	set_add(set, fd, EPOLLOUT);
	set_add(set, copy, EPOLLOUT);
	EXPECT_IS(set_wait(set, 100), 0);
	EXPECT_IS(poll_out(copy, LIMIT_MS), POLLOUT);
	count = epoll_wait(set, events, 4, 1000);
	EXPECT_IS(count, 2);
	EXPECT_IS(events[0].data.u64 + events[1].data.u64, fd + copy);
	expect_works(copy);
	expect_one_recovered();
}

/* ---- sets in sets, several sets ------------------------------------------------------------- */

static int poll_in(int fd, int milliseconds)
{
	struct pollfd wait = { .fd = fd, .events = POLLIN };
	int result = poll(&wait, 1, milliseconds);

	return result > 0 ? wait.revents : result;
}

static void nested(uint32_t outer_trigger, int depth)
{
	struct server server = server_late(LATE_MS);
	int fd = pending_socket(&server);
	int inner = set_make();
	int outer = inner;

	set_add(inner, fd, EPOLLOUT);
	for (int i = 0; i < depth; i++) {
		int next = set_make();

		set_add(next, outer, EPOLLIN | outer_trigger);
		outer = next;
	}
	EXPECT_IS(set_wait(outer, 150), 0);
	EXPECT_IS(set_wait(inner, 0), 0);
	EXPECT_IS(set_wait(outer, 100), 0);
	EXPECT_IS(set_wait(outer, LIMIT_MS), EPOLLIN);
	EXPECT_IS(set_wait(inner, 0), EPOLLOUT);
	expect_works(fd);
	expect_one_recovered();
}

static void nested_level(void)
{
	nested(0, 1);
}

static void nested_edge(void)
{
	nested(EPOLLET, 1);
}

static void nested_deep(void)
{
	nested(0, 3);
}

static void set_in_poll(void)
{
	struct server server = server_late(LATE_MS);
	int fd = pending_socket(&server);
	int set = set_make();

	set_add(set, fd, EPOLLOUT);
	EXPECT_IS(poll_in(set, 150), 0);
	EXPECT_IS(poll_in(set, 100), 0);
	EXPECT_IS(poll_in(set, LIMIT_MS), POLLIN);
	EXPECT_IS(set_wait(set, 0), EPOLLOUT);
	expect_works(fd);
	expect_one_recovered();
}

static void set_in_select(void)
{
	struct server server = server_late(LATE_MS);
	struct timeval span = { 0, 150000 };
	int fd = pending_socket(&server);
	int set = set_make();
	fd_set readable;

	set_add(set, fd, EPOLLOUT);
	FD_ZERO(&readable);
	FD_SET(set, &readable);
	EXPECT_IS(select(set + 1, &readable, NULL, NULL, &span), 0);
	EXPECT(!FD_ISSET(set, &readable));
	span = (struct timeval){ LIMIT_MS / 1000, 0 };
	FD_SET(set, &readable);
	EXPECT_IS(select(set + 1, &readable, NULL, NULL, &span), 1);
	EXPECT_IS(set_wait(set, 0), EPOLLOUT);
	expect_works(fd);
	expect_one_recovered();
}

/* As loops inside loops: the inner set is polled beside other descriptors. */
static void set_in_poll_with_socket(void)
{
	struct server server = server_late(LATE_MS);
	int first = pending_socket(&server), second = pending_socket(&server);
	int set = set_make();
	struct pollfd waits[2] = { { .fd = set, .events = POLLIN },
				   { .fd = second, .events = POLLOUT } };

	set_add(set, first, EPOLLOUT | EPOLLET);
	EXPECT_IS(poll(waits, 2, 200), 0);
	for (int64_t end = now_ms() + LIMIT_MS; now_ms() < end;) {
		poll(waits, 2, 1000);
		if (waits[0].revents && waits[1].revents)
			break;
		raw_pause_ms(2);
	}
	EXPECT_IS(waits[0].revents, POLLIN);
	EXPECT_IS(waits[1].revents, POLLOUT);
	EXPECT_IS(set_wait(set, 0), EPOLLOUT);
	expect_works(first);
	expect_works(second);
}

static void two_sets(void)
{
	struct server server = server_late(LATE_MS);
	int fd = pending_socket(&server);
	int level = set_make(), edge = set_make();

	set_add(level, fd, EPOLLOUT);
	set_add(edge, fd, EPOLLOUT | EPOLLET);
	EXPECT_IS(set_wait(edge, 100), 0);
	EXPECT_IS(set_wait(level, 100), 0);
	EXPECT_IS(set_wait(edge, LIMIT_MS), EPOLLOUT);
	EXPECT_IS(set_wait(edge, 100), 0);
	EXPECT_IS(set_wait(level, 100), EPOLLOUT);
	EXPECT_IS(set_wait(level, 100), EPOLLOUT);
	expect_works(fd);
	expect_one_recovered();
}

/* The failure is told in both, and once where once is what was asked for. */
static void two_sets_failure(void)
{
	struct server server = server_refusing();
	int fd = pending_socket(&server);
	int level = set_make(), oneshot = set_make();

	set_add(level, fd, EPOLLOUT);
	set_add(oneshot, fd, EPOLLOUT | EPOLLONESHOT);
	EXPECT_IS(set_wait(level, LIMIT_MS), EPOLLOUT | EPOLLERR | EPOLLHUP);
	EXPECT_IS(set_wait(oneshot, LIMIT_MS), EPOLLOUT | EPOLLERR | EPOLLHUP);
	EXPECT_IS(set_wait(oneshot, 100), 0);
	EXPECT_IS(socket_error(fd), ECONNREFUSED);
	EXPECT_IS(set_wait(level, 100), EPOLLOUT | EPOLLHUP);
	EXPECT_COUNT(failures, 1);
}

/* A set by another name. */
static void set_duplicated(void)
{
	struct server server = server_late(LATE_MS);
	int fd = pending_socket(&server);
	int set = set_make();
	int copy = dup(set);

	set_add(set, fd, EPOLLOUT);
	EXPECT_IS(set_wait(copy, 150), 0);
	EXPECT_IS(close(set), 0);
	EXPECT_IS(set_wait(copy, 100), 0);
	EXPECT_IS(set_wait(copy, LIMIT_MS), EPOLLOUT);
	EXPECT_IS(set_control(copy, EPOLL_CTL_DEL, fd, 0, 0), 0);
	expect_works(fd);
	expect_one_recovered();
}

static const struct check_case cases[] = {
	SAME("equal data, some up and some late: edge", equal_data_edge),
	SAME("equal data, some up and some late: oneshot", equal_data_oneshot),
	SAME("equal data, some up and some late: level", equal_data_level),
	SAME_UNDER(POLICY_BRIEF, "equal data, some late and some dead", equal_data_mixed),
	SAME("a duplicate is registered", duplicate_beside),
	SAME("a duplicate is registered, edge", duplicate_beside_edge),
	SAME("a duplicate is registered and the original closed", duplicate_alone),
	SAME("a duplicate is registered and the original closed, oneshot", duplicate_alone_oneshot),
	SAME("a duplicate is registered and closed: told still", registered_number_closed),
	SAME("a duplicate is registered and closed: told still, edge",
	     registered_number_closed_edge),
	SAME("a duplicate is registered, closed, its number reused: told still",
	     registered_number_reused),
	SAME("both names are registered: both are told", both_registered),
	SAME("a set in a set", nested_level),
	SAME("a set in a set, edge", nested_edge),
	SAME("a set in a set in a set in a set", nested_deep),
	SAME("a set in poll", set_in_poll),
	SAME("a set in select", set_in_select),
	SAME("a set in poll beside another pending socket", set_in_poll_with_socket),
	SAME("one socket in two sets: both are told", two_sets),
	SAME_UNDER(POLICY_BRIEF, "one socket in two sets: both are told of the failure",
		   two_sets_failure),
	SAME("a set by another name, the first closed", set_duplicated),
};

WAITS_MAIN(cases, 6)
