/* SPDX-License-Identifier: MIT */
/*
 * What is sent again: byte for byte what the program sent by whatever call, but for
 * what cannot be kept; and sessions, which end with their connection.
 */
#include <limits.h>
#include <sys/sendfile.h>
#include <sys/uio.h>

#include "script.h"

#define SIZE 60000

static char data[SIZE];

static void data_fill(void)
{
	for (size_t i = 0; i < SIZE; i++)
		data[i] = (char)(i * 31 + i / 251);
}

/* Sends bytes of data from an offset on; how many went. */
typedef ssize_t sender(int fd, size_t from, size_t size);

/*
 * All of the data, in pieces, over a connection that is reset when it is through and
 * after a part: sent again in the same order, whole.
 */
static void sent_again(const char *words, sender *send_piece, size_t piece)
{
	struct script *script = server_script(words);
	int fd = script_connect(script);
	size_t done = 0;
	char byte;

	data_fill();
	while (done < SIZE) {
		size_t most = SIZE - done < piece ? SIZE - done : piece;
		ssize_t sent = send_piece(fd, done, most);

		REQUIRE(sent > 0);
		done += (size_t)sent;
	}
	EXPECT_IS(done, SIZE);
	EXPECT_IS(recv(fd, &byte, 1, 0), 1);
	expect_bytes(script, 1, data, SIZE);
	EXPECT_COUNT(reconnects, 1);
	EXPECT_COUNT(replayed_bytes, SIZE);
	EXPECT_COUNT(sent_bytes, SIZE);
	EXPECT_COUNTS_ADD_UP();
}

#define ALL_OF_IT "r60000R r60000s1d"

static ssize_t by_send(int fd, size_t from, size_t size)
{
	return send(fd, data + from, size, MSG_MORE);
}

static ssize_t by_write(int fd, size_t from, size_t size)
{
	return write(fd, data + from, size);
}

static ssize_t by_sendto(int fd, size_t from, size_t size)
{
	return sendto(fd, data + from, size, 0, NULL, 0);
}

/* In so many parts that no one call of ours takes them all, some of them empty. */
#define PARTS 40

static int parts_make(struct iovec parts[PARTS], size_t from, size_t size)
{
	size_t each = size / (PARTS / 2);

	for (int i = 0; i < PARTS; i++) {
		parts[i] = (struct iovec){ data + from, i % 2 ? each : 0 };
		if (i == PARTS - 1)
			parts[i].iov_len = size - each * (PARTS / 2 - 1);
		from += parts[i].iov_len;
	}
	return PARTS;
}

static ssize_t by_writev(int fd, size_t from, size_t size)
{
	struct iovec parts[PARTS];

	return writev(fd, parts, parts_make(parts, from, size));
}

static ssize_t by_sendmsg(int fd, size_t from, size_t size)
{
	struct iovec parts[PARTS];
	struct msghdr message = { .msg_iov = parts };

	message.msg_iovlen = (size_t)parts_make(parts, from, size);
	return sendmsg(fd, &message, 0);
}

static ssize_t by_sendmmsg(int fd, size_t from, size_t size)
{
	struct iovec parts[PARTS], last;
	struct mmsghdr messages[2] = { { .msg_hdr = { .msg_iov = parts } },
				       { .msg_hdr = { .msg_iov = &last, .msg_iovlen = 1 } } };
	size_t half = size / 2;

	messages[0].msg_hdr.msg_iovlen = (size_t)parts_make(parts, from, half);
	last = (struct iovec){ data + from + half, size - half };
	EXPECT_IS(sendmmsg(fd, messages, 2, 0), 2);
	EXPECT_IS(messages[0].msg_len, half);
	EXPECT_IS(messages[1].msg_len, size - half);
	return (ssize_t)size;
}

static void all_by_send(void)
{
	sent_again(ALL_OF_IT, by_send, 997);
}

static void all_at_once(void)
{
	sent_again(ALL_OF_IT, by_write, SIZE);
}

static void all_by_sendto(void)
{
	sent_again(ALL_OF_IT, by_sendto, 7000);
}

static void all_by_writev(void)
{
	sent_again(ALL_OF_IT, by_writev, 20000);
}

static void all_by_sendmsg(void)
{
	sent_again(ALL_OF_IT, by_sendmsg, 4096);
}

static void all_by_sendmmsg(void)
{
	sent_again(ALL_OF_IT, by_sendmmsg, 10000);
}

/* ---- in parts ----------------------------------------------------------------------------- */

static ssize_t by_little(int fd, size_t from, size_t size)
{
	struct pollfd wait = { .fd = fd, .events = POLLOUT };
	ssize_t sent;

	while ((sent = send(fd, data + from, size, 0)) < 0 && errno == EAGAIN)
		if (poll(&wait, 1, 5000) != 1)
			return -1;
	return sent;
}

