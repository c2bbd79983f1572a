/* SPDX-License-Identifier: MIT */
/*
 * What else a program has beside its pending connects: files with the same epoll data, sets of
 * select() that are smaller than it says, modes that were changed elsewhere.
 */
#include "tests/shim/alarm.h"
#include "tests/surroundings/filter.h"
#include "waits.h"

/* ---- the mode ------------------------------------------------------------------------------ */

static void expect_blocking_refusal(const struct server *server, int fd)
{
	int64_t began;

	EXPECT_IS(server_connect(server, fd), -1);
	EXPECT_ERRNO(ECONNREFUSED);
	began = now_ms();
	EXPECT_IS(poll_out(fd, 1000), POLLOUT | POLLHUP);
	EXPECT_WITHIN(now_ms() - began, 0, 500);
	EXPECT_IS(server_connect(server, fd), -1);
	EXPECT_ERRNO(ECONNREFUSED);
	EXPECT_COUNT(operations, 2);
	EXPECT_COUNT(failures, 2);
	EXPECT_COUNTS_ADD_UP();
}

static void cleared_by_a_duplicate(void)
{
	struct server server = server_bind(AF_INET);
	int fd = nonblocking_socket(&server), copy = dup(fd);

	REQUIRE(fcntl(copy, F_SETFL, 0) == 0);
	close(copy);
	expect_blocking_refusal(&server, fd);
}

/* What a vfork child opens under our numbers says nothing of what they are here. */
static void opened_by_a_vfork_child(void)
{
	struct server server = server_bind(AF_INET), other = server_greeting();
	int fd = stream_socket(&server), warm = stream_socket(&other);
	pid_t pid;

	REQUIRE(server_connect(&other, warm) == 0);
	pid = vfork();
	if (pid == 0) {
		close(fd);
		_exit(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0) == fd ? 0 : 1);
	}
	EXPECT_IS(child_wait(pid), 0);
	EXPECT_IS(server_connect(&server, fd), -1);
	EXPECT_ERRNO(ECONNREFUSED);
	EXPECT_IS(poll_out(fd, 1000), POLLOUT | POLLHUP);
	EXPECT_IS(server_connect(&server, fd), -1);
	EXPECT_ERRNO(ECONNREFUSED);
}

/* A connect() that begins nothing leaves the failure to be told. */
static void refused_shut_and_connected_again(void)
{
	struct server server = server_bind(AF_INET);
	int fd = pending_socket(&server);

	EXPECT_IS(poll_out(fd, LIMIT_MS), POLLOUT | POLLERR | POLLHUP);
	EXPECT_IS(shutdown(fd, SHUT_RDWR), -1);
	EXPECT_ERRNO(ENOTCONN);
	for (int i = 0; i < 2; i++) {
		EXPECT_IS(server_connect(&server, fd), -1);
		EXPECT_ERRNO(EINVAL);
		EXPECT_IS(poll_out(fd, 100), POLLOUT | POLLERR | POLLHUP);
	}
	EXPECT_IS(socket_error(fd), ECONNREFUSED);
	EXPECT_IS(socket_error(fd), 0);
}

/* ---- equal data ------------------------------------------------------------------------------ */

static void expect_hangup(int set, uint32_t events)
{
	int64_t began = now_ms(), cpu = cpu_us();

	EXPECT_IS(set_wait(set, 2000), events);
	EXPECT_WITHIN(now_ms() - began, 0, 1000);
	EXPECT_WITHIN(cpu_us() - cpu, 0, 300000);
}

/* A proxy's session: both sockets have its address for data. */
static void session(uint32_t asked, uint32_t told)
{
	struct server server = server_never(), front = server_listening(AF_INET);
	int client = stream_socket(&front), accepted, upstream, set = set_make();
	const struct linger hard = { 1, 0 };

	REQUIRE(server_connect(&front, client) == 0);
	accepted = accept4(front.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	REQUIRE(accepted >= 0);
	upstream = pending_socket(&server);
	REQUIRE(set_control(set, EPOLL_CTL_ADD, accepted, asked, 7) == 0);
	REQUIRE(set_control(set, EPOLL_CTL_ADD, upstream, EPOLLOUT, 7) == 0);
	EXPECT_IS(set_wait(set, 250), 0);
	REQUIRE(setsockopt(client, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard)) == 0);
	close(client);
	expect_hangup(set, told);
}

