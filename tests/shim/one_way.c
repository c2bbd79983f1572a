/* SPDX-License-Identifier: MIT */
/* replay: one_way. Output goes on over outages: whole records, and what is left at the end is handed over. */
#include "script.h"

/* ---- over an outage ---------------------------------------------------------------------- */

/* What the peer's kernel had was read, so nothing is sent twice and nothing is missing. */
static void line_by_line(void)
{
	struct script *script = server_script("r12R r6R d");
	int fd = script_connect(script);

	EXPECT_IS(send(fd, "first\n", 6, 0), 6);
	EXPECT_IS(send(fd, "other\n", 6, 0), 6);
	until_lost(fd);
	EXPECT_IS(send(fd, "third\n", 6, 0), 6);
	EXPECT_TEXT(script, 1, "third\n");
	until_lost(fd);
	EXPECT_IS(send(fd, "last\n", 5, 0), 5);
	EXPECT_TEXT(script, 2, "last\n");
	EXPECT_COUNT(reconnects, 2);
	EXPECT_COUNT(replayed_bytes, 0);
	EXPECT_COUNT(lost_bytes, 0);
	EXPECT_COUNTS_ADD_UP();
}

/* A line that was cut is sent again whole. */
static void cut_line(void)
{
	struct script *script = server_script("r9gR d");
	int fd = script_connect(script);

	EXPECT_IS(send(fd, "first\nsec", 9, 0), 9);
	UNTIL(script->connections[0].size == 9);
	server_go(script);
	until_lost(fd);
	EXPECT_IS(send(fd, "ond\nthird\n", 10, 0), 10);
	EXPECT_TEXT(script, 1, "second\nthird\n");
	EXPECT_COUNT(replayed_bytes, 3);
	EXPECT_COUNT(lost_bytes, 0);
}

static void cut_record(void)
{
	struct script *script = server_script("r9gR d");
	int fd = script_connect(script);

	EXPECT_IS(send(fd, "12345678a", 9, 0), 9);
	UNTIL(script->connections[0].size == 9);
	server_go(script);
	until_lost(fd);
	EXPECT_IS(send(fd, "bcdefghABCDEFGH", 15, 0), 15);
	EXPECT_TEXT(script, 1, "abcdefghABCDEFGH");
	EXPECT_COUNT(replayed_bytes, 1);
}

/* As far back as the overlap reaches, and to the beginning of that line. */
static void overlap(void)
{
	struct script *script = server_script("r18gR d");
	int fd = script_connect(script);

	EXPECT_IS(send(fd, "first\nother\nthird\n", 18, 0), 18);
	UNTIL(script->connections[0].size == 18);
	server_go(script);
	until_lost(fd);
	EXPECT_IS(send(fd, "last\n", 5, 0), 5);
	EXPECT_TEXT(script, 1, "other\nthird\nlast\n");
	EXPECT_COUNT(replayed_bytes, 12);
}

/* The peer ends the connection: nobody reads there any more. */
static void after_end(void)
{
	struct script *script = server_script("r6C d");
	int fd = script_connect(script);
	char byte;

	EXPECT_IS(send(fd, "first\n", 6, 0), 6);
	until_ended(fd);
	EXPECT_IS(recv(fd, &byte, 1, MSG_DONTWAIT), -1);
	EXPECT_ERRNO(EAGAIN);
	EXPECT_IS(send(fd, "other\n", 6, 0), 6);
	EXPECT_TEXT(script, 1, "other\n");
	EXPECT_COUNT(reconnects, 1);
}

/* ---- while there is nobody ------------------------------------------------------------------- */

/* Of a stream of lines, as much as there is room for. */
static size_t lines_send(int fd, const char *lines, size_t done, size_t most)
{
	ssize_t sent = 0;

	for (; done < most && sent >= 0; done += (size_t)(sent > 0 ? sent : 0))
		sent = send(fd, lines + done, most - done < 64 ? most - done : 64, MSG_DONTWAIT);
	return done;
}

#define LINES 20000

static void outage_nonblocking(void)
{
	struct script *script = server_script("r6LR d");
	int fd = outage_begin(script);
	struct pollfd wait = { .fd = fd, .events = POLLOUT };
	static char lines[LINES + 1];
	size_t done;

	for (size_t i = 0; i < LINES; i += 8)
		snprintf(lines + i, 9, "%07zu\n", i);
	done = lines_send(fd, lines, 0, LINES);
	/* max_buffer is 4 KiB, and nothing else takes it. */
	EXPECT_WITHIN(done, 4080, 4096);
	EXPECT_ERRNO(EAGAIN);
	EXPECT_IS(poll(&wait, 1, 50), 0);
	server_return(script);
	while (done < LINES) {
		REQUIRE(poll(&wait, 1, 5000) == 1);
		done = lines_send(fd, lines, done, LINES);
	}
	expect_bytes(script, 1, lines, LINES);
	EXPECT_COUNT(lost_bytes, 0);
}

