/* SPDX-License-Identifier: MIT */
/*
 * A loop that knows its sockets by pointers, and moves its bytes past the hooks: to us its connect
 * goes on until the connection is lost. That is no attempt that failed.
 */
#include <sys/epoll.h>
#include <sys/select.h>

#include "lost.h"

/* Past the hooks, until the peer, who reads nothing, takes no more. */
static void fill_unseen(int fd)
{
	char piece[4096] = "";

	for (int idle = 0; idle < 10; idle++) {
		while (syscall(SYS_sendto, fd, piece, sizeof(piece), MSG_NOSIGNAL, NULL, 0) > 0)
			idle = 0;
		sleep_ms(5);
	}
	EXPECT_ERRNO(EAGAIN);
}

static void peer_times_out(int fd)
{
	int limit_ms = 200;

	REQUIRE(setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &limit_ms, sizeof(limit_ms)) == 0);
	until_lost(fd);
}

/* To us its connect goes on, for nobody has asked about it by its number. */
static int connect_by_pointer(const struct script *script, int *set)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLOUT, .data = { .ptr = set } };
	int fd = stream_socket(&script->server);

	nonblocking_set(fd, true);
	EXPECT_IS(server_connect(&script->server, fd), -1);
	EXPECT_ERRNO(EINPROGRESS);
	*set = epoll_create1(EPOLL_CLOEXEC);
	REQUIRE(epoll_ctl(*set, EPOLL_CTL_ADD, fd, &event) == 0);
	EXPECT_IS(epoll_wait(*set, &event, 1, 5000), 1);
	EXPECT_IS(event.events, EPOLLOUT);
	return fd;
}

static int timed_out_unseen(const struct script *script, int *set)
{
	struct epoll_event event;
	int fd = connect_by_pointer(script, set);

	fill_unseen(fd);
	peer_times_out(fd);
	EXPECT_IS(epoll_wait(*set, &event, 1, 5000), 1);
	EXPECT_IS(event.events, EPOLLIN | EPOLLOUT | EPOLLERR | EPOLLHUP);
	return fd;
}

static void expect_over(const struct script *script, int fd, int set)
{
	char byte;

	EXPECT_IS(socket_error(fd), 0);
	EXPECT_IS(recv(fd, &byte, 1, 0), 0);
	EXPECT_IS(script->accepted, 1);
	EXPECT_COUNT(operations, 1);
	EXPECT_COUNT(retries, 0);
	EXPECT_COUNT(reconnects, 0);
	EXPECT_COUNTS_ADD_UP();
	close(set);
}

static void expect_loss_in_time(void)
{
	expect_events(EVENT_CONNECTION_LOST, 1);
	expect_loss(ETIMEDOUT, VERDICT_PASS_ON, CAUSE_UNSAFE, NULL);
}

static void timed_out_told_past_hooks(void)
{
	struct script *script = server_script("g e");
	int set, fd = timed_out_unseen(script, &set);
	char byte;

	EXPECT_IS(syscall(SYS_recvfrom, fd, &byte, 1, 0, NULL, NULL), -1);
	EXPECT_ERRNO(ETIMEDOUT);
	expect_over(script, fd, set);
}

static void timed_out_told_by_so_error(void)
{
	struct script *script = server_script("g e");
	int set, fd = timed_out_unseen(script, &set);

	EXPECT_IS(socket_error(fd), ETIMEDOUT);
	expect_loss_in_time();
	expect_over(script, fd, set);
}

static void timed_out_told_by_recv(void)
{
	struct script *script = server_script("g e");
	int set, fd = timed_out_unseen(script, &set);
	char byte;

	EXPECT_IS(recv(fd, &byte, 1, 0), -1);
	EXPECT_ERRNO(ETIMEDOUT);
	expect_loss_in_time();
	expect_over(script, fd, set);
}

static void expect_told_by_connect(const struct script *script, int fd)
{
	fill_unseen(fd);
	peer_times_out(fd);
	EXPECT_IS(server_connect(&script->server, fd), -1);
	EXPECT_ERRNO(ETIMEDOUT);
	EXPECT_IS(poll(&(struct pollfd){ .fd = fd, .events = POLLOUT }, 1, 500), 1);
	EXPECT_IS(script->accepted, 1);
	EXPECT_COUNT(retries, 0);
}

