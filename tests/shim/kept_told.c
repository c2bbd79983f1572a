/* SPDX-License-Identifier: MIT */
/* replay: what a program is told, and in what order, by calls that are not kept themselves. */
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/uio.h>

#include "alarm.h"
#include "script.h"

/* ---- while one-way output is away ----------------------------------------------------------- */

/* SIGPIPE would end it: no failure was passed on. */
static void send_unkept(ssize_t (*send_one)(int fd), const char *arrives)
{
	struct script *script = server_script("r6LR d");
	int fd = outage_output(script);
	int64_t began = now_ms();
	pthread_t thread;

	nonblocking_set(fd, true);
	EXPECT_IS(send_one(fd), -1);
	EXPECT_ERRNO(EAGAIN);
	nonblocking_set(fd, false);
	thread = server_return_after(script, 400);
	EXPECT(send_one(fd) >= 0);
	EXPECT_WITHIN(now_ms() - began, 350, 5000);
	EXPECT_TEXT(script, 1, arrives);
	pthread_join(thread, NULL);
}

static ssize_t by_nothing(int fd)
{
	return send(fd, "", 0, 0);
}

static ssize_t by_sendfile(int fd)
{
	int file = memfd_create("file", MFD_CLOEXEC);

	REQUIRE(write(file, "file\n", 5) == 5);
	lseek(file, 0, SEEK_SET);
	return sendfile(fd, file, NULL, 5);
}

static void nothing_while_away(void)
{
	send_unkept(by_nothing, "last\n");
}

static void sendfile_while_away(void)
{
	send_unkept(by_sendfile, "last\nfile\n");
}

/* The connection is there as before, and its output as well. */
static void exec_that_fails(void)
{
	struct script *script = server_script("r6LR d");
	char *arguments[] = { (char *)"nothing", NULL };
	int fd = outage_output(script);
	int64_t began = now_ms();

	EXPECT_IS(execv("/nonexistent", arguments), -1);
	EXPECT_ERRNO(ENOENT);
	EXPECT_IS(execvp("nonexistent", arguments), -1);
	EXPECT_ERRNO(ENOENT);
	EXPECT_IS(execlp("/nonexistent", "nothing", NULL), -1);
	EXPECT_ERRNO(ENOENT);
	EXPECT_IS(fexecve(-1, arguments, arguments), -1);
	EXPECT_IS(execveat(AT_FDCWD, "nonexistent", arguments, arguments, 0), -1);
	EXPECT_ERRNO(ENOENT);
	EXPECT_WITHIN(now_ms() - began, 0, 1000);
	EXPECT_IS(execv("/dev/null", arguments), -1);
	server_return(script);
	expect_send(fd, "more\n");
	EXPECT_IS(close(fd), 0);
	EXPECT_TEXT(script, 1, "last\nmore\n");
	EXPECT_COUNT(lost_bytes, 0);
}

/* ---- a write that was cut -------------------------------------------------------------------- */

#define LONG (32 << 20)

static int cut(struct script *script)
{
	int fd = script_connect(script);
	char *data = calloc(1, LONG);

	REQUIRE(data != NULL);
	EXPECT_WITHIN(send(fd, data, LONG, MSG_NOSIGNAL), 1000000, LONG - 1);
	free(data);
	return fd;
}

/* An answer that came before the reset is read before it. */
static void answer_before_the_reset(void)
{
	int fd = cut(server_script("r1000000s7R d"));
	char answer[8];

	/* The kernel may have thrown it away, but it does not come after the error. */
	EXPECT_IS(recv(fd, answer, sizeof(answer), 0) == 7 || errno == ECONNRESET, true);
	EXPECT(recv(fd, answer, sizeof(answer), 0) <= 0);
	EXPECT_IS(recv(fd, answer, sizeof(answer), 0), 0);
}

