/* SPDX-License-Identifier: MIT */
/*
 * What the tests of pending connects share.
 *
 * The same case runs under the preload and without.  Under it the server refuses
 * at first and listens a while later, or never; without it the server says nothing
 * for as long, so that its connect is slow.  The program must not see a difference.
 */
#ifndef TESTS_WAITS_WAITS_H
#define TESTS_WAITS_WAITS_H

#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/socket.h>

#include "tests/shim/net.h"
#include "tests/shim/peek.h"

/* Without holdfast a slow connect ends with the SYN that is sent again after 1 s. */
#define LATE_MS 700
/* What every connect to a late server has to be done in. */
#define LIMIT_MS 8000

/* Four attempts in 300 ms, and then the failure is told. */
#define POLICY_BRIEF POLICY_NETWORK("\"max_retries\":3,\"base_delay\":\"100ms\"")
#define POLICY_FOR_EVER POLICY_NETWORK("\"max_retries\":\"unlimited\",\"base_delay\":\"100ms\"")

/* ---- servers --------------------------------------------------------------------------- */

struct play {
	struct server *server;
	int64_t ms;
};

/* Accepts all that come and says two bytes to each. */
static inline void play_greeter(void *argument)
{
	const struct play *play = argument;
	int fd;

	sleep_ms(play->ms);
	listen(play->server->fd, 1024);
	for (;;) {
		fd = accept(play->server->fd, NULL, NULL);
		if (fd >= 0)
			send(fd, "hi", 2, MSG_NOSIGNAL);
	}
}

static inline int reusing_socket(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	REQUIRE(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){ 1 }, sizeof(int)) == 0);
	return fd;
}

/*
 * Listening with its queue full: it says nothing. Bound twice, since who stops to
 * listen gives its port up, and nobody else shall be given it.
 */
static inline struct server server_silent(void)
{
	struct server server = { .fd = reusing_socket(), .length = sizeof(struct sockaddr_in) };
	int keeper = reusing_socket();

	server.address.v4.sin_family = AF_INET;
	server.address.v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	REQUIRE(bind(keeper, &server.address.any, server.length) == 0);
	REQUIRE(getsockname(keeper, &server.address.any, &server.length) == 0);
	REQUIRE(bind(server.fd, &server.address.any, server.length) == 0);
	REQUIRE(listen(server.fd, 0) == 0);
	REQUIRE(syscall(SYS_connect, syscall(SYS_socket, AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0),
			&server.address, server.length) == 0);
	return server;
}

/* A connect to it that begins now succeeds after ms, or a little more, and not before. */
static inline struct server server_late(int64_t ms)
{
	struct server server = preloaded() ? server_bind(AF_INET) : server_silent();
	struct play play = { &server, ms };

	helper_start(play_greeter, &play);
	return server;
}

/* A connect to it goes on and on. */
static inline struct server server_never(void)
{
	return preloaded() ? server_bind(AF_INET) : server_silent();
}

static inline void play_refusal(void *argument)
{
	const struct play *play = argument;

	sleep_ms(play->ms);
	shutdown(play->server->fd, SHUT_RDWR);
	sleep_ms(CHECK_LIMIT_MS);
}

/* A connect to it is refused in the end: after the retries, or by the answer to the second SYN. */
static inline struct server server_refusing(void)
{
	struct server server = preloaded() ? server_bind(AF_INET) : server_silent();
	struct play play = { &server, LATE_MS };

	if (!preloaded())
		helper_start(play_refusal, &play);
	return server;
}

static inline struct server server_greeting(void)
{
	struct server server = server_listening(AF_INET);
	struct play play = { &server, 0 };

	helper_start(play_greeter, &play);
	return server;
}

/* ---- clients --------------------------------------------------------------------------- */

static inline int nonblocking_socket(const struct server *server)
{
	int fd = socket(server->address.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
			0);

	REQUIRE(fd >= 0);
	return fd;
}

static inline void connect_begin(const struct server *server, int fd)
{
	EXPECT_IS(server_connect(server, fd), -1);
	EXPECT_ERRNO(EINPROGRESS);
}

static inline int pending_socket(const struct server *server)
{
	int fd = nonblocking_socket(server);

	connect_begin(server, fd);
	return fd;
}

static inline int poll_out(int fd, int milliseconds)
{
	struct pollfd wait = { .fd = fd, .events = POLLOUT };
	int result = poll(&wait, 1, milliseconds);

	return result > 0 ? wait.revents : result;
}

/* For so long it is in progress, whoever asks; nothing can be told by then. */
static inline void expect_pending(const struct server *server, int fd, int milliseconds)
{
	int64_t began = now_ms();

	EXPECT_IS(poll_out(fd, milliseconds), 0);
	EXPECT(now_ms() - began >= milliseconds);
	EXPECT_IS(socket_error(fd), 0);
	EXPECT_IS(server_connect(server, fd), -1);
	EXPECT_ERRNO(EALREADY);
}

/* It is connected, and works. */
static inline void expect_works(int fd)
{
	union address address;
	socklen_t length = sizeof(address);

	EXPECT_IS(socket_error(fd), 0);
	EXPECT_IS(getpeername(fd, &address.any, &length), 0);
	EXPECT_IS(send(fd, "x", 1, MSG_NOSIGNAL), 1);
}

static inline void expect_connects(int fd)
{
	EXPECT_IS(poll_out(fd, LIMIT_MS), POLLOUT);
	expect_works(fd);
}

