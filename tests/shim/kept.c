/* SPDX-License-Identifier: MIT */
/*
 * replay: what is sent or read where it cannot be kept, seen or told apart. The program is told
 * of the loss then, and nobody else is given half of what was meant for the first.
 */
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/uio.h>

#include "alarm.h"
#include "script.h"

static void expect_refused(ssize_t result, int error)
{
	EXPECT_IS(result, -1);
	EXPECT_ERRNO(error);
	EXPECT_COUNT(reconnects, 0);
}

static void expect_receive(int fd, size_t size)
{
	char answer[256];

	EXPECT_IS(recv(fd, answer, size, MSG_WAITALL), size);
}

/* ---- unanswered: where an exchange ends ---------------------------------------------------- */

/* The body is no request: it would be taken for one at the head of another connection. */
static void body_after_a_word(void)
{
	struct script *script = server_script("r28s5r4R e");
	int fd = script_connect(script);
	char answer[8];

	expect_send(fd, "PUT /\r\nExpect: 100-continue\r\n"
			"\r\n");
	expect_receive(fd, 5);
	expect_send(fd, "body");
	until_lost(fd);
	expect_refused(recv(fd, answer, sizeof(answer), 0), ECONNRESET);
	EXPECT_COUNT(retries_denied_buffer, 1);
}

/* And with the answer to it the connection is like any other. */
static void request_after_that(void)
{
	struct script *script = server_script("r31s5r4s6r3R e");
	int fd = script_connect(script);

	expect_send(fd, "PUT /\r\nEXPECT: 100-continue\r\n"
			"\r\n");
	expect_receive(fd, 5);
	expect_send(fd, "body");
	expect_receive(fd, 6);
	expect_send(fd, "get");
	until_lost(fd);
	expect_receive(fd, 3);
	EXPECT_TEXT(script, 1, "get");
	EXPECT_COUNT(reconnects, 1);
}

/* As `holdfast reconnect` asks for it: the generation, in a word of the slot, and that there is one. */
static void reconnect_ask(int fd)
{
	const struct process_file *file = peek_process(getpid());
	uint32_t requests;
	char path[512];
	int store;

	REQUIRE(file != NULL);
	requests = file->reconnects_wanted + 1;
	snprintf(path, sizeof(path), "%s/process/%d-%08x", peek_state_dir(), getpid(),
		 file->identity.nonce);
	store = open(path, O_RDWR | O_CLOEXEC);
	for (uint32_t i = 0; i < file->slots_used; i++) {
		uint32_t generation = file->slots[i].generation;

		if (file->slots[i].fd == fd)
			REQUIRE(pwrite(store, &generation, sizeof(generation),
				       (const char *)&file->slots[i].reconnect_wanted -
					       (const char *)file) == sizeof(generation));
	}
	REQUIRE(pwrite(store, &requests, sizeof(requests),
		       offsetof(struct process_file, reconnects_wanted)) == sizeof(requests));
	close(store);
}

/* Asked for by `holdfast reconnect` while the rest of an answer is on its way. */
static void forced_within_an_answer(void)
{
	struct script *script = server_script("r3s5gs5d");
	int fd = script_connect(script);

	expect_send(fd, "get");
	expect_receive(fd, 5);
	reconnect_ask(fd);
	server_go(script);
	expect_receive(fd, 5);
	EXPECT_COUNT(reconnects, 0);
	/* Before the next request there is nothing to lose. */
	reconnect_ask(fd);
	expect_send(fd, "get");
	EXPECT_TEXT(script, 1, "get");
}

/* The answer was read where no hook is: the request was executed. */
static void answered_unseen(void)
{
	struct script *script = server_script("r4s5R d");
	int fd = script_connect(script);
	FILE *stream = fdopen(fd, "r");
	char line[6];

	expect_send(fd, "add\n");
	EXPECT_IS(fread(line, 1, 5, stream), 5);
	until_lost(fd);
	expect_refused(send(fd, "add\n", 4, MSG_NOSIGNAL), ECONNRESET);
	EXPECT_COUNT(retries_denied_unsafe, 1);
}

/* ---- what was sent unseen ------------------------------------------------------------------- */

static int fast_open(const struct script *script, const char *text)
{
	int fd = stream_socket(&script->server);

	EXPECT_IS(sendto(fd, text, strlen(text), MSG_FASTOPEN, &script->server.address.any,
			 script->server.length),
		  strlen(text));
	return fd;
}

static void fast_open_unanswered(void)
{
	struct script *script = server_script("r3R d");
	int fd = fast_open(script, "get");
	char byte;

	until_lost(fd);
	expect_refused(recv(fd, &byte, 1, 0), ECONNRESET);
	EXPECT_COUNT(retries_denied_buffer, 1);
}

static void fast_open_and_more(void)
{
	struct script *script = server_script("r8R d");
	int fd = fast_open(script, "head");
	char byte;

	expect_send(fd, "tail");
	until_lost(fd);
	expect_refused(recv(fd, &byte, 1, 0), ECONNRESET);
	EXPECT_COUNT(retries_denied_buffer, 1);
}

