/* SPDX-License-Identifier: MIT */
/* Connections that are lost and not made anew, or in vain: told exactly as without holdfast. */
#include <spawn.h>
#include <sys/ioctl.h>

#include "lost.h"

/* ---- in vain ----------------------------------------------------------------------------------- */

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

/* The answer went to another process. */
static void answered_to_a_child(void)
{
	struct script *script = server_script("ge5gR e");
	int fd = script_connect(script);
	char bytes[5];
	pid_t pid = fork();

	if (pid == 0)
		check_exit(recv(fd, bytes, 5, MSG_WAITALL) == 5 ? 0 : 1);
	EXPECT_IS(send(fd, "hello", 5, 0), 5);
	/* What was sent is counted behind the call: only then the answer comes. */
	server_go(script);
	EXPECT_IS(child_wait(pid), 0);
	server_go(script);
	until_lost(fd);
	expect_reset(fd);
	expect_passed_on(CAUSE_UNSAFE, "written 5, acknowledged 5, unanswered 0");
}

/* It is told as ever, and once. */
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
	char *arguments[] = { (char *)(uintptr_t) "sh", (char *)(uintptr_t) "-c", NULL, NULL };
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

static const struct check_case cases[] = {
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
	CASE_TOLD("answered to a child", answered_to_a_child, POLICY_DEFAULT),
	CASE_TOLD("replay: never", never, POLICY_TRANSFER("\"replay\":\"never\"")),
	CASE_TOLD("decision: none", network_none, POLICY_NONE),
	CASE_TOLD("after fork", after_fork, POLICY_DEFAULT),
	CASE_TOLD("after it was sent to somebody", after_passing, POLICY_DEFAULT),
	CASE_TOLD("after shutdown", after_shutdown, POLICY_DEFAULT),
	CASE_TOLD("one byte sent, SO_ERROR", told_by_so_error, POLICY_DEFAULT),
};

CHECK_MAIN(cases)
