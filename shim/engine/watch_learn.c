/* SPDX-License-Identifier: MIT */
/*
 * Registrations that no epoll_ctl() of ours saw: made through io_uring, or before a
 * fork.  The kernel lists a set's in /proc/self/fdinfo/SET, a line each:
 *
 *	tfd:        5 events:       1d data:        5  pos:0 ino:2b3 sdev:8
 */
#include <errno.h>
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

/* A line of the list. */
struct listed {
	int fd;
	uint64_t inode;
	struct epoll_event event;
};

static bool line_read(const char *line, struct listed *listed)
{
	uint64_t fd, events, data;

	if (!field_read(line, "tfd:", 10, &fd) || !field_read(line, "events:", 16, &events) ||
	    !field_read(line, "data:", 16, &data) || !field_read(line, "ino:", 16, &listed->inode))
		return false;
	listed->fd = (int)fd;
	listed->event.events = (uint32_t)events;
	listed->event.data.u64 = data;
	return true;
}

/*
 * What is looked for: data of a pending socket, whose event came; or, if fd is not -1, that
 * fd. Of a file that another process holds open the list has a number that may be another's.
 */
struct wanted {
	uint64_t data;
	int fd;
	uint64_t inode; /* of fd */
};

static bool is_wanted(const struct wanted *wanted, const struct listed *listed)
{
	const struct connection *connection;

	if (wanted->fd >= 0)
		return listed->fd == wanted->fd && listed->inode == wanted->inode;
	connection = connection_of(listed->fd);
	return listed->event.data.u64 == wanted->data && connection &&
	       connection_is_pending(connection);
}

static void line_learn(int set, const char *line, const struct wanted *wanted)
{
	const uint32_t flags = EPOLLONESHOT | EPOLLET | EPOLLWAKEUP | EPOLLEXCLUSIVE;
	struct listed listed;

	if (!line_read(line, &listed) || !is_wanted(wanted, &listed))
		return;
	/* Disarmed by the event that came: what it was for is listed no more. */
	if (wanted->fd < 0 && !(listed.event.events & ~flags))
		listed.event.events |= EPOLLIN | EPOLLOUT;
	watch_seen(set, listed.fd, &listed.event);
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

/* False if the list cannot be read, of a set that is there. */
static bool set_learn(int set, const struct wanted *wanted)
{
	char piece[PIECE + 1];
	size_t kept = 0;
	ssize_t length = -1;
	int list = list_open(set);

	while (list >= 0 && (length = sys_read(list, piece + kept, PIECE - kept)) > 0) {
		char *line = piece, *end;

		piece[kept + (size_t)length] = '\0';
		while ((end = strchr(line, '\n'))) {
			*end = '\0';
			line_learn(set, line, wanted);
			line = end + 1;
		}
		kept = strlen(line);
		if (kept == PIECE)
			kept = 0; /* no line is so long */
		memmove(piece, line, kept);
	}
	if (list >= 0)
		sys_close(list);
	return length == 0 || sys_fcntl(set, F_GETFD, 0) < 0;
}

void watch_learn(int set, uint64_t data)
{
	const struct wanted wanted = { .data = data, .fd = -1 };

	set_learn(set, &wanted);
}

bool watch_learn_socket(int fd)
{
	struct wanted wanted = { .fd = fd };
	int saved_errno = errno;
	bool learned = true;
	struct stat status;

	watch_forget(fd);
	if (sys_fstat(fd, &status) == 0)
		wanted.inode = status.st_ino;
	for (int set = 0; set < FD_CHUNKS * FDS_PER_CHUNK; set++) {
		if (!fd_chunk(set))
			set += FDS_PER_CHUNK - 1;
		else if (fd_kind(set) & FD_SET_OF_FDS)
			learned = set_learn(set, &wanted) && learned;
	}
	errno = saved_errno;
	return learned;
}
