/* SPDX-License-Identifier: MIT */
/* The names in LIBC_HOOKS, one a line: what libholdfast.so should export. */
#include <stdio.h>

#include "shim/libc.h"

#define NAME(result, name, parameters) #name,

int main(void)
{
	static const char *const names[] = { LIBC_HOOKS(NAME) };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		puts(names[i]);
	return 0;
}
