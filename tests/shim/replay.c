/* SPDX-License-Identifier: MIT */
/* replay: unanswered. Sent again as long as no answer byte was delivered. */
#include <sys/epoll.h>
#include <sys/resource.h>

#include "script.h"

static void expect_replayed(unsigned int times, size_t bytes)
{
	EXPECT_COUNT(reconnects, times);
	EXPECT_COUNT(replayed_bytes, bytes);
	EXPECT_COUNT(reconnect_failures, 0);
	EXPECT_COUNTS_ADD_UP();
	expect_events(EVENT_CONNECTION_LOST, times);
	expect_events(EVENT_RECONNECT_SUCCESS, times);
}

static void expect_answer(int fd, const char *text)
{
	size_t size = strlen(text);
	char answer[256];

	EXPECT_IS(recv(fd, answer, size, MSG_WAITALL), size);
	EXPECT(memcmp(answer, text, size) == 0);
}

static void ask(int fd, const char *text)
{
	EXPECT_IS(send(fd, text, strlen(text), 0), strlen(text));
}

/* ---- lost before the answer ------------------------------------------------------------ */

static void lost_before_answer(const char *words)
{
	struct script *script = server_script(words);
	int fd = script_connect(script);

	ask(fd, "request");
	expect_answer(fd, "request");
	EXPECT_TEXT(script, 1, "request");
	expect_replayed(1, 7);
	EXPECT_COUNT(sent_bytes, 7);
	EXPECT_COUNT(received_bytes, 7);
	expect_echo(fd, "and another");
	expect_replayed(1, 7);
}

static void after_reset(void)
{
	lost_before_answer("r7R e");
}

static void after_end(void)
{
	lost_before_answer("r7C e");
}

/* Closed with some of it unread: a reset, too. */
static void after_part(void)
{
	lost_before_answer("r3C e");
}

static void found_by_send(void)
{
	struct script *script = server_script("r4gR e");
	int fd = script_connect(script);

	ask(fd, "one ");
	server_go(script);
	until_lost(fd);
	ask(fd, "two");
	expect_answer(fd, "one two");
	expect_replayed(1, 4);
}

static void pipelined(void)
{
	struct script *script = server_script("r12R e");
	int fd = script_connect(script);

	ask(fd, "one ");
	ask(fd, "two ");
	ask(fd, "three");
	expect_answer(fd, "one two three");
	expect_replayed(1, 13);
}

/* The same program as an event loop. */
static void lost_in_loop(struct script *script, int fd, int (*wait)(int fd))
{
	char answer[16];
	ssize_t size = 0, more;

	nonblocking_set(fd, true);
	ask(fd, "request");
	while (size < 7) {
		REQUIRE(wait(fd) == 1);
		while ((more = recv(fd, answer + size, sizeof(answer) - (size_t)size, 0)) > 0)
			size += more;
		REQUIRE(more == -1 && errno == EAGAIN);
	}
	EXPECT_IS(size, 7);
	EXPECT(memcmp(answer, "request", 7) == 0);
	EXPECT_TEXT(script, 1, "request");
	expect_replayed(1, 7);
}

static int wait_by_poll(int fd)
{
	struct pollfd wait = { .fd = fd, .events = POLLIN };

	if (poll(&wait, 1, 5000) != 1)
		return 0;
	/* Nothing of the loss is seen. */
	EXPECT_IS(wait.revents, POLLIN);
	return 1;
}

static int wait_by_epoll(int fd)
{
	static int set = -1;
	struct epoll_event event = { .events = EPOLLIN | EPOLLRDHUP | EPOLLET, .data.fd = fd };

	if (set < 0) {
		set = epoll_create1(0);
		REQUIRE(epoll_ctl(set, EPOLL_CTL_ADD, fd, &event) == 0);
	}
	return epoll_wait(set, &event, 1, 5000);
}

static int wait_by_level(int fd)
{
	static int set = -1;
	struct epoll_event event = { .events = EPOLLIN | EPOLLRDHUP, .data.ptr = &set };

	if (set < 0) {
		set = epoll_create1(0);
		REQUIRE(epoll_ctl(set, EPOLL_CTL_ADD, fd, &event) == 0);
	}
	if (epoll_wait(set, &event, 1, 5000) != 1)
		return 0;
	EXPECT_IS(event.events, EPOLLIN);
	return 1;
}