static void outage_blocking(void)
{
	struct script *script = server_script("r6LR d");
	int fd = outage_begin(script);
	static char lines[20000];
	pthread_t thread;
	int64_t began = now_ms();

	memset(lines, '.', sizeof(lines));
	for (size_t i = 99; i < sizeof(lines); i += 100)
		lines[i] = '\n';
	thread = server_return_after(script, 300);
	EXPECT_IS(send(fd, lines, sizeof(lines), 0), sizeof(lines));
	EXPECT_WITHIN(now_ms() - began, 290, 5000);
	expect_bytes(script, 1, lines, sizeof(lines));
	pthread_join(thread, NULL);
}

/* The program's limit is that of the part that did not fit. */
static void outage_send_timeout(void)
{
	struct script *script = server_script("r6LR d");
	int fd = outage_begin(script);
	static char lines[20000];

	send_timeout_ask(fd, 200);
	EXPECT_WITHIN(send(fd, lines, sizeof(lines), 0), 3000, 4096);
	EXPECT_IS(send(fd, lines, sizeof(lines), 0), -1);
	EXPECT_ERRNO(EAGAIN);
}

/* It cannot be sent again whole, so what was sent of it is the peer's, and the loss the program's. */
static void long_line(void)
{
	struct script *script = server_script("r10000R d");
	int fd = script_connect(script);
	static char line[10000];

	EXPECT_IS(send(fd, line, sizeof(line), 0), sizeof(line));
	until_lost(fd);
	EXPECT_IS(send(fd, "x", 1, MSG_NOSIGNAL), -1);
	EXPECT_ERRNO(ECONNRESET);
	EXPECT_COUNT(reconnects, 0);
	EXPECT_COUNT(retries_denied_buffer, 1);
}

/* The same in pieces: what is left of it is no record for anybody else. */
static void long_line_in_pieces(void)
{
	struct script *script = server_script("r6000R d");
	int fd = script_connect(script);
	static char piece[1000];

	for (int i = 0; i < 6; i++) {
		EXPECT_IS(send(fd, piece, sizeof(piece), 0), sizeof(piece));
		sleep_ms(5);
	}
	until_lost(fd);
	EXPECT_IS(send(fd, "\n", 1, MSG_NOSIGNAL), -1);
	EXPECT_ERRNO(ECONNRESET);
	EXPECT_COUNT(reconnects, 0);
	EXPECT_COUNT(retries_denied_buffer, 1);
}

/* ---- forked children ------------------------------------------------------------------------ */

static void *lines_send_always(void *argument)
{
	int *fd = argument;
	static char lines[8192];

	memset(lines, '\n', sizeof(lines));
	while (send(*fd, lines, sizeof(lines), MSG_NOSIGNAL) > 0)
		;
	return NULL;
}

/* The thread that was in the middle of a send is not there to come to its end. */
static void child_sends(void)
{
	struct script *script = server_script("d");
	int fd = script_connect(script);
	pthread_t thread;

	REQUIRE(pthread_create(&thread, NULL, lines_send_always, &fd) == 0);
	for (int i = 0; i < 200; i++) {
		pid_t pid = fork();

		if (pid == 0) {
			alarm(5);
			_exit(send(fd, "child\n", 6, MSG_NOSIGNAL) == 6 ? 0 : 1);
		}
		if (!EXPECT_IS(child_wait(pid), 0))
			break;
	}
	EXPECT_IS(shutdown(fd, SHUT_RDWR), 0);
	pthread_join(thread, NULL);
}

/* ---- the end -------------------------------------------------------------------------------------- */

static void close_drains(void)
{
	struct script *script = server_script("r6LR d");
	int fd = outage_begin(script);
	pthread_t thread;

	EXPECT_IS(send(fd, "last\n", 5, 0), 5);
	thread = server_return_after(script, 300);
	EXPECT_IS(close(fd), 0);
	EXPECT_TEXT(script, 1, "last\n");
	EXPECT_COUNT(lost_bytes, 0);
	EXPECT_COUNTS_ADD_UP();
	pthread_join(thread, NULL);
}

