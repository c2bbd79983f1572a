/* SPDX-License-Identifier: MIT */
/*
 * Calls that fail as if this machine lacked memory or buffers: behind holdfast in
 * LD_PRELOAD, so that what fails is what holdfast takes for libc.
 */
#include <errno.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

/* The first thread's, which is the test: how many of the next calls fail, with what, and how many there were. */
int faulty_next, faulty_error, faulty_calls;

static int fails(void)
{
	if (syscall(SYS_gettid) != getpid())
		return 0;
	faulty_calls++;
	if (faulty_next <= 0)
		return 0;
	faulty_next--;
	errno = faulty_error;
	return 1;
}

ssize_t send(int fd, const void *data, size_t size, int flags)
{
	return fails() ? -1 : syscall(SYS_sendto, fd, data, size, flags, NULL, 0);
}

ssize_t recv(int fd, void *data, size_t size, int flags)
{
	return fails() ? -1 : syscall(SYS_recvfrom, fd, data, size, flags, NULL, NULL);
}
