/* SPDX-License-Identifier: MIT */
#ifndef HOLDFAST_COMPILE_SYNTAX_H
#define HOLDFAST_COMPILE_SYNTAX_H

#include <stdbool.h>
#include <stddef.h>

struct syntax_error {
	unsigned int line;   /* from 1 */
	unsigned int column; /* from 1, in characters */
	char message[160];
};

/*
 * Checks that text is one JSON value of RFC 8259, without NUL characters and not
 * nested deeper than any policy is. False with the first error otherwise.
 */
bool syntax_check(const char *text, size_t length, struct syntax_error *error);

#endif
