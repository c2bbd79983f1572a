/* SPDX-License-Identifier: MIT */
/* sys/select.h */
#include <sys/select.h>

#include "shim/engine/wait.h"
#include "shim/libc.h"

HOOK int select(int count, fd_set *read, fd_set *write, fd_set *except, struct timeval *timeout)
{
	return engine_select(count, read, write, except, timeout);
}

HOOK int pselect(int count, fd_set *read, fd_set *write, fd_set *except,
		 const struct timespec *timeout, const sigset_t *mask)
{
	return engine_pselect(count, read, write, except, timeout, mask);
}
