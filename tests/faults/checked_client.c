/* SPDX-License-Identifier: MIT */
/*
 * Sends requests and checks the answers, see checked.h.
 *
 *	checked_client PORT EXCHANGES SEED blocking|poll
 *
 * What fails is counted, and not asked for again: a new connection goes on with the next number.
 * Waits a second for anything, by SO_RCVTIMEO and SO_SNDTIMEO or in poll(). Prints a word and a
 * number a line, the errors by their names at the end.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "../stress/common.h"
#include "checked.h"

#define PATIENCE_MS 1000
#define PIECES_MAX 3
#define ERRORS 256

/* What becomes of an exchange, beside the numbers of errors. */
enum { RIGHT = 0, END_OF_STREAM = ERRORS - 2, WRONG = ERRORS - 1 };

static struct {
	uint16_t port;
	uint64_t seed;
	bool blocking;
	int fd; /* -1: not connected */
	unsigned int sessions;
	unsigned int outcomes[ERRORS];
} client = { .fd = -1 };

/* ---- bytes ----------------------------------------------------------------------------------- */

/* Until the socket is ready; 0 or an error. */
static int wait_for(short events)
{
	struct pollfd wanted = { .fd = client.fd, .events = events };
	int ready;

	do {
		ready = poll(&wanted, 1, PATIENCE_MS);
	} while (ready < 0 && errno == EINTR);
	if (ready < 0)
		return errno;
	return ready == 0 ? ETIMEDOUT : 0;
}

/* After a call that failed: 0 if it is to be made again. */
static int failed(short events)
{
	if (errno == EINTR)
		return 0;
	if (errno == EAGAIN && !client.blocking)
		return wait_for(events);
	return errno;
}

/* One mode takes read() and write(), the other recv() and send(). */
static int send_all(const char *data, size_t length)
{
	while (length > 0) {
		ssize_t sent = client.blocking ? write(client.fd, data, length)
					       : send(client.fd, data, length, MSG_NOSIGNAL);

		if (sent >= 0) {
			data += sent;
			length -= (size_t)sent;
			continue;
		}
		int error = failed(POLLOUT);

		if (error)
			return error;
	}
	return 0;
}

static int receive_all(void *data, size_t length)
{
	for (size_t done = 0; done < length;) {
		void *rest = (char *)data + done;
		ssize_t got = client.blocking ? read(client.fd, rest, length - done)
					      : recv(client.fd, rest, length - done, 0);

		if (got == 0)
			return END_OF_STREAM;
		if (got > 0) {
			done += (size_t)got;
			continue;
		}
		int error = failed(POLLIN);

		if (error)
			return error;
	}
	return 0;
}

/* ---- a session ------------------------------------------------------------------------------- */

static int connect_now(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(client.port) };
	int error = 0;
	socklen_t length = sizeof(error);

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (connect(client.fd, (struct sockaddr *)&address, sizeof(address)) == 0)
		return 0;
	if (errno != EINPROGRESS || client.blocking)
		return errno;
	error = wait_for(POLLOUT);
	if (error)
		return error;
	getsockopt(client.fd, SOL_SOCKET, SO_ERROR, &error, &length);
	return error;
}