static void loop_poll(void)
{
	struct script *script = server_script("r7R e");

	lost_in_loop(script, script_connect(script), wait_by_poll);
}

static void loop_poll_end(void)
{
	struct script *script = server_script("r7C e");

	lost_in_loop(script, script_connect(script), wait_by_poll);
}

static void loop_epoll(void)
{
	struct script *script = server_script("r7R e");

	lost_in_loop(script, script_connect(script), wait_by_level);
}

static void loop_epoll_end(void)
{
	struct script *script = server_script("r7C e");

	lost_in_loop(script, script_connect(script), wait_by_level);
}

static void loop_edge(void)
{
	struct script *script = server_script("r7R e");

	lost_in_loop(script, script_connect(script), wait_by_epoll);
}

/* Connected without waiting, too. */
static void loop_from_the_start(void)
{
	struct script *script = server_script("r7R e");
	int fd = loop_connect(script);

	EXPECT_IS(socket_error(fd), 0);
	lost_in_loop(script, fd, wait_by_poll);
}

/* ---- an answer byte was delivered ---------------------------------------------------------- */

static void expect_told(int fd, unsigned int cause)
{
	char byte;

	EXPECT_IS(recv(fd, &byte, 1, 0), -1);
	EXPECT_ERRNO(ECONNRESET);
	EXPECT_IS(recv(fd, &byte, 1, 0), 0);
	EXPECT_IS(send(fd, "x", 1, MSG_NOSIGNAL), -1);
	EXPECT_ERRNO(EPIPE);
	EXPECT_COUNT(reconnects, 0);
	EXPECT_COUNT(replayed_bytes, 0);
	EXPECT_COUNTS_ADD_UP();
	expect_loss(ECONNRESET, VERDICT_PASS_ON, cause, NULL);
}

static void one_byte_read(void)
{
	struct script *script = server_script("r7s1gR e");
	int fd = script_connect(script);
	char byte;

	ask(fd, "request");
	EXPECT_IS(recv(fd, &byte, 1, 0), 1);
	server_go(script);
	until_lost(fd);
	expect_told(fd, CAUSE_UNSAFE);
	EXPECT_COUNT(retries_denied_unsafe, 1);
}

/* Looked at, it is known. */
static void one_byte_peeked(void)
{
	struct script *script = server_script("r7s1gR e");
	int fd = script_connect(script);
	char byte;

	ask(fd, "request");
	EXPECT_IS(recv(fd, &byte, 1, MSG_PEEK), 1);
	server_go(script);
	until_lost(fd);
	EXPECT_IS(recv(fd, &byte, 1, 0), 1);
	expect_told(fd, CAUSE_UNSAFE);
}

static void one_byte_peeked_by_recvmsg(void)
{
	struct script *script = server_script("r7s1gR e");
	int fd = script_connect(script);
	char byte;
	struct iovec vector = { &byte, 1 };
	struct mmsghdr message = { .msg_hdr = { .msg_iov = &vector, .msg_iovlen = 1 } };

	ask(fd, "request");
	EXPECT_IS(recvmmsg(fd, &message, 1, MSG_PEEK, NULL), 1);
	server_go(script);
	until_lost(fd);
	EXPECT_IS(recv(fd, &byte, 1, 0), 1);
	expect_told(fd, CAUSE_UNSAFE);
}

static void one_byte_spliced(void)
{
	struct script *script = server_script("r7s1gR e");
	int fd = script_connect(script), ends[2];

	REQUIRE(pipe(ends) == 0);
	ask(fd, "request");
	EXPECT_IS(splice(fd, NULL, ends[1], NULL, 1, 0), 1);
	server_go(script);
	until_lost(fd);
	expect_told(fd, CAUSE_UNSAFE);
}

/* Event loops ask so first. */
static void one_byte_and_so_error(void)
{
	struct script *script = server_script("r7s1gR e");
	int fd = script_connect(script);
	char byte;

	ask(fd, "request");
	EXPECT_IS(recv(fd, &byte, 1, 0), 1);
	server_go(script);
	until_lost(fd);
	EXPECT_IS(socket_error(fd), ECONNRESET);
	EXPECT_IS(recv(fd, &byte, 1, 0), 0);
	EXPECT_COUNT(reconnects, 0);
	EXPECT_COUNT(retries_denied_unsafe, 1);
}

