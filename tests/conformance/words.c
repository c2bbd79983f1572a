/* SPDX-License-Identifier: MIT */
/*
 * The table of words. Each makes one call on the subject and writes down what it
 * returned, errno, a change of errno by a call that succeeded, and SIGPIPE.
 */
#include "say.h"

#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <linux/sockios.h>

#define ANSWERS_SIZE 4096

char *answers;
volatile int broken_pipes;
void *volatile nowhere;

static void on_signal(int signal)
{
	if (signal == SIGPIPE)
		broken_pipes++;
}

void answers_make(void)
{
	struct sigaction action = { .sa_handler = on_signal };

	sigaction(SIGPIPE, &action, NULL);
	sigaction(SIGALRM, &action, NULL);
	answers = mmap(NULL, ANSWERS_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		       0);
	if (answers == MAP_FAILED)
		give_up("mmap");
}

/* ---- writing answers down ------------------------------------------------------------ */

void answer(const char *format, ...)
{
	size_t length = strlen(answers);
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(answers + length, ANSWERS_SIZE - length, format, arguments);
	va_end(arguments);
}

const char *error_name(int error)
{
	const char *name = strerrorname_np(error);

	return name ? name : "unnamed";
}

void answer_result(long result, int error)
{
	answer(" %ld", result);
	if (result < 0)
		answer(" %s", error_name(error));
	else if (error != UNTOUCHED)
		answer(" (errno became %s)", error_name(error));
	if (broken_pipes)
		answer(" SIGPIPE*%d", (int)broken_pipes);
}

/* ---- the table ----------------------------------------------------------------------- */

#define ALL_EVENTS (POLLIN | POLLPRI | POLLOUT | POLLRDHUP)
#define PLACE(name) (long)offsetof(struct world, name)

static const struct word words[] = {
	{ "so_error", say_option, SOL_SOCKET, SO_ERROR, 0 },
	{ "so_type", say_option, SOL_SOCKET, SO_TYPE, 0 },
	{ "so_acceptconn", say_option, SOL_SOCKET, SO_ACCEPTCONN, 0 },
	{ "so_domain", say_option, SOL_SOCKET, SO_DOMAIN, 0 },
	{ "so_protocol", say_option, SOL_SOCKET, SO_PROTOCOL, 0 },
	{ "so_keepalive", say_option, SOL_SOCKET, SO_KEEPALIVE, 0 },
	{ "so_sndtimeo", say_sndtimeo, 0, 0, 0 },
	{ "tcp_state", say_state, 0, 0, 0 },
	{ "keepalive", say_option_set, SOL_SOCKET, SO_KEEPALIVE, 0 },
	{ "sndtimeo", say_sndtimeo_set, 0, 0, 0 },
	{ "so_error_short", say_error_room, 2, 0, 0 },
	{ "so_error_empty", say_error_room, 0, 0, 0 },
	{ "so_error_nowhere", say_error_nowhere, 0, 0, 0 },
	{ "option_unknown", say_option, SOL_SOCKET, 9999, 0 },
	{ "level_unknown", say_option, 9999, SO_ERROR, 0 },
	{ "set_unknown", say_option_set, SOL_SOCKET, 9999, 0 },
	{ "getpeername", say_getpeername, 0, 0, 0 },
	{ "getpeername_short", say_getpeername, 3, 0, 0 },
	{ "getpeername_nowhere", say_getpeername_nowhere, 0, 0, 0 },
	{ "getsockname", say_getsockname, 0, 0, 0 },
	{ "getsockname_short", say_getsockname, 3, 0, 0 },
	{ "poll", say_poll, ALL_EVENTS, 0, 0 },
	{ "poll_nothing", say_poll, 0, 0, 0 },
	{ "select", say_select, 0, 0, 0 },
	{ "epoll", say_epoll, 0, 0, 0 },
	{ "epoll_edge", say_epoll, (long)EPOLLET, 0, 0 },
	{ "read", say_read, 0, 0, WORD_WAITS_IN },
	{ "readv", say_readv, 0, 0, WORD_WAITS_IN },
	{ "recv", say_recv, 0, 0, 0 },
	{ "recv_peek", say_recv, MSG_PEEK, 0, 0 },
	{ "recv_nothing", say_recv, 0, 16, 0 },
	{ "recv_errqueue", say_recv, MSG_ERRQUEUE, 0, 0 },
	{ "recvfrom", say_recvfrom, 0, 0, 0 },
	{ "recvmsg", say_recvmsg, 0, 0, 0 },
	{ "fionread", say_fionread, FIONREAD, 0, 0 },
	{ "outq", say_fionread, SIOCOUTQ, 0, 0 },
	{ "write", say_write, 0, 0, WORD_WAITS_OUT | WORD_SENDS },
	{ "writev", say_writev, 0, 0, WORD_WAITS_OUT | WORD_SENDS },
	{ "send", say_send, 0, 1, WORD_SENDS },
	{ "send_nosignal", say_send, MSG_NOSIGNAL, 1, WORD_SENDS },
	{ "send_nothing", say_send, 0, 0, 0 },
	{ "sendmsg", say_sendmsg, 0, 0, WORD_SENDS },
	{ "sendto_server", say_sendto_server, 0, 0, 0 },
	{ "sendto_nowhere", say_sendto_nowhere, 0, 0, 0 },
	{ "sendfile", say_sendfile, 0, 0, WORD_WAITS_OUT | WORD_SENDS },
	{ "connect", say_connect, -1, 0, WORD_CONNECTS },
	{ "connect_server", say_connect, PLACE(server), 0, WORD_CONNECTS },
	{ "connect_other", say_connect, PLACE(other), 0, WORD_CONNECTS },
	{ "connect_dead", say_connect, PLACE(dead), 0, WORD_CONNECTS | WORD_FAILS },
	{ "connect_short", say_connect_length, 4, 0, 0 },
	{ "connect_empty", say_connect_length, 0, 0, 0 },
	{ "connect_long", say_connect_length, 300, 0, 0 },
	{ "connect_nowhere", say_connect_nowhere, 0, 0, 0 },
	{ "connect_unspec", say_connect_unspec, 0, 0, 0 },
	{ "connect_family", say_connect_family, 0, 0, WORD_FAILS },
	{ "connect_strange", say_connect_strange, 0, 0, 0 },
	{ "shut_rd", say_shutdown, SHUT_RD, 0, 0 },
	{ "shut_wr", say_shutdown, SHUT_WR, 0, 0 },
	{ "shut_rdwr", say_shutdown, SHUT_RDWR, 0, 0 },
	{ "shut_strange", say_shutdown, 9, 0, 0 },
	{ "close", say_close, 0, 0, 0 },
	{ "close_range", say_close_range, 0, 0, 0 },
	{ "bind", say_bind, 0, 0, 0 },
	{ "bind_short", say_bind, 1, 0, 0 },
	{ "listen", say_listen, 0, 0, 0 },
	{ "accept", say_accept, SOCK_CLOEXEC, 0, WORD_WAITS_IN },
	{ "accept_strange", say_accept, 1, 0, 0 },
	{ "dup", say_dup, 0, 0, 0 },
	{ "dup2", say_dup_onto, 2, 0, 0 },
	{ "dup3", say_dup_onto, 3, O_CLOEXEC, 0 },
	{ "dup2_self", say_dup_self, 2, 0, 0 },
	{ "dup3_self", say_dup_self, 3, 0, 0 },
	{ "dup2_nowhere", say_dup_nowhere, 0, 0, 0 },
	{ "dupfd", say_fcntl, F_DUPFD, 50, 0 },
	{ "dupfd_cloexec", say_fcntl, F_DUPFD_CLOEXEC, 0, 0 },
	{ "getfl", say_fcntl, F_GETFL, 0, 0 },
	{ "getfd", say_fcntl, F_GETFD, 0, 0 },
	{ "nonblock", say_fcntl, F_SETFL, O_NONBLOCK, 0 },
	{ "block", say_fcntl, F_SETFL, 0, 0 },
	{ "fionbio_on", say_fionbio, 1, 0, 0 },
	{ "fionbio_off", say_fionbio, 0, 0, 0 },
	{ "first", say_first, 0, 0, 0 },
	{ "vfork_close", say_vfork_close, 0, 0, 0 },
	{ "fstat", say_fstat, 0, 0, 0 },
	{ "lseek", say_lseek, 0, 0, 0 },
	{ "isatty", say_isatty, 0, 0, 0 },
	{ "pread", say_pread, 0, 0, WORD_WAITS_IN },
	{ "fsync", say_fsync, 0, 0, 0 },
};

