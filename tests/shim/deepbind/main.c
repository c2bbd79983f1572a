/* SPDX-License-Identifier: MIT */
/*
 * main deep FLAGS PORT    opens libdeep.so with these flags besides RTLD_NOW, says
 *                         whose deep_marker() it got, and lets it connect
 * main caller             lets libcaller.so open what only its RUNPATH leads to
 */
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int deep_marker(void);
const char *caller_open(const char *name);

/* The program's own, which a library gets unless it is bound deep. */
int deep_marker(void)
{
	return 1;
}

static void *library_open(const char *name, int flags)
{
	void *library = dlopen(name, RTLD_NOW | flags);

	if (!library) {
		puts(dlerror());
		exit(1);
	}
	return library;
}

int main(int argc, char **argv)
{
	int (*bound)(void), (*connects)(uint16_t);
	void *deep;
	int flags = 0;

	if (argc < 4) {
		puts(caller_open("libinner.so"));
		/* The program itself has no such path. */
		puts(dlopen("libinner-other.so", RTLD_NOW) ? "found" : "not found");
		return 0;
	}
	if (strstr(argv[2], "deep"))
		flags |= RTLD_DEEPBIND;
	if (strstr(argv[2], "global"))
		flags |= RTLD_GLOBAL;
	deep = library_open("libdeep.so", flags);
	*(void **)&bound = dlsym(deep, "deep_bound");
	*(void **)&connects = dlsym(deep, "deep_connect");
	printf("%s %d\n", bound() == 1 ? "program's" : "own", connects((uint16_t)atoi(argv[3])));
	return 0;
}