/* Nor is the end then a loss. */
static void one_byte_and_end(void)
{
	struct script *script = server_script("r7s1C e");
	int fd = script_connect(script);
	char byte;

	ask(fd, "request");
	EXPECT_IS(recv(fd, &byte, 1, 0), 1);
	EXPECT_IS(recv(fd, &byte, 1, 0), 0);
	EXPECT_COUNT(reconnects, 0);
	expect_events(EVENT_CONNECTION_LOST, 0);
}

static void one_byte_unread(void)
{
	struct script *script = server_script("r7s1gR e");
	int fd = script_connect(script);
	char byte;

	ask(fd, "request");
	/* Seen by the kernel alone. */
	UNTIL(syscall(SYS_recvfrom, fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT, NULL, NULL) == 1);
	server_go(script);
	until_lost(fd);
	EXPECT_IS(recv(fd, &byte, 1, 0), 1);
	expect_told(fd, CAUSE_UNSAFE);
}

/* Between two exchanges: what is sent next begins one on a connection that is made anew. */
static void lost_between_exchanges(void)
{
	struct script *script = server_script("e5gR e");
	int fd = script_connect(script);

	expect_echo(fd, "hello");
	server_go(script);
	until_lost(fd);
	expect_echo(fd, "again");
	EXPECT_TEXT(script, 1, "again");
	expect_replayed(1, 0);
}

/* The server was faster: it has ended the connection, and resets it for the next request. */
static void ended_between_exchanges(void)
{
	struct script *script = server_script("e5C e");
	int fd = script_connect(script);

	expect_echo(fd, "hello");
	until_ended(fd);
	expect_echo(fd, "again");
	EXPECT_TEXT(script, 1, "again");
	expect_replayed(1, 5);
}

/* One that was sent again is over with its answer. */
static void lost_in_exchange_and_between(void)
{
	struct script *script = server_script("r5R e5gR e");
	int fd = script_connect(script);

	expect_echo(fd, "hello");
	expect_replayed(1, 5);
	server_go(script);
	until_lost(fd);
	expect_echo(fd, "again");
	expect_replayed(2, 5);
}

/* ---- limits ------------------------------------------------------------------------------------ */

static void larger_than_buffer(void)
{
	struct script *script = server_script("r5000R e");
	static char request[5000];
	int fd = script_connect(script);

	EXPECT_IS(send(fd, request, sizeof(request), 0), sizeof(request));
	until_lost(fd);
	expect_told(fd, CAUSE_BUFFER);
	EXPECT_COUNT(retries_denied_buffer, 1);
}

/* Nothing can be sent again where nothing is kept. */
static void no_buffer(void)
{
	struct script *script = server_script("r5R e");
	int fd = script_connect(script);

	EXPECT_IS(send(fd, "hello", 5, 0), 5);
	until_lost(fd);
	expect_told(fd, CAUSE_BUFFER);
	EXPECT_COUNT(retries_denied_buffer, 1);
}

static void no_memory(void)
{
	struct rlimit limit = { 512 << 20, 512 << 20 };

	REQUIRE(setrlimit(RLIMIT_AS, &limit) == 0);
	no_buffer();
}

static void as_large_as_buffer(void)
{
	struct script *script = server_script("r4096R d");
	char request[4096];
	int fd = script_connect(script);
	char byte;

	for (size_t i = 0; i < sizeof(request); i++)
		request[i] = (char)(i * 7);
	for (size_t i = 0; i < sizeof(request); i += 1024)
		EXPECT_IS(send(fd, request + i, 1024, 0), 1024);
	until_lost(fd);
	EXPECT_IS(recv(fd, &byte, 1, MSG_DONTWAIT), -1);
	EXPECT_ERRNO(EAGAIN);
	expect_bytes(script, 1, request, sizeof(request));
	expect_replayed(1, 4096);
}

