/* SPDX-License-Identifier: MIT */
/*
 * While a connection is made anew its program's own limits hold; SIGPIPE comes as
 * without holdfast; threads, duplicates and close().
 */
#include <setjmp.h>
#include <sys/uio.h>

#include "alarm.h"
#include "script.h"

/* Lost, and its server is gone until server_return(). */
static int lost_socket(struct script *script)
{
	int fd = script_connect(script);

	until_lost(fd);
	return fd;
}

/* In 400 ms; a fork now would share the connection. */
static void server_return_later(struct script *script)
{
	pthread_detach(server_return_after(script, 400));
}

static void receive_timeout_ask(int fd, int ms)
{
	struct timeval timeout = { ms / 1000, ms % 1000 * 1000 };

	REQUIRE(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)) == 0);
}

static void expect_held(ssize_t result, int error)
{
	EXPECT_IS(result, -1);
	EXPECT_ERRNO(error);
}

static void expect_one(void)
{
	EXPECT_COUNT(reconnects, 1);
	EXPECT_COUNT(reconnect_failures, 0);
	EXPECT_COUNTS_ADD_UP();
}

/* ---- timeouts ----------------------------------------------------------------------------- */

static void receive_timeout(void)
{
	struct script *script = server_script("LR s1e");
	int fd = lost_socket(script);
	int64_t began = now_ms();
	char byte;

	receive_timeout_ask(fd, 200);
	expect_held(recv(fd, &byte, 1, 0), EAGAIN);
	EXPECT_WITHIN(now_ms() - began, 190, 1500);
	receive_timeout_ask(fd, 0);
	server_return(script);
	EXPECT_IS(recv(fd, &byte, 1, 0), 1);
	expect_one();
}

static void send_timeout(void)
{
	struct script *script = server_script("LR e");
	int fd = lost_socket(script);
	int64_t began = now_ms();

	send_timeout_ask(fd, 200);
	expect_held(send(fd, "x", 1, 0), EAGAIN);
	EXPECT_WITHIN(now_ms() - began, 190, 1500);
	send_timeout_ask(fd, 0);
	server_return(script);
	expect_echo(fd, "over there");
	expect_one();
}

/* Each limits its own direction only. */
static void receive_timeout_and_send(void)
{
	struct script *script = server_script("LR e");
	int fd = lost_socket(script);

	receive_timeout_ask(fd, 100);
	server_return_later(script);
	EXPECT_IS(send(fd, "x", 1, 0), 1);
	EXPECT_TEXT(script, 1, "x");
	expect_one();
}

static void send_timeout_and_receive(void)
{
	struct script *script = server_script("LR s1e");
	int fd = lost_socket(script);
	char byte;

	send_timeout_ask(fd, 100);
	server_return_later(script);
	EXPECT_IS(recv(fd, &byte, 1, 0), 1);
	expect_one();
}

static void both_timeouts(void)
{
	struct script *script = server_script("LR s1e");
	int fd = lost_socket(script);
	int64_t began = now_ms();

	receive_timeout_ask(fd, 20000);
	send_timeout_ask(fd, 200);
	expect_held(send(fd, "x", 1, 0), EAGAIN);
	EXPECT_WITHIN(now_ms() - began, 190, 1500);
}

/* ---- calls that do not wait ------------------------------------------------------------------- */

static void nonblocking(void)
{
	struct script *script = server_script("LR e");
	int fd = lost_socket(script);
	struct pollfd wait = { .fd = fd, .events = POLLIN | POLLOUT };
	int64_t began = now_ms();
	char byte;

	nonblocking_set(fd, true);
	expect_held(recv(fd, &byte, 1, 0), EAGAIN);
	expect_held(send(fd, "x", 1, 0), EAGAIN);
	EXPECT_WITHIN(now_ms() - began, 0, 150);
	EXPECT_IS(poll(&wait, 1, 100), 0);
	EXPECT_IS(socket_error(fd), 0);
	EXPECT_IS(server_connect(&script->server, fd), -1);
	EXPECT_ERRNO(EISCONN);
	server_return(script);
	EXPECT_IS(poll(&wait, 1, 5000), 1);
	EXPECT_IS(wait.revents, POLLOUT);
	nonblocking_set(fd, false);
	expect_echo(fd, "over there");
	expect_one();
}

static void dont_wait(void)
{
	struct script *script = server_script("LR e");
	int fd = lost_socket(script);
	int64_t began = now_ms();
	char byte;

	expect_held(recv(fd, &byte, 1, MSG_DONTWAIT), EAGAIN);
	expect_held(recv(fd, &byte, 1, MSG_DONTWAIT | MSG_PEEK), EAGAIN);
	expect_held(send(fd, "x", 1, MSG_DONTWAIT), EAGAIN);
	EXPECT_WITHIN(now_ms() - began, 0, 150);
	server_return(script);
	expect_echo(fd, "over there");
	expect_one();
}

/* ---- signals -------------------------------------------------------------------------------------- */

static sigjmp_buf place;

static void signal_jump(int number)
{
	(void)number;
	siglongjmp(place, 1);
}

