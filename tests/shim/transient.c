/* SPDX-License-Identifier: MIT */
/*
 * Transfers that fail for want of memory or buffers (preload/faulty.c) are tried again as
 * the strategy `system` says, where the call may wait; and datagrams to a peer that was
 * not there, where the rule says so.
 */
#include <dlfcn.h>
#include <linux/filter.h>
#include <linux/seccomp.h>

#include "script.h"

static int *faulty(const char *name)
{
	int *knob = dlsym(RTLD_DEFAULT, name);

	REQUIRE(knob != NULL);
	return knob;
}

/* So many of the next calls fail. */
static void fault(int error, int count)
{
	*faulty("faulty_error") = error;
	*faulty("faulty_next") = count;
	*faulty("faulty_calls") = 0;
}

static void expect_tried(int calls)
{
	EXPECT_IS(*faulty("faulty_calls"), calls);
	EXPECT_COUNT(operations, 1);
	EXPECT_COUNT(retries, calls - 1);
	EXPECT_COUNTS_ADD_UP();
	expect_events(EVENT_TRANSFER_RETRY, calls > 1);
	expect_events(EVENT_CONNECTION_LOST, 0);
}

static void expect_told(ssize_t result, int error, int calls)
{
	EXPECT_IS(result, -1);
	EXPECT_ERRNO(error);
	expect_tried(calls);
	fault(0, 0);
}

/* ---- tried again ------------------------------------------------------------------------ */

static void by_send(void)
{
	struct script *script = server_script("e");
	struct store_event event = { 0 };
	int fd = script_connect(script);
	int64_t began = now_ms();

	fault(ENOBUFS, 2);
	errno = 0;
	EXPECT_IS(send(fd, "abc", 3, 0), 3);
	EXPECT_ERRNO(0);
	EXPECT_WITHIN(now_ms() - began, 2 * 50, 5000);
	expect_tried(3);
	EXPECT_COUNT(attempt_failures, 2);
	EXPECT_COUNT(sent_bytes, 3);
	EXPECT_IS(peek_events(EVENT_TRANSFER_RETRY, &event), 1);
	EXPECT_ERROR(event.error, ENOBUFS);
	EXPECT_IS(event.category, CATEGORY_SYSTEM);
	EXPECT_TEXT(script, 0, "abc");
}

static void by_recv(void)
{
	struct script *script = server_script("s1d");
	int fd = script_connect(script);
	char byte;

	fault(ENOMEM, 2);
	EXPECT_IS(recv(fd, &byte, 1, 0), 1);
	expect_tried(3);
	EXPECT_COUNT(received_bytes, 1);
}

/* Each call has all the retries. */
static void one_after_the_other(void)
{
	struct script *script = server_script("e");
	int fd = script_connect(script);

	for (int i = 0; i < 4; i++) {
		fault(ENOBUFS, 2);
		EXPECT_IS(send(fd, "x", 1, 0), 1);
		EXPECT_IS(*faulty("faulty_calls"), 3);
	}
	EXPECT_COUNT(retries, 8);
	EXPECT_COUNTS_ADD_UP();
	expect_events(EVENT_TRANSFER_RETRY, 4);
}

/* ---- told ----------------------------------------------------------------------------------- */

static void retries_used_up(void)
{
	int fd = script_connect(server_script("e"));

	fault(ENOBUFS, 100);
	expect_told(send(fd, "x", 1, 0), ENOBUFS, 1 + 3);
	expect_echo(fd, "hello");
}

static void nonblocking(void)
{
	int fd = script_connect(server_script("e"));

	nonblocking_set(fd, true);
	fault(ENOBUFS, 1);
	expect_told(send(fd, "x", 1, 0), ENOBUFS, 1);
	nonblocking_set(fd, false);
	fault(ENOBUFS, 1);
	expect_told(send(fd, "x", 1, MSG_DONTWAIT), ENOBUFS, 1);
	expect_echo(fd, "hello");
}

static void not_retried(void)
{
	int fd = script_connect(server_script("e"));

	fault(ENOBUFS, 1);
	expect_told(send(fd, "x", 1, 0), ENOBUFS, 1);
	expect_echo(fd, "hello");
}

/* What says something of the call is the program's at once. */
static void others(void)
{
	int fd = script_connect(server_script("e"));

	fault(EMSGSIZE, 1);
	expect_told(send(fd, "x", 1, 0), EMSGSIZE, 1);
	fault(EFAULT, 1);
	expect_told(send(fd, "x", 1, 0), EFAULT, 1);
	expect_echo(fd, "hello");
}

