/* SPDX-License-Identifier: MIT */
/*
 * Shell patterns.  fnmatch() depends on the locale, and its worst case is
 * exponential in some libraries; here only the last star is ever retried.
 */
#include "match.h"

#include <stdint.h>

static unsigned char folded(char c, bool ignore_case)
{
	unsigned char byte = (unsigned char)c;

	return ignore_case && byte >= 'A' && byte <= 'Z' ? byte + ('a' - 'A') : byte;
}

/*
 * A bracket expression at pattern[0] == '['. Returns its length, 0 if it is not
 * closed (then the bracket stands for itself); *matches tells about the byte.
 */
static size_t bracket_match(const char *pattern, size_t length, unsigned char byte,
			    bool ignore_case, bool *matches)
{
	size_t at = 1;
	bool negated = length > 1 && (pattern[1] == '!' || pattern[1] == '^');
	bool found = false;

	at += negated;
	/* A ']' that comes first is a member. */
	for (size_t first = at; at < length && (pattern[at] != ']' || at == first); at++) {
		unsigned char low = folded(pattern[at], ignore_case), high = low;

		if (at + 2 < length && pattern[at + 1] == '-' && pattern[at + 2] != ']') {
			high = folded(pattern[at + 2], ignore_case);
			at += 2;
		}
		found |= byte >= low && byte <= high;
	}
	*matches = found != negated;
	return at < length ? at + 1 : 0;
}

/* One element of the pattern, no star, against one byte: its length, or 0 if it differs. */
static size_t element_match(const char *pattern, size_t length, char c, bool ignore_case)
{
	unsigned char byte = folded(c, ignore_case);
	size_t bracket;
	bool matches;

	if (pattern[0] == '?')
		return 1;
	if (pattern[0] == '[') {
		bracket = bracket_match(pattern, length, byte, ignore_case, &matches);
		if (bracket)
			return matches ? bracket : 0;
	}
	if (pattern[0] == '\\' && length > 1)
		return folded(pattern[1], ignore_case) == byte ? 2 : 0;
	return folded(pattern[0], ignore_case) == byte ? 1 : 0;
}

bool glob_match(const char *pattern, size_t pattern_length, const char *text, size_t text_length,
		bool ignore_case)
{
	size_t p = 0, t = 0;
	size_t star = SIZE_MAX, star_text = 0; /* behind the last star, and what it takes so far */

	while (t < text_length) {
		size_t step = 0;

		if (p < pattern_length && pattern[p] == '*') {
			star = ++p;
			star_text = t;
			continue;
		}
		if (p < pattern_length)
			step = element_match(pattern + p, pattern_length - p, text[t], ignore_case);
		if (step) {
			p += step;
			t++;
		} else if (star != SIZE_MAX) {
			p = star;
			t = ++star_text;
		} else {
			return false;
		}
	}
	while (p < pattern_length && pattern[p] == '*')
		p++;
	return p == pattern_length;
}
