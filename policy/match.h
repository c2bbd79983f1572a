/* SPDX-License-Identifier: MIT */
#ifndef HOLDFAST_POLICY_MATCH_H
#define HOLDFAST_POLICY_MATCH_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Shell patterns over bytes: * (also across '/' and a leading '.'), ?, [a-z],
 * [!a-z]; a backslash takes the next character as it is. Independent of the
 * locale; at most pattern length times text length steps, no recursion.
 */
bool glob_match(const char *pattern, size_t pattern_length, const char *text, size_t text_length,
		bool ignore_case);

#endif