/* Only under the preload anything is counted. */
static inline void expect_one_recovered(void)
{
	EXPECT_COUNT(operations, 1);
	EXPECT_COUNT(succeeded, 1);
	EXPECT_COUNT(recovered, 1);
	EXPECT_COUNT(abandoned, 0);
	EXPECT_COUNTS_ADD_UP();
}

static inline void expect_one_abandoned(void)
{
	EXPECT_COUNT(operations, 1);
	EXPECT_COUNT(succeeded, 0);
	EXPECT_COUNT(failures, 0);
	EXPECT_COUNT(abandoned, 1);
	EXPECT_COUNTS_ADD_UP();
}

/* ---- epoll ------------------------------------------------------------------------------- */

static inline int set_make(void)
{
	int set = epoll_create1(EPOLL_CLOEXEC);

	REQUIRE(set >= 0);
	return set;
}

static inline int set_control(int set, int operation, int fd, uint32_t events, uint64_t data)
{
	struct epoll_event event = { .events = events, .data.u64 = data };

	return epoll_ctl(set, operation, fd, &event);
}

static inline void set_add(int set, int fd, uint32_t events)
{
	REQUIRE(set_control(set, EPOLL_CTL_ADD, fd, events, (uint64_t)fd) == 0);
}

/* One event: what is told, 0 if nothing is, -1 with errno. */
static inline int64_t set_wait(int set, int milliseconds)
{
	struct epoll_event event = { 0 };
	int result = epoll_wait(set, &event, 1, milliseconds);

	return result > 0 ? (int64_t)event.events : result;
}

/* Nothing that anybody sees. */
static inline void raw_pause_ms(int64_t milliseconds)
{
	const struct timespec pause = { milliseconds / 1000, milliseconds % 1000 * 1000000 };

	syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &pause, NULL);
}

/* ---- threads ------------------------------------------------------------------------------ */

static inline pthread_t thread_start(void *(*body)(void *), void *argument)
{
	pthread_t thread;

	REQUIRE(pthread_create(&thread, NULL, body, argument) == 0);
	return thread;
}

/* False if it did not end in time. */
static inline bool thread_ends(pthread_t thread, void **value, int64_t milliseconds)
{
	struct timespec end;

	clock_gettime(CLOCK_REALTIME, &end);
	end.tv_sec += milliseconds / 1000;
	end.tv_nsec += milliseconds % 1000 * 1000000;
	if (end.tv_nsec >= 1000000000) {
		end.tv_sec++;
		end.tv_nsec -= 1000000000;
	}
	return pthread_timedjoin_np(thread, value, &end) == 0;
}

/* What a clock of CPU time says. */
static inline int64_t cpu_us(void)
{
	struct timespec used;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
	return used.tv_sec * INT64_C(1000000) + used.tv_nsec / 1000;
}

static inline int64_t now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * INT64_C(1000000) + now.tv_nsec / 1000;
}

/* ---- running cases side by side ------------------------------------------------------------ */

/* They wait more than they work. */
struct waits_job {
	pid_t pid;
	int output;
};

static inline void waits_start(struct waits_job *job, const char *program,
			       const struct check_case *c, unsigned int number)
{
	job->output = memfd_create("output", MFD_CLOEXEC);
	fflush(stdout);
	job->pid = fork();
	if (job->pid == 0) {
		bool passed;

		dup2(job->output, STDOUT_FILENO);
		passed = check_case_run(program, c, number);
		fflush(stdout);
		_exit(!passed);
	}
}

static inline bool waits_reap(unsigned int *running)
{
	int status = 0;

	if (wait(&status) > 0)
		(*running)--;
	return status == 0;
}

static inline void waits_print(const struct waits_job *job)
{
	char buffer[4096];
	ssize_t size;

	lseek(job->output, 0, SEEK_SET);
	while ((size = read(job->output, buffer, sizeof(buffer))) > 0)
		fwrite(buffer, 1, (size_t)size, stdout);
	close(job->output);
}

static inline int waits_main(int argc, char **argv, const struct check_case *cases,
			     unsigned int count, unsigned int at_a_time)
{
	struct waits_job *jobs = calloc(count, sizeof(*jobs));
	unsigned int running = 0;
	bool passed = true;

	if (argc > 1 || !getenv("SHIM") || !jobs)
		return check_main(argc, argv, cases, count);
	for (unsigned int i = 0; i < count; i++) {
		if (running == at_a_time)
			passed &= waits_reap(&running);
		waits_start(&jobs[i], argv[0], &cases[i], i + 1);
		running++;
	}
	while (running > 0)
		passed &= waits_reap(&running);
	for (unsigned int i = 0; i < count; i++)
		waits_print(&jobs[i]);
	printf("1..%u\n", count);
	return !passed;
}

#define WAITS_MAIN(cases, at_a_time)                                                     \
	int main(int argc, char **argv)                                                  \
	{                                                                                \
		return waits_main(argc, argv, cases, sizeof(cases) / sizeof((cases)[0]), \
				  at_a_time);                                            \
	}

/* As of a slow connect, without holdfast too. */
#define SAME(name, run)                                           \
	{                                                         \
		name, run, POLICY_PATIENT, NULL, CHECK_ALSO_PLAIN \
	}
#define SAME_UNDER(policy, name, run)                     \
	{                                                 \
		name, run, policy, NULL, CHECK_ALSO_PLAIN \
	}
/* Where only holdfast has something to show. */
#define HELD(name, run)                            \
	{                                          \
		name, run, POLICY_PATIENT, NULL, 0 \
	}

#endif