/* A handshake that nobody could look at may have been TLS. */
static void fast_open_handshake(void)
{
	struct script *script = server_script("r3s3r3R d");
	int fd = fast_open(script, "\x16\x03\x01");
	char byte;

	expect_receive(fd, 3);
	expect_send(fd, "\x17\x03\x03");
	until_lost(fd);
	expect_refused(recv(fd, &byte, 1, 0), ECONNRESET);
}

/* The first bytes are not in the ring: all others are where they were. */
static void fast_open_one_way(void)
{
	struct script *script = server_script("r12gR d");
	int fd = fast_open(script, "first\n");

	expect_send(fd, "second\nth");
	UNTIL(script->connections[0].size == 12);
	server_go(script);
	until_lost(fd);
	expect_send(fd, "ird\n");
	UNTIL(script->connections[1].size >= 6);
	EXPECT(strstr(script->connections[1].bytes, "third\n") != NULL);
	EXPECT(strncmp(script->connections[1].bytes, "second", 6) == 0 ||
	       strncmp(script->connections[1].bytes, "third", 5) == 0);
	EXPECT_COUNT(lost_bytes, 0);
}

/* The first of it did not fit, and it is TLS all the same. */
static void long_handshake(void)
{
	struct script *script = server_script("r5000s3r3s3r3R d");
	int fd = script_connect(script);
	char hello[5000] = "\x16\x03\x01", byte;

	EXPECT_IS(send(fd, hello, sizeof(hello), 0), sizeof(hello));
	expect_receive(fd, 3);
	expect_send(fd, "\x14\x03\x03");
	expect_receive(fd, 3);
	expect_send(fd, "\x17\x03\x03");
	until_lost(fd);
	expect_refused(recv(fd, &byte, 1, 0), ECONNRESET);
	EXPECT_COUNT(retries_denied_unsafe, 1);
}

/* ---- one way: what does not fit ----------------------------------------------------------------- */

#define LONG (4 << 20)

/* Nobody acknowledges any more what the ring waits for. */
static void long_line_and_a_reset(void)
{
	struct script *script = server_script("r10gR d");
	int fd = script_connect(script);
	char *line = malloc(LONG);
	struct pollfd wait = { .fd = fd, .events = POLLOUT };
	int64_t began;
	ssize_t sent;

	REQUIRE(line != NULL);
	memset(line, 'x', LONG);
	nonblocking_set(fd, true);
	while (send(fd, line, LONG, MSG_NOSIGNAL) > 0)
		;
	EXPECT_ERRNO(EAGAIN);
	nonblocking_set(fd, false);
	server_go(script);
	began = now_ms();
	/* Made anew with what is kept, or the program is told: but it comes to an end. */
	while ((sent = send(fd, line, 1000, MSG_NOSIGNAL)) > 0 && now_ms() - began < 8000 &&
	       script->accepted < 2)
		;
	EXPECT(sent > 0 || errno == ECONNRESET);
	EXPECT_WITHIN(now_ms() - began, 0, 5000);
	EXPECT(poll(&wait, 1, 5000) == 1);
}

/* So much can be sent again that nothing new could be kept beside it: less will do. */
static void overlap_of_all(void)
{
	struct script *script = server_script("d");
	int fd = script_connect(script);
	static char lines[20000];

	memset(lines, '.', sizeof(lines));
	for (size_t i = 99; i < sizeof(lines); i += 100)
		lines[i] = '\n';
	for (size_t i = 0; i < sizeof(lines); i += 100)
		EXPECT_IS(send(fd, lines + i, 100, 0), 100);
	expect_bytes(script, 0, lines, sizeof(lines));
}

/* A line that did not fit is an affair of that line. */
static void lines_after_a_long_one(void)
{
	struct script *script = server_script("r10201gR d");
	int fd = script_connect(script);
	static char line[10000];

	memset(line, 'x', sizeof(line));
	EXPECT_IS(send(fd, line, sizeof(line), 0), sizeof(line));
	expect_send(fd, "\n");
	for (int i = 0; i < 40; i++) {
		UNTIL(script->connections[0].size == 10001 + 5 * (size_t)i);
		expect_send(fd, "line\n");
	}
	UNTIL(script->connections[0].size == 10201);
	server_go(script);
	until_lost(fd);
	expect_send(fd, "more\n");
	EXPECT_TEXT(script, 1, "more\n");
	EXPECT_COUNT(reconnects, 1);
	EXPECT_COUNT(lost_bytes, 0);
}

/* ---- one way: an outage's output ------------------------------------------------------------------ */

static void number_given_away(void)
{
	struct script *script = server_script("r6LR d");
	int fd = outage_output(script);
	pthread_t thread;

	thread = server_return_after(script, 300);
	EXPECT_IS(dup2(open("/dev/null", O_RDWR | O_CLOEXEC), fd), fd);
	EXPECT_TEXT(script, 1, "last\n");
	EXPECT_COUNT(lost_bytes, 0);
	pthread_join(thread, NULL);
}

