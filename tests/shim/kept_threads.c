/* SPDX-License-Identifier: MIT */
/*
 * One thread sends requests, another receives the answers, while the server ends the connection
 * again and again: with `unanswered` every request arrives whole and has its own answer.
 */
#include "script.h"

#define PIECES_MAX 20
#define TEXT_MAX 400
#define REQUESTS_MAX 30000

struct server_says {
	unsigned int requests;
	unsigned int pieces; /* of a request, each sent by itself */
	bool ends_within;    /* in the middle of a request; else behind every seventh answer */
	struct server server;
	atomic_uint garbled, twice, connections;
	unsigned char came[REQUESTS_MAX];
};

/* "<7.0><7.1>...\n" */
static size_t piece_write(char *text, unsigned int request, unsigned int piece, unsigned int pieces)
{
	return (size_t)sprintf(text, "<%u.%u>%s", request, piece, piece + 1 == pieces ? "\n" : "");
}

static size_t request_write(char *text, unsigned int request, unsigned int pieces)
{
	size_t size = 0;

	for (unsigned int i = 0; i < pieces; i++)
		size += piece_write(text + size, request, i, pieces);
	return size;
}

/* ---- the server ---------------------------------------------------------------------------- */

static void request_check(struct server_says *says, const char *line, size_t size)
{
	unsigned long request = strtoul(line + 1, NULL, 10);
	char expected[TEXT_MAX];

	if (request >= says->requests ||
	    size != request_write(expected, (unsigned int)request, says->pieces) ||
	    memcmp(line, expected, size) != 0)
		says->garbled++;
	else if (says->came[request]++)
		says->twice++;
}

/* After its end a connection is read on, for what still arrives on it. */
static void connection_serve(struct server_says *says, int fd, uint64_t *random)
{
	size_t size = 0, limit = 20 + (size_t)(*random >> 33) % 2000;
	unsigned int answered = 0;
	char line[TEXT_MAX];
	bool ended = false;

	*random = *random * UINT64_C(6364136223846793005) + 1;
	while (recv(fd, line + size, 1, 0) == 1) {
		bool is_whole = line[size++] == '\n' || size == sizeof(line);

		if (is_whole) {
			request_check(says, line, size);
			if (!ended)
				send(fd, line, size, MSG_NOSIGNAL);
			size = 0;
		}
		if (is_whole && !says->ends_within && ++answered == 7)
			return;
		if (says->ends_within && !ended && limit-- == 0) {
			limit = is_whole;
			ended = !is_whole;
			if (ended)
				shutdown(fd, SHUT_WR);
		}
	}
}

static void *server_run(void *argument)
{
	struct server_says *says = argument;
	uint64_t random = 5;
	int fd;

	while ((fd = accept4(says->server.fd, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
		says->connections++;
		connection_serve(says, fd, &random);
		close(fd);
	}
	return NULL;
}

/* ---- the client ------------------------------------------------------------------------------ */

struct client {
	const struct server_says *says;
	int fd;
	atomic_bool is_over; /* the reader came to the end */
	size_t size;
	char answer[TEXT_MAX];
	sem_t arrived;
	pthread_t reader;
};

/* A loop in one case, a reader that waits in the other. */
static void *client_receive(void *argument)
{
	struct client *client = argument;
	int flags = client->says->ends_within ? MSG_DONTWAIT : 0;
	size_t size = 0;

	while (size < sizeof(client->answer)) {
		ssize_t got = recv(client->fd, client->answer + size, 1, flags);

		if (got < 0 && errno == EAGAIN) {
			usleep(30);
			continue;
		}
		if (got <= 0)
			break;
		if (client->answer[size++] == '\n') {
			client->size = size;
			size = 0;
			sem_post(&client->arrived);
		}
	}
	client->is_over = true;
	sem_post(&client->arrived);
	return NULL;
}

static void client_open(struct client *client)
{
	int on = 1;

	client->is_over = false;
	client->fd = stream_socket(&client->says->server);
	sem_init(&client->arrived, 0, 0);
	REQUIRE(server_connect(&client->says->server, client->fd) == 0);
	setsockopt(client->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	REQUIRE(pthread_create(&client->reader, NULL, client_receive, client) == 0);
}

static void client_close(struct client *client)
{
	shutdown(client->fd, SHUT_RDWR);
	pthread_join(client->reader, NULL);
	close(client->fd);
}

static bool client_ask(struct client *client, unsigned int request)
{
	unsigned int pieces = client->says->pieces;
	char text[TEXT_MAX], expected[TEXT_MAX];
	size_t size = request_write(expected, request, pieces);
	struct timespec limit;

	for (unsigned int i = 0; i < pieces; i++) {
		size_t length = piece_write(text, request, i, pieces);

		EXPECT_IS(send(client->fd, text, length, MSG_NOSIGNAL), length);
	}
	clock_gettime(CLOCK_REALTIME, &limit);
	limit.tv_sec += 10;
	return EXPECT_IS(sem_timedwait(&client->arrived, &limit), 0) &&
	       (client->is_over || (EXPECT_IS(client->size, size) &&
				    EXPECT(memcmp(client->answer, expected, size) == 0)));
}

static void ask_all(unsigned int requests, unsigned int pieces, bool ends_within)
{
	static struct server_says says;
	struct client client = { .says = &says };
	pthread_t server;

	says.requests = requests;
	says.pieces = pieces;
	says.ends_within = ends_within;
	says.server = server_steady();
	REQUIRE(pthread_create(&server, NULL, server_run, &says) == 0);
	client_open(&client);
	for (unsigned int i = 0; i < says.requests && client_ask(&client, i); i++) {
		if (!client.is_over)
			continue;
		/* An end between two exchanges is told. */
		EXPECT(!ends_within);
		client_close(&client);
		client_open(&client);
	}
	client_close(&client);
	EXPECT_IS(says.garbled, 0);
	EXPECT(says.connections > 100);
	/* The one that a connection ended in may have been executed. */
	EXPECT(says.twice == 0 || ends_within);
}

static void ended_within_requests(void)
{
	ask_all(12000, PIECES_MAX, true);
}

static void ended_behind_answers(void)
{
	ask_all(REQUESTS_MAX, 1, false);
}

#define UNANSWERED POLICY_TRANSFER("\"replay\":\"unanswered\",\"max_attempts\":20")

static const struct check_case cases[] = {
	CASE_UNDER("ended in the middle of requests", ended_within_requests, UNANSWERED),
	CASE_UNDER("ended behind answers", ended_behind_answers, UNANSWERED),
};

CHECK_MAIN(cases)
