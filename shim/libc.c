/* SPDX-License-Identifier: MIT */
#include "libc.h"

#include <dlfcn.h>
#include <errno.h>

void *libc_addresses[LIBC_COUNT];

static const char *const names[LIBC_COUNT] = {
#define LIBC_NAME(result, name, parameters) [LIBC_##name] = #name,
	LIBC_HOOKS(LIBC_NAME)
#undef LIBC_NAME
};

static long function_missing(void)
{
	errno = ENOSYS;
	return -1;
}

void *libc_resolve(enum libc_function function)
{
	int saved_errno = errno;
	void *address = dlsym(RTLD_NEXT, names[function]);

	if (!address)
		address = (void *)function_missing;
	__atomic_store_n(&libc_addresses[function], address, __ATOMIC_RELAXED);
	errno = saved_errno;
	return address;
}