/* With hardly any buffers in between. */
static int slow_connect(struct script *script)
{
	int small = 4608, fd;

	setsockopt(script->server.fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	fd = script_connect(script);
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
	return fd;
}

/* To a reader that goes in the middle. */
static void nonblocking_in_parts(void)
{
	struct script *script = server_script("gr30000R r60000s1d");
	int fd = slow_connect(script);
	struct pollfd wait = { .fd = fd, .events = POLLIN };
	size_t done = 0, parts = 0;
	char byte;

	data_fill();
	nonblocking_set(fd, true);
	while (done < SIZE) {
		ssize_t sent = by_little(fd, done, SIZE - done);

		REQUIRE(sent > 0);
		done += (size_t)sent;
		if (parts++ == 0)
			server_go(script);
	}
	EXPECT(parts > 1);
	REQUIRE(poll(&wait, 1, 5000) == 1);
	EXPECT_IS(recv(fd, &byte, 1, 0), 1);
	expect_bytes(script, 1, data, SIZE);
	EXPECT_COUNT(reconnects, 1);
	EXPECT_COUNT(sent_bytes, SIZE);
	EXPECT_COUNT_WITHIN(replayed_bytes, 30000, SIZE);
}

static void blocking_in_parts(void)
{
	struct script *script = server_script("gr30000R r60000s1d");
	int fd = slow_connect(script);
	char byte;

	data_fill();
	server_go(script);
	EXPECT_IS(send(fd, data, SIZE, 0), SIZE);
	EXPECT_IS(recv(fd, &byte, 1, 0), 1);
	expect_bytes(script, 1, data, SIZE);
	EXPECT_COUNT(reconnects, 1);
	EXPECT_COUNT(sent_bytes, SIZE);
	EXPECT_COUNT_WITHIN(replayed_bytes, 30000, SIZE);
}

/* ---- what is not kept -------------------------------------------------------------------------- */

static int data_file(void)
{
	char path[512];
	int fd;

	snprintf(path, sizeof(path), "%s/data", getenv("CHECK_DIR"));
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	data_fill();
	REQUIRE(fd >= 0 && write(fd, data, SIZE) == SIZE);
	return fd;
}

static void expect_told(int fd, unsigned int reconnects)
{
	char byte;

	EXPECT_IS(recv(fd, &byte, 1, 0), -1);
	EXPECT_ERRNO(ECONNRESET);
	EXPECT_IS(recv(fd, &byte, 1, 0), 0);
	EXPECT_COUNT(reconnects, reconnects);
	EXPECT_COUNT(replayed_bytes, 0);
	EXPECT_COUNTS_ADD_UP();
}

static void by_sendfile(void)
{
	struct script *script = server_script("r107R e");
	int fd = script_connect(script), file = data_file();
	off_t offset = 0;

	EXPECT_IS(send(fd, "request", 7, 0), 7);
	EXPECT_IS(sendfile(fd, file, &offset, 100), 100);
	until_lost(fd);
	expect_told(fd, 0);
	EXPECT_COUNT(retries_denied_buffer, 1);
}

static void by_splice(void)
{
	struct script *script = server_script("r10R e");
	int fd = script_connect(script), ends[2];

	REQUIRE(pipe(ends) == 0 && write(ends[1], "0123456789", 10) == 10);
	EXPECT_IS(splice(ends[0], NULL, fd, NULL, 10, 0), 10);
	until_lost(fd);
	expect_told(fd, 0);
	EXPECT_COUNT(retries_denied_buffer, 1);
}

/* Of that exchange only. */
static void by_sendfile_before(void)
{
	struct script *script = server_script("e105r5R e");
	int fd = script_connect(script), file = data_file();
	char answer[100];

	/* What is sent first is seen: it is no handshake. */
	expect_echo(fd, "first");
	EXPECT_IS(sendfile(fd, file, NULL, 0), 0);
	lseek(file, 0, SEEK_SET);
	EXPECT_IS(sendfile(fd, file, NULL, 100), 100);
	EXPECT_IS(recv(fd, answer, 100, MSG_WAITALL), 100);
	expect_echo(fd, "hello");
	EXPECT_COUNT(reconnects, 1);
	EXPECT_COUNT(replayed_bytes, 5);
}

/* ---- sessions ------------------------------------------------------------------------------------ */

/* Lost before its answer: nothing was agreed on yet. */
static void session_before(const char *hello, size_t size)
{
	struct script *script = server_script("r5R e");
	int fd = script_connect(script);
	char answer[8];

	EXPECT_IS(size, 5);
	EXPECT_IS(send(fd, hello, 2, 0), 2);
	EXPECT_IS(send(fd, hello + 2, size - 2, 0), size - 2);
	EXPECT_IS(recv(fd, answer, size, MSG_WAITALL), size);
	EXPECT(memcmp(answer, hello, size) == 0);
	EXPECT_COUNT(reconnects, 1);
	EXPECT_COUNT(replayed_bytes, 5);
}

static void session_after(const char *hello, size_t size)
{
	struct script *script = server_script("e5r3gR e");
	int fd = script_connect(script);
	char answer[8];

	EXPECT_IS(send(fd, hello, 2, 0), 2);
	EXPECT_IS(send(fd, hello + 2, size - 2, 0), size - 2);
	EXPECT_IS(recv(fd, answer, size, MSG_WAITALL), size);
	EXPECT_IS(send(fd, "abc", 3, 0), 3);
	server_go(script);
	until_lost(fd);
	expect_told(fd, 0);
	EXPECT_COUNT(retries_denied_unsafe, 1);
}

/* Nothing is under way, and yet the server would not know what comes next. */
static void session_between(const char *hello, size_t size)
{
	struct script *script = server_script("e5gR e");
	int fd = script_connect(script);
	char answer[8];

	EXPECT_IS(send(fd, hello, size, 0), size);
	EXPECT_IS(recv(fd, answer, size, MSG_WAITALL), size);
	server_go(script);
	until_lost(fd);
	EXPECT_IS(send(fd, "abc", 3, MSG_NOSIGNAL), -1);
	EXPECT_ERRNO(ECONNRESET);
	EXPECT_COUNT(reconnects, 0);
	EXPECT_COUNT(retries_denied_unsafe, 1);
}

#define TLS_HELLO "\x16\x03\x01\x02\x00", 5
#define SSH_HELLO "SSH-2", 5

static void tls_before(void)
{
	session_before(TLS_HELLO);
}

static void tls_after(void)
{
	session_after(TLS_HELLO);
}

static void tls_between(void)
{
	session_between(TLS_HELLO);
}

static void ssh_before(void)
{
	session_before(SSH_HELLO);
}

static void ssh_after(void)
{
	session_after(SSH_HELLO);
}

static void ssh_between(void)
{
	session_between(SSH_HELLO);
}

/* The server's banner comes before anything is sent. */
static void ssh_banner(void)
{
	struct script *script = server_script("s8r5gR e");
	int fd = script_connect(script);
	char banner[8];

	EXPECT_IS(recv(fd, banner, 8, MSG_WAITALL), 8);
	EXPECT_IS(send(fd, "SSH-2", 5, 0), 5);
	server_go(script);
	until_lost(fd);
	expect_told(fd, 0);
	EXPECT_COUNT(retries_denied_unsafe, 1);
}

/* Whatever it is: made anew, the server would greet again, and be taken for answering. */
static void greeted(void)
{
	struct script *script = server_script("s8gR s8e");
	int fd = script_connect(script);
	char greeting[8];

	EXPECT_IS(recv(fd, greeting, 8, MSG_WAITALL), 8);
	server_go(script);
	until_lost(fd);
	EXPECT_IS(send(fd, "HELO", 4, MSG_NOSIGNAL), -1);
	EXPECT_ERRNO(ECONNRESET);
	EXPECT_COUNT(reconnects, 0);
	EXPECT_COUNT(retries_denied_unsafe, 1);
}

/* The kernel refuses it before it has sent a byte. */
static void too_many_pieces(void)
{
	struct script *script = server_script("e");
	static struct iovec pieces[IOV_MAX + 1];
	struct msghdr message = { .msg_iov = pieces, .msg_iovlen = IOV_MAX + 1 };
	int fd = script_connect(script);

	for (int i = 0; i <= IOV_MAX; i++)
		pieces[i] = (struct iovec){ data, 1 };
	EXPECT_IS(writev(fd, pieces, IOV_MAX + 1), -1);
	EXPECT_ERRNO(EINVAL);
	EXPECT_IS(sendmsg(fd, &message, 0), -1);
	EXPECT_ERRNO(EMSGSIZE);
	expect_echo(fd, "hello");
}

#define CASE(name, run) CASE_UNDER(name, run, POLICY_UNANSWERED)
#define CASE_ALIKE(name, run) CASE_TOLD(name, run, POLICY_UNANSWERED)

static const struct check_case cases[] = {
	CASE("send", all_by_send),
	CASE("write, at once", all_at_once),
	CASE("sendto", all_by_sendto),
	CASE("writev", all_by_writev),
	CASE("sendmsg", all_by_sendmsg),
	CASE("sendmmsg", all_by_sendmmsg),
	CASE("in parts, non-blocking", nonblocking_in_parts),
	CASE("in parts, blocking", blocking_in_parts),
	CASE_ALIKE("too many pieces", too_many_pieces),
	CASE_ALIKE("sendfile: not kept", by_sendfile),
	CASE_ALIKE("splice: not kept", by_splice),
	CASE("sendfile: the exchange before", by_sendfile_before),
	CASE("TLS, before its answer", tls_before),
	CASE_ALIKE("TLS, after its answer", tls_after),
	CASE_ALIKE("TLS, after its answer, send", tls_between),
	CASE("SSH, before its answer", ssh_before),
	CASE_ALIKE("SSH, after its answer", ssh_after),
	CASE_ALIKE("SSH, after its answer, send", ssh_between),
	CASE_ALIKE("SSH, after its banner", ssh_banner),
	CASE_ALIKE("any protocol, after the server's greeting", greeted),
};

CHECK_MAIN(cases)
