/* SPDX-License-Identifier: MIT */
/*
 * Connections that are lost, where the policy says nothing of transfers: made anew
 * while no byte was moved, else told exactly as without holdfast.
 */
#include <spawn.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/uio.h>

#include "script.h"

static void expect_made_anew(unsigned int times)
{
	EXPECT_COUNT(reconnects, times);
	EXPECT_COUNT(reconnect_failures, 0);
	EXPECT_COUNT(operations, 1 + times);
	EXPECT_COUNT(succeeded, 1 + times);
	EXPECT_COUNT(replayed_bytes, 0);
	EXPECT_COUNT(retries_denied_unsafe, 0);
	EXPECT_COUNTS_ADD_UP();
	expect_events(EVENT_CONNECTION_LOST, times);
	expect_events(EVENT_RECONNECT_SUCCESS, times);
}

static void expect_passed_on(unsigned int cause, const char *detail)
{
	EXPECT_COUNT(reconnects, 0);
	EXPECT_COUNT(operations, 1);
	EXPECT_COUNT(retries_denied_unsafe, cause == CAUSE_UNSAFE ? 1 : 0);
	EXPECT_COUNTS_ADD_UP();
	expect_events(EVENT_CONNECTION_LOST, 1);
	expect_loss(ECONNRESET, VERDICT_PASS_ON, cause, detail);
}

/* ---- made anew ---------------------------------------------------------------------------- */

static void anew_by_recv(void)
{
	struct script *script = server_script("R s3e");
	int fd = script_connect(script);
	char bytes[3];

	until_lost(fd);
	errno = 0;
	EXPECT_IS(recv(fd, bytes, 3, MSG_WAITALL), 3);
	EXPECT_ERRNO(0);
	expect_echo(fd, "over there");
	expect_made_anew(1);
	expect_loss(ECONNRESET, VERDICT_RETRY_NOW, 0, "written 0, acknowledged 0, unanswered 0");
	EXPECT_COUNT(sent_bytes, 10);
	EXPECT_COUNT(received_bytes, 13);
	EXPECT_SLOT(fd, state, SLOT_CONNECTED);
	EXPECT_SLOT(fd, reconnects, 1);
}

static void anew_by_blocked_recv(void)
{
	struct script *script = server_script("gR s3e");
	int fd = script_connect(script);
	char bytes[3];

	server_go(script);
	EXPECT_IS(read(fd, bytes, 1), 1);
	EXPECT_IS(recv(fd, bytes, 2, MSG_WAITALL), 2);
	expect_echo(fd, "over there");
	expect_made_anew(1);
}

static void anew_by_send(void)
{
	struct script *script = server_script("R e");
	int fd = script_connect(script);

	until_lost(fd);
	expect_echo(fd, "over there");
	expect_made_anew(1);
	EXPECT_TEXT(script, 1, "over there");
}

static void anew_by_write(void)
{
	struct script *script = server_script("R e");
	char text[] = "over there";
	struct iovec vector[] = { { text, 5 }, { text + 5, 5 } };
	int fd = script_connect(script);

	until_lost(fd);
	EXPECT_IS(writev(fd, vector, 2), 10);
	EXPECT_TEXT(script, 1, "over there");
	expect_made_anew(1);
}

/* Event loops ask so before they read; the kernel forgets the errno by that. */
static void anew_by_so_error(void)
{
	struct script *script = server_script("R s3e");
	int fd = script_connect(script);
	char bytes[3];

	until_lost(fd);
	EXPECT_IS(socket_error(fd), 0);
	EXPECT_IS(recv(fd, bytes, 3, MSG_WAITALL), 3);
	expect_echo(fd, "over there");
	expect_made_anew(1);
}

/* Where it is not made anew it is told as ever, and once. */
static void told_by_so_error(void)
{
	struct script *script = server_script("r1R e");
	int fd = script_connect(script);
	char byte;

	EXPECT_IS(send(fd, "x", 1, 0), 1);
	until_lost(fd);
	EXPECT_IS(socket_error(fd), ECONNRESET);
	EXPECT_IS(socket_error(fd), 0);
	EXPECT_IS(recv(fd, &byte, 1, 0), 0);
	expect_passed_on(CAUSE_UNSAFE, "written 1, acknowledged 1, unanswered 1");
}

