/* SPDX-License-Identifier: MIT */
/* sys/uio.h; an offset of -1 makes the p*v2 calls work on sockets */
#include "shim/engine/transfer.h"
#include "shim/libc.h"

/* Anywhere else, or in any other way, it cannot be sent again; most likely the kernel refuses it. */
static int count_kept(int count, off64_t offset, int flags)
{
	return offset == -1 && !flags ? count : -1;
}

HOOK ssize_t readv(int fd, const struct iovec *vector, int count)
{
	return RECEIVE(fd, 0, LIBC(readv)(fd, vector, count));
}

HOOK ssize_t writev(int fd, const struct iovec *vector, int count)
{
	return SEND(fd, 0, vector, count, LIBC(writev)(fd, vector, count));
}

HOOK ssize_t preadv2(int fd, const struct iovec *vector, int count, off_t offset, int flags)
{
	return RECEIVE(fd, 0, LIBC(preadv2)(fd, vector, count, offset, flags));
}

HOOK ssize_t pwritev2(int fd, const struct iovec *vector, int count, off_t offset, int flags)
{
	return SEND(fd, 0, vector, count_kept(count, offset, flags),
		    LIBC(pwritev2)(fd, vector, count, offset, flags));
}

HOOK ssize_t preadv64v2(int fd, const struct iovec *vector, int count, off64_t offset, int flags)
{
	return RECEIVE(fd, 0, LIBC(preadv64v2)(fd, vector, count, offset, flags));
}

HOOK ssize_t pwritev64v2(int fd, const struct iovec *vector, int count, off64_t offset, int flags)
{
	return SEND(fd, 0, vector, count_kept(count, offset, flags),
		    LIBC(pwritev64v2)(fd, vector, count, offset, flags));
}