static void send_timeout(void)
{
	int fd = script_connect(server_script("e"));
	int64_t began = now_ms();

	send_timeout_ask(fd, 75);
	fault(ENOBUFS, 100);
	expect_told(send(fd, "x", 1, 0), ENOBUFS, 2);
	EXPECT_WITHIN(now_ms() - began, 50, 1000);
}

/* ---- where output is kept: without libc, so it is the kernel that has to refuse ----------------- */

static void sendmsg_refuse(void)
{
	struct sock_filter rules[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_sendmsg, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOBUFS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { sizeof(rules) / sizeof(rules[0]), rules };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0)
		check_skip("seccomp filters are not allowed here");
}

static void where_output_is_kept(void)
{
	int fd = script_connect(server_script("e"));
	int64_t began = now_ms();

	sendmsg_refuse();
	EXPECT_IS(send(fd, "x", 1, 0), -1);
	EXPECT_ERRNO(ENOBUFS);
	EXPECT_WITHIN(now_ms() - began, 3 * 50, 5000);
	EXPECT_COUNT(retries, 3);
	EXPECT_COUNTS_ADD_UP();
	EXPECT_IS(send(fd, "x", 1, MSG_DONTWAIT), -1);
	EXPECT_ERRNO(ENOBUFS);
	EXPECT_COUNT(retries, 3);
}

/* ---- datagrams ------------------------------------------------------------------------------------- */

/* Connected to a port where nobody is, which the kernel has been told of. */
static int refused_socket(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int nobody = socket(AF_INET, SOCK_DGRAM, 0), fd = socket(AF_INET, SOCK_DGRAM, 0);
	socklen_t length = sizeof(address);

	REQUIRE(bind(nobody, (struct sockaddr *)&address, length) == 0);
	REQUIRE(getsockname(nobody, (struct sockaddr *)&address, &length) == 0);
	REQUIRE(connect(fd, (struct sockaddr *)&address, length) == 0);
	close(nobody);
	EXPECT_IS(send(fd, "x", 1, 0), 1);
	return fd;
}

static void datagram_again(void)
{
	int fd = refused_socket();

	fault(0, 0);
	EXPECT_IS(send(fd, "y", 1, 0), 1);
	EXPECT_IS(*faulty("faulty_calls"), 2);
	EXPECT_COUNT(attempt_failures, 1);
	/* Once: if that is refused, too, it is told. */
	fault(ECONNREFUSED, 2);
	EXPECT_IS(send(fd, "y", 1, 0), -1);
	EXPECT_ERRNO(ECONNREFUSED);
	EXPECT_IS(*faulty("faulty_calls"), 2);
	EXPECT_COUNTS_ADD_UP();
}

static void datagram_told(void)
{
	int fd = refused_socket();

	EXPECT_IS(send(fd, "y", 1, 0), -1);
	EXPECT_ERRNO(ECONNREFUSED);
	EXPECT_COUNT(attempt_failures, 1);
	EXPECT_COUNTS_ADD_UP();
}

static void datagram_is_received(void)
{
	int fd = refused_socket();
	char byte;

	EXPECT_IS(recv(fd, &byte, 1, 0), -1);
	EXPECT_ERRNO(ECONNREFUSED);
}

#define POLICY_SYSTEM(sections, decision)                                     \
	"{\"version\":1,\"defaults\":{" sections                              \
	"\"strategies\":{\"system\":{\"decision\":\"" decision                \
	"\",\"backoff_factor\":1,\"jitter\":0,\"base_delay\":\"50ms\",\"max_" \
	"retries\":3}}}}"
#define POLICY_THREE POLICY_SYSTEM("", "backoff")
#define POLICY_PASS POLICY_SYSTEM("", "none")
#define POLICY_KEPT POLICY_SYSTEM("\"transfer\":{\"replay\":\"unanswered\"},", "backoff")

#define CASE(name, run, policy)            \
	{                                  \
		name, run, policy, NULL, 0 \
	}

static const struct check_case cases[] = {
	CASE("send", by_send, POLICY_THREE),
	CASE("recv", by_recv, POLICY_THREE),
	CASE("one call after the other", one_after_the_other, POLICY_THREE),
	CASE("retries used up", retries_used_up, POLICY_THREE),
	CASE("non-blocking", nonblocking, POLICY_THREE),
	CASE("decision: none", not_retried, POLICY_PASS),
	CASE("other errors", others, POLICY_THREE),
	CASE("SO_SNDTIMEO", send_timeout, POLICY_THREE),
	CASE("where output is kept", where_output_is_kept, POLICY_KEPT),
	CASE("a datagram, sent again", datagram_again, POLICY_KEPT),
	CASE("a datagram, by default", datagram_told, POLICY_THREE),
	CASE("a datagram, received", datagram_is_received, POLICY_KEPT),
};

CHECK_MAIN(cases)