static void session_level(void)
{
	session(EPOLLIN | EPOLLRDHUP, EPOLLIN | EPOLLRDHUP | EPOLLERR | EPOLLHUP);
}

static void session_edge(void)
{
	session(EPOLLIN | EPOLLRDHUP | EPOLLET, EPOLLIN | EPOLLRDHUP | EPOLLERR | EPOLLHUP);
}

/* Even where both say the same, one that was taken out before the wait says nothing in it. */
static void pipe_like_it(void)
{
	struct server server = server_never();
	int fd = pending_socket(&server), set = set_make(), ends[2];

	REQUIRE(pipe2(ends, O_CLOEXEC) == 0);
	REQUIRE(set_control(set, EPOLL_CTL_ADD, fd, EPOLLOUT, 7) == 0);
	EXPECT_IS(set_wait(set, 150), 0);
	/* The end that writes, without a reader: OUT and ERR. */
	REQUIRE(set_control(set, EPOLL_CTL_ADD, ends[1], EPOLLOUT | EPOLLET, 7) == 0);
	EXPECT_IS(set_wait(set, 150), EPOLLOUT);
	EXPECT_IS(set_wait(set, 150), 0);
	close(ends[0]);
	expect_hangup(set, EPOLLOUT | EPOLLERR);
}

/* It was refused, and is under way again at a server that says nothing. */
static void one_tried_again(void)
{
	struct server server = server_silent();
	int fd, set = set_make(), ends[2];

	shutdown(server.fd, SHUT_RDWR);
	fd = pending_socket(&server);
	REQUIRE(set_control(set, EPOLL_CTL_ADD, fd, EPOLLOUT, 7) == 0);
	EXPECT_IS(set_wait(set, 150), 0);
	REQUIRE(listen(server.fd, 0) == 0);
	REQUIRE(syscall(SYS_connect, syscall(SYS_socket, AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0),
			&server.address, server.length) == 0);
	EXPECT_IS(set_wait(set, 500), 0);
	REQUIRE(pipe2(ends, O_CLOEXEC) == 0);
	REQUIRE(set_control(set, EPOLL_CTL_ADD, ends[0], EPOLLIN, 7) == 0);
	close(ends[1]);
	expect_hangup(set, EPOLLHUP);
}

#define ASKERS 6

static _Atomic bool asking = true;
static _Atomic int told;

static void *events_ask(void *argument)
{
	struct epoll_event events[8];
	int count;

	while (asking) {
		count = epoll_wait(*(int *)argument, events, 8, 0);
		told += count > 0 ? count : 0;
	}
	return NULL;
}

/* What one thread was given is judged by what another has asked for since. */
static void modified_by_a_thread(void)
{
	struct server server = server_never();
	int fd = pending_socket(&server), set = set_make();
	pthread_t threads[ASKERS];

	set_add(set, fd, EPOLLOUT);
	EXPECT_IS(poll_out(fd, 50), 0);
	for (int i = 0; i < ASKERS; i++)
		threads[i] = thread_start(events_ask, &set);
	for (int i = 0; i < 400; i++) {
		EXPECT_IS(set_control(set, EPOLL_CTL_MOD, fd, i % 2 ? EPOLLIN : EPOLLOUT,
				      (uint64_t)fd),
			  0);
		sleep_ms(1);
	}
	asking = false;
	for (int i = 0; i < ASKERS; i++)
		pthread_join(threads[i], NULL);
	EXPECT_IS(told, 0);
}

/* ---- the sets of select() ------------------------------------------------------------------ */