static void interrupted(void)
{
	struct script *script = server_script("LR s1e");
	int fd = lost_socket(script);
	int64_t began = now_ms();
	char byte;

	alarm_after(200, handler_count, 0);
	expect_held(recv(fd, &byte, 1, 0), EINTR);
	EXPECT_WITHIN(now_ms() - began, 190, 1500);
	EXPECT_IS(handled, 1);
	alarm_after(100, handler_count, 0);
	expect_held(send(fd, "x", 1, 0), EINTR);
	server_return(script);
	EXPECT_IS(recv(fd, &byte, 1, 0), 1);
	expect_echo(fd, "over there");
	expect_one();
}

static void restarted(void)
{
	struct script *script = server_script("LR s1e");
	int fd = lost_socket(script);
	char byte;

	alarm_after(100, handler_count, SA_RESTART);
	server_return_later(script);
	EXPECT_IS(recv(fd, &byte, 1, 0), 1);
	EXPECT_IS(handled, 1);
	expect_one();
}

static void jumped(void)
{
	struct script *script = server_script("LR s1e");
	int fd = lost_socket(script);
	char byte;

	alarm_after(200, signal_jump, 0);
	if (sigsetjmp(place, 1) == 0) {
		recv(fd, &byte, 1, 0);
		EXPECT(!"recv() comes back");
	}
	server_return(script);
	EXPECT_IS(recv(fd, &byte, 1, 0), 1);
	expect_echo(fd, "over there");
	expect_one();
}

/* ---- threads, duplicates, close() -------------------------------------------------------------------- */

static void *receive_thread(void *argument)
{
	char bytes[11] = { 0 };

	EXPECT_IS(recv(*(int *)argument, bytes, 10, MSG_WAITALL), 10);
	EXPECT(strcmp(bytes, "over there") == 0);
	return NULL;
}

static void two_threads(void)
{
	struct script *script = server_script("gLR e");
	int fd = script_connect(script);
	pthread_t thread;

	/* Whoever comes second gets it without holdfast, too. */
	signal(SIGPIPE, SIG_IGN);
	REQUIRE(pthread_create(&thread, NULL, receive_thread, &fd) == 0);
	sleep_ms(50);
	server_go(script);
	until_lost(fd);
	server_return_later(script);
	EXPECT_IS(send(fd, "over there", 10, 0), 10);
	pthread_join(thread, NULL);
	expect_one();
}

/* Of threads that meet the same loss each once. */
static void *echo_thread(void *argument)
{
	char byte;

	EXPECT(send(*(int *)argument, "x", 1, 0) == 1);
	EXPECT_IS(recv(*(int *)argument, &byte, 1, 0), 1);
	return NULL;
}

static void many_threads(void)
{
	struct script *script = server_script("R e");
	int fd = script_connect(script);
	pthread_t threads[8];

	signal(SIGPIPE, SIG_IGN);
	until_lost(fd);
	for (int i = 0; i < 8; i++)
		REQUIRE(pthread_create(&threads[i], NULL, echo_thread, &fd) == 0);
	for (int i = 0; i < 8; i++)
		pthread_join(threads[i], NULL);
	EXPECT_TEXT(script, 1, "xxxxxxxx");
	expect_one();
}

static void duplicates(void)
{
	struct script *script = server_script("R s1e");
	int fd = script_connect(script), before = dup(fd), after;
	char byte;

	until_lost(fd);
	EXPECT_IS(recv(before, &byte, 1, 0), 1);
	after = fcntl(fd, F_DUPFD_CLOEXEC, 50);
	EXPECT_IS(close(before), 0);
	expect_echo(fd, "by the first");
	EXPECT_IS(close(fd), 0);
	expect_echo(after, "by the last");
	expect_one();
}

/* The one by which the loss was found is closed while it is made anew. */
static void duplicate_goes_on(void)
{
	struct script *script = server_script("LR s1e");
	int fd = lost_socket(script), copy = dup(fd);
	char byte;

	expect_held(recv(fd, &byte, 1, MSG_DONTWAIT), EAGAIN);
	EXPECT_IS(close(fd), 0);
	expect_held(recv(copy, &byte, 1, MSG_DONTWAIT), EAGAIN);
	server_return(script);
	EXPECT_IS(recv(copy, &byte, 1, 0), 1);
	expect_one();
}

static int fds_open(void)
{
	DIR *directory = opendir("/proc/self/fd");
	int count = 0;

	while (readdir(directory))
		count++;
	closedir(directory);
	return count;
}

