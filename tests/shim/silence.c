/* SPDX-License-Identifier: MIT */
/* heartbeat.idle_timeout: an end to silence. */
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/select.h>

#include "alarm.h"
#include "script.h"

/* The policy's idle_timeout. */
#define IDLE 500

static int64_t cpu_ms(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * INT64_C(1000) +
	       (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1000;
}

static void expect_timeout(int fd)
{
	char byte;

	EXPECT_IS(recv(fd, &byte, 1, 0), -1);
	EXPECT_ERRNO(ETIMEDOUT);
	EXPECT_IS(recv(fd, &byte, 1, 0), 0);
}

static void blocking_read(void)
{
	int fd = script_connect(server_script("d"));
	int64_t began = now_ms(), cpu = cpu_ms();

	expect_timeout(fd);
	EXPECT_WITHIN(now_ms() - began, IDLE - 20, IDLE + 1500);
	EXPECT_WITHIN(cpu_ms() - cpu, 0, 100);
	expect_loss(ETIMEDOUT, VERDICT_PASS_ON, CAUSE_UNSAFE,
		    "written 0, acknowledged 0, unanswered 0");
}

/* As each of a program's threads may. */
static void blocking_read_after_loop(void)
{
	int fd = loop_connect(server_script("d"));
	int64_t began = now_ms();

	nonblocking_set(fd, false);
	expect_timeout(fd);
	EXPECT_WITHIN(now_ms() - began, IDLE - 20, IDLE + 1500);
}

static void shorter_receive_timeout(void)
{
	int fd = script_connect(server_script("d"));
	struct timeval timeout = { 0, 200000 };
	int64_t began = now_ms();
	char byte;

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
	EXPECT_IS(recv(fd, &byte, 1, 0), -1);
	EXPECT_ERRNO(EAGAIN);
	EXPECT_WITHIN(now_ms() - began, 180, 450);
	/* However often it asks, the silence is one. */
	EXPECT_IS(recv(fd, &byte, 1, 0), -1);
	EXPECT_ERRNO(EAGAIN);
	expect_timeout(fd);
	EXPECT_WITHIN(now_ms() - began, IDLE - 20, IDLE + 1500);
}

static void reads_that_do_not_wait(void)
{
	int fd = script_connect(server_script("d"));
	char byte;

	EXPECT_IS(recv(fd, &byte, 1, MSG_DONTWAIT), -1);
	EXPECT_ERRNO(EAGAIN);
	sleep_ms(IDLE + 100);
	EXPECT_IS(recv(fd, &byte, 1, MSG_DONTWAIT), -1);
	EXPECT_ERRNO(ETIMEDOUT);
}

static void *bytes_send(void *argument)
{
	for (int i = 0; i < 8; i++) {
		sleep_ms(IDLE / 4);
		send(*(int *)argument, "x", 1, MSG_NOSIGNAL);
	}
	return NULL;
}

/* Bytes of the other direction count, whoever sends them. */
static void sent_by_another_thread(void)
{
	int fd = script_connect(server_script("r8s1d"));
	pthread_t thread;
	char byte;

	REQUIRE(pthread_create(&thread, NULL, bytes_send, &fd) == 0);
	EXPECT_IS(recv(fd, &byte, 1, 0), 1);
	pthread_join(thread, NULL);
}

/* Bytes every 200 ms, more than the limit in all. */
static void bytes_in_time(void)
{
	struct script *script = server_script("gs1gs1gs1gs1gs1d");
	int fd = script_connect(script);
	char byte;

	for (int i = 0; i < 5; i++) {
		sleep_ms(200);
		server_go(script);
		EXPECT_IS(recv(fd, &byte, 1, 0), 1);
	}
	expect_timeout(fd);
}

static void interrupted(void)
{
	int fd = script_connect(server_script("d"));
	int64_t began = now_ms();
	char byte;

	alarm_after(200, handler_count, 0);
	EXPECT_IS(recv(fd, &byte, 1, 0), -1);
	EXPECT_ERRNO(EINTR);
	EXPECT_WITHIN(now_ms() - began, 180, 450);
	EXPECT_IS(handled, 1);
}

/* A signal that the program does not see makes the silence no longer. */
static void restarted(void)
{
	int fd = script_connect(server_script("d"));
	int64_t began = now_ms();

	alarm_after(200, handler_count, SA_RESTART);
	expect_timeout(fd);
	EXPECT_WITHIN(now_ms() - began, IDLE - 20, IDLE + 1500);
	EXPECT_IS(handled, 1);
}

/* ---- waits --------------------------------------------------------------------------------------- */

typedef int waiter(int fd, int ms);

static int by_poll(int fd, int ms)
{
	struct pollfd wait = { .fd = fd, .events = POLLIN };

	return poll(&wait, 1, ms) == 1 && wait.revents & POLLIN;
}

static int by_select(int fd, int ms)
{
	struct timeval timeout = { ms / 1000, ms % 1000 * 1000 };
	fd_set readable;

	FD_ZERO(&readable);
	FD_SET(fd, &readable);
	return select(fd + 1, &readable, NULL, NULL, &timeout) == 1 && FD_ISSET(fd, &readable);
}

static int by_epoll(int fd, int ms)
{
	static int set = -1;
	struct epoll_event event = { .events = EPOLLIN, .data.fd = fd };

	if (set < 0) {
		set = epoll_create1(0);
		REQUIRE(epoll_ctl(set, EPOLL_CTL_ADD, fd, &event) == 0);
	}
	return epoll_wait(set, &event, 1, ms) == 1 && event.events & EPOLLIN;
}

static void leave_at_once(void *argument)
{
	(void)argument;
}

static int by_epoll_edge(int fd, int ms)
{
	static int set = -1;
	struct epoll_event event = { .events = EPOLLIN | EPOLLET, .data.fd = fd };

	if (set < 0) {
		set = epoll_create1(0);
		REQUIRE(epoll_ctl(set, EPOLL_CTL_ADD, fd, &event) == 0);
	}
	return epoll_wait(set, &event, 1, ms) == 1 && event.events & EPOLLIN;
}

static void woken(int fd, waiter *wait)
{
	int64_t began = now_ms(), cpu = cpu_ms();

	EXPECT(wait(fd, 10000));
	EXPECT_WITHIN(now_ms() - began, IDLE - 50, IDLE + 1500);
	EXPECT_WITHIN(cpu_ms() - cpu, 0, 100);
	expect_timeout(fd);
}

static void woken_blocking(waiter *wait)
{
	woken(script_connect(server_script("d")), wait);
}

static void woken_in_loop(waiter *wait)
{
	woken(loop_connect(server_script("d")), wait);
}

static void woken_by_poll(void)
{
	woken_blocking(by_poll);
}

static void woken_by_select(void)
{
	woken_blocking(by_select);
}

static void woken_by_epoll(void)
{
	woken_blocking(by_epoll);
}

static void loop_by_poll(void)
{
	woken_in_loop(by_poll);
}

static void loop_by_epoll(void)
{
	woken_in_loop(by_epoll);
}

static void loop_by_edge(void)
{
	woken_in_loop(by_epoll_edge);
}

static void loop_in_time(void)
{
	struct script *script = server_script("gs1gs1gs1gs1d");
	int fd = loop_connect(script);
	char byte;

	for (int i = 0; i < 4; i++) {
		EXPECT_IS(by_epoll(fd, 250), 0);
		server_go(script);
		EXPECT_IS(by_epoll(fd, 5000), 1);
		EXPECT_IS(recv(fd, &byte, 1, 0), 1);
	}
	woken(fd, by_epoll);
}

/* What came in time is no silence, though the program had no time to look. */
static void busy(void)
{
	struct script *script = server_script("s1gs1d");
	int fd = loop_connect(script);
	char byte;

	bytes_waiting(fd, 1);
	sleep_ms(IDLE + 200);
	EXPECT_IS(by_epoll(fd, 0), 1);
	EXPECT_IS(by_epoll(fd, 100), 1);
	EXPECT_IS(recv(fd, &byte, 1, 0), 1);
	EXPECT_IS(by_epoll(fd, 100), 0);
	server_go(script);
	EXPECT_IS(by_epoll(fd, 5000), 1);
	EXPECT_IS(recv(fd, &byte, 1, 0), 1);
}

/* What it shares is not ended behind the other's back. */
static void shared(void)
{
	struct script *script = server_script("gs1d");
	int fd = loop_connect(script);
	char byte;

	child_wait(helper_start(leave_at_once, NULL));
	EXPECT_IS(by_epoll(fd, IDLE + 300), 0);
	EXPECT_IS(recv(fd, &byte, 1, 0), -1);
	EXPECT_ERRNO(EAGAIN);
	nonblocking_set(fd, false);
	server_go(script);
	EXPECT_IS(recv(fd, &byte, 1, 0), 1);
}

/* ---- made anew --------------------------------------------------------------------------------------- */

static void replayed(void)
{
	struct script *script = server_script("r5 e");
	int fd = script_connect(script);
	int64_t began = now_ms();

	expect_echo(fd, "hello");
	EXPECT_WITHIN(now_ms() - began, IDLE - 20, IDLE + 1500);
	EXPECT_COUNT(reconnects, 1);
	EXPECT_COUNT(replayed_bytes, 5);
	expect_loss(ETIMEDOUT, VERDICT_RETRY_NOW, 0, NULL);
	EXPECT_TEXT(script, 1, "hello");
	/* And there again. */
	expect_timeout(fd);
}

/* Nothing was moved: made anew as often as the policy says, and then told. */
static void before_any_byte(void)
{
	struct script *script = server_script("d");
	int fd = script_connect(script);
	int64_t began = now_ms();

	expect_timeout(fd);
	EXPECT_WITHIN(now_ms() - began, 3 * (IDLE - 20), 3 * IDLE + 2000);
	EXPECT_COUNT(reconnects, 2);
	EXPECT_COUNT(retries_denied_limit, 1);
	EXPECT_COUNTS_ADD_UP();
}

static void replayed_in_loop(void)
{
	struct script *script = server_script("r5 e");
	int fd = loop_connect(script);
	char answer[5];

	EXPECT_IS(send(fd, "hello", 5, 0), 5);
	while (recv(fd, answer, 5, 0) != 5) {
		EXPECT_ERRNO(EAGAIN);
		REQUIRE(by_epoll(fd, 5000));
	}
	EXPECT_COUNT(reconnects, 1);
	EXPECT_COUNT(replayed_bytes, 5);
}

#define IDLE_TIMEOUT "\"heartbeat\":{\"idle_timeout\":\"500ms\"}"
#define POLICY_IDLE                                                                      \
	POLICY_TENDED(IDLE_TIMEOUT ",\"transfer\":{\"replay\":\"never\"}", "\"max_retri" \
									   "es\":50")
#define POLICY_UNSENT POLICY_TENDED(IDLE_TIMEOUT, "\"max_retries\":1")
#define POLICY_REPLAY                                                                      \
	POLICY_TENDED(IDLE_TIMEOUT ",\"transfer\":{\"replay\":\"unanswered\"}", "\"max_re" \
										"tries\":50")

static const struct check_case cases[] = {
	CASE_UNDER("idle: a blocking read", blocking_read, POLICY_IDLE),
	CASE_UNDER("idle: a blocking read after a non-blocking connect", blocking_read_after_loop,
		   POLICY_IDLE),
	CASE_UNDER("idle: a shorter SO_RCVTIMEO", shorter_receive_timeout, POLICY_IDLE),
	CASE_UNDER("idle: reads that do not wait", reads_that_do_not_wait, POLICY_IDLE),
	CASE_UNDER("idle: another thread sends", sent_by_another_thread, POLICY_IDLE),
	CASE_UNDER("idle: bytes in time", bytes_in_time, POLICY_IDLE),
	CASE_UNDER("idle: a signal without SA_RESTART", interrupted, POLICY_IDLE),
	CASE_UNDER("idle: a signal with SA_RESTART", restarted, POLICY_IDLE),
	CASE_UNDER("idle: poll", woken_by_poll, POLICY_IDLE),
	CASE_UNDER("idle: select", woken_by_select, POLICY_IDLE),
	CASE_UNDER("idle: epoll", woken_by_epoll, POLICY_IDLE),
	CASE_UNDER("idle: poll, connected without waiting", loop_by_poll, POLICY_IDLE),
	CASE_UNDER("idle: epoll, connected without waiting", loop_by_epoll, POLICY_IDLE),
	CASE_UNDER("idle: epoll, edge triggered", loop_by_edge, POLICY_IDLE),
	CASE_UNDER("idle: epoll, bytes in time", loop_in_time, POLICY_IDLE),
	CASE_UNDER("idle: a busy program", busy, POLICY_IDLE),
	CASE_UNDER("idle: not of what is shared", shared, POLICY_IDLE),
	CASE_UNDER("idle: before any byte", before_any_byte, POLICY_UNSENT),
	CASE_UNDER("idle: made anew", replayed, POLICY_REPLAY),
	CASE_UNDER("idle: made anew in a loop", replayed_in_loop, POLICY_REPLAY),
};

CHECK_MAIN(cases)