/* The next exchange fits again. */
static void large_one_before(void)
{
	struct script *script = server_script("r5000s1r5R e");
	static char request[5000];
	int fd = script_connect(script);
	char byte;

	EXPECT_IS(send(fd, request, sizeof(request), 0), sizeof(request));
	EXPECT_IS(recv(fd, &byte, 1, 0), 1);
	expect_echo(fd, "hello");
	expect_replayed(1, 5);
}

static void lost_twice(void)
{
	struct script *script = server_script("r7R r7R e");
	int fd = script_connect(script);
	char byte;

	ask(fd, "request");
	EXPECT_IS(recv(fd, &byte, 1, 0), -1);
	EXPECT_ERRNO(ECONNRESET);
	EXPECT_IS(recv(fd, &byte, 1, 0), 0);
	EXPECT_IS(script->accepted, preloaded() ? 2 : 1);
	EXPECT_COUNT(reconnects, 1);
	EXPECT_COUNT(replayed_bytes, 7);
	EXPECT_COUNT(retries_denied_limit, 1);
	expect_events(EVENT_CONNECTION_LOST, 2);
}

static void lost_thrice(void)
{
	struct script *script = server_script("r7R r7R r7R e");
	int fd = script_connect(script);

	ask(fd, "request");
	expect_answer(fd, "request");
	expect_replayed(3, 21);
}

#define POLICY_NO_BUFFER POLICY_TRANSFER("\"replay\":\"unanswered\",\"max_buffer\":\"0B\"")
#define POLICY_LARGE POLICY_TRANSFER("\"replay\":\"unanswered\",\"max_buffer\":\"1GiB\"")
#define POLICY_SMALL POLICY_TRANSFER("\"replay\":\"unanswered\",\"max_buffer\":\"4KiB\"")
#define POLICY_OFTEN POLICY_TRANSFER("\"replay\":\"unanswered\",\"max_attempts\":4")

#define CASE(name, run) CASE_UNDER(name, run, POLICY_UNANSWERED)

static const struct check_case cases[] = {
	CASE("reset before the answer", after_reset),
	CASE("end before the answer", after_end),
	CASE("closed before it was read", after_part),
	CASE("found by the next send", found_by_send),
	CASE("pipelined", pipelined),
	CASE("poll, reset", loop_poll),
	CASE("poll, end", loop_poll_end),
	CASE("epoll, reset", loop_epoll),
	CASE("epoll, end", loop_epoll_end),
	CASE("epoll, edge triggered", loop_edge),
	CASE("poll, connected without waiting", loop_from_the_start),
	CASE_TOLD("one answer byte was read", one_byte_read, POLICY_UNANSWERED),
	CASE_TOLD("one answer byte was peeked at", one_byte_peeked, POLICY_UNANSWERED),
	CASE_TOLD("one answer byte was peeked at, recvmmsg", one_byte_peeked_by_recvmsg,
		  POLICY_UNANSWERED),
	CASE_TOLD("one answer byte was spliced", one_byte_spliced, POLICY_UNANSWERED),
	CASE_TOLD("one answer byte, then SO_ERROR", one_byte_and_so_error, POLICY_UNANSWERED),
	CASE_TOLD("one answer byte, then the end", one_byte_and_end, POLICY_UNANSWERED),
	CASE_TOLD("one answer byte was not read yet", one_byte_unread, POLICY_UNANSWERED),
	CASE("lost between exchanges", lost_between_exchanges),
	CASE("ended between exchanges", ended_between_exchanges),
	CASE("lost in an exchange, and after it", lost_in_exchange_and_between),
	CASE_TOLD("no buffer", no_buffer, POLICY_NO_BUFFER),
	CASE_TOLD("no memory for the buffer", no_memory, POLICY_LARGE),
	CASE_TOLD("larger than max_buffer", larger_than_buffer, POLICY_SMALL),
	{ "as large as max_buffer", as_large_as_buffer, POLICY_SMALL, NULL, 0 },
	{ "larger than max_buffer was the one before", large_one_before, POLICY_SMALL, NULL, 0 },
	CASE_TOLD("lost twice: max_attempts", lost_twice, POLICY_UNANSWERED),
	{ "lost three times, max_attempts 4", lost_thrice, POLICY_OFTEN, NULL, 0 },
};

CHECK_MAIN(cases)