static void closed_meanwhile(void)
{
	struct script *script = server_script("LR gR s1e");
	int fd, low, before;
	char byte;

	expect_held(recv(lost_socket(script), &byte, 1, MSG_DONTWAIT), EAGAIN);
	server_return(script);
	before = fds_open();
	/* Not the lowest free number: that is the server's as long as it waits in accept(). */
	fd = fcntl(low = stream_socket(&script->server), F_DUPFD_CLOEXEC, 100);
	close(low);
	REQUIRE(server_connect(&script->server, fd) == 0);
	server_go(script);
	until_lost(fd);
	shutdown(script->server.fd, SHUT_RDWR);
	expect_held(recv(fd, &byte, 1, MSG_DONTWAIT), EAGAIN);
	EXPECT_IS(close(fd), 0);
	EXPECT_COUNT(abandoned, 1);
	EXPECT_IS(fds_open(), before);
	/* And the number stands for something else. */
	server_return(script);
	EXPECT_IS(dup2(script_connect(script), fd), fd);
	EXPECT_IS(recv(fd, &byte, 1, 0), 1);
}

/* ---- SIGPIPE --------------------------------------------------------------------------------------------- */

static struct iovec one_byte = { &(char){ 'x' }, 1 };
static struct msghdr message = { .msg_iov = &one_byte, .msg_iovlen = 1 };

static ssize_t by_write(int fd)
{
	return write(fd, "x", 1);
}

static ssize_t by_writev(int fd)
{
	return writev(fd, &one_byte, 1);
}

static ssize_t by_send(int fd)
{
	return send(fd, "x", 1, 0);
}

static ssize_t by_sendmsg(int fd)
{
	return sendmsg(fd, &message, 0);
}

static ssize_t by_sendmmsg(int fd)
{
	struct mmsghdr messages = { message, 0 };

	return sendmmsg(fd, &messages, 1, 0);
}

static ssize_t by_nothing(int fd)
{
	return send(fd, "", 0, 0);
}

static ssize_t (*const senders[])(int fd) = { by_write,   by_writev,   by_send,
					      by_sendmsg, by_sendmmsg, by_nothing };

static int dead_socket(void)
{
	struct script *script = server_script("r1R LR");
	int fd = script_connect(script);

	EXPECT_IS(send(fd, "x", 1, 0), 1);
	until_lost(fd);
	return fd;
}

static void pipe_is_broken(void)
{
	signal(SIGPIPE, handler_count);
	for (size_t i = 0; i < sizeof(senders) / sizeof(senders[0]); i++) {
		int fd = dead_socket();

		handled = 0;
		expect_held(senders[i](fd), ECONNRESET);
		EXPECT_IS(handled, 0);
		expect_held(senders[i](fd), EPIPE);
		EXPECT_IS(handled, 1);
		expect_held(send(fd, "x", 1, MSG_NOSIGNAL), EPIPE);
		EXPECT_IS(handled, 1);
		expect_held(senders[i](fd), EPIPE);
		EXPECT_IS(handled, 2);
		signal(SIGPIPE, SIG_IGN);
		expect_held(senders[i](fd), EPIPE);
		EXPECT_IS(handled, 2);
		signal(SIGPIPE, handler_count);
		close(fd);
	}
}

static void pipe_kills(void)
{
	int status;
	pid_t pid = fork();

	/* In a child, whose own connection it is. */
	if (pid == 0) {
		int fd = dead_socket();

		expect_held(send(fd, "x", 1, 0), ECONNRESET);
		send(fd, "x", 1, 0);
		_exit(1);
	}
	EXPECT_IS(waitpid(pid, &status, 0), pid);
	EXPECT(WIFSIGNALED(status) && WTERMSIG(status) == SIGPIPE);
}

#define POLICY_ONCE POLICY_TRANSFER("\"replay\":\"unanswered\",\"max_attempts\":1")
#define POLICY_NEVER POLICY_TRANSFER("\"replay\":\"never\"")

#define CASE(name, run) CASE_UNDER(name, run, POLICY_DEFAULT)

static const struct check_case cases[] = {
	CASE("SO_RCVTIMEO", receive_timeout),
	CASE("SO_SNDTIMEO", send_timeout),
	CASE("SO_RCVTIMEO does not limit send", receive_timeout_and_send),
	CASE("SO_SNDTIMEO does not limit recv", send_timeout_and_receive),
	CASE("SO_SNDTIMEO limits send, whatever SO_RCVTIMEO", both_timeouts),
	CASE("O_NONBLOCK", nonblocking),
	CASE("MSG_DONTWAIT", dont_wait),
	CASE("a signal without SA_RESTART", interrupted),
	CASE("a signal with SA_RESTART", restarted),
	CASE("a jump out of a handler", jumped),
	CASE("two threads, in recv and send", two_threads),
	CASE("many threads find the same loss", many_threads),
	CASE("duplicates", duplicates),
	CASE("a duplicate is closed meanwhile", duplicate_goes_on),
	CASE("closed meanwhile", closed_meanwhile),
	CASE_TOLD("SIGPIPE, default", pipe_is_broken, POLICY_DEFAULT),
	CASE_TOLD("SIGPIPE, never", pipe_is_broken, POLICY_NEVER),
	CASE_TOLD("SIGPIPE, unanswered", pipe_is_broken, POLICY_ONCE),
	CASE_TOLD("SIGPIPE kills", pipe_kills, POLICY_DEFAULT),
	CASE_TOLD("SIGPIPE kills, unanswered", pipe_kills, POLICY_ONCE),
};

CHECK_MAIN(cases)
