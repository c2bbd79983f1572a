/* SPDX-License-Identifier: MIT */
/* Leaving a held connect() by a jump, a cancellation, or a close() in another thread. */
#include <pthread.h>
#include <setjmp.h>

#include "alarm.h"
#include "net.h"
#include "peek.h"

static sigjmp_buf away;

static void jump(int signal)
{
	siglongjmp(away, 1);
}

static void jump_after(int64_t ms)
{
	alarm_after(ms, jump, 0);
}

/* As `wget -T` does; true if the jump came. */
static bool connect_jumping(const struct server *server, int fd, int64_t after_ms)
{
	if (sigsetjmp(away, 1))
		return true;
	jump_after(after_ms);
	server_connect(server, fd);
	return false;
}

static void expect_usable(unsigned int operations_before)
{
	struct server server = server_bind(AF_INET);
	int fd = stream_socket(&server);

	server_listen_after(&server, 250);
	EXPECT_IS(server_connect(&server, fd), 0);
	EXPECT_IS(send(fd, "x", 1, 0), 1);
	EXPECT_SLOT(fd, state, SLOT_CONNECTED);
	EXPECT_COUNT(operations, operations_before + 1);
	EXPECT_COUNT(succeeded, 1);
	EXPECT_COUNT(recovered, 1);
	EXPECT_COUNT(sent_bytes, 1);
	EXPECT_COUNTS_ADD_UP();
}

static void jump_then_close(void)
{
	struct server server = server_bind(AF_INET);
	int fd = stream_socket(&server);

	REQUIRE(connect_jumping(&server, fd, 250));
	EXPECT_IS(close(fd), 0);
	EXPECT_COUNT(abandoned, 1);
	EXPECT_COUNT(failures, 0);
	expect_usable(1);
}

static void jump_many_times(void)
{
	struct server server = server_bind(AF_INET);
	int64_t begun;

	for (int i = 0; i < 60; i++) {
		int fd = stream_socket(&server);

		REQUIRE(connect_jumping(&server, fd, 1 + i % 7));
		close(fd);
	}
	/* The very first jump may come before there is anything to count. */
	begun = (int64_t)peek_all().counters[COUNTER_operations];
	EXPECT_WITHIN(begun, 55, 60);
	EXPECT_COUNT(abandoned, begun);
	expect_usable((unsigned int)begun);
}

static void jump_then_again(void)
{
	struct server server = server_bind(AF_INET);
	int fd = stream_socket(&server);

	REQUIRE(connect_jumping(&server, fd, 150));
	REQUIRE(listen(server.fd, 5) == 0);
	EXPECT_IS(server_connect(&server, fd), 0);
	EXPECT_COUNT(operations, 2);
	EXPECT_COUNT(abandoned, 1);
	EXPECT_COUNT(succeeded, 1);
	EXPECT_COUNTS_ADD_UP();
}

static void jump_out_of_attempt(void)
{
	struct server server = server_full();
	int fd = stream_socket(&server);

	REQUIRE(connect_jumping(&server, fd, 250));
	EXPECT_IS(send_timeout_ms(fd), 0);
	EXPECT_IS(close(fd), 0);
	EXPECT_COUNT(abandoned, 1);
	expect_usable(1);
}

static void jump_out_of_attempt_with_timeout(void)
{
	struct server server = server_full();
	int fd = stream_socket(&server);

	send_timeout_ask(fd, 12000);
	REQUIRE(connect_jumping(&server, fd, 250));
	EXPECT_IS(send_timeout_ms(fd), 12000);
}

/* The caller's new value must win over what is given back. */
static void jump_then_ask(void)
{
	struct server server = server_full();
	int fd = stream_socket(&server);

	REQUIRE(connect_jumping(&server, fd, 250));
	send_timeout_ask(fd, 4000);
	EXPECT_IS(send_timeout_ms(fd), 4000);
}

/* Left in SYN_SENT by the jump: the attempt goes on, as without holdfast. */
static void jump_then_wait(void)
{
	struct server server = server_full();
	int fd = stream_socket(&server);
	struct pollfd wait = { .fd = fd, .events = POLLOUT };
	char bytes[2000] = { 0 };

	REQUIRE(connect_jumping(&server, fd, 250));
	server_drain_after(&server, 0);
	EXPECT_IS(poll(&wait, 1, 8000), 1);
	EXPECT_IS(socket_error(fd), 0);
	EXPECT_IS(send(fd, bytes, sizeof(bytes), 0), (int64_t)sizeof(bytes));
	EXPECT_IS(send_timeout_ms(fd), 0);
	EXPECT_IS(close(fd), 0);
	EXPECT_COUNT(operations, 1);
	EXPECT_COUNT(succeeded, 1);
	EXPECT_COUNT(abandoned, 0);
	EXPECT_COUNT(sent_bytes, sizeof(bytes));
}

