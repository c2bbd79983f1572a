/* SPDX-License-Identifier: MIT */
/*
 * A client that does the same thing whenever it is run: one connection, used in one style.
 *
 *	healthy styles         their names
 *	healthy serve PORT
 *	healthy STYLE PORT
 *
 * The server takes requests of SIZE bytes and answers each with as many, in one piece. After one
 * that begins with 'l' it closes; at the end of the stream it sends more, and then closes.
 *
 * Between two calls of getppid(), which nothing else calls, the client uses its connection.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define SIZE 100
#define MORE 1000
#define EXCHANGES 3

static char request[SIZE] = "request", last[SIZE] = "last", answer[2 * MORE];
static struct iovec request_parts[] = { { request, 30 }, { request + 30, SIZE - 30 } };
static struct iovec answer_parts[] = { { answer, 60 }, { answer + 60, SIZE } };
static int file = -1, pipes[2], set = -1;

static void must(bool holds, const char *what)
{
	if (holds)
		return;
	fprintf(stderr, "healthy: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* ---- the server ------------------------------------------------------------------------ */

static bool peer_serve(int peer)
{
	char data[SIZE];

	if (recv(peer, data, SIZE, MSG_WAITALL) != SIZE) {
		send(peer, answer, MORE, MSG_NOSIGNAL);
		return false;
	}
	return send(peer, data, SIZE, MSG_NOSIGNAL) == SIZE && data[0] != 'l';
}

static void serve(const struct sockaddr_in *address)
{
	int listener = socket(AF_INET, SOCK_STREAM, 0), on = 1, peer;

	must(setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0, "SO_REUSEADDR");
	must(bind(listener, (const struct sockaddr *)address, sizeof(*address)) == 0, "bind");
	must(listen(listener, 8) == 0, "listen");
	while ((peer = accept(listener, NULL, NULL)) >= 0) {
		while (peer_serve(peer))
			;
		close(peer);
	}
}

/* ---- requests and answers, by each kind of call: true if it was all of one ----------------- */

static bool ask_send(int fd)
{
	return send(fd, request, SIZE, MSG_NOSIGNAL) == SIZE;
}

static bool get_recv(int fd)
{
	return recv(fd, answer, sizeof(answer), 0) == SIZE;
}

static bool ask_sendto(int fd)
{
	return sendto(fd, request, SIZE, 0, NULL, 0) == SIZE;
}

/* Looked at first. */
static bool get_recvfrom(int fd)
{
	return recvfrom(fd, answer, 7, MSG_PEEK, NULL, NULL) == 7 &&
	       recvfrom(fd, answer, sizeof(answer), 0, NULL, NULL) == SIZE;
}

static bool ask_write(int fd)
{
	return write(fd, request, SIZE) == SIZE;
}

static bool get_read(int fd)
{
	return read(fd, answer, sizeof(answer)) == SIZE;
}

static bool ask_writev(int fd)
{
	return writev(fd, request_parts, 2) == SIZE;
}

static bool get_readv(int fd)
{
	return readv(fd, answer_parts, 2) == SIZE;
}

static bool ask_sendmsg(int fd)
{
	const struct msghdr message = { .msg_iov = request_parts, .msg_iovlen = 2 };

	return sendmsg(fd, &message, 0) == SIZE;
}

static bool get_recvmsg(int fd)
{
	struct msghdr message = { .msg_iov = answer_parts, .msg_iovlen = 2 };

	return recvmsg(fd, &message, 0) == SIZE;
}

static bool ask_sendmmsg(int fd)
{
	struct mmsghdr messages[] = {
		{ .msg_hdr = { .msg_iov = request_parts, .msg_iovlen = 1 } },
		{ .msg_hdr = { .msg_iov = request_parts + 1, .msg_iovlen = 1 } },
	};

	return sendmmsg(fd, messages, 2, 0) == 2;
}

static bool get_recvmmsg(int fd)
{
	struct mmsghdr messages[] = {
		{ .msg_hdr = { .msg_iov = answer_parts, .msg_iovlen = 1 } },
		{ .msg_hdr = { .msg_iov = answer_parts + 1, .msg_iovlen = 1 } },
	};

	return recvmmsg(fd, messages, 2, MSG_WAITFORONE, NULL) == 2;
}

static bool ask_sendfile(int fd)
{
	off_t from = 0;

	return sendfile(fd, file, &from, SIZE) == SIZE;
}

static bool ask_splice(int fd)
{
	off_t from = 0;

	return splice(file, &from, pipes[1], NULL, SIZE, 0) == SIZE &&
	       splice(pipes[0], NULL, fd, NULL, SIZE, 0) == SIZE;
}

static bool get_splice(int fd)
{
	return splice(fd, NULL, pipes[1], NULL, SIZE, 0) == SIZE &&
	       read(pipes[0], answer, sizeof(answer)) == SIZE;
}

/* ---- waits: until there is something to read, or, for a connect, to write ------------------ */

static void wait_poll(int fd, bool output)
{
	struct pollfd wanted = { .fd = fd, .events = output ? POLLOUT : POLLIN };

	must(poll(&wanted, 1, -1) == 1, "poll");
}

static void wait_ppoll(int fd, bool output)
{
	struct pollfd wanted = { .fd = fd, .events = output ? POLLOUT : POLLIN };

	must(ppoll(&wanted, 1, NULL, NULL) == 1, "ppoll");
}

static void wait_select(int fd, bool output)
{
	fd_set fds;

	FD_ZERO(&fds);
	FD_SET(fd, &fds);
	must(select(fd + 1, output ? NULL : &fds, output ? &fds : NULL, NULL, NULL) == 1, "select");
}

