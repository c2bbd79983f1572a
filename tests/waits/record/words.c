/* SPDX-License-Identifier: MIT */
/*
 * The table of words. Each makes one call and writes down what it returned, errno,
 * a change of errno by a call that succeeded, and SIGPIPE.
 */
#include "record.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define SILENT_MS 100 /* as long as anybody waits for nothing */
#define LONG_MS 1800  /* longer than any connect here takes */
#define ECHO_MS 3000
#define SPARE_FD 60 /* what dup2() is told */

/* What is asked when the outcome is known: everything, in a row. */
static const char tail[] = "again look so_error look getpeername read look talk look connect_end";

char *record;
volatile int broken_pipes;

static void on_broken_pipe(int signal)
{
	broken_pipes++;
}

void words_begin(void)
{
	struct sigaction action = { .sa_handler = on_broken_pipe };

	sigaction(SIGPIPE, &action, NULL);
}

void say(const char *format, ...)
{
	size_t length = strlen(record);
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(record + length, RECORD_SIZE - length, format, arguments);
	va_end(arguments);
}

static const char *error_name(int error)
{
	const char *name = strerrorname_np(error);

	return error == 0 ? "none" : name ? name : "unnamed";
}

void say_result(long result, int error)
{
	say(" %ld", result);
	if (result < 0)
		say(" %s", error_name(error));
	else if (error != UNTOUCHED)
		say(" (errno became %s)", error_name(error));
	if (broken_pipes)
		say(" SIGPIPE*%d", (int)broken_pipes);
}

/* ---- waiting --------------------------------------------------------------------------- */

static int patience(const struct subject *s, int milliseconds)
{
	return s->world == WORLD_SILENT ? SILENT_MS : milliseconds;
}

static void say_wait(struct subject *s, long milliseconds)
{
	s->way->wait(s, patience(s, (int)milliseconds));
}

static void say_again(struct subject *s, long milliseconds)
{
	s->way->wait(s, (int)milliseconds);
}

static void say_look(struct subject *s, long argument)
{
	look(s->fd);
}

static void say_look_poll(struct subject *s, long argument)
{
	look_poll(s->fd);
}

static void say_look_select(struct subject *s, long argument)
{
	look_select(s->fd);
}

static void say_look_epoll(struct subject *s, long argument)
{
	look_epoll(s->fd);
}

/* braced: 1 while a connect is under way */
static void say_shown(struct subject *s, long braced)
{
	say("%s", braced ? " {" : "");
	shown_say(s);
	say("%s", braced ? " }" : "");
}

static void say_tick(struct subject *s, long number)
{
	void (*const ticks[])(struct subject *) = { tick_connect, tick_error, tick_zero, tick_short,
						    tick_all };

	ticks[number](s);
}

/* ---- asking ---------------------------------------------------------------------------- */

int ask_error(const struct subject *s)
{
	int error = UNTOUCHED;
	socklen_t length = sizeof(error);
	int result = (int)CALL(getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &length));

	say(" %s", error_name(error));
	return result == 0 ? error : -1;
}

int ask_connect(const struct subject *s)
{
	int result = (int)CALL(connect(s->fd, &s->server.address.any, s->server.length));
	int error = errno;

	settle(s);
	return result == 0 ? 0 : error;
}

static void say_error(struct subject *s, long argument)
{
	ask_error(s);
}

static void say_error_short(struct subject *s, long size)
{
	int error = 0;
	socklen_t length = (socklen_t)size;

	CALL(getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &length));
	say(" %d in %u", error, length);
}

static void say_connect(struct subject *s, long argument)
{
	ask_connect(s);
}

/* Either the socket's state is told, or a new attempt begins, of which anything is to come. */
static void say_connect_end(struct subject *s, long argument)
{
	if (ask_connect(s) != EINPROGRESS)
		look(s->fd);
}

static void say_connect_other(struct subject *s, long argument)
{
	CALL(connect(s->fd, &s->other.address.any, s->other.length));
}

static void say_connect_unspec(struct subject *s, long argument)
{
	const struct sockaddr none = { .sa_family = AF_UNSPEC };

	CALL(connect(s->fd, &none, sizeof(none)));
}

static void say_getpeername(struct subject *s, long argument)
{
	union address address = { 0 };
	socklen_t length = sizeof(address);

	if (CALL(getpeername(s->fd, &address.any, &length)) == 0 &&
	    (length != s->server.length || memcmp(&address, &s->server.address, length) != 0))
		say(" of somebody else");
}

/* ---- transfers ------------------------------------------------------------------------- */

