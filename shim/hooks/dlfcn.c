/* SPDX-License-Identifier: MIT */
/* dlfcn.h: libraries that would look past us */
#include <dlfcn.h>

#include "shim/config.h"
#include "shim/libc.h"

/*
 * With RTLD_DEEPBIND (PHP opens its extensions so) a library finds libc's functions
 * before ours, and what it connects cannot be held.  The call must be a jump: glibc
 * tells by the return address in whose search path, and in which namespace, it is
 * to look.
 */
HOOK void *dlopen(const char *file, int mode)
{
	if (mode & RTLD_DEEPBIND && config_get()->enabled)
		mode &= ~RTLD_DEEPBIND;
	return LIBC(dlopen)(file, mode);
}