static void wait_level(int fd, bool output)
{
	struct epoll_event event = { .events = output ? EPOLLOUT : EPOLLIN };

	must(epoll_ctl(set, output ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, fd, &event) == 0, "epoll_ctl");
	must(epoll_wait(set, &event, 1, -1) == 1, "epoll_wait");
}

static void wait_edge(int fd, bool output)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLOUT | EPOLLET };

	if (output)
		must(epoll_ctl(set, EPOLL_CTL_ADD, fd, &event) == 0, "epoll_ctl");
	must(epoll_pwait(set, &event, 1, -1, NULL) == 1, "epoll_pwait");
}

/* ---- styles ------------------------------------------------------------------------------------ */

enum end { END_CLOSE, END_SHUTDOWN, END_PEER };

static const struct style {
	const char *name;
	bool (*ask)(int fd);
	bool (*get)(int fd);
	void (*wait)(int fd, bool output); /* NULL: it blocks */
	enum end end;
} styles[] = {
	{ "send-recv", ask_send, get_recv, NULL, END_CLOSE },
	{ "sendto-recvfrom", ask_sendto, get_recvfrom, NULL, END_CLOSE },
	{ "write-read", ask_write, get_read, NULL, END_CLOSE },
	{ "writev-readv", ask_writev, get_readv, NULL, END_CLOSE },
	{ "sendmsg-recvmsg", ask_sendmsg, get_recvmsg, NULL, END_CLOSE },
	{ "sendmmsg-recvmmsg", ask_sendmmsg, get_recvmmsg, NULL, END_CLOSE },
	{ "sendfile", ask_sendfile, get_recv, NULL, END_CLOSE },
	{ "splice", ask_splice, get_splice, NULL, END_CLOSE },
	{ "poll", ask_send, get_recv, wait_poll, END_CLOSE },
	{ "ppoll", ask_write, get_read, wait_ppoll, END_CLOSE },
	{ "select", ask_send, get_recv, wait_select, END_CLOSE },
	{ "epoll-level", ask_send, get_recv, wait_level, END_CLOSE },
	{ "epoll-edge", ask_write, get_read, wait_edge, END_CLOSE },
	{ "half-close", ask_send, get_recv, NULL, END_SHUTDOWN },
	{ "half-close-poll", ask_write, get_read, wait_poll, END_SHUTDOWN },
	{ "half-close-epoll", ask_write, get_read, wait_level, END_SHUTDOWN },
	{ "peer-closes", ask_send, get_recv, NULL, END_PEER },
	{ "peer-closes-poll", ask_write, get_read, wait_poll, END_PEER },
	{ "peer-closes-epoll", ask_send, get_recv, wait_level, END_PEER },
};
#define STYLES (sizeof(styles) / sizeof(styles[0]))

static int connected(const struct style *style, const struct sockaddr_in *address)
{
	int fd = socket(AF_INET, SOCK_STREAM | (style->wait ? SOCK_NONBLOCK : 0), 0), error = 0;
	socklen_t length = sizeof(error);

	if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0)
		return fd;
	must(style->wait && errno == EINPROGRESS, "connect");
	style->wait(fd, true);
	must(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) == 0 && !error, "SO_ERROR");
	return fd;
}

static void exchange(const struct style *style, int fd)
{
	must(style->ask(fd), "request");
	if (style->wait)
		style->wait(fd, false);
	must(style->get(fd), "answer");
	/* An edge is told of once: it reads until there is nothing more. */
	if (style->wait == wait_edge)
		must(!style->get(fd) && errno == EAGAIN, "nothing more");
}

/* What comes before the end of the stream; how many bytes. */
static size_t rest(const struct style *style, int fd)
{
	size_t got = 0;
	ssize_t n;

	do {
		if (style->wait)
			style->wait(fd, false);
		n = recv(fd, answer, sizeof(answer), 0);
		must(n >= 0, "rest");
		got += (size_t)n;
	} while (n > 0);
	return got;
}

static void use(const struct style *style, const struct sockaddr_in *address)
{
	int fd = connected(style, address);

	getppid();
	for (int i = 0; i < EXCHANGES; i++)
		exchange(style, fd);
	if (style->end == END_SHUTDOWN) {
		must(shutdown(fd, SHUT_WR) == 0, "shutdown");
		must(rest(style, fd) == MORE, "more");
	} else if (style->end == END_PEER) {
		must(write(fd, last, SIZE) == SIZE, "last");
		must(rest(style, fd) == SIZE, "the last answer");
	}
	getppid();
	close(fd);
}

/* Before there is a connection, so that all that follows is its own. */
static void prepare(void)
{
	file = memfd_create("request", 0);
	must(file >= 0 && write(file, request, SIZE) == SIZE, "file");
	must(pipe(pipes) == 0 && (set = epoll_create1(0)) >= 0, "pipe");
}

int main(int argc, char **argv)
{
	struct sockaddr_in address = { .sin_family = AF_INET };

	for (size_t i = 0; argc == 2 && i < STYLES; i++)
		puts(styles[i].name);
	if (argc != 3)
		return argc == 2 ? 0 : 64;
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	address.sin_port = htons((uint16_t)strtoul(argv[2], NULL, 10));
	if (strcmp(argv[1], "serve") == 0)
		serve(&address);
	prepare();
	for (size_t i = 0; i < STYLES; i++)
		if (strcmp(argv[1], styles[i].name) == 0) {
			use(&styles[i], &address);
			puts("done");
			return 0;
		}
	return 64;
}
