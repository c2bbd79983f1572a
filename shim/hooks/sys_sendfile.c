/* SPDX-License-Identifier: MIT */
/* sys/sendfile.h; the source of a sendfile() is never a socket */
#include <sys/sendfile.h>

#include "shim/engine/transfer.h"
#include "shim/libc.h"

HOOK ssize_t sendfile(int out, int in, off_t *offset, size_t size)
{
	return SEND(out, 0, NULL, -1, LIBC(sendfile)(out, in, offset, size));
}

HOOK ssize_t sendfile64(int out, int in, off64_t *offset, size_t size)
{
	return SEND(out, 0, NULL, -1, LIBC(sendfile64)(out, in, offset, size));
}
