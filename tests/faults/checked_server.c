/* SPDX-License-Identifier: MIT */
/*
 * Executes requests and verifies all that it reads, see checked.h.
 *
 *	checked_server PORT LOG SEED
 *
 * The log gets a line for each of
 *
 *	executed ID		before it is answered
 *	violation login ...	a request on a connection without a login
 *	violation WHAT ...	anything else that a client would never send: half a request with
 *				something else behind it, one without its beginning, a wrong sum
 *
 * An end of the connection in the middle of a request is no violation. Behind a violation nothing
 * is read.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "checked.h"

#define STACK_BYTES (256 * 1024)

struct connection {
	int fd;
	unsigned int number;
};

static int log_fd;
static char login[LOGIN_MAX];

static _Noreturn void fail(const char *what)
{
	fprintf(stderr, "checked_server: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* One write() a line, so that threads do not mix theirs. */
__attribute__((format(printf, 1, 2))) static void say(const char *format, ...)
{
	char line[200];
	va_list arguments;

	va_start(arguments, format);
	int length = vsnprintf(line, sizeof(line), format, arguments);
	va_end(arguments);
	if (write(log_fd, line, (size_t)length) != length)
		fail("the log");
}

/* A violation, and what was read. */
static bool violated(const struct connection *connection, const char *what, const char *text,
		     size_t length)
{
	char shown[48] = "";

	for (size_t i = 0; i < length && i < sizeof(shown) - 1; i++)
		shown[i] = text[i] > ' ' && text[i] <= '~' ? text[i] : '_';
	say("violation %s on connection %u: %s\n", what, connection->number, shown);
	return false;
}

/* How many of so many bytes come before the connection's end. */
static size_t read_up_to(int fd, void *data, size_t length)
{
	size_t done = 0;

	while (done < length) {
		ssize_t got = read(fd, (char *)data + done, length - done);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			break;
		done += (size_t)got;
	}
	return done;
}

static bool write_all(int fd, const void *data, size_t length)
{
	for (size_t done = 0; done < length;) {
		ssize_t written = write(fd, (const char *)data + done, length - done);

		if (written < 0 && errno == EINTR)
			continue;
		if (written < 0)
			return false;
		done += (size_t)written;
	}
	return true;
}

/* False: the connection is over, or not to be trusted. */
static bool log_in(const struct connection *connection)
{
	char text[LOGIN_MAX], answer[32];
	size_t expected = strlen(login), length = read_up_to(connection->fd, text, expected);

	if (memcmp(text, login, length) != 0) {
		/* Or the first bytes of one, if no more came. */
		size_t word = length < WORD_LENGTH ? length : WORD_LENGTH;
		bool request = memcmp(text, "REQ ", word) == 0;

		return violated(connection, request ? "login" : "beginning", text, length);
	}
	snprintf(answer, sizeof(answer), "WELCOME %u\n", connection->number);
	return length == expected && write_all(connection->fd, answer, strlen(answer));
}

static bool send_answer(int fd, uint32_t id, const unsigned char *payload, size_t length)
{
	char message[HEADER_LENGTH + 1 + PAYLOAD_MAX];
	unsigned char *answer = (unsigned char *)message + HEADER_LENGTH;
	struct header header = { .id = id, .length = (uint32_t)length };
	char text[HEADER_LENGTH + 1];

	answer_make(id, payload, length, answer);
	header.checksum = checksum(answer, length);
	header_write(text, "ANS", &header);
	memcpy(message, text, HEADER_LENGTH);
	return write_all(fd, message, HEADER_LENGTH + length);
}

static bool serve_request(const struct connection *connection)
{
	char text[HEADER_LENGTH];
	unsigned char payload[PAYLOAD_MAX];
	struct header header;
	size_t length = read_up_to(connection->fd, text, sizeof(text));

	/* What little came before the end can be wrong already. */
	if (memcmp(text, "REQ ", length < WORD_LENGTH ? length : WORD_LENGTH) != 0)
		return violated(connection, "request", text, length);
	if (length < sizeof(text))
		return false;
	if (!header_read(text, "REQ", &header))
		return violated(connection, "header", text, length);
	if (read_up_to(connection->fd, payload, header.length) < header.length)
		return false;
	if (checksum(payload, header.length) != header.checksum)
		return violated(connection, "checksum", text, length);
	say("executed %" PRIu32 "\n", header.id);
	return send_answer(connection->fd, header.id, payload, header.length);
}

static void *serve(void *argument)
{
	struct connection *connection = argument;

	if (log_in(connection)) {
		while (serve_request(connection))
			;
	}
	close(connection->fd);
	free(connection);
	return NULL;
}

static int listen_on(uint16_t port)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(port) };
	int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	/* Inherited by what is accepted: a FIN may come behind an answer of several packets. */
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 128) < 0)
		fail("the port");
	return fd;
}

/* A thread for each: one that a proxy keeps open must not hold up the next. */
static void accept_one(int listener, unsigned int number, const pthread_attr_t *attributes)
{
	struct connection *connection = malloc(sizeof(*connection));
	pthread_t thread;

	if (!connection)
		fail("memory");
	connection->number = number;
	connection->fd = accept(listener, NULL, NULL);
	if (connection->fd < 0) {
		free(connection);
		return;
	}
	errno = pthread_create(&thread, attributes, serve, connection);
	if (errno)
		fail("a thread");
}

int main(int argc, char **argv)
{
	pthread_attr_t attributes;

	if (argc != 4) {
		fputs("usage: checked_server PORT LOG SEED\n", stderr);
		return 64;
	}
	signal(SIGPIPE, SIG_IGN);
	log_fd = open(argv[2], O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (log_fd < 0)
		fail(argv[2]);
	login_write(login, strtoull(argv[3], NULL, 10));
	pthread_attr_init(&attributes);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attributes, STACK_BYTES);
	int listener = listen_on((uint16_t)atoi(argv[1]));

	for (unsigned int number = 1;; number++)
		accept_one(listener, number, &attributes);
}