/* An end, and then a reset: recv() says 0, as at a good end. */
static void anew_after_end_by_recv(void)
{
	struct script *script = server_script("FR s3e");
	int fd = script_connect(script);
	char bytes[3];

	until_lost(fd);
	EXPECT_IS(recv(fd, bytes, 3, MSG_WAITALL), 3);
	expect_echo(fd, "over there");
	expect_made_anew(1);
}

static void anew_after_end_by_send(void)
{
	struct script *script = server_script("FR e");
	int fd = script_connect(script);

	signal(SIGPIPE, SIG_IGN);
	until_lost(fd);
	expect_echo(fd, "over there");
	expect_made_anew(1);
}

/* Mere ends are ends: the server has nothing to say. */
static void end_is_told(void)
{
	struct script *script = server_script("C");
	int fd = script_connect(script);
	char byte;

	until_ended(fd);
	EXPECT_IS(recv(fd, &byte, 1, 0), 0);
	EXPECT_IS(recv(fd, &byte, 1, 0), 0);
	EXPECT_COUNT(reconnects, 0);
	expect_events(EVENT_CONNECTION_LOST, 0);
}

static void anew_twice(void)
{
	struct script *script = server_script("R gR e");
	int fd = script_connect(script);
	char byte;

	until_lost(fd);
	UNTIL(recv(fd, &byte, 1, MSG_DONTWAIT) < 0 && script->accepted == 2);
	server_go(script);
	until_lost(fd);
	expect_echo(fd, "over there");
	expect_made_anew(2);
}

/* ---- event loops ----------------------------------------------------------------------------- */

static int loop_socket(struct script *script)
{
	int fd = script_connect(script);

	nonblocking_set(fd, true);
	until_lost(fd);
	return fd;
}

/* Reads what there is; true once it has 3 bytes. */
static bool loop_read(int fd, size_t *done)
{
	char bytes[8];
	ssize_t size;

	while ((size = recv(fd, bytes, sizeof(bytes), 0)) > 0)
		*done += (size_t)size;
	if (size == 0 || errno != EAGAIN) {
		EXPECT_IS(size, -1);
		EXPECT_ERRNO(EAGAIN);
		check_exit(1);
	}
	return *done >= 3;
}

static void loop_finish(int fd)
{
	nonblocking_set(fd, false);
	expect_echo(fd, "over there");
	expect_made_anew(1);
}

static void anew_in_poll(void)
{
	int fd = loop_socket(server_script("R s3e"));
	struct pollfd wait = { .fd = fd, .events = POLLIN };
	size_t done = 0;

	do {
		REQUIRE(poll(&wait, 1, 5000) == 1);
	} while (!loop_read(fd, &done));
	loop_finish(fd);
}

static void anew_in_epoll(uint32_t mode)
{
	int fd = loop_socket(server_script("R s3e")), set = epoll_create1(0);
	struct epoll_event event = { .events = EPOLLIN | EPOLLRDHUP | mode, .data.fd = fd };
	size_t done = 0;

	REQUIRE(epoll_ctl(set, EPOLL_CTL_ADD, fd, &event) == 0);
	do {
		REQUIRE(epoll_wait(set, &event, 1, 5000) == 1);
		EXPECT_IS(event.data.fd, fd);
	} while (!loop_read(fd, &done));
	loop_finish(fd);
}

static void anew_in_epoll_level(void)
{
	anew_in_epoll(0);
}

static void anew_in_epoll_edge(void)
{
	anew_in_epoll(EPOLLET | EPOLLOUT);
}

/* ---- in vain ----------------------------------------------------------------------------------- */

static volatile sig_atomic_t pipes;

static void pipe_count(int number)
{
	(void)number;
	pipes++;
}