/* ---- threads ------------------------------------------------------------------------- */

struct caller {
	struct server server;
	int fd;
	int result;
	int error;
	pthread_t thread;
};

static void *caller_run(void *data)
{
	struct caller *caller = data;

	caller->result = server_connect(&caller->server, caller->fd);
	caller->error = errno;
	return NULL;
}

static void caller_start(struct caller *caller)
{
	caller->result = 1;
	caller->fd = stream_socket(&caller->server);
	REQUIRE(pthread_create(&caller->thread, NULL, caller_run, caller) == 0);
}

static void *caller_end(struct caller *caller)
{
	void *value = NULL;
	struct timespec end;

	clock_gettime(CLOCK_REALTIME, &end);
	end.tv_sec += 10;
	REQUIRE(pthread_timedjoin_np(caller->thread, &value, &end) == 0);
	return value;
}

static void cancel(void)
{
	struct caller caller = { .server = server_bind(AF_INET) };
	int64_t began;

	caller_start(&caller);
	sleep_ms(200);
	began = now_ms();
	REQUIRE(pthread_cancel(caller.thread) == 0);
	EXPECT(caller_end(&caller) == PTHREAD_CANCELED);
	EXPECT_WITHIN(now_ms() - began, 0, 1000);
	EXPECT_IS(close(caller.fd), 0);
	EXPECT_COUNT(abandoned, 1);
	expect_usable(1);
}

static void cancel_attempt(void)
{
	struct caller caller = { .server = server_full() };

	caller_start(&caller);
	sleep_ms(200);
	REQUIRE(pthread_cancel(caller.thread) == 0);
	EXPECT(caller_end(&caller) == PTHREAD_CANCELED);
	EXPECT_IS(send_timeout_ms(caller.fd), 0);
	EXPECT_IS(close(caller.fd), 0);
	EXPECT_COUNT(abandoned, 1);
	expect_usable(1);
}

static void *uncancellable_run(void *data)
{
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
	return caller_run(data);
}

static void cancel_disabled(void)
{
	struct caller caller = { .server = server_bind(AF_INET), .result = 1 };

	caller.fd = stream_socket(&caller.server);
	REQUIRE(pthread_create(&caller.thread, NULL, uncancellable_run, &caller) == 0);
	sleep_ms(150);
	pthread_cancel(caller.thread);
	sleep_ms(150);
	REQUIRE(listen(caller.server.fd, 5) == 0);
	EXPECT(caller_end(&caller) == NULL);
	EXPECT_IS(caller.result, 0);
	EXPECT_COUNT(recovered, 1);
}

static void closed_by_another(void)
{
	struct caller caller = { .server = server_bind(AF_INET) };

	caller_start(&caller);
	sleep_ms(200);
	EXPECT_IS(close(caller.fd), 0);
	caller_end(&caller);
	EXPECT_IS(caller.result, -1);
	EXPECT_COUNT(operations, 1);
	EXPECT_COUNT(abandoned, 1);
	EXPECT_COUNTS_ADD_UP();
}

/*
 * The number of the closed socket is given to a new one, connected and in use;
 * the thread that still holds must not touch that.
 */
static void number_reused(struct server *other)
{
	struct caller caller = { .server = server_bind(AF_INET) };
	struct server server = other ? *other : caller.server;
	int64_t sent = 0;
	struct pair pair;
	char byte;

	caller_start(&caller);
	sleep_ms(250);
	EXPECT_IS(close(caller.fd), 0);
	if (!other)
		REQUIRE(listen(server.fd, 5) == 0);
	pair = pair_connect(&server);
	EXPECT_IS(pair.client, caller.fd);
	for (int64_t end = now_ms() + 700; now_ms() < end; sleep_ms(5))
		if (EXPECT_IS(send(pair.client, "x", 1, MSG_NOSIGNAL), 1) &&
		    EXPECT_IS(recv(pair.peer, &byte, 1, 0), 1))
			sent++;
		else
			break;
	caller_end(&caller);
	EXPECT_IS(caller.result, -1);
	EXPECT_COUNT(operations, 2);
	EXPECT_COUNT(succeeded, 1);
	EXPECT_COUNT(abandoned, 1);
	EXPECT_COUNT(sent_bytes, sent);
	EXPECT_SLOT(pair.client, state, SLOT_CONNECTED);
}

