/* SPDX-License-Identifier: MIT */
/* Connecting, ending, serving, other names and modes of the socket, plain facts. */
#include "say.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

/* ---- connecting ---------------------------------------------------------------------- */

static void connect_say(struct subject *s, const struct sockaddr *address, socklen_t length)
{
	bool hangs = s->silent && !raw_is_nonblocking(s->fd);

	if (hangs)
		interrupt_soon(s->patience_ms ? s->patience_ms : 5);
	CALL(connect(s->fd, address, length));
	if (hangs)
		interrupt_never();
}

/* a: the place's offset in the world; -1: the state's own. */
void say_connect(struct subject *s, const struct word *word)
{
	const struct place *place = s->target;

	if (word->a >= 0)
		place = (const void *)((const char *)s->world + word->a);
	connect_say(s, &place->address.any, place->length);
	if (errno == UNTOUCHED)
		s->resets = place->fd < 0;
}

/* The server's address, cut or stretched to a bytes. */
void say_connect_length(struct subject *s, const struct word *word)
{
	union {
		union address address;
		char bytes[512];
	} room = { .address = s->target->address };

	connect_say(s, &room.address.any, (socklen_t)word->a);
}

void say_connect_nowhere(struct subject *s, const struct word *word)
{
	connect_say(s, nowhere, sizeof(struct sockaddr_in));
}

void say_connect_unspec(struct subject *s, const struct word *word)
{
	const struct sockaddr_storage address = { .ss_family = AF_UNSPEC };

	if (CALL(connect(s->fd, (const struct sockaddr *)&address, sizeof(address))) == 0)
		s->resets = false;
}

/* An address of a family that is not the socket's. */
void say_connect_family(struct subject *s, const struct word *word)
{
	union address address;
	socklen_t length = place_any(&address, s->state->family == AF_INET ? AF_INET6 : AF_INET);

	if (s->state->family == AF_INET)
		address.v6.sin6_port = htons(9);
	else
		address.v4.sin_port = htons(9);
	connect_say(s, &address.any, length);
}

void say_connect_strange(struct subject *s, const struct word *word)
{
	const struct sockaddr_storage address = { .ss_family = 9999 };

	connect_say(s, (const struct sockaddr *)&address, sizeof(address));
}

/* ---- ends, service, names, modes ----------------------------------------------------- */

void say_shutdown(struct subject *s, const struct word *word)
{
	CALL(shutdown(s->fd, (int)word->a));
}

void say_close(struct subject *s, const struct word *word)
{
	CALL(close(s->fd));
}

void say_close_range(struct subject *s, const struct word *word)
{
	if (s->fd < 0)
		answer(" no range");
	else
		CALL(close_range((unsigned int)s->fd, (unsigned int)s->fd, 0));
}

void say_bind(struct subject *s, const struct word *word)
{
	union address address;
	socklen_t length = place_any(&address, s->state->family);

	/* An autobound name of AF_UNIX is random, but of the same length every time. */
	CALL(bind(s->fd, &address.any, word->a ? (socklen_t)word->a : length));
}

void say_listen(struct subject *s, const struct word *word)
{
	CALL(listen(s->fd, 4));
}

void say_accept(struct subject *s, const struct word *word)
{
	union address address = { 0 };
	socklen_t length = sizeof(address);

	CALL(accept4(s->fd, &address.any, &length, (int)word->a));
}

static void take_name(struct subject *s, long result)
{
	if (result >= 0)
		s->fd = (int)result;
}

void say_dup(struct subject *s, const struct word *word)
{
	take_name(s, CALL(dup(s->fd)));
}

/* a: 2 or 3; b: what dup3 is told */
void say_dup_onto(struct subject *s, const struct word *word)
{
	int target = open("/dev/null", O_RDONLY | O_CLOEXEC);

	if (word->a == 2)
		take_name(s, CALL(dup2(s->fd, target)));
	else
		take_name(s, CALL(dup3(s->fd, target, (int)word->b)));
}

void say_dup_self(struct subject *s, const struct word *word)
{
	if (word->a == 2)
		CALL(dup2(s->fd, s->fd));
	else
		CALL(dup3(s->fd, s->fd, 0));
}

void say_dup_nowhere(struct subject *s, const struct word *word)
{
	CALL(dup2(s->fd, -1));
}

void say_fcntl(struct subject *s, const struct word *word)
{
	long result = CALL(fcntl(s->fd, (int)word->a, word->b));

	if (word->a == F_DUPFD || word->a == F_DUPFD_CLOEXEC)
		take_name(s, result);
}

void say_fionbio(struct subject *s, const struct word *word)
{
	int on = (int)word->a;

	CALL(ioctl(s->fd, FIONBIO, &on));
}

void say_first(struct subject *s, const struct word *word)
{
	s->fd = s->first;
}

void say_vfork_close(struct subject *s, const struct word *word)
{
	int fd = s->fd;
	pid_t pid = vfork();

	if (pid == 0) {
		close(fd);
		_exit(0);
	}
	waitpid(pid, NULL, 0);
}

/* ---- plain facts --------------------------------------------------------------------- */

void say_fstat(struct subject *s, const struct word *word)
{
	struct stat status;

	if (CALL(fstat(s->fd, &status)) == 0)
		answer(" says %o", status.st_mode & S_IFMT);
}

void say_lseek(struct subject *s, const struct word *word)
{
	CALL(lseek(s->fd, 0, SEEK_CUR));
}

void say_isatty(struct subject *s, const struct word *word)
{
	CALL(isatty(s->fd) ? 1 : -1);
}

void say_pread(struct subject *s, const struct word *word)
{
	char byte;

	CALL(pread(s->fd, &byte, 1, 0));
}

void say_fsync(struct subject *s, const struct word *word)
{
	CALL(fsync(s->fd));
}
