/* SPDX-License-Identifier: MIT */
/* `holdfast reconnect`: a connection is made anew at its next call, where its policy lets it be. */
#include <spawn.h>

#include "script.h"

/* The last connection of an fd, as the tool is told of it. */
static void id_write(char *id, size_t size, int fd)
{
	const struct process_file *file = peek_process(getpid());
	unsigned int index = 0;

	REQUIRE(file != NULL);
	for (unsigned int i = 0; i < file->slots_used; i++)
		if (file->slots[i].fd == fd &&
		    file->slots[i].opened_at_ns >= file->slots[index].opened_at_ns)
			index = i;
	snprintf(id, size, "%d-%08x.%u.%u", getpid(), file->identity.nonce, index,
		 file->slots[index].generation);
	peek_unmap(file);
}

/* As somebody at a terminal asks for it; without fork(), which would share the connection. */
static int reconnect_ask(int fd)
{
	posix_spawn_file_actions_t actions;
	char id[64], *tool = getenv("HOLDFAST");
	char *arguments[] = { tool, (char[]){ "reconnect" }, id, NULL };
	pid_t pid;

	REQUIRE(tool != NULL);
	id_write(id, sizeof(id), fd);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
	REQUIRE(posix_spawn(&pid, tool, &actions, NULL, arguments, environ) == 0);
	posix_spawn_file_actions_destroy(&actions);
	return child_wait(pid);
}

static void expect_rebuilt(unsigned int times)
{
	EXPECT_COUNT(reconnects, times);
	EXPECT_COUNT(replayed_bytes, 0);
	EXPECT_COUNT(retries_denied_unsafe, 0);
	EXPECT_COUNTS_ADD_UP();
	expect_events(EVENT_RECONNECT_SUCCESS, times);
	expect_events(EVENT_RECONNECT_FAILURE, 0);
}

static void byteless_by_send(void)
{
	struct script *script = server_script("d e");
	int fd = script_connect(script);

	EXPECT_IS(reconnect_ask(fd), 0);
	/* Not before a call. */
	EXPECT_COUNT(reconnects, 0);
	expect_echo(fd, "over there");
	EXPECT_TEXT(script, 1, "over there");
	EXPECT(script->connections[0].is_ended);
	expect_rebuilt(1);
	EXPECT_SLOT(fd, reconnect_wanted, 0);
	expect_echo(fd, "once");
	expect_rebuilt(1);
}

static void byteless_by_recv(void)
{
	struct script *script = server_script("d s1e");
	int fd = script_connect(script);
	char byte;

	EXPECT_IS(reconnect_ask(fd), 0);
	EXPECT_IS(recv(fd, &byte, 1, 0), 1);
	expect_rebuilt(1);
}

static void byteless_in_loop(void)
{
	struct script *script = server_script("d gs1e");
	int fd = script_connect(script);
	struct pollfd wait = { .fd = fd, .events = POLLIN };
	char byte;

	nonblocking_set(fd, true);
	EXPECT_IS(reconnect_ask(fd), 0);
	EXPECT_IS(recv(fd, &byte, 1, 0), -1);
	EXPECT_ERRNO(EAGAIN);
	server_go(script);
	EXPECT_IS(poll(&wait, 1, 5000), 1);
	EXPECT_IS(wait.revents, POLLIN);
	EXPECT_IS(recv(fd, &byte, 1, 0), 1);
	expect_rebuilt(1);
}

static void byteless_again_and_again(void)
{
	struct script *script = server_script("d d d d d d d d d e");
	int fd = script_connect(script);
	char byte;

	for (int i = 0; i < 9; i++) {
		EXPECT_IS(reconnect_ask(fd), 0);
		UNTIL(recv(fd, &byte, 1, MSG_DONTWAIT) < 0 && script->accepted == i + 2);
	}
	expect_echo(fd, "over there");
	expect_rebuilt(9);
}

static void between_exchanges(void)
{
	struct script *script = server_script("e5d e");
	int fd = script_connect(script);

	expect_echo(fd, "hello");
	EXPECT_IS(reconnect_ask(fd), 0);
	expect_echo(fd, "again");
	EXPECT_TEXT(script, 1, "again");
	expect_rebuilt(1);
}