static int open_socket(void)
{
	struct timeval patience = { .tv_sec = PATIENCE_MS / 1000 };
	int on = 1;

	client.fd = socket(AF_INET, SOCK_STREAM | (client.blocking ? 0 : SOCK_NONBLOCK), 0);
	if (client.fd < 0)
		return errno;
	setsockopt(client.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (client.blocking) {
		setsockopt(client.fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
		setsockopt(client.fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	}
	return connect_now();
}

static int log_in(void)
{
	static const char welcome[] = "WELCOME ";
	char text[LOGIN_MAX];
	int error;

	login_write(text, client.seed);
	error = send_all(text, strlen(text));
	if (error)
		return error;
	error = receive_all(text, sizeof(welcome) - 1);
	if (error)
		return error;
	if (memcmp(text, welcome, sizeof(welcome) - 1) != 0)
		return WRONG;
	for (int i = 0; i < 10; i++) {
		error = receive_all(text, 1);
		if (error)
			return error;
		if (text[0] == '\n')
			return 0;
		if (text[0] < '0' || text[0] > '9')
			return WRONG;
	}
	return WRONG;
}

/* ---- an exchange ----------------------------------------------------------------------------- */

/* Header and payload, in one to three pieces. */
static int send_request(uint32_t id, const unsigned char *payload, size_t length, uint64_t *random)
{
	struct header header = { id, (uint32_t)length, checksum(payload, length) };
	char message[HEADER_LENGTH + 1 + PAYLOAD_MAX];
	size_t total = HEADER_LENGTH + length, done = 0;

	header_write(message, "REQ", &header);
	memcpy(message + HEADER_LENGTH, payload, length);
	for (uint64_t more = draw(random, PIECES_MAX); done < total; more--) {
		size_t piece = more ? 1 + draw(random, total - done) : total - done;
		int error = send_all(message + done, piece);

		if (error)
			return error;
		done += piece;
	}
	return 0;
}

static int receive_answer(uint32_t id, const unsigned char *payload, size_t length)
{
	char text[HEADER_LENGTH];
	unsigned char answer[PAYLOAD_MAX], expected[PAYLOAD_MAX];
	struct header header;
	int error = receive_all(text, sizeof(text));

	if (error)
		return error;
	if (!header_read(text, "ANS", &header) || header.id != id || header.length != length) {
		fprintf(stderr, "answer to %" PRIu32 ": %.*s", id, HEADER_LENGTH, text);
		return WRONG;
	}
	error = receive_all(answer, length);
	if (error)
		return error;
	answer_make(id, payload, length, expected);
	if (header.checksum == checksum(expected, length) && memcmp(answer, expected, length) == 0)
		return RIGHT;
	fprintf(stderr, "answer to %" PRIu32 ": not what was asked for\n", id);
	return WRONG;
}

static int exchange(uint32_t id)
{
	uint64_t random = draw_seed(client.seed, id);
	unsigned char payload[PAYLOAD_MAX];
	size_t length = draw(&random, PAYLOAD_MAX + 1);
	int error;

	for (size_t i = 0; i < length; i++)
		payload[i] = (unsigned char)draw(&random, 256);
	if (client.fd < 0) {
		client.sessions++;
		error = open_socket();
		if (!error)
			error = log_in();
		if (error)
			return error;
	}
	error = send_request(id, payload, length, &random);
	return error ? error : receive_answer(id, payload, length);
}

/* ---- the run --------------------------------------------------------------------------------- */

static void print(unsigned int exchanges)
{
	const unsigned int *outcomes = client.outcomes;

	printf("exchanges %u\nright %u\nerrors %u\nwrong %u\nsessions %u\n", exchanges,
	       outcomes[RIGHT], exchanges - outcomes[RIGHT] - outcomes[WRONG], outcomes[WRONG],
	       client.sessions);
	for (int error = 1; error < WRONG; error++) {
		const char *name = error == END_OF_STREAM ? "end" : strerrorname_np(error);

		if (outcomes[error])
			printf("%s %u\n", name ? name : "unknown", outcomes[error]);
	}
}

int main(int argc, char **argv)
{
	if (argc != 5) {
		fputs("usage: checked_client PORT EXCHANGES SEED blocking|poll\n", stderr);
		return 64;
	}
	uint32_t count = (uint32_t)strtoul(argv[2], NULL, 10);

	client.port = (uint16_t)atoi(argv[1]);
	client.seed = strtoull(argv[3], NULL, 10);
	client.blocking = strcmp(argv[4], "blocking") == 0;
	/* What matters is what the calls return. */
	signal(SIGPIPE, SIG_IGN);
	for (uint32_t id = 1; id <= count; id++) {
		int outcome = exchange(id);

		client.outcomes[outcome]++;
		if (outcome != RIGHT && client.fd >= 0) {
			close(client.fd);
			client.fd = -1;
		}
	}
	print(count);
	return client.outcomes[WRONG] ? 1 : 0;
}