/* As on any dead socket, from the second call on. */
static void expect_dead(int fd)
{
	struct pollfd wait = { .fd = fd, .events = POLLIN | POLLOUT };
	char byte;

	signal(SIGPIPE, pipe_count);
	pipes = 0;
	EXPECT_IS(recv(fd, &byte, 1, 0), 0);
	EXPECT_IS(send(fd, "x", 1, 0), -1);
	EXPECT_ERRNO(EPIPE);
	EXPECT_IS(pipes, 1);
	EXPECT_IS(send(fd, "x", 1, MSG_NOSIGNAL), -1);
	EXPECT_ERRNO(EPIPE);
	EXPECT_IS(pipes, 1);
	EXPECT_IS(recv(fd, &byte, 1, 0), 0);
	EXPECT_IS(poll(&wait, 1, 0), 1);
	EXPECT_IS(wait.revents & (POLLOUT | POLLHUP), POLLOUT | POLLHUP);
	EXPECT_IS(socket_error(fd), 0);
}

static void expect_reset(int fd)
{
	char byte;

	EXPECT_IS(recv(fd, &byte, 1, 0), -1);
	EXPECT_ERRNO(ECONNRESET);
	expect_dead(fd);
}

static void reset_every_time(void)
{
	struct script *script = server_script("R");
	int fd = script_connect(script);

	expect_reset(fd);
	if (!preloaded())
		return;
	/* At once, and then as often as the policy says. */
	EXPECT_IS(script->accepted, 1 + 1 + 3);
	EXPECT_COUNT(attempts, 1 + 1 + 3);
	EXPECT_COUNT(retries_denied_limit, 1);
	EXPECT_COUNTS_ADD_UP();
}

static void server_gone(void)
{
	struct script *script = server_script("LR");
	int fd = script_connect(script);

	until_lost(fd);
	expect_reset(fd);
	if (!preloaded())
		return;
	EXPECT_COUNT(reconnects, 0);
	EXPECT_COUNT(reconnect_failures, 1);
	EXPECT_COUNT(retries_denied_limit, 1);
	EXPECT_COUNTS_ADD_UP();
	expect_events(EVENT_RECONNECT_FAILURE, 1);
	EXPECT_SLOT(fd, state, SLOT_FAILED);
}

static void server_gone_by_send(void)
{
	struct script *script = server_script("LR");
	int fd = script_connect(script);

	until_lost(fd);
	EXPECT_IS(send(fd, "x", 1, 0), -1);
	EXPECT_ERRNO(ECONNRESET);
	expect_dead(fd);
	EXPECT_COUNT(reconnect_failures, 1);
}

/* ---- not made anew ------------------------------------------------------------------------------- */

static int bytes_unacknowledged(int fd)
{
	int bytes = -1;

	syscall(SYS_ioctl, fd, TIOCOUTQ, &bytes);
	return bytes;
}

static void one_byte_sent(void)
{
	struct script *script = server_script("r1R e");
	int fd = script_connect(script);

	EXPECT_IS(send(fd, "x", 1, 0), 1);
	until_lost(fd);
	expect_reset(fd);
	expect_passed_on(CAUSE_UNSAFE, "written 1, acknowledged 1, unanswered 1");
}

static void one_byte_sent_found_by_send(void)
{
	struct script *script = server_script("r1R e");
	int fd = script_connect(script);

	EXPECT_IS(send(fd, "x", 1, 0), 1);
	until_lost(fd);
	EXPECT_IS(send(fd, "x", 1, 0), -1);
	EXPECT_ERRNO(ECONNRESET);
	expect_dead(fd);
	expect_passed_on(CAUSE_UNSAFE, "written 1, acknowledged 1, unanswered 1");
}

static void one_byte_received(void)
{
	struct script *script = server_script("s1gR e");
	int fd = script_connect(script);
	char byte;

	EXPECT_IS(recv(fd, &byte, 1, 0), 1);
	server_go(script);
	until_lost(fd);
	expect_reset(fd);
	expect_passed_on(CAUSE_UNSAFE, "written 0, acknowledged 0, unanswered 0");
}