static void shutdown_drains(void)
{
	struct script *script = server_script("r6LR d");
	int fd = outage_begin(script);
	pthread_t thread;

	EXPECT_IS(send(fd, "last\n", 5, 0), 5);
	thread = server_return_after(script, 300);
	EXPECT_IS(shutdown(fd, SHUT_WR), 0);
	EXPECT_TEXT(script, 1, "last\n");
	UNTIL(script->connections[1].is_ended);
	EXPECT_COUNT(lost_bytes, 0);
	pthread_join(thread, NULL);
}

static void close_gives_up(void)
{
	struct script *script = server_script("r6LR d");
	int fd = outage_begin(script);
	int64_t began;

	EXPECT_IS(send(fd, "last line\n", 10, 0), 10);
	EXPECT_IS(send(fd, "and more", 8, 0), 8);
	began = now_ms();
	EXPECT_IS(close(fd), 0);
	/* `drain` */
	EXPECT_WITHIN(now_ms() - began, 450, 3000);
	EXPECT_COUNT(lost_bytes, 18);
	EXPECT_COUNT(abandoned, 1);
	EXPECT_COUNTS_ADD_UP();
}

/* Given up before: as much is lost. */
static void close_after_limit(void)
{
	struct script *script = server_script("r6LR d");
	int fd = outage_begin(script);

	EXPECT_IS(send(fd, "last line\n", 10, 0), 10);
	EXPECT_IS(close(fd), 0);
	EXPECT_COUNT(lost_bytes, 10);
	EXPECT_COUNT(reconnect_failures, 1);
	EXPECT_COUNTS_ADD_UP();
}

/* Nothing is left to wait for. */
static void close_at_once(void)
{
	struct script *script = server_script("r6d");
	int fd = script_connect(script);
	int64_t began;

	EXPECT_IS(send(fd, "first\n", 6, 0), 6);
	UNTIL(script->connections[0].size == 6);
	began = now_ms();
	EXPECT_IS(close(fd), 0);
	EXPECT_WITHIN(now_ms() - began, 0, 250);
	EXPECT_COUNT(lost_bytes, 0);
}

/* ---- the end of the process -------------------------------------------------------------------------- */

enum ending { BY_EXIT, BY_QUICK_EXIT, BY_UNDERSCORE_EXIT };

/*
 * In a child of its own, which connects by itself, its server being the parent's: loses it,
 * sends, and ends while nobody listens. act: what it does to its numbers before.
 */
static void ends_during_outage(enum ending ending, int (*act)(int fd))
{
	struct script *script = server_script("r6LR d");
	pid_t pid = fork();

	if (pid == 0) {
		int fd = outage_begin(script);

		fd = act(fd);
		EXPECT_IS(send(fd, "last\n", 5, 0), 5);
		if (ending == BY_EXIT)
			exit(check_failures);
		if (ending == BY_QUICK_EXIT)
			quick_exit(check_failures);
		_exit(check_failures);
	}
	REQUIRE(pid > 0);
	UNTIL(script->accepted == 1 && socket_state(script->server.fd) == TCP_CLOSE);
	sleep_ms(200);
	server_return(script);
	EXPECT_TEXT(script, 1, "last\n");
	EXPECT_IS(child_wait(pid), 0);
	EXPECT_COUNT(reconnects, 1);
	EXPECT_COUNT(lost_bytes, 0);
}

static int nothing_else(int fd)
{
	return fd;
}

/* As for a program whose output it becomes. */
static int by_another_number(int fd)
{
	int copy = fcntl(fd, F_DUPFD, 100);

	close(fd);
	return copy;
}

static int by_two_numbers(int fd)
{
	return fcntl(fd, F_DUPFD, 100);
}

static void exit_drains(void)
{
	ends_during_outage(BY_EXIT, nothing_else);
}

static void underscore_exit_drains(void)
{
	ends_during_outage(BY_UNDERSCORE_EXIT, nothing_else);
}

static void quick_exit_drains(void)
{
	ends_during_outage(BY_QUICK_EXIT, nothing_else);
}

static void exit_drains_other_number(void)
{
	ends_during_outage(BY_EXIT, by_another_number);
}

static void exit_drains_two_numbers(void)
{
	ends_during_outage(BY_EXIT, by_two_numbers);
}

#define MANY 4

