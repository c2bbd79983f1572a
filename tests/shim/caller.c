/* SPDX-License-Identifier: MIT */
/* The caller's own limits while it is held: SO_SNDTIMEO, signals, alarms. */
#include <pthread.h>

#include "alarm.h"
#include "net.h"
#include "peek.h"

static void nonblocking(int fd, bool on)
{
	int flags = fcntl(fd, F_GETFL);

	REQUIRE(fcntl(fd, F_SETFL, on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK) == 0);
}

/* ---- SO_SNDTIMEO -------------------------------------------------------------------- */

static void timeout_bounds_hold(void)
{
	struct server server = server_bind(AF_INET);
	int fd = stream_socket(&server);
	int64_t began = now_ms();

	send_timeout_ask(fd, 600);
	EXPECT_IS(server_connect(&server, fd), -1);
	EXPECT_ERRNO(ECONNREFUSED);
	EXPECT_WITHIN(now_ms() - began, 590, 1400);
	EXPECT_IS(send_timeout_ms(fd), 600);
	EXPECT_COUNT(operations, 1);
	EXPECT_COUNT(abandoned, 1);
	EXPECT_COUNT(failures, 0);
	EXPECT_COUNTS_ADD_UP();
}

static void timeout_last_attempt(void)
{
	struct server server = server_bind(AF_INET);
	int fd = stream_socket(&server);

	/* The next retry would be at 20 s; the caller's patience ends at 800 ms. */
	server_listen_after(&server, 400);
	send_timeout_ask(fd, 800);
	EXPECT_IS(server_connect(&server, fd), 0);
	EXPECT_COUNT(recovered, 1);
}

static void timeout_of_attempt(void)
{
	struct server server = server_full();
	int64_t began = now_ms();
	int fd = stream_socket(&server);

	send_timeout_ask(fd, 400);
	EXPECT_IS(server_connect(&server, fd), -1);
	EXPECT_ERRNO(EINPROGRESS);
	EXPECT_WITHIN(now_ms() - began, 390, 1200);
	EXPECT_IS(send_timeout_ms(fd), 400);
	/* The attempt goes on in the kernel, and somebody answers it in the end. */
	server_drain_after(&server, 0);
	send_timeout_ask(fd, 0);
	EXPECT_IS(server_connect(&server, fd), 0);
	EXPECT_IS(server_connect(&server, fd), -1);
	EXPECT_ERRNO(EISCONN);
	EXPECT_IS(send(fd, "x", 1, 0), 1);
	EXPECT_COUNT(operations, 1);
	EXPECT_COUNT(succeeded, 1);
}

static void timeout_kept(void)
{
	struct server server = server_full();
	int fd = stream_socket(&server);

	server_drain_after(&server, 600);
	send_timeout_ask(fd, 7000);
	EXPECT_IS(server_connect(&server, fd), 0);
	EXPECT_IS(send_timeout_ms(fd), 7000);
	EXPECT_COUNT(recovered, 1);
}

/* Refused at first; from 400 ms on it listens with a full queue, and attempts hang. */
static void fill_later(void *argument)
{
	const struct server *server = argument;

	sleep_ms(400);
	listen(server->fd, 0);
	for (int i = 0; i < 4; i++)
		syscall(SYS_connect, socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0),
			&server->address, server->length);
	sleep_ms(CHECK_LIMIT_MS);
}

static void timeout_is_one(void)
{
	struct server server = server_bind(AF_INET);
	int fd = stream_socket(&server);
	int64_t began = now_ms();

	/* The attempt at 800 ms hangs: not for 1,000 ms more, but for what is left of them. */
	helper_start(fill_later, &server);
	send_timeout_ask(fd, 1000);
	EXPECT_IS(server_connect(&server, fd), -1);
	EXPECT_WITHIN(now_ms() - began, 900, 1500);
	EXPECT_IS(send_timeout_ms(fd), 1000);
}

/* ---- signals ------------------------------------------------------------------------- */

