/* SPDX-License-Identifier: MIT */
/*
 * Calls of a program that fail as if this machine lacked memory or buffers: behind
 * holdfast in LD_PRELOAD, so that holdfast's own calls of libc are what fails.
 */
#include <dlfcn.h>
#include <errno.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/types.h>

/* The program's knobs: how many of the next calls fail, with what, and how many were made. */
int faulty_next, faulty_error = ENOBUFS, faulty_calls;

static int fails(void)
{
	faulty_calls++;
	if (faulty_next <= 0)
		return 0;
	faulty_next--;
	errno = faulty_error;
	return 1;
}

ssize_t send(int fd, const void *data, size_t size, int flags)
{
	return fails() ? -1 : sendto(fd, data, size, flags, NULL, 0);
}

ssize_t recv(int fd, void *data, size_t size, int flags)
{
	return fails() ? -1 : recvfrom(fd, data, size, flags, NULL, NULL);
}