static void one_byte_unread(void)
{
	struct script *script = server_script("s1gR e");
	int fd = script_connect(script);
	char byte;

	bytes_waiting(fd, 1);
	server_go(script);
	until_lost(fd);
	EXPECT_IS(send(fd, "x", 1, 0), -1);
	EXPECT_ERRNO(ECONNRESET);
	EXPECT_IS(recv(fd, &byte, 1, 0), 1);
	expect_dead(fd);
	expect_passed_on(CAUSE_UNSAFE, "written 0, acknowledged 0, unanswered 0");
}

/* What it sent after the last answer is told apart. */
static void unanswered_bytes(void)
{
	struct script *script = server_script("e5r3gR e");
	int fd = script_connect(script);

	expect_echo(fd, "hello");
	EXPECT_IS(send(fd, "abc", 3, 0), 3);
	UNTIL(bytes_unacknowledged(fd) == 0);
	server_go(script);
	until_lost(fd);
	expect_reset(fd);
	expect_passed_on(CAUSE_UNSAFE, "written 8, acknowledged 8, unanswered 3");
}

/* ---- bytes that no hook has seen ---------------------------------------------------- */

static void expect_unseen(int fd)
{
	until_lost(fd);
	expect_reset(fd);
	expect_passed_on(CAUSE_UNSAFE, "written 0, acknowledged 0, unanswered 0");
}

static void sent_unseen(void)
{
	struct script *script = server_script("r1R e");
	int fd = script_connect(script);

	EXPECT_IS(syscall(SYS_sendto, fd, "x", 1, 0, NULL, 0), 1);
	expect_unseen(fd);
}

static void sent_by_stdio(void)
{
	struct script *script = server_script("r5R e");
	int fd = script_connect(script);
	FILE *stream = fdopen(fd, "w");

	REQUIRE(stream != NULL);
	EXPECT(fputs("hello", stream) >= 0 && fflush(stream) == 0);
	expect_unseen(fd);
}

static void received_unseen(void)
{
	struct script *script = server_script("s1gR e");
	int fd = script_connect(script);
	char byte;

	EXPECT_IS(syscall(SYS_recvfrom, fd, &byte, 1, 0, NULL, NULL), 1);
	server_go(script);
	expect_unseen(fd);
}

/* Its number is no secret to a child that was not forked by us. */
static void sent_by_child(void)
{
	char *arguments[] = { (char *)(uintptr_t)"sh", (char *)(uintptr_t)"-c", NULL, NULL };
	struct script *script = server_script("r2R e");
	int fd = script_connect(script), status;
	char command[64];
	pid_t child;

	REQUIRE(fcntl(fd, F_SETFD, 0) == 0);
	snprintf(command, sizeof(command), "echo x >&%d", fd);
	arguments[2] = command;
	REQUIRE(posix_spawn(&child, "/bin/sh", NULL, NULL, arguments, environ) == 0);
	EXPECT_IS(waitpid(child, &status, 0), child);
	EXPECT_IS(status, 0);
	expect_unseen(fd);
}

static void reset_is_told(void)
{
	struct script *script = server_script("gR e");
	int fd = script_connect(script);

	server_go(script);
	until_lost(fd);
	expect_reset(fd);
}

static void never(void)
{
	reset_is_told();
	expect_passed_on(CAUSE_UNSAFE, "written 0, acknowledged 0, unanswered 0");
}

static void network_none(void)
{
	reset_is_told();
	expect_passed_on(CAUSE_CATEGORY, "written 0, acknowledged 0, unanswered 0");
}

static void leave_at_once(void *argument)
{
	(void)argument;
}

static void after_fork(void)
{
	struct script *script = server_script("gR e");
	int fd = script_connect(script);

	child_wait(helper_start(leave_at_once, NULL));
	server_go(script);
	until_lost(fd);
	expect_reset(fd);
	expect_passed_on(CAUSE_UNSAFE, "written 0, acknowledged 0, unanswered 0");
}

static void after_passing(void)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = { .header = { CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS } };
	char byte = 0;
	struct iovec vector = { &byte, 1 };
	struct msghdr message = { .msg_iov = &vector,
				  .msg_iovlen = 1,
				  .msg_control = &control,
				  .msg_controllen = sizeof(control) };
	struct script *script = server_script("gR e");
	int fd = script_connect(script), ends[2];

	REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
	memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
	EXPECT_IS(sendmsg(ends[0], &message, 0), 1);
	server_go(script);
	until_lost(fd);
	expect_reset(fd);
	expect_passed_on(CAUSE_UNSAFE, "written 0, acknowledged 0, unanswered 0");
}

