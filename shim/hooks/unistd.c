/* SPDX-License-Identifier: MIT */
/* unistd.h, and the two of stdlib.h and stdio.h that end processes and streams */
#include <fcntl.h>
#include <linux/close_range.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include "fortify.h"
#include "shim/engine/engine.h"
#include "shim/engine/exec.h"
#include "shim/engine/names.h"
#include "shim/engine/transfer.h"
#include "shim/libc.h"

BEHIND ssize_t read_again(int fd, void *data, size_t size)
{
	return RECEIVE(fd, 0, LIBC(read)(fd, data, size));
}

BEHIND ssize_t read_finish(const struct transfer_call *call, ssize_t result)
{
	return FINISH(received, call, false, result,
		      read_again(call->fd, (void *)(uintptr_t)call->data, call->size));
}

BEHIND ssize_t read_managed(int fd, void *data, size_t size, struct connection *connection,
			    libc_read_t *next)
{
	if (transfer_wants(connection))
		return read_again(fd, data, size);
	return ONCE(read, received, connection, fd, data, size, 0, next(fd, data, size));
}

HOOK ssize_t read(int fd, void *data, size_t size)
{
	return HOT(read, fd, data, size);
}

HOOK ssize_t __read_chk(int fd, void *data, size_t size, size_t room)
{
	return RECEIVE(fd, 0, LIBC(__read_chk)(fd, data, size, room));
}

BEHIND ssize_t write_again(int fd, const void *data, size_t size)
{
	return SEND_BYTES(fd, 0, data, size, LIBC(write)(fd, data, size));
}

BEHIND ssize_t write_finish(const struct transfer_call *call, ssize_t result)
{
	return FINISH(sent, call, true, result, write_again(call->fd, call->data, call->size));
}

BEHIND ssize_t write_managed(int fd, const void *data, size_t size, struct connection *connection,
			     libc_write_t *next)
{
	if (transfer_wants(connection))
		return write_again(fd, data, size);
	return ONCE(write, sent, connection, fd, data, size, 0, next(fd, data, size));
}

HOOK ssize_t write(int fd, const void *data, size_t size)
{
	return HOT(write, fd, data, size);
}

HOOK int close(int fd)
{
	fd_closing(fd);
	return LIBC(close)(fd);
}

HOOK int close_range(unsigned int first, unsigned int last, int flags)
{
	if (!(flags & CLOSE_RANGE_CLOEXEC))
		fd_range_closing(first, last);
	return LIBC(close_range)(first, last, flags);
}

HOOK void closefrom(int first)
{
	fd_range_closing(first < 0 ? 0 : (unsigned int)first, ~0u);
	LIBC(closefrom)(first);
}

HOOK int fclose(FILE *stream)
{
	int saved_errno = errno, fd = fileno(stream);

	if (fd >= 0)
		fd_closing(fd);
	errno = saved_errno;
	return LIBC(fclose)(stream);
}

HOOK int dup(int fd)
{
	int copy = LIBC(dup)(fd);

	if (copy >= 0)
		fd_duplicated(fd, copy);
	return copy;
}

HOOK int dup2(int fd, int target)
{
	int copy;

	fd_replacing(fd, target);
	copy = LIBC(dup2)(fd, target);
	if (copy >= 0)
		fd_duplicated(fd, copy);
	return copy;
}

HOOK int dup3(int fd, int target, int flags)
{
	int copy;

	if (!(flags & ~O_CLOEXEC))
		fd_replacing(fd, target);
	copy = LIBC(dup3)(fd, target, flags);
	if (copy >= 0)
		fd_duplicated(fd, copy);
	return copy;
}

/*
 * A daemon's worker gives root up before its first connect: the state is opened before it may not
 * be; and what it looks up from then on leads no process that keeps root anywhere.
 */
HOOK int setuid(uid_t uid)
{
	engine_prepare();
	names_separate();
	return LIBC(setuid)(uid);
}

HOOK int seteuid(uid_t uid)
{
	engine_prepare();
	names_separate();
	return LIBC(seteuid)(uid);
}