static const struct word *word_find(const char *name)
{
	for (unsigned int i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strcmp(words[i].name, name) == 0)
			return &words[i];
	fprintf(stderr, "conform: no word is called %s\n", name);
	exit(2);
}

/* ---- saying a question --------------------------------------------------------------- */

/* A call that would wait for ever is not made: whether it would is told by poll(). */
static bool would_wait(const struct subject *s, const struct word *word)
{
	struct pollfd look = {
		.fd = s->fd,
		.events = word->flags & WORD_WAITS_IN ? POLLIN | POLLRDHUP : POLLOUT,
	};

	return word->flags & (WORD_WAITS_IN | WORD_WAITS_OUT) && s->fd >= 0 &&
	       !raw_is_nonblocking(s->fd) && syscall(SYS_poll, &look, 1, 0) == 0;
}

static void word_say(struct subject *s, const char *name)
{
	const struct word *word = word_find(name);

	answer(" %s", name);
	if (would_wait(s, word)) {
		answer(" would wait");
		return;
	}
	word->say(s, word);
	settle(s, word->flags & WORD_SENDS && errno == UNTOUCHED);
	answer(";");
}

/* The words up to "join" are a child's; it starts with what its parent knew. */
static char *fork_say(struct subject *s, char *rest)
{
	char *name;
	pid_t pid = fork();
	int status = 0;

	if (pid == 0) {
		answer(" {");
		while ((name = strsep(&rest, " ")) && strcmp(name, "join") != 0)
			word_say(s, name);
		answer(" }");
		_exit(0);
	}
	waitpid(pid, &status, 0);
	if (status)
		answer(" child ended with status %d", status);
	while ((name = strsep(&rest, " ")) && strcmp(name, "join") != 0)
		;
	return rest;
}

void question_ask(const char *question, struct subject *subject)
{
	char *copy = strdup(question);
	char *rest = copy;
	char *name;

	answers[0] = '\0';
	while (rest && (name = strsep(&rest, " "))) {
		if (strcmp(name, "fork") == 0)
			rest = fork_say(subject, rest);
		else
			word_say(subject, name);
	}
	free(copy);
}

bool question_fails(const char *question)
{
	char *copy = strdup(question);
	char *rest = copy;
	char *name;
	bool fails = false;

	while ((name = strsep(&rest, " ")))
		if (strcmp(name, "fork") != 0 && strcmp(name, "join") != 0)
			fails |= word_find(name)->flags & WORD_FAILS;
	free(copy);
	return fails;
}