/* After EINTR the socket must be what it says: connecting. */
static void expect_connecting(struct server *server, int fd)
{
	struct pollfd wait = { .fd = fd, .events = POLLOUT };
	pid_t drainer;

	EXPECT_IS(poll(&wait, 1, 0), 0);
	EXPECT_IS(socket_error(fd), 0);
	nonblocking(fd, true);
	EXPECT_IS(server_connect(server, fd), -1);
	EXPECT_ERRNO(EALREADY);
	drainer = server_drain_after(server, 100);
	EXPECT_IS(poll(&wait, 1, 8000), 1);
	EXPECT_IS(wait.revents, POLLOUT);
	EXPECT_IS(socket_error(fd), 0);
	EXPECT_IS(server_connect(server, fd), 0);
	EXPECT_IS(server_connect(server, fd), -1);
	EXPECT_ERRNO(EISCONN);
	EXPECT_IS(send(fd, "x", 1, 0), 1);
	EXPECT_COUNT(operations, 1);
	EXPECT_COUNT(succeeded, 1);
	EXPECT_COUNT(abandoned, 0);
	EXPECT_COUNTS_ADD_UP();
	kill(drainer, SIGKILL);
}

static void interrupted_attempt(void)
{
	struct server server = server_full();
	int fd = stream_socket(&server);
	int64_t began = now_ms();

	handle(SIGALRM, handler_count, 0);
	timer_set(300, 0);
	EXPECT_IS(server_connect(&server, fd), -1);
	EXPECT_ERRNO(EINTR);
	EXPECT_WITHIN(now_ms() - began, 290, 900);
	EXPECT_IS(handled, 1);
	EXPECT_IS(send_timeout_ms(fd), 0);
	expect_connecting(&server, fd);
}