/* Told once, it is EPIPE for ever. */
static void told_once(void)
{
	int fd = cut(server_script("r1000000R d"));

	EXPECT_IS(send(fd, "x", 1, MSG_NOSIGNAL), -1);
	EXPECT_ERRNO(ECONNRESET);
	for (int i = 0; i < 3; i++) {
		EXPECT_IS(send(fd, "x", 1, MSG_NOSIGNAL), -1);
		EXPECT_ERRNO(EPIPE);
	}
}

/* The entry was another socket's before, which had to be tried again. */
static void told_of_a_used_entry(void)
{
	struct script *script = server_script("r1R r1s1d r1000000R d");
	int fd = script_connect(script);
	char byte;

	expect_send(fd, "x");
	EXPECT_IS(recv(fd, &byte, 1, 0), 1);
	close(fd);
	fd = cut(script);
	EXPECT_IS(send(fd, "x", 1, MSG_NOSIGNAL), -1);
	EXPECT_ERRNO(ECONNRESET);
}

/* ---- what cannot be known ------------------------------------------------------------------------ */

static void expect_refused(int fd, const char *text)
{
	EXPECT_IS(send(fd, text, strlen(text), MSG_NOSIGNAL), -1);
	EXPECT_COUNT(reconnects, 0);
}

/* A handshake that went with ancillary data was not looked at. */
static void handshake_with_more(void)
{
	struct script *script = server_script("r3s3r3s3R d");
	int fd = script_connect(script);
	struct iovec hello = { (char *)"\x16\x03\x01", 3 };
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(uint32_t))] = { 0 };
	struct msghdr message = { .msg_iov = &hello,
				  .msg_iovlen = 1,
				  .msg_control = control,
				  .msg_controllen = sizeof(control) };
	char answer[3];

	*CMSG_FIRSTHDR(&message) = (struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof(uint32_t)),
						     .cmsg_level = SOL_SOCKET,
						     .cmsg_type = SO_TIMESTAMPING };
	EXPECT_IS(sendmsg(fd, &message, 0), 3);
	EXPECT_IS(recv(fd, answer, 3, MSG_WAITALL), 3);
	expect_send(fd, "\x14\x03\x03");
	EXPECT_IS(recv(fd, answer, 3, MSG_WAITALL), 3);
	until_lost(fd);
	expect_refused(fd, "\x17\x03\x03");
}

/* A request's head that is longer than the ring. */
static void long_head_and_a_body(void)
{
	struct script *script = server_script("r5030s5r4R e");
	int fd = script_connect(script);
	static char head[5000];
	char answer[5];

	memset(head, 'c', sizeof(head));
	EXPECT_IS(send(fd, head, sizeof(head), 0), sizeof(head));
	expect_send(fd, "\r\nExpect: 100-continue\r\nA: b\r\n");
	EXPECT_IS(recv(fd, answer, 5, MSG_WAITALL), 5);
	expect_send(fd, "body");
	until_lost(fd);
	EXPECT_IS(recv(fd, answer, 5, 0), -1);
	EXPECT_COUNT(reconnects, 0);
}

/* The shortest answer there is. */
static void one_byte_unseen(void)
{
	struct script *script = server_script("r4s1R d");
	int fd = script_connect(script);
	FILE *stream = fdopen(fd, "r");

	expect_send(fd, "add\n");
	EXPECT_IS(fgetc(stream), 0);
	until_lost(fd);
	expect_refused(fd, "add\n");
}

/* Records have their place in the stream, whatever was sent before they were looked at. */
static void records_after_fast_open(void)
{
	struct script *script = server_script("r25gR d");
	int fd = stream_socket(&script->server);

	EXPECT_IS(sendto(fd, "012345670123", 12, MSG_FASTOPEN, &script->server.address.any,
			 script->server.length),
		  12);
	expect_send(fd, "4567012345670");
	UNTIL(script->connections[0].size == 25);
	server_go(script);
	until_lost(fd);
	expect_send(fd, "1234567");
	EXPECT_TEXT(script, 1, "01234567");
}

/* ---- a full buffer ------------------------------------------------------------------------------- */

