/* SPDX-License-Identifier: MIT */
/* Building a line of text: no locale, stdio or heap; safe in signal handlers. */
#ifndef HOLDFAST_POLICY_TEXT_H
#define HOLDFAST_POLICY_TEXT_H

#include <stddef.h>
#include <stdint.h>

/* Text that is appended to and cut at the end of its buffer, always terminated. */
struct text {
	char *buffer;
	size_t size;
	size_t length;
};

void text_begin(struct text *text, char *buffer, size_t size);
void text_add(struct text *text, const char *words);
/* In quotes, control characters as \xNN, cut after some 48 bytes. */
void text_add_quoted(struct text *text, const char *words);
void text_add_integer(struct text *text, uint64_t number);
struct words;
/* Adds: "a", "b" or "c". */
void text_add_words(struct text *text, const struct words *words);
/* In the largest unit that divides it: 90s, 5m, 250ms. Nanoseconds below 1 ms are dropped. */
void text_add_duration(struct text *text, uint64_t ns);
void text_add_size(struct text *text, uint64_t bytes);

#endif