HOOK int setreuid(uid_t real, uid_t effective)
{
	engine_prepare();
	names_separate();
	return LIBC(setreuid)(real, effective);
}

HOOK int setresuid(uid_t real, uid_t effective, uid_t saved)
{
	engine_prepare();
	names_separate();
	return LIBC(setresuid)(real, effective, saved);
}

/* Many a program looks names up in a child and connects by itself. */
HOOK pid_t fork(void)
{
	names_share();
	connections_share();
	return LIBC(fork)();
}

/* ---- exec: the memory goes, and with it what could be sent again --------------------------- */

HOOK int execve(const char *path, char *const *arguments, char *const *names)
{
	exec_begins(AT_FDCWD, path);
	return LIBC(execve)(path, arguments, names);
}

HOOK int execv(const char *path, char *const *arguments)
{
	exec_begins(AT_FDCWD, path);
	return LIBC(execv)(path, arguments);
}

HOOK int execvp(const char *name, char *const *arguments)
{
	exec_begins_named(name);
	return LIBC(execvp)(name, arguments);
}

HOOK int execvpe(const char *name, char *const *arguments, char *const *names)
{
	exec_begins_named(name);
	return LIBC(execvpe)(name, arguments, names);
}

HOOK int fexecve(int fd, char *const *arguments, char *const *names)
{
	exec_begins_of(fd);
	return LIBC(fexecve)(fd, arguments, names);
}

HOOK int execveat(int directory, const char *path, char *const *arguments, char *const *names,
		  int flags)
{
	if (!exec_begins(directory, path) && flags & AT_EMPTY_PATH)
		exec_begins_of(directory);
	return LIBC(execveat)(directory, path, arguments, names, flags);
}

/* A row of arguments ends with NULL, which counts. */
static size_t row_count(const char *first, va_list *row)
{
	size_t count = 1;

	for (const char *word = first; word; word = va_arg(*row, const char *))
		count++;
	return count;
}

/* Leaves `row` behind the NULL. */
static void row_copy(char **array, const char *first, va_list *row)
{
	*array = (char *)(uintptr_t)first;
	while (*array)
		*++array = va_arg(*row, char *);
}

/* The row behind `first` as an array on the caller's stack, where libc has it, too. */
#define ROW_GATHER(array, row, first)                                                    \
	do {                                                                             \
		va_start(row, first);                                                    \
		(array) = __builtin_alloca(row_count(first, &(row)) * sizeof(*(array))); \
		va_end(row);                                                             \
		va_start(row, first);                                                    \
		row_copy(array, first, &(row));                                          \
	} while (0)

HOOK int execl(const char *path, const char *first, ...)
{
	char **arguments;
	va_list row;

	ROW_GATHER(arguments, row, first);
	va_end(row);
	exec_begins(AT_FDCWD, path);
	return LIBC(execv)(path, arguments);
}

HOOK int execle(const char *path, const char *first, ...)
{
	char **arguments;
	char *const *names;
	va_list row;

	ROW_GATHER(arguments, row, first);
	names = va_arg(row, char *const *);
	va_end(row);
	exec_begins(AT_FDCWD, path);
	return LIBC(execve)(path, arguments, names);
}

HOOK int execlp(const char *name, const char *first, ...)
{
	char **arguments;
	va_list row;

	ROW_GATHER(arguments, row, first);
	va_end(row);
	exec_begins_named(name);
	return LIBC(execvp)(name, arguments);
}

/* ---- the end ------------------------------------------------------------------------------- */

/* Forked children end this way, past every destructor. */
HOOK __attribute__((noreturn)) void _exit(int status)
{
	engine_leave();
	LIBC(_exit)(status);
	__builtin_unreachable();
}

HOOK __attribute__((noreturn)) void quick_exit(int status)
{
	engine_leave();
	LIBC(quick_exit)(status);
	__builtin_unreachable();
}

HOOK __attribute__((noreturn)) void _Exit(int status)
{
	engine_leave();
	LIBC(_Exit)(status);
	__builtin_unreachable();
}