static void pointer_to_nothing(void)
{
	struct script *script = server_script("r6LR d");
	int fd = outage_output(script);
	char *page = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	EXPECT_IS(send(fd, page, 10, 0), -1);
	EXPECT_ERRNO(EFAULT);
	server_return(script);
	EXPECT_IS(close(fd), 0);
	EXPECT_TEXT(script, 1, "last\n");
}

/* ---- as without holdfast ---------------------------------------------------------------------------- */

/* What is left of the loss is told by the next call, and is no SIGPIPE yet. */
static void partly_sent(void)
{
	struct script *script = server_script("r1000000R d");
	int fd = script_connect(script);
	char *data = calloc(1, 32 << 20);

	EXPECT_WITHIN(send(fd, data, 32 << 20, 0), 1000000, (32 << 20) - 1);
	EXPECT_IS(send(fd, data, 1, 0), -1);
	EXPECT_ERRNO(ECONNRESET);
	signal(SIGPIPE, SIG_IGN);
	EXPECT_IS(send(fd, data, 1, 0), -1);
	EXPECT_ERRNO(EPIPE);
}

static void nothing_written(void)
{
	struct script *script = server_script("r1FgR d");
	int fd = script_connect(script);
	struct iovec nothing = { (char *)"", 0 };

	expect_send(fd, "x");
	until_ended(fd);
	expect_send(fd, "y");
	server_go(script);
	until_lost(fd);
	EXPECT_IS(writev(fd, &nothing, 1), 0);
}

static void written_at_an_offset(void)
{
	struct script *script = server_script("d");
	int fd = script_connect(script);
	struct iovec data = { (char *)"hello", 5 };

	EXPECT_IS(pwritev2(fd, &data, 1, 0, 0), -1);
	EXPECT_ERRNO(ESPIPE);
	EXPECT_IS(pwritev2(fd, &data, 1, -1, 0x4000000), -1);
	EXPECT_ERRNO(EOPNOTSUPP);
	EXPECT_IS(pwritev2(fd, &data, 1, -1, 0), 5);
	EXPECT_TEXT(script, 0, "hello");
}

/* An edge that is hidden does not come again. */
static void end_with_an_answer(void)
{
	struct script *script = server_script("r1s10Fd");
	int fd = script_connect(script), set = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event event = { .events = EPOLLIN | EPOLLRDHUP | EPOLLET };

	REQUIRE(epoll_ctl(set, EPOLL_CTL_ADD, fd, &event) == 0);
	expect_send(fd, "q");
	until_ended(fd);
	EXPECT_IS(epoll_wait(set, &event, 1, 5000), 1);
	EXPECT_IS(event.events, EPOLLIN | EPOLLRDHUP);
	expect_receive(fd, 10);
	EXPECT_IS(epoll_wait(set, &event, 1, 100), 0);
}

#define UNANSWERED(keys) POLICY_TRANSFER("\"replay\":\"unanswered\"" keys)
#define ONE_WAY(keys) POLICY_TRANSFER("\"replay\":\"one_way\",\"drain\":\"10s\"" keys)
#define SMALL ",\"max_buffer\":\"4KiB\""

static const struct check_case cases[] = {
	CASE_UNDER("a body that waits for a word", body_after_a_word, UNANSWERED()),
	CASE_UNDER("a request after that", request_after_that, UNANSWERED()),
	CASE_UNDER("made anew on demand, within an answer", forced_within_an_answer, UNANSWERED()),
	CASE_UNDER("an answer that stdio read", answered_unseen, UNANSWERED()),
	CASE_UNDER("MSG_FASTOPEN, unanswered", fast_open_unanswered, UNANSWERED()),
	CASE_UNDER("MSG_FASTOPEN and more, unanswered", fast_open_and_more, UNANSWERED()),
	CASE_UNDER("MSG_FASTOPEN of a handshake", fast_open_handshake, UNANSWERED()),
	CASE_UNDER("MSG_FASTOPEN, one way", fast_open_one_way, ONE_WAY()),
	CASE_UNDER("a handshake that does not fit", long_handshake, UNANSWERED(SMALL)),
	CASE_UNDER("a line without end, and a reset", long_line_and_a_reset, ONE_WAY(SMALL)),
	CASE_UNDER("overlap of all that fits", overlap_of_all,
		   ONE_WAY(SMALL ",\"overlap\":\"4KiB\"")),
	CASE_UNDER("lines after one that did not fit", lines_after_a_long_one, ONE_WAY(SMALL)),
	CASE_UNDER("an outage, dup2() over it", number_given_away, ONE_WAY()),
	CASE_UNDER("an outage, a pointer to nothing", pointer_to_nothing, ONE_WAY()),
	CASE_TOLD("a write that was cut, unanswered", partly_sent, UNANSWERED(SMALL)),
	CASE_TOLD("writev() of nothing, unanswered", nothing_written, UNANSWERED()),
	CASE_TOLD("pwritev2() at an offset", written_at_an_offset, UNANSWERED()),
	CASE_TOLD("an end with an answer, edge triggered", end_with_an_answer, UNANSWERED()),
};

CHECK_MAIN(cases)
