/* SPDX-License-Identifier: MIT */
/*
 * A server in a thread that does with its connections what a script says, and
 * remembers what it was sent on each: for what becomes of connections that are lost.
 *
 * A script is a word of acts for each connection in turn; the last word is that of all
 * that follow.
 *
 *	rN   reads N bytes             eN   sends back N bytes as they come
 *	sN   sends N bytes             e    sends back all until the end, then closes
 *	d    reads until the end       F    ends its output
 *	C    closes                    R    resets the connection
 *	g    waits for server_go()     L    listens no more, from before the end of this connection
 *
 * What it has not closed at the end of its word stays open.
 */
#ifndef TESTS_SHIM_SCRIPT_H
#define TESTS_SHIM_SCRIPT_H

#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <sys/mman.h>

#include "net.h"
#include "peek.h"
#include "policy/policy.h"

/* Losses are made good at once, then every 20 ms, 500 times; keys of section `transfer`. */
#define POLICY_TRANSFER(keys) POLICY_TENDED("\"transfer\":{" keys "}", "\"max_retries\":500")
/* The same with whole sections and how often. */
#define POLICY_TENDED(sections, retries)                                                         \
	"{\"version\":1,\"defaults\":{" sections ",\"connect\":{\"deadline\":\"30s\"},"          \
	"\"strategies\":{\"network\":{\"decision\":\"backoff\",\"backoff_factor\":1,\"jitter\":" \
	"0,\"base_delay\":\"20ms\",\"max_delay\":\"1h\"," retries "}}}}"
/* As a policy is that says nothing of transfers. */
#define POLICY_DEFAULT POLICY_TRANSFER("\"max_attempts\":2")
#define POLICY_UNANSWERED POLICY_TRANSFER("\"replay\":\"unanswered\"")

#define SCRIPT_CONNECTIONS 64
#define SCRIPT_BYTES (1 << 20)

struct script_connection {
	atomic_size_t size;
	atomic_bool is_ended; /* the peer has ended it, or it was lost */
	int fd;
	char *bytes;
};

struct script {
	struct server server;
	const char *words;
	int away_ms;
	sem_t go;
	atomic_int accepted;
	struct script_connection connections[SCRIPT_CONNECTIONS];
};