static char bytes[64];

static void say_read(struct subject *s, long argument)
{
	CALL(read(s->fd, bytes, sizeof(bytes)));
}

static void say_readv(struct subject *s, long argument)
{
	struct iovec into = { bytes, sizeof(bytes) };

	CALL(readv(s->fd, &into, 1));
}

static void say_recv(struct subject *s, long flags)
{
	CALL(recv(s->fd, bytes, sizeof(bytes), (int)flags));
}

static void say_recvfrom(struct subject *s, long argument)
{
	union address address;
	socklen_t length = sizeof(address);

	CALL(recvfrom(s->fd, bytes, sizeof(bytes), 0, &address.any, &length));
}

static void say_recvmsg(struct subject *s, long flags)
{
	struct iovec into = { bytes, sizeof(bytes) };
	struct msghdr message = { .msg_iov = &into, .msg_iovlen = 1 };

	CALL(recvmsg(s->fd, &message, (int)flags));
}

static long unread(int fd)
{
	int size = 0;

	syscall(SYS_ioctl, fd, FIONREAD, &size);
	return size;
}

/* The server says all of it again: until it has, what is asked next is chance. */
static void echo_await(const struct subject *s, long unread_before, long sent)
{
	int64_t end = now_ms() + ECHO_MS;

	while (sent > 0 && unread(s->fd) < unread_before + sent)
		if (!raw_wait(s->fd, POLLIN, 100) && now_ms() > end)
			return say(" no answer");
		else
			raw_pause(1);
}

/* A call that sends. */
#define SEND(call)                                  \
	do {                                        \
		long unread_ = unread(s->fd);       \
                                                    \
		echo_await(s, unread_, CALL(call)); \
	} while (0)

static void say_write(struct subject *s, long size)
{
	SEND(write(s->fd, "abcdefgh", (size_t)size));
}

static void say_writev(struct subject *s, long argument)
{
	struct iovec from = { bytes, 4 };

	SEND(writev(s->fd, &from, 1));
}

static void say_send(struct subject *s, long flags)
{
	SEND(send(s->fd, "abcd", 4, (int)flags));
}

static void say_send_nothing(struct subject *s, long argument)
{
	SEND(send(s->fd, "", 0, 0));
}

static void say_sendto(struct subject *s, long argument)
{
	SEND(sendto(s->fd, "abcd", 4, 0, &s->server.address.any, s->server.length));
}

static void say_sendmsg(struct subject *s, long argument)
{
	struct iovec from = { bytes, 4 };
	struct msghdr message = { .msg_iov = &from, .msg_iovlen = 1 };

	SEND(sendmsg(s->fd, &message, 0));
}

/* Writes, and reads what the server says to that. */
static void say_talk(struct subject *s, long argument)
{
	struct pollfd wait = { .fd = s->fd, .events = POLLIN };
	long before = unread(s->fd);
	long sent = CALL(write(s->fd, "hello", 5));

	if (sent < 0)
		return;
	echo_await(s, before, sent);
	CALL(poll(&wait, 1, 0));
	revents_say(wait.revents);
	CALL(read(s->fd, bytes, sizeof(bytes)));
}

static void say_unread(struct subject *s, long request)
{
	int size = -1;

	CALL(ioctl(s->fd, (unsigned long)request, &size));
	say(" %d", size);
}

/* ---- what else can be done to a socket --------------------------------------------------- */

static void say_shutdown(struct subject *s, long how)
{
	CALL(shutdown(s->fd, (int)how));
	settle(s);
}

static void say_close(struct subject *s, long argument)
{
	CALL(close(s->fd));
}

static void say_bind(struct subject *s, long argument)
{
	union address any = s->server.address;

	if (any.any.sa_family == AF_INET)
		any.v4.sin_port = 0;
	else
		any.v6.sin6_port = 0;
	CALL(bind(s->fd, &any.any, s->server.length));
}

static void say_listen(struct subject *s, long argument)
{
	CALL(listen(s->fd, 4));
}

static void say_accept(struct subject *s, long argument)
{
	CALL(accept(s->fd, NULL, NULL));
}

static void say_keepalive(struct subject *s, long argument)
{
	int on = 1;

	CALL(setsockopt(s->fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on)));
}

/* From here on the duplicate is asked; an epoll set goes on to know the first. */
static void say_dup(struct subject *s, long argument)
{
	int fd = dup(s->fd);

	say(" %s", fd >= 0 ? "ok" : error_name(errno));
	s->fd = fd;
}