static void timed_out_told_by_connect(void)
{
	struct script *script = server_script("g e");
	int set, fd = connect_by_pointer(script, &set);

	expect_told_by_connect(script, fd);
}

/* The same where every call was seen. */
static void timed_out_connected_again(void)
{
	struct script *script = server_script("g e");
	int fd = loop_connect(script);
	char piece[4096] = "";

	while (send(fd, piece, sizeof(piece), MSG_NOSIGNAL) > 0)
		;
	expect_told_by_connect(script, fd);
}

/* Whoever looks without waiting is told the whole of it, too. */
static int reset_unseen(int *set)
{
	struct script *script = server_script("r1R e");
	int fd = connect_by_pointer(script, set);

	EXPECT_IS(syscall(SYS_sendto, fd, "x", 1, 0, NULL, 0), 1);
	until_lost(fd);
	return fd;
}

static void reset_told_by_poll(void)
{
	int set, fd = reset_unseen(&set);
	struct pollfd wait = { .fd = fd, .events = POLLIN };

	EXPECT_IS(poll(&wait, 1, 0), 1);
	EXPECT_IS(wait.revents, POLLIN | POLLERR | POLLHUP);
	expect_reset(fd);
}

static void reset_told_by_select(void)
{
	int set, fd = reset_unseen(&set);
	struct timeval at_once = { 0, 0 };
	fd_set readable, writable;

	FD_ZERO(&readable);
	FD_SET(fd, &readable);
	writable = readable;
	EXPECT_IS(select(fd + 1, &readable, &writable, NULL, &at_once), 2);
	expect_reset(fd);
}

static void reset_told_by_epoll(void)
{
	struct epoll_event event = { 0 };
	int set, fd = reset_unseen(&set);

	EXPECT_IS(epoll_wait(set, &event, 1, 0), 1);
	EXPECT_IS(event.events, EPOLLIN | EPOLLOUT | EPOLLERR | EPOLLHUP);
	expect_reset(fd);
}

/* Nothing was sent on it: still the errno is not taken from who reads past the hooks. */
static void reset_told_past_hooks(void)
{
	struct script *script = server_script("gR e");
	struct epoll_event event = { 0 };
	int set, fd = connect_by_pointer(script, &set);
	char byte;

	server_go(script);
	until_lost(fd);
	EXPECT_IS(epoll_wait(set, &event, 1, 5000), 1);
	EXPECT_IS(event.events, EPOLLIN | EPOLLOUT | EPOLLERR | EPOLLHUP);
	EXPECT_IS(syscall(SYS_recvfrom, fd, &byte, 1, 0, NULL, NULL), -1);
	EXPECT_ERRNO(ECONNRESET);
	EXPECT_IS(socket_error(fd), 0);
	EXPECT_IS(script->accepted, 1);
	EXPECT_COUNT(retries, 0);
}

static const struct check_case cases[] = {
	CASE_TOLD("timed out unseen, told past the hooks", timed_out_told_past_hooks,
		  POLICY_DEFAULT),
	CASE_TOLD("timed out unseen, SO_ERROR", timed_out_told_by_so_error, POLICY_DEFAULT),
	CASE_TOLD("timed out unseen, recv", timed_out_told_by_recv, POLICY_DEFAULT),
	CASE_TOLD("timed out unseen, connect", timed_out_told_by_connect, POLICY_DEFAULT),
	CASE_TOLD("timed out, connect", timed_out_connected_again, POLICY_DEFAULT),
	CASE_TOLD("reset unseen, poll", reset_told_by_poll, POLICY_DEFAULT),
	CASE_TOLD("reset unseen, select", reset_told_by_select, POLICY_DEFAULT),
	CASE_TOLD("reset unseen, epoll_wait", reset_told_by_epoll, POLICY_DEFAULT),
	CASE_TOLD("reset, told past the hooks", reset_told_past_hooks, POLICY_DEFAULT),
};

CHECK_MAIN(cases)