static void number_reused_same(void)
{
	number_reused(NULL);
}

static void number_reused_other(void)
{
	struct server other = server_listening(AF_INET);

	number_reused(&other);
}

/* The same, but closed and opened by calls that nobody sees. */
static void number_reused_unseen(void)
{
	struct caller caller = { .server = server_bind(AF_INET) };
	struct server server = server_listening(AF_INET);
	int fd, peer;
	char byte;

	caller_start(&caller);
	sleep_ms(250);
	REQUIRE(syscall(SYS_close, caller.fd) == 0);
	fd = (int)syscall(SYS_socket, AF_INET, SOCK_STREAM, 0);
	EXPECT_IS(fd, caller.fd);
	REQUIRE(syscall(SYS_connect, fd, &server.address, server.length) == 0);
	peer = accept(server.fd, NULL, NULL);
	for (int64_t end = now_ms() + 700; now_ms() < end; sleep_ms(5))
		if (!EXPECT_IS(syscall(SYS_write, fd, "x", 1), 1) ||
		    !EXPECT_IS(recv(peer, &byte, 1, 0), 1))
			break;
	caller_end(&caller);
	EXPECT_IS(caller.result, -1);
	EXPECT_COUNT(operations, 1);
	EXPECT_COUNT(abandoned, 1);
}

/* shutdown() of a socket that is not connected fails, and must not end the hold badly. */
static void shut_by_another(void)
{
	struct caller caller = { .server = server_bind(AF_INET) };

	caller_start(&caller);
	sleep_ms(150);
	shutdown(caller.fd, SHUT_RDWR);
	sleep_ms(100);
	REQUIRE(listen(caller.server.fd, 5) == 0);
	caller_end(&caller);
	EXPECT_IS(caller.result, 0);
	EXPECT_COUNTS_ADD_UP();
}

#define BOUNDED                                                                            \
	POLICY_CONNECT("\"attempt_timeout\":\"20s\"", "\"max_retries\":50,\"base_delay\":" \
						      "\"100ms\"")

static const struct check_case cases[] = {
	{ "siglongjmp out of a hold, then close: abandoned", jump_then_close, POLICY_PATIENT, NULL,
	  0 },
	{ "siglongjmp at sixty different moments", jump_many_times,
	  POLICY_NETWORK("\"max_retries\":\"unlimited\",\"base_delay\":\"1ms\""), NULL, 0 },
	{ "siglongjmp out of a hold, then connect() again", jump_then_again, POLICY_PATIENT, NULL,
	  0 },
	{ "siglongjmp out of a bounded attempt: SO_SNDTIMEO is the caller's", jump_out_of_attempt,
	  BOUNDED, NULL, 0 },
	{ "siglongjmp out of a bounded attempt: so is a value of its own",
	  jump_out_of_attempt_with_timeout, BOUNDED, NULL, 0 },
	{ "siglongjmp out of a bounded attempt: a new value wins", jump_then_ask, BOUNDED, NULL,
	  0 },
	{ "siglongjmp out of an attempt that succeeds later", jump_then_wait, POLICY_PATIENT, NULL,
	  CHECK_ALSO_PLAIN },
	{ "siglongjmp out of a bounded attempt that succeeds later", jump_then_wait, BOUNDED, NULL,
	  0 },
	{ "pthread_cancel during a hold", cancel, POLICY_PATIENT, NULL, 0 },
	{ "pthread_cancel during a bounded attempt", cancel_attempt, BOUNDED, NULL, 0 },
	{ "pthread_cancel while disabled: held to the end", cancel_disabled, POLICY_PATIENT, NULL,
	  0 },
	{ "close() by another thread during a hold: abandoned", closed_by_another, POLICY_PATIENT,
	  NULL, 0 },
	{ "its number reused for another destination: untouched", number_reused_other,
	  POLICY_PATIENT, NULL, 0 },
	{ "its number reused for the same destination: untouched", number_reused_same,
	  POLICY_PATIENT, NULL, 0 },
	{ "its number reused out of sight: untouched", number_reused_unseen, POLICY_PATIENT, NULL,
	  0 },
	{ "shutdown() by another thread during a hold", shut_by_another, POLICY_PATIENT, NULL, 0 },
};

CHECK_MAIN(cases)
