/* SPDX-License-Identifier: MIT */
/* fcntl.h and sys/ioctl.h: duplicates, the mode, and splice() */
#include <fcntl.h>
#include <stdarg.h>
#include <sys/ioctl.h>

#include "shim/engine/transfer.h"
#include "shim/libc.h"

static void fcntl_note(int fd, int command, long argument, int result)
{
	if (result < 0)
		return;
	if (command == F_DUPFD || command == F_DUPFD_CLOEXEC)
		fd_duplicated(fd, result);
	else if (command == F_SETFL)
		fd_mode(fd, argument & O_NONBLOCK);
}

/* Every third argument is an int, a long or a pointer: one register. */
HOOK int fcntl(int fd, int command, ...)
{
	va_list arguments;
	long argument;
	int result;

	va_start(arguments, command);
	argument = va_arg(arguments, long);
	va_end(arguments);
	result = LIBC(fcntl)(fd, command, argument);
	fcntl_note(fd, command, argument, result);
	return result;
}

HOOK int fcntl64(int fd, int command, ...)
{
	va_list arguments;
	long argument;
	int result;

	va_start(arguments, command);
	argument = va_arg(arguments, long);
	va_end(arguments);
	result = LIBC(fcntl64)(fd, command, argument);
	fcntl_note(fd, command, argument, result);
	return result;
}

HOOK int ioctl(int fd, unsigned long request, ...)
{
	va_list arguments;
	void *argument;
	int result;

	va_start(arguments, request);
	argument = va_arg(arguments, void *);
	va_end(arguments);
	result = LIBC(ioctl)(fd, request, argument);
	if (request == FIONBIO && result == 0)
		fd_mode(fd, *(const int *)argument != 0);
	else if (request == TIOCOUTQ && result == 0 && engine_nothing_queued(fd))
		*(int *)argument = 0;
	return result;
}

/* One of both is a pipe. */
HOOK ssize_t splice(int in, off64_t *in_offset, int out, off64_t *out_offset, size_t size,
		    unsigned int flags)
{
	int mode = flags & SPLICE_F_NONBLOCK ? MSG_DONTWAIT : 0;

	if (connection_of(in))
		return RECEIVE(in, mode, LIBC(splice)(in, in_offset, out, out_offset, size, flags));
	return SEND(out, mode, NULL, -1, LIBC(splice)(in, in_offset, out, out_offset, size, flags));
}
