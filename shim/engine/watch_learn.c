/* SPDX-License-Identifier: MIT */
/*
 * Registrations that no epoll_ctl() of ours saw: made through io_uring, or before a
 * fork.  The kernel lists a set's in /proc/self/fdinfo/SET, a line each:
 *
 *	tfd:        5 events:       1d data:        5  pos:0 ino:2b3 sdev:8
 */
#include <string.h>

#include "connection.h"
#include "policy/text.h"
#include "schedule.h"
#include "shim/sys.h"
#include "watch.h"

/* Two lines at least. */
#define PIECE 512

/* The number after a word of the line, to the base 10 or 16. */
static bool field_read(const char *line, const char *word, unsigned int base, uint64_t *number)
{
	const char *at = strstr(line, word);
	bool any = false;

	*number = 0;
	if (!at)
		return false;
	for (at += strlen(word); *at == ' ' || *at == '\t'; at++)
		;
	for (;; at++, any = true) {
		unsigned int digit = *at >= '0' && *at <= '9'   ? (unsigned int)(*at - '0')
				     : *at >= 'a' && *at <= 'f' ? (unsigned int)(*at - 'a') + 10
								: base;
		if (digit >= base)
			return any;
		*number = *number * base + digit;
	}
}

static void line_learn(int set, const char *line, uint64_t data)
{
	struct epoll_event event;
	struct connection *connection;
	uint64_t fd, events, found;

	if (!field_read(line, "tfd:", 10, &fd) || !field_read(line, "events:", 16, &events) ||
	    !field_read(line, "data:", 16, &found) || found != data)
		return;
	connection = connection_of((int)fd);
	if (!connection || !connection_is_pending(connection))
		return;
	event.events = (uint32_t)events;
	/* A disarmed one says nothing of what it was for. */
	if (!(event.events & ~(EPOLLONESHOT | EPOLLET | EPOLLWAKEUP | EPOLLEXCLUSIVE)))
		event.events |= EPOLLIN | EPOLLOUT;
	event.data.u64 = data;
	watch_seen(set, (int)fd, &event);
}

static int list_open(int set)
{
	struct text path;
	char bytes[40];

	text_begin(&path, bytes, sizeof(bytes));
	text_add(&path, "/proc/self/fdinfo/");
	text_add_integer(&path, (uint64_t)set);
	return sys_openat(AT_FDCWD, bytes, O_RDONLY | O_CLOEXEC, 0);
}

void watch_learn(int set, uint64_t data)
{
	char piece[PIECE + 1];
	size_t kept = 0;
	ssize_t length;
	int fd = list_open(set);

	while (fd >= 0 && (length = sys_read(fd, piece + kept, PIECE - kept)) > 0) {
		char *line = piece, *end;

		piece[kept + (size_t)length] = '\0';
		while ((end = strchr(line, '\n'))) {
			*end = '\0';
			line_learn(set, line, data);
			line = end + 1;
		}
		kept = strlen(line);
		if (kept == PIECE)
			kept = 0; /* no line is so long */
		memmove(piece, line, kept);
	}
	if (fd >= 0)
		sys_close(fd);
}