static void interrupted_hold(void)
{
	struct server server = server_full();
	int fd = stream_socket(&server);
	int64_t began = now_ms();

	/* The attempt is cut at 300 ms, the next one is due at 20 s. */
	handle(SIGALRM, handler_count, 0);
	timer_set(800, 0);
	EXPECT_IS(server_connect(&server, fd), -1);
	EXPECT_ERRNO(EINTR);
	EXPECT_WITHIN(now_ms() - began, 790, 1500);
	EXPECT_IS(send_timeout_ms(fd), 0);
	EXPECT_IS(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
	expect_connecting(&server, fd);
	EXPECT_COUNT(attempts, 2);
	EXPECT_COUNT(recovered, 1);
}

/* AF_UNIX answers at once: its errno, or EINTR, but now. */
static void interrupted_unix(void)
{
	struct server server = { .length = sizeof(struct sockaddr_un) };
	int64_t began = now_ms();

	server.address.any.sa_family = AF_UNIX;
	strcpy(server.address.local.sun_path, "/nonexistent/socket");
	handle(SIGALRM, handler_count, 0);
	timer_set(350, 0);
	EXPECT_IS(server_connect(&server, stream_socket(&server)), -1);
	EXPECT(errno == EINTR || errno == ENOENT);
	EXPECT_WITHIN(now_ms() - began, 340, 1200);
	EXPECT_IS(handled, 1);
	EXPECT_COUNT_WITHIN(operations, 1, 1);
}

/* A program that simply calls connect() again after EINTR. */
static void interrupted_again(void)
{
	struct server server = server_bind(AF_INET);
	int fd = stream_socket(&server);
	int calls = 0, result;

	handle(SIGALRM, handler_count, 0);
	timer_set(150, 250);
	server_listen_after(&server, 900);
	do
		result = server_connect(&server, fd);
	while (result < 0 && ++calls < 50 && errno == EINTR);
	timer_set(0, 0);
	/* The attempt that each EINTR leaves behind is refused, and the next call says so. */
	EXPECT(result == 0 || errno == ECONNREFUSED || errno == ECONNABORTED);
	EXPECT_WITHIN(calls, 1, 6);
	EXPECT_COUNTS_ADD_UP();
}

static void restarted(void)
{
	struct server server = server_bind(AF_INET);
	int fd = stream_socket(&server);

	handle(SIGALRM, handler_count, SA_RESTART);
	timer_set(100, 70);
	server_listen_after(&server, 700);
	EXPECT_IS(server_connect(&server, fd), 0);
	timer_set(0, 0);
	EXPECT_WITHIN(handled, 4, 1000);
	EXPECT_COUNT(operations, 1);
	EXPECT_COUNT(recovered, 1);
}

static void restarted_attempt(void)
{
	struct server server = server_full();
	int fd = stream_socket(&server);

	handle(SIGALRM, handler_count, SA_RESTART);
	timer_set(100, 70);
	server_drain_after(&server, 500);
	EXPECT_IS(server_connect(&server, fd), 0);
	timer_set(0, 0);
	EXPECT_WITHIN(handled, 4, 1000);
	EXPECT_COUNT(operations, 1);
	EXPECT_COUNT(succeeded, 1);
	EXPECT_IS(send_timeout_ms(fd), 0);
}

/* Signals must not stretch a schedule: 4 times 150 ms, whatever happens meanwhile. */
static void restarted_in_time(void)
{
	struct server server = server_bind(AF_INET);
	int fd = stream_socket(&server);
	int64_t began = now_ms();

	handle(SIGALRM, handler_count, SA_RESTART);
	timer_set(10, 10);
	EXPECT_IS(server_connect(&server, fd), -1);
	EXPECT_ERRNO(ECONNREFUSED);
	timer_set(0, 0);
	EXPECT_WITHIN(now_ms() - began, 600, 1300);
	EXPECT_COUNT(attempts, 5);
}

/* attempt_timeout holds although every signal restarts the attempt. */
static void restarted_attempt_in_time(void)
{
	struct server server = server_full();
	int fd = stream_socket(&server);
	int64_t began = now_ms();

	handle(SIGALRM, handler_count, SA_RESTART);
	timer_set(10, 100);
	server_drain_after(&server, 600);
	EXPECT_IS(server_connect(&server, fd), 0);
	timer_set(0, 0);
	EXPECT_WITHIN(now_ms() - began, 700, 990);
	EXPECT_COUNT(attempts, 3);
}

static void blocked_signal(void)
{
	struct server server = server_bind(AF_INET);
	int fd = stream_socket(&server);
	sigset_t mask, after, pending;

	/* Its handler has no SA_RESTART, but it cannot run; the one that runs restarts. */
	handle(SIGUSR1, handler_count, 0);
	handle(SIGALRM, handler_count, SA_RESTART);
	sigemptyset(&mask);
	sigaddset(&mask, SIGUSR1);
	sigprocmask(SIG_BLOCK, &mask, NULL);
	kill(getpid(), SIGUSR1);
	timer_set(100, 100);
	server_listen_after(&server, 500);
	EXPECT_IS(server_connect(&server, fd), 0);
	timer_set(0, 0);
	EXPECT(handled > 1);
	sigpending(&pending);
	EXPECT(sigismember(&pending, SIGUSR1));
	sigprocmask(SIG_SETMASK, NULL, &after);
	for (int signal = 1; signal < 32; signal++)
		EXPECT_IS(sigismember(&after, signal), signal == SIGUSR1);
}

/* The default action of a signal is not put off by the hold. */
static void alarm_kills(void)
{
	struct server server = server_bind(AF_INET);
	int64_t began = now_ms();
	pid_t pid = fork();

	if (pid == 0) {
		timer_set(300, 0);
		server_connect(&server, stream_socket(&server));
		check_exit(1);
	}
	EXPECT_IS(child_wait(pid), 128 + SIGALRM);
	EXPECT_WITHIN(now_ms() - began, 290, 1500);
}

static void ignored_signal(void)
{
	struct server server = server_bind(AF_INET);
	int fd = stream_socket(&server);

	signal(SIGALRM, SIG_IGN);
	timer_set(50, 50);
	server_listen_after(&server, 400);
	EXPECT_IS(server_connect(&server, fd), 0);
	EXPECT_COUNT(recovered, 1);
}

static void stopped_and_continued(void)
{
	struct server server = server_bind(AF_INET);
	pid_t pid = fork();

	if (pid == 0)
		check_exit(server_connect(&server, stream_socket(&server)) == 0 ? 0 : errno);
	sleep_ms(200);
	kill(pid, SIGSTOP);
	sleep_ms(200);
	REQUIRE(listen(server.fd, 5) == 0);
	kill(pid, SIGCONT);
	EXPECT_IS(child_wait(pid), 0);
}

#define BOTH CHECK_ALSO_PLAIN
#define CUT(retries, delay)                             \
	POLICY_CONNECT("\"attempt_timeout\":\"300ms\"", \
		       "\"max_retries\":" retries ",\"base_delay\":\"" delay "\"")

static const struct check_case cases[] = {
	{ "SO_SNDTIMEO ends the holding, with the last real errno", timeout_bounds_hold,
	  POLICY_PATIENT, NULL, 0 },
	{ "SO_SNDTIMEO: one last attempt when it runs out", timeout_last_attempt,
	  POLICY_NETWORK("\"max_retries\":50,\"base_delay\":\"20s\""), NULL, 0 },
	{ "SO_SNDTIMEO of a hanging attempt: EINPROGRESS, then the truth", timeout_of_attempt,
	  POLICY_PATIENT, NULL, BOTH },
	{ "SO_SNDTIMEO bounds the whole call, not each attempt", timeout_is_one,
	  POLICY_NETWORK("\"max_retries\":50,\"base_delay\":\"800ms\""), NULL, 0 },
	{ "SO_SNDTIMEO is the caller's own after bounded attempts", timeout_kept,
	  CUT("50", "100ms"), NULL, 0 },
	{ "a signal during an attempt: EINTR, and it is connecting", interrupted_attempt,
	  POLICY_PATIENT, NULL, BOTH },
	{ "a signal during a bounded attempt: EINTR, and it is connecting", interrupted_attempt,
	  POLICY_CONNECT("\"attempt_timeout\":\"20s\"", "\"max_retries\":50"), NULL, 0 },
	{ "a signal during a hold: EINTR, and it is connecting", interrupted_hold, CUT("50", "20s"),
	  NULL, 0 },
	{ "a signal during a hold on AF_UNIX ends it", interrupted_unix, POLICY_UNIX, NULL, 0 },
	{ "a program that repeats connect() after EINTR ends well", interrupted_again,
	  POLICY_PATIENT, NULL, 0 },
	{ "SA_RESTART: held on through signals", restarted, POLICY_PATIENT, NULL, 0 },
	{ "SA_RESTART during an attempt: as without holdfast", restarted_attempt, POLICY_PATIENT,
	  NULL, BOTH },
	{ "SA_RESTART during a bounded attempt: held on", restarted_attempt,
	  POLICY_CONNECT("\"attempt_timeout\":\"20s\"", "\"max_retries\":50"), NULL, 0 },
	{ "SA_RESTART: a storm of signals does not stretch the schedule", restarted_in_time,
	  POLICY_NETWORK("\"max_retries\":4,\"base_delay\":\"150ms\""), NULL, 0 },
	{ "SA_RESTART: signals do not stretch attempt_timeout", restarted_attempt_in_time,
	  CUT("50", "100ms"), NULL, 0 },
	{ "blocked signals stay pending, and do not count", blocked_signal, POLICY_PATIENT, NULL,
	  0 },
	{ "alarm() ends a program that is held", alarm_kills, POLICY_PATIENT, NULL, 0 },
	{ "ignored signals do not end a hold", ignored_signal, POLICY_PATIENT, NULL, 0 },
	{ "SIGSTOP and SIGCONT do not end a hold", stopped_and_continued, POLICY_PATIENT, NULL, 0 },
};

CHECK_MAIN(cases)