/* Until it holds; false after 10 s, which is long. */
#define UNTIL(condition)                                                             \
	({                                                                           \
		int64_t end_ = now_ms() + 10000;                                     \
                                                                                     \
		while (!(condition) && now_ms() < end_)                              \
			sleep_ms(1);                                                 \
		check_true(condition, __FILE__, __LINE__, "in the end " #condition); \
	})

/* ---- the server ------------------------------------------------------------------- */

/* False at the end of the connection. */
static inline bool script_read(struct script_connection *connection, size_t most, char *piece,
			       ssize_t *size)
{
	*size = recv(connection->fd, piece, most, 0);
	if (*size <= 0) {
		connection->is_ended = true;
		return false;
	}
	if (connection->size + (size_t)*size <= SCRIPT_BYTES) {
		memcpy(connection->bytes + connection->size, piece, (size_t)*size);
		connection->size += (size_t)*size;
	}
	return true;
}

/* limit bytes; 0: all until the end. */
static inline void script_take(struct script_connection *connection, size_t limit, bool echoes)
{
	char piece[65536];
	ssize_t size;
	size_t done = 0;

	while (!limit || done < limit) {
		size_t most = limit && limit - done < sizeof(piece) ? limit - done : sizeof(piece);

		if (!script_read(connection, most, piece, &size))
			return;
		if (echoes)
			send(connection->fd, piece, (size_t)size, MSG_NOSIGNAL);
		done += (size_t)size;
	}
}

static inline void script_close(struct script_connection *connection, bool resets)
{
	struct linger linger = { 1, 0 };

	if (resets)
		setsockopt(connection->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	close(connection->fd);
}

static inline void script_act(struct script *script, struct script_connection *connection, char act,
			      size_t count)
{
	static const char filler[65536];

	if (act == 'r' || act == 'd')
		script_take(connection, count, false);
	else if (act == 'e')
		script_take(connection, count, true);
	else if (act == 's')
		send(connection->fd, filler, count, MSG_NOSIGNAL);
	else if (act == 'F')
		shutdown(connection->fd, SHUT_WR);
	else if (act == 'g')
		sem_wait(&script->go);
	else if (act == 'L')
		shutdown(script->server.fd, SHUT_RDWR);
	else
		script_close(connection, act == 'R');
	if (act == 'e' && !count)
		script_close(connection, false);
}

/* Returns the word that follows. */
static inline const char *script_serve(struct script *script, struct script_connection *connection,
				       const char *word)
{
	char *end = (char *)(uintptr_t)word;

	while (*end && *end != ' ') {
		char act = *end++;

		script_act(script, connection, act, strtoul(end, &end, 10));
	}
	return *end ? end + 1 : word;
}

static inline void *script_run(void *argument)
{
	struct script *script = argument;
	const char *word = script->words;

	for (int i = 0; i < SCRIPT_CONNECTIONS; i++) {
		struct script_connection *connection = &script->connections[i];
		int fd;

		while ((fd = accept4(script->server.fd, NULL, NULL, SOCK_CLOEXEC)) < 0)
			sleep_ms(1);
		connection->fd = fd;
		script->accepted = i + 1;
		word = script_serve(script, connection, word);
	}
	return NULL;
}

/*
 * Of 127/8, this process's own: a script counts its connections, and whoever still tries a
 * port that has become ours tries it at 127.0.0.1.
 */
static inline struct in_addr own_address(void)
{
	return (struct in_addr){ htonl(INADDR_LOOPBACK ^ (uint32_t)getpid() << 1) };
}

/*
 * As server_listening(), but it can stop and listen again: the kernel leaves a port to a
 * socket only that asked for it by its number.
 */
static inline struct server server_steady(void)
{
	struct server first = server_bind(AF_INET), server = first;
	int on = 1;

	server.address.v4.sin_addr = own_address();
	server.fd = stream_socket(&server);
	setsockopt(first.fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	setsockopt(server.fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	REQUIRE(bind(server.fd, &server.address.any, server.length) == 0);
	close(first.fd);
	REQUIRE(listen(server.fd, 1024) == 0);
	return server;
}

static inline struct script *server_script(const char *words)
{
	struct script *script = calloc(1, sizeof(*script));
	sigset_t all, before;
	pthread_t thread;

	REQUIRE(script != NULL);
	script->server = server_steady();
	script->words = words;
	sem_init(&script->go, 0, 0);
	for (int i = 0; i < SCRIPT_CONNECTIONS; i++)
		script->connections[i].bytes = mmap(NULL, SCRIPT_BYTES, PROT_READ | PROT_WRITE,
						    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	/* Signals are the case's own. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	REQUIRE(pthread_create(&thread, NULL, script_run, script) == 0);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return script;
}

static inline void server_go(struct script *script)
{
	sem_post(&script->go);
}

/* Answers again, after an L. */
static inline void server_return(struct script *script)
{
	REQUIRE(listen(script->server.fd, 1024) == 0);
}

static inline void *script_return(void *argument)
{
	struct script *script = argument;

	sleep_ms(script->away_ms);
	server_return(script);
	return NULL;
}

/* The same while the case waits in a call; to be joined. */
static inline pthread_t server_return_after(struct script *script, int ms)
{
	pthread_t thread;

	script->away_ms = ms;
	REQUIRE(pthread_create(&thread, NULL, script_return, script) == 0);
	return thread;
}

/* What came on its connection number `index`, the first is 0. */
static inline void expect_bytes(struct script *script, int index, const char *bytes, size_t size)
{
	struct script_connection *connection = &script->connections[index];

	UNTIL(connection->size >= size);
	EXPECT_IS(connection->size, size);
	EXPECT(memcmp(connection->bytes, bytes, size) == 0);
}

#define EXPECT_TEXT(script, index, text) expect_bytes(script, index, text, strlen(text))

/* ---- the client ---------------------------------------------------------------------- */

static inline int script_connect(const struct script *script)
{
	int fd = stream_socket(&script->server);

	REQUIRE(server_connect(&script->server, fd) == 0);
	return fd;
}

/* Raw calls, by which holdfast learns nothing. */
static inline int socket_state(int fd)
{
	unsigned char state = 0;
	socklen_t length = 1;

	syscall(SYS_getsockopt, fd, IPPROTO_TCP, TCP_INFO, &state, &length);
	return state;
}

/* The kernel knows that the connection is no more. */
static inline bool until_lost(int fd)
{
	return UNTIL(socket_state(fd) == TCP_CLOSE);
}

static inline bool until_ended(int fd)
{
	return UNTIL(socket_state(fd) == TCP_CLOSE_WAIT || socket_state(fd) == TCP_CLOSE);
}

static inline void nonblocking_set(int fd, bool is_on)
{
	int flags = fcntl(fd, F_GETFL);

	REQUIRE(fcntl(fd, F_SETFL, is_on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK) == 0);
}

/* Sends a line and has it come back: the connection works. */
static inline void expect_echo(int fd, const char *text)
{
	size_t size = strlen(text);
	char answer[256];

	EXPECT_IS(send(fd, text, size, 0), size);
	EXPECT_IS(recv(fd, answer, size, MSG_WAITALL), size);
	EXPECT(memcmp(answer, text, size) == 0);
}

static inline void expect_send(int fd, const char *text)
{
	EXPECT_IS(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* A server that takes a line and is gone, as "r6LR d" has it: the connection is lost. */
static inline int outage_begin(struct script *script)
{
	int fd = script_connect(script);

	expect_send(fd, "first\n");
	until_lost(fd);
	return fd;
}

/* The same, and a line on its way. */
static inline int outage_output(struct script *script)
{
	int fd = outage_begin(script);

	expect_send(fd, "last\n");
	return fd;
}

/* Connected without waiting: by a program with a loop. */
static inline int loop_connect(struct script *script)
{
	int fd = stream_socket(&script->server);
	struct pollfd wait = { .fd = fd, .events = POLLOUT };

	nonblocking_set(fd, true);
	EXPECT_IS(server_connect(&script->server, fd), -1);
	EXPECT_ERRNO(EINPROGRESS);
	REQUIRE(poll(&wait, 1, 5000) == 1);
	return fd;
}

/* ---- events ---------------------------------------------------------------------------- */

/* How many of a kind there were; the last of them. */
static inline unsigned int peek_events(enum store_event_kind kind, struct store_event *last)
{
	const struct event_file *file;
	unsigned int count = 0;
	char path[512];
	int fd;

	snprintf(path, sizeof(path), "%s/events", peek_state_dir());
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	file = mmap(NULL, sizeof(*file), PROT_READ, MAP_SHARED, fd, 0);
	close(fd);
	REQUIRE(file != MAP_FAILED);
	for (uint64_t i = 0; i < file->next && i < EVENTS_IN_RING; i++) {
		if (file->slots[i].ticket != i + 1 || file->slots[i].event.kind != kind)
			continue;
		*last = file->slots[i].event;
		count++;
	}
	munmap((void *)(uintptr_t)file, sizeof(*file));
	return count;
}

static inline void expect_events(enum store_event_kind kind, unsigned int expected)
{
	struct store_event event = { 0 };

	if (preloaded())
		EXPECT_IS(peek_events(kind, &event), expected);
}

/* The last loss, as its event says. */
static inline void expect_loss(int error, unsigned int verdict, unsigned int cause,
			       const char *detail)
{
	struct store_event event = { 0 };

	if (!preloaded() || !EXPECT(peek_events(EVENT_CONNECTION_LOST, &event) > 0))
		return;
	EXPECT_ERROR(event.error, error);
	EXPECT_IS(event.verdict, verdict);
	EXPECT_IS(event.cause, cause);
	if (!detail)
		return;
	if (strcmp(event.detail, detail) != 0) {
		check_say("the loss's detail is \"%s\", expected \"%s\"", event.detail, detail);
		check_failures++;
	}
}

#endif