static void say_dup2(struct subject *s, long argument)
{
	CALL(dup2(s->fd, SPARE_FD));
	s->fd = SPARE_FD;
}

static void say_close_first(struct subject *s, long argument)
{
	CALL(close(s->registered));
}

/* ---- epoll ----------------------------------------------------------------------------- */

static void say_del(struct subject *s, long argument)
{
	CALL(way_control(s, EPOLL_CTL_DEL, 0, 0));
}

static void say_add(struct subject *s, long argument)
{
	CALL(way_control(s, EPOLL_CTL_ADD, s->want, s->way->trigger));
}

static void say_mod(struct subject *s, long want)
{
	CALL(way_control(s, EPOLL_CTL_MOD, (unsigned int)want, s->way->trigger));
}

/* ---- the table ------------------------------------------------------------------------- */

static const struct word {
	const char *name;
	void (*say)(struct subject *, long);
	long argument;
} table[] = {
	{ "wait", say_wait, -1 },
	{ "long", say_wait, LONG_MS },
	{ "again", say_again, 0 },
	{ "wait100", say_again, 100 },
	{ "look", say_look, 0 },
	{ "look_poll", say_look_poll, 0 },
	{ "look_select", say_look_select, 0 },
	{ "look_epoll", say_look_epoll, 0 },
	{ "shown_before", say_shown, 1 },
	{ "shown", say_shown, 0 },
	{ "tick_connect", say_tick, 0 },
	{ "tick_error", say_tick, 1 },
	{ "tick_zero", say_tick, 2 },
	{ "tick_short", say_tick, 3 },
	{ "tick_all", say_tick, 4 },
	{ "so_error", say_error, 0 },
	{ "so_error_short", say_error_short, 2 },
	{ "connect", say_connect, 0 },
	{ "connect_end", say_connect_end, 0 },
	{ "connect_other", say_connect_other, 0 },
	{ "connect_unspec", say_connect_unspec, 0 },
	{ "getpeername", say_getpeername, 0 },
	{ "read", say_read, 0 },
	{ "readv", say_readv, 0 },
	{ "recv", say_recv, 0 },
	{ "recv_peek", say_recv, MSG_PEEK },
	{ "recv_dontwait", say_recv, MSG_DONTWAIT },
	{ "recv_errqueue", say_recv, MSG_ERRQUEUE },
	{ "recvfrom", say_recvfrom, 0 },
	{ "recvmsg", say_recvmsg, 0 },
	{ "write", say_write, 4 },
	{ "write_nothing", say_write, 0 },
	{ "writev", say_writev, 0 },
	{ "send", say_send, 0 },
	{ "send_nosignal", say_send, MSG_NOSIGNAL },
	{ "send_dontwait", say_send, MSG_DONTWAIT },
	{ "send_nothing", say_send_nothing, 0 },
	{ "sendto", say_sendto, 0 },
	{ "sendmsg", say_sendmsg, 0 },
	{ "talk", say_talk, 0 },
	{ "fionread", say_unread, FIONREAD },
	{ "outq", say_unread, SIOCOUTQ },
	{ "shut_rd", say_shutdown, SHUT_RD },
	{ "shut_wr", say_shutdown, SHUT_WR },
	{ "shut_rdwr", say_shutdown, SHUT_RDWR },
	{ "close", say_close, 0 },
	{ "bind", say_bind, 0 },
	{ "listen", say_listen, 0 },
	{ "accept", say_accept, 0 },
	{ "keepalive", say_keepalive, 0 },
	{ "dup", say_dup, 0 },
	{ "dup2", say_dup2, 0 },
	{ "close_first", say_close_first, 0 },
	{ "del", say_del, 0 },
	{ "add", say_add, 0 },
	{ "rearm", say_mod, WANT_OUT },
	{ "mod_none", say_mod, 0 },
	{ "mod_all", say_mod, WANT_ALL },
};

static const struct word *word_find(const char *name)
{
	for (unsigned int i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (strcmp(table[i].name, name) == 0)
			return &table[i];
	fprintf(stderr, "record: no word is called %s\n", name);
	_exit(2);
}

void word_say(struct subject *s, const char *name)
{
	const struct word *word = word_find(name);

	word->say(s, word->argument);
}

void words_say(struct subject *s, const char *words)
{
	char *copy = strdup(words);
	char *rest = copy;
	char *name;

	while (rest && (name = strsep(&rest, " "))) {
		if (strcmp(name, "tail") == 0) {
			words_say(s, tail);
			continue;
		}
		say(" %s:", name);
		word_say(s, name);
		say(";");
	}
	free(copy);
}
