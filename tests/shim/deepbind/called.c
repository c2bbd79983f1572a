/* SPDX-License-Identifier: MIT */
/*
 * A preload whose dlopen() calls the real one instead of jumping there: what ours
 * must not be.  With it the test's caller finds nothing.
 */
#include <dlfcn.h>

void *dlopen(const char *name, int flags)
{
	void *(*real)(const char *, int);
	void *volatile library;

	*(void **)&real = dlsym(RTLD_NEXT, "dlopen");
	library = real(name, flags);
	return library;
}