/* The limit is that of the process, however many connections it has. */
static void exit_gives_up(void)
{
	struct script *script = server_script("r6R r6R r6R r6LR d");
	int64_t began = now_ms();
	pid_t pid = fork();

	if (pid == 0) {
		int fds[MANY];

		for (int i = 0; i < MANY; i++)
			fds[i] = script_connect(script);
		for (int i = 0; i < MANY; i++) {
			EXPECT_IS(send(fds[i], "first\n", 6, 0), 6);
			until_lost(fds[i]);
		}
		for (int i = 0; i < MANY; i++)
			EXPECT_IS(send(fds[i], "last\n", 5, 0), 5);
		exit(check_failures);
	}
	EXPECT_IS(child_wait(pid), 0);
	EXPECT_WITHIN(now_ms() - began, 450, 1400);
	EXPECT_COUNT(lost_bytes, MANY * 5);
}

/* As libuv does it: nothing is left to wait for, and nothing is lost. */
static void exit_closed_unseen(void)
{
	struct script *script = server_script("r6d");
	int64_t began = now_ms();
	pid_t pid = fork();

	if (pid == 0) {
		int fd = script_connect(script);

		EXPECT_IS(send(fd, "first\n", 6, 0), 6);
		syscall(SYS_close, fd);
		exit(check_failures);
	}
	EXPECT_IS(child_wait(pid), 0);
	EXPECT_WITHIN(now_ms() - began, 0, 2000);
	EXPECT_TEXT(script, 0, "first\n");
	EXPECT_COUNT(lost_bytes, 0);
}

#define ONE_WAY(keys) POLICY_TRANSFER("\"replay\":\"one_way\"," keys)
#define POLICY_LINES ONE_WAY("\"max_buffer\":\"4KiB\",\"drain\":\"10s\"")
#define POLICY_RECORDS ONE_WAY("\"max_buffer\":\"4KiB\",\"record\":\"8B\"")
#define POLICY_OVERLAP ONE_WAY("\"max_buffer\":\"4KiB\",\"overlap\":\"8B\"")
#define POLICY_SHORT ONE_WAY("\"drain\":\"500ms\"")
#define POLICY_UNLIMITED                                                           \
	POLICY_TENDED("\"transfer\":{\"replay\":\"one_way\",\"drain\":\"500ms\"}", \
		      "\"max_retries\":\"unlimited\"")
#define POLICY_FEW                                                                           \
	POLICY_TENDED("\"transfer\":{\"replay\":\"one_way\",\"drain\":\"10s\"}", "\"max_ret" \
										 "ries\":3")

static const struct check_case cases[] = {
	CASE_UNDER("lines, each with its connection", line_by_line, POLICY_LINES),
	CASE_UNDER("a line that was cut", cut_line, POLICY_LINES),
	CASE_UNDER("a record that was cut", cut_record, POLICY_RECORDS),
	CASE_UNDER("overlap", overlap, POLICY_OVERLAP),
	CASE_UNDER("the peer's end", after_end, POLICY_LINES),
	CASE_UNDER("an outage, non-blocking", outage_nonblocking, POLICY_LINES),
	CASE_UNDER("an outage, blocking", outage_blocking, POLICY_LINES),
	CASE_UNDER("an outage, SO_SNDTIMEO", outage_send_timeout, POLICY_LINES),
	CASE_UNDER("a line longer than the buffer", long_line, POLICY_LINES),
	CASE_UNDER("the same in pieces", long_line_in_pieces, POLICY_LINES),
	CASE_UNDER("a forked child sends", child_sends, POLICY_LINES),
	CASE_UNDER("close", close_drains, POLICY_LINES),
	CASE_UNDER("shutdown", shutdown_drains, POLICY_LINES),
	CASE_UNDER("close, in vain", close_gives_up, POLICY_SHORT),
	CASE_UNDER("close, given up before that", close_after_limit, POLICY_FEW),
	CASE_UNDER("close, nothing is left", close_at_once, POLICY_LINES),
	CASE_UNDER("exit", exit_drains, POLICY_LINES),
	CASE_UNDER("_exit", underscore_exit_drains, POLICY_LINES),
	CASE_UNDER("quick_exit", quick_exit_drains, POLICY_LINES),
	CASE_UNDER("exit, by another number", exit_drains_other_number, POLICY_LINES),
	CASE_UNDER("exit, by two numbers", exit_drains_two_numbers, POLICY_LINES),
	CASE_UNDER("exit, in vain", exit_gives_up, POLICY_UNLIMITED),
	CASE_UNDER("exit, closed unseen", exit_closed_unseen, POLICY_LINES),
};

CHECK_MAIN(cases)