/* The kernel looks at no more of a set than there can be fds. */
static struct {
	fd_set set;
	_Atomic long behind[16384];
} smaller;

static void *count_behind(void *stop)
{
	while (!*(_Atomic bool *)stop) {
		for (int i = 0; i < 16384; i += 512)
			smaller.behind[i]++;
		usleep(1000);
	}
	return NULL;
}

static void select_with_a_thread(void)
{
	static _Atomic bool stop;
	pthread_t thread = thread_start(count_behind, &stop);
	int idle = eventfd(0, EFD_CLOEXEC), backward = 0;

	for (int i = 0; i < 10; i++) {
		struct timeval limit = { 0, 30000 };
		long before = smaller.behind[0];

		FD_ZERO(&smaller.set);
		FD_SET(idle, &smaller.set);
		EXPECT_IS(select(i % 2 ? 8192 : 1048576, &smaller.set, NULL, NULL, &limit), 0);
		backward += smaller.behind[0] <= before;
	}
	stop = true;
	pthread_join(thread, NULL);
	EXPECT_IS(backward, 0);
}

static void select_of_more_than_there_are(int count)
{
	struct server server = server_late(LATE_MS);
	int fd = pending_socket(&server);

	memset(&smaller, 0xff, sizeof(smaller));
	FD_ZERO(&smaller.set);
	FD_SET(fd, &smaller.set);
	EXPECT_IS(select(count, NULL, &smaller.set, NULL, NULL), 1);
	EXPECT(FD_ISSET(fd, &smaller.set));
	for (int i = 0; i < 16384; i++)
		REQUIRE(smaller.behind[i] == -1);
	expect_works(fd);
}

static void select_of_many(void)
{
	select_of_more_than_there_are(8192);
}

static void select_of_a_million(void)
{
	select_of_more_than_there_are(1048576);
}

/* The room grows with the highest number, and none of it is overlooked. */
static void select_of_a_high_one(void)
{
	struct server server = server_late(LATE_MS);
	int fd = pending_socket(&server), high[] = { 64, 127, 300, 1000 };

	for (size_t i = 0; i < sizeof(high) / sizeof(high[0]); i++) {
		int copy = fcntl(fd, F_DUPFD_CLOEXEC, high[i]);
		struct timeval limit = { i ? 0 : LIMIT_MS / 1000, 0 };

		FD_ZERO(&smaller.set);
		FD_SET(copy, &smaller.set);
		EXPECT_IS(select(i % 2 ? 1024 : copy + 1, NULL, &smaller.set, NULL, &limit), 1);
		EXPECT(FD_ISSET(copy, &smaller.set));
	}
}

/* The kernel's limit is asked for in the middle of signals. */
static void select_among_signals(void)
{
	struct server server = server_never();
	int fd = pending_socket(&server), ready = 0;

	EXPECT_IS(poll_out(fd, 50), 0);
	handle(SIGALRM, handler_count, SA_RESTART);
	timer_set_us(100, 100);
	for (int64_t end = now_ms() + 1500; now_ms() < end;) {
		struct timeval limit = { 0, 0 };

		FD_ZERO(&smaller.set);
		FD_SET(fd, &smaller.set);
		ready += select(FD_SETSIZE, NULL, &smaller.set, NULL, &limit) > 0;
	}
	timer_set(0, 0);
	EXPECT(handled > 100);
	EXPECT_IS(ready, 0);
}

/* ---- what is wrong by itself -------------------------------------------------------------------- */

static void older_calls_only(void)
{
	struct server server = server_late(LATE_MS);
	int fd = pending_socket(&server), set = set_make();

	set_add(set, fd, EPOLLOUT);
	if (!filter_forbid("ppoll", EPERM) || !filter_forbid("epoll_pwait", EPERM))
		check_skip("seccomp filters are not allowed here");
	expect_pending(&server, fd, 100);
	errno = 0;
	EXPECT_IS(set_wait(set, 100), 0);
	EXPECT_IS(poll_out(fd, 100), 0);
	EXPECT_ERRNO(0);
	EXPECT_IS(set_wait(set, LIMIT_MS), EPOLLOUT);
	expect_connects(fd);
}