static void in_exchange(void)
{
	struct script *script = server_script("r5d e");
	int fd = script_connect(script);
	char answer[5];

	EXPECT_IS(send(fd, "hello", 5, 0), 5);
	EXPECT_IS(reconnect_ask(fd), 0);
	EXPECT_IS(recv(fd, answer, 5, MSG_WAITALL), 5);
	EXPECT_COUNT(reconnects, 1);
	EXPECT_COUNT(replayed_bytes, 5);
}

/* What has come is the program's first. */
static void unread_first(void)
{
	struct script *script = server_script("r5s5d e");
	int fd = script_connect(script);
	char answer[5];

	EXPECT_IS(send(fd, "hello", 5, 0), 5);
	bytes_waiting(fd, 5);
	EXPECT_IS(reconnect_ask(fd), 0);
	EXPECT_IS(recv(fd, answer, 2, 0), 2);
	EXPECT_IS(recv(fd, answer, 3, 0), 3);
	EXPECT_COUNT(reconnects, 0);
	expect_echo(fd, "again");
	EXPECT_TEXT(script, 1, "again");
	expect_rebuilt(1);
}

static void denied(void)
{
	struct script *script = server_script("e");
	struct store_event event = { 0 };
	int fd = script_connect(script);

	expect_echo(fd, "hello");
	EXPECT_IS(reconnect_ask(fd), 0);
	expect_echo(fd, "again");
	EXPECT_IS(script->accepted, 1);
	EXPECT_COUNT(reconnects, 0);
	EXPECT_COUNT(retries_denied_unsafe, 1);
	EXPECT_COUNT(operations, 1);
	EXPECT_COUNTS_ADD_UP();
	expect_events(EVENT_RECONNECT_FAILURE, 1);
	expect_events(EVENT_CONNECTION_LOST, 0);
	EXPECT_IS(peek_events(EVENT_RECONNECT_FAILURE, &event), 1);
	EXPECT_IS(event.cause, CAUSE_UNSAFE);
	EXPECT_SLOT(fd, reconnect_wanted, 0);
	EXPECT_SLOT(fd, state, SLOT_CONNECTED);
	/* Said once. */
	expect_echo(fd, "and on");
	expect_events(EVENT_RECONNECT_FAILURE, 1);
}

/* It was for the one before. */
static void not_the_next(void)
{
	struct script *script = server_script("d e");
	int fd = script_connect(script), again;

	EXPECT_IS(reconnect_ask(fd), 0);
	EXPECT_IS(close(fd), 0);
	again = script_connect(script);
	expect_echo(again, "hello");
	EXPECT_IS(script->accepted, 2);
	EXPECT_COUNT(reconnects, 0);
}

/* The server is gone by then: what was there is lost, for what was asked for. */
static void server_gone(void)
{
	struct script *script = server_script("Ld");
	int fd = script_connect(script);
	char byte;

	UNTIL(socket_state(script->server.fd) == TCP_CLOSE);
	EXPECT_IS(reconnect_ask(fd), 0);
	EXPECT_IS(recv(fd, &byte, 1, 0), -1);
	EXPECT_ERRNO(ECONNABORTED);
	EXPECT_IS(recv(fd, &byte, 1, 0), 0);
	EXPECT_COUNT(reconnect_failures, 1);
	EXPECT_COUNTS_ADD_UP();
}

#define POLICY_FEW POLICY_TENDED("\"transfer\":{\"replay\":\"unsent\"}", "\"max_retries\":3")

static const struct check_case cases[] = {
	CASE_UNDER("before any byte, send", byteless_by_send, POLICY_DEFAULT),
	CASE_UNDER("before any byte, recv", byteless_by_recv, POLICY_DEFAULT),
	CASE_UNDER("before any byte, event loop", byteless_in_loop, POLICY_DEFAULT),
	CASE_UNDER("asked for again and again", byteless_again_and_again, POLICY_FEW),
	CASE_UNDER("between exchanges", between_exchanges, POLICY_UNANSWERED),
	CASE_UNDER("in an exchange", in_exchange, POLICY_UNANSWERED),
	CASE_UNDER("unread bytes come first", unread_first, POLICY_UNANSWERED),
	CASE_UNDER("denied after bytes were moved", denied, POLICY_DEFAULT),
	CASE_UNDER("not the connection that comes after", not_the_next, POLICY_DEFAULT),
	CASE_UNDER("the server is gone", server_gone, POLICY_FEW),
};

CHECK_MAIN(cases)