static void after_shutdown(void)
{
	struct script *script = server_script("gR e");
	int fd = script_connect(script);
	char byte;

	EXPECT_IS(shutdown(fd, SHUT_WR), 0);
	server_go(script);
	until_lost(fd);
	EXPECT_IS(recv(fd, &byte, 1, 0), -1);
	EXPECT_ERRNO(ECONNRESET);
	EXPECT_IS(recv(fd, &byte, 1, 0), 0);
	expect_passed_on(CAUSE_UNSAFE, "written 0, acknowledged 0, unanswered 0");
}

#define POLICY_FEW POLICY_TENDED("\"transfer\":{\"replay\":\"unsent\"}", "\"max_retries\":3")
#define POLICY_NONE                                                               \
	"{\"version\":1,\"defaults\":{\"strategies\":{\"network\":{\"decision\":" \
	"\"none\"}}}}"

#define CASE(name, run)                            \
	{                                          \
		name, run, POLICY_DEFAULT, NULL, 0 \
	}
#define CASE_TOLD(name, run, policy)                      \
	{                                                 \
		name, run, policy, NULL, CHECK_ALSO_PLAIN \
	}

static const struct check_case cases[] = {
	CASE("reset before any byte: made anew, recv", anew_by_recv),
	CASE("reset while in read", anew_by_blocked_recv),
	CASE("reset before any byte: made anew, send", anew_by_send),
	CASE("reset before any byte: made anew, writev", anew_by_write),
	CASE("end and reset before any byte: made anew, recv", anew_after_end_by_recv),
	CASE("end and reset before any byte: made anew, send", anew_after_end_by_send),
	CASE("reset twice", anew_twice),
	CASE("poll", anew_in_poll),
	CASE("epoll", anew_in_epoll_level),
	CASE("epoll, edge triggered", anew_in_epoll_edge),
	CASE_TOLD("a mere end is told", end_is_told, POLICY_DEFAULT),
	CASE_TOLD("reset every time: told in the end", reset_every_time, POLICY_FEW),
	CASE_TOLD("server gone: told of the loss", server_gone, POLICY_FEW),
	CASE_TOLD("server gone: told of the loss, send", server_gone_by_send, POLICY_FEW),
	CASE_TOLD("one byte sent", one_byte_sent, POLICY_DEFAULT),
	CASE_TOLD("one byte sent, send", one_byte_sent_found_by_send, POLICY_DEFAULT),
	CASE_TOLD("one byte received", one_byte_received, POLICY_DEFAULT),
	CASE_TOLD("one byte unread", one_byte_unread, POLICY_DEFAULT),
	CASE_TOLD("one byte sent unseen", sent_unseen, POLICY_DEFAULT),
	CASE_TOLD("sent by stdio", sent_by_stdio, POLICY_DEFAULT),
	CASE_TOLD("one byte received unseen", received_unseen, POLICY_DEFAULT),
	CASE_TOLD("sent by a child", sent_by_child, POLICY_DEFAULT),
	CASE_TOLD("some answered, some not", unanswered_bytes, POLICY_DEFAULT),
	CASE_TOLD("replay: never", never, POLICY_TRANSFER("\"replay\":\"never\"")),
	CASE_TOLD("decision: none", network_none, POLICY_NONE),
	CASE_TOLD("after fork", after_fork, POLICY_DEFAULT),
	CASE_TOLD("after it was sent to somebody", after_passing, POLICY_DEFAULT),
	CASE_TOLD("after shutdown", after_shutdown, POLICY_DEFAULT),
	CASE("reset before any byte: made anew, SO_ERROR", anew_by_so_error),
	CASE_TOLD("one byte sent, SO_ERROR", told_by_so_error, POLICY_DEFAULT),
};

CHECK_MAIN(cases)