static void no_event_at_all(void)
{
	struct server server = server_late(LATE_MS);
	int fd = pending_socket(&server), set = set_make();

	set_add(set, fd, EPOLLOUT);
	expect_pending(&server, fd, 100);
	EXPECT_IS(epoll_ctl(set, EPOLL_CTL_MOD, fd, NULL), -1);
	EXPECT_ERRNO(EFAULT);
	EXPECT_IS(set_wait(set, LIMIT_MS), EPOLLOUT);
}

#define NONE(name, run) SAME_UNDER(POLICY_NETWORK("\"max_retries\":0"), name, run)

/* Programs with numbers of their own choice as data: one can be that of a socket. */
static void bell_with_its_number(void)
{
	struct server server = server_full();
	int set = set_make(), bell = eventfd(1, EFD_NONBLOCK | EFD_CLOEXEC);
	int fd = nonblocking_socket(&server);
	struct epoll_event event = { .events = EPOLLIN, .data.fd = fd };

	set_add(set, fd, EPOLLOUT);
	REQUIRE(epoll_ctl(set, EPOLL_CTL_ADD, bell, &event) == 0);
	connect_begin(&server, fd);
	EXPECT_IS(epoll_wait(set, &event, 1, LIMIT_MS), 1);
	EXPECT_IS(event.events, EPOLLIN);
	EXPECT_COUNT(succeeded, 0);
	EXPECT_SLOT(fd, state, SLOT_CONNECTING);
}

/* One number that is none of a descriptor's takes nothing from the others. */
static void bell_with_another_number(void)
{
	struct server server = server_greeting();
	int set = set_make(), bell = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	int fd = nonblocking_socket(&server);
	struct epoll_event event = { .events = EPOLLIN };

	REQUIRE(epoll_ctl(set, EPOLL_CTL_ADD, bell, &event) == 0);
	set_add(set, fd, EPOLLOUT);
	connect_begin(&server, fd);
	EXPECT_IS(set_wait(set, LIMIT_MS), EPOLLOUT);
	EXPECT_COUNT(succeeded, 1);
	EXPECT_SLOT(fd, state, SLOT_CONNECTED);
}

static void registered_from_nowhere(void)
{
	struct epoll_event *nowhere = (struct epoll_event *)(uintptr_t)8;
	int bell = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

	EXPECT_IS(epoll_ctl(set_make(), EPOLL_CTL_ADD, bell, nowhere), -1);
	EXPECT_ERRNO(EFAULT);
}

static const struct check_case cases[] = {
	SAME_UNDER(POLICY_BRIEF, "made blocking by a duplicate", cleared_by_a_duplicate),
	SAME_UNDER(POLICY_BRIEF, "a vfork child opens a socket of its number",
		   opened_by_a_vfork_child),
	NONE("refused, shut, connected again", refused_shut_and_connected_again),
	SAME("a session's data: the other socket hangs up", session_level),
	SAME("a session's data: edge triggered", session_edge),
	SAME("a pipe with its data says what it would say", pipe_like_it),
	HELD("a pipe with the data of one that is tried again", one_tried_again),
	SAME("an eventfd whose data is the number of one", bell_with_its_number),
	SAME("an eventfd whose data is a number of nothing", bell_with_another_number),
	SAME("epoll_ctl() with a pointer to nothing", registered_from_nowhere),
	SAME("modified by one of many threads", modified_by_a_thread),
	SAME("select() of more than there are, a thread beside", select_with_a_thread),
	SAME("select() of 8,192", select_of_many),
	SAME("select() of 1,048,576", select_of_a_million),
	SAME("select() of high numbers", select_of_a_high_one),
	SAME("select() among signals", select_among_signals),
	SAME("a sandbox that knows the older calls only", older_calls_only),
	SAME("epoll_ctl() without an event", no_event_at_all),
};

WAITS_MAIN(cases, 8)