static const char lines[1000] = { [0 ... 999] = '\n' };

/* Until the peer takes no more. */
static void fill(int fd)
{
	nonblocking_set(fd, true);
	for (int idle = 0; idle < 50; idle++, sleep_ms(10))
		while (send(fd, lines, sizeof(lines), MSG_NOSIGNAL) > 0)
			idle = 0;
}

/* The peer reads nothing, and the kernel would take more than the buffer. */
static int full_socket(void)
{
	struct script *script = server_script("g");
	int small = 4096, fd;

	setsockopt(script->server.fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	fd = script_connect(script);
	fill(fd);
	return fd;
}

/* A call that waits is ended by a signal, whenever that comes; the second one is for those that are not. */
static void full_and_interrupted(void)
{
	int fd = full_socket(), missed = 0;

	nonblocking_set(fd, false);
	handle(SIGALRM, handler_count, 0);
	for (int i = 0; i < 500; i++) {
		int before = handled;

		timer_set_us(8000 + i * 37 % 2500, 500000);
		EXPECT_IS(send(fd, lines, sizeof(lines), MSG_NOSIGNAL), -1);
		EXPECT_ERRNO(EINTR);
		timer_set_us(0, 0);
		missed += handled - before - 1;
	}
	/* One may come before the call, on a busy machine. */
	EXPECT(missed <= 1);
}

/* The same while the first of it is still being copied. */
static void long_and_interrupted(void)
{
	struct script *script = server_script("g");
	size_t size = 32 << 20;
	char *bytes = calloc(1, size);
	int missed = 0;

	REQUIRE(bytes != NULL);
	handle(SIGALRM, handler_count, 0);
	for (int i = 0; i < 20; i++) {
		int fd = script_connect(script), before = handled;
		ssize_t sent;

		timer_set_us(200 + i * 100, 500000);
		sent = send(fd, bytes, size, MSG_NOSIGNAL);
		timer_set_us(0, 0);
		EXPECT(sent > 0 && sent < (ssize_t)size);
		missed += handled - before - 1;
		close(fd);
	}
	/* Some may come before the call, on a busy machine. */
	EXPECT(missed <= 3);
}

/* An error queue that is not read makes poll() say something for ever. */
static void full_beside_an_error_queue(void)
{
	struct script *script = server_script("g");
	int fd = script_connect(script), on = 1, before;
	struct pollfd wait = { .fd = fd };

	if (setsockopt(fd, SOL_SOCKET, SO_ZEROCOPY, &on, sizeof(on)) < 0)
		check_skip("the kernel has no MSG_ZEROCOPY");
	EXPECT_IS(send(fd, "x", 1, MSG_ZEROCOPY), 1);
	EXPECT_IS(poll(&wait, 1, 5000), 1);
	EXPECT_IS(wait.revents, POLLERR);
	fill(fd);
	nonblocking_set(fd, false);
	handle(SIGALRM, handler_count, 0);
	before = handled;
	timer_set(300, 0);
	EXPECT_IS(send(fd, lines, sizeof(lines), MSG_NOSIGNAL), -1);
	EXPECT_ERRNO(EINTR);
	EXPECT_IS(handled - before, 1);
}

/* Told that there is room, and none of it for a whole line: at leisure. */
static void full_and_polled(void)
{
	int fd = full_socket(), turns = 0;
	struct pollfd wait = { .fd = fd, .events = POLLOUT };

	for (int64_t end = now_ms() + 500; now_ms() < end; turns++)
		if (poll(&wait, 1, 20) > 0)
			EXPECT_IS(send(fd, lines, sizeof(lines), MSG_NOSIGNAL), -1);
	EXPECT(turns < 1000);
}

/* ---- what the hooks did not see ---------------------------------------------------------------- */

static void expect_told_of_unseen(int fd)
{
	char byte;

	until_lost(fd);
	EXPECT_IS(recv(fd, &byte, 1, 0), -1);
	EXPECT_ERRNO(ECONNRESET);
	EXPECT_IS(send(fd, "x", 1, MSG_NOSIGNAL), -1);
	EXPECT_ERRNO(EPIPE);
	EXPECT_COUNT(reconnects, 0);
	EXPECT_COUNT(retries_denied_buffer, 1);
}

static void request_sent_unseen(void)
{
	struct script *script = server_script("r6R e");
	int fd = script_connect(script);
	FILE *stream = fdopen(dup(fd), "w");

	REQUIRE(stream != NULL);
	EXPECT(fputs("hello\n", stream) >= 0 && fflush(stream) == 0);
	expect_told_of_unseen(fd);
}

/* The peer's acknowledgements are of other bytes than ours then. */
static void lines_sent_unseen(void)
{
	struct script *script = server_script("r12R d");
	int fd = script_connect(script);

	EXPECT_IS(syscall(SYS_sendto, fd, "one\n", 4, 0, NULL, 0), 4);
	expect_send(fd, "two\nsix\n");
	expect_told_of_unseen(fd);
}

/* Read behind the first request it looks like its answer. */
static void greeted_before_the_first(void)
{
	struct script *script = server_script("s4r3s3r3R e");
	int fd = script_connect(script);
	char answer[8];
	int unread;

	UNTIL(ioctl(fd, FIONREAD, &unread) == 0 && unread == 4);
	expect_send(fd, "one");
	EXPECT_IS(recv(fd, answer, 7, MSG_WAITALL), 7);
	expect_send(fd, "two");
	until_lost(fd);
	EXPECT_IS(recv(fd, answer, 1, 0), -1);
	EXPECT_ERRNO(ECONNRESET);
	EXPECT_IS(script->accepted, 1);
	EXPECT_COUNT(reconnects, 0);
}

#define UNANSWERED POLICY_TRANSFER("\"replay\":\"unanswered\",\"max_buffer\":\"4KiB\"")
#define ONE_WAY(keys) POLICY_TRANSFER("\"replay\":\"one_way\",\"drain\":\"300ms\"" keys)

static const struct check_case cases[] = {
	CASE_UNDER("while it is away: nothing", nothing_while_away, ONE_WAY()),
	CASE_UNDER("while it is away: sendfile", sendfile_while_away, ONE_WAY()),
	CASE_UNDER("while it is away: an exec that fails", exec_that_fails, ONE_WAY()),
	CASE_TOLD("cut: an answer before the reset", answer_before_the_reset, UNANSWERED),
	CASE_TOLD("cut: told once, unanswered", told_once, UNANSWERED),
	CASE_TOLD("cut: told once, one way", told_once, ONE_WAY(",\"max_buffer\":\"4KiB\"")),
	CASE_UNDER("cut: an entry that was used", told_of_a_used_entry, UNANSWERED),
	CASE_UNDER("a handshake with ancillary data", handshake_with_more, UNANSWERED),
	CASE_UNDER("a long head, and a body that waits", long_head_and_a_body, UNANSWERED),
	CASE_UNDER("an answer of one byte that stdio read", one_byte_unseen, UNANSWERED),
	CASE_TOLD("full, and interrupted", full_and_interrupted,
		  ONE_WAY(",\"max_buffer\":\"1KiB\"")),
	CASE_TOLD("long, and interrupted", long_and_interrupted, UNANSWERED),
	CASE_TOLD("full, beside an error queue", full_beside_an_error_queue, UNANSWERED),
	CASE_TOLD("full, and polled", full_and_polled, ONE_WAY(",\"max_buffer\":\"1KiB\"")),
	CASE_TOLD("a request that stdio sent", request_sent_unseen, UNANSWERED),
	CASE_TOLD("lines, some sent unseen", lines_sent_unseen, ONE_WAY()),
	CASE_TOLD("a greeting before the first request", greeted_before_the_first, UNANSWERED),
	CASE_UNDER("records after MSG_FASTOPEN", records_after_fast_open,
		   ONE_WAY(",\"record\":\"8B\"")),
};

CHECK_MAIN(cases)
