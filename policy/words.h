/* SPDX-License-Identifier: MIT */
/*
 * The words of the policy language, and small text helpers that the pure part and
 * the compiler share.  No locale, stdio or heap; safe in signal handlers.
 */
#ifndef HOLDFAST_POLICY_WORDS_H
#define HOLDFAST_POLICY_WORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "text.h"

/* Each list is in the order of its enum in policy.h. */
struct words {
	const char *const *list;
	size_t count;
};

extern const struct words category_words, decision_words, jitter_words, siblings_words,
	replay_words, balance_words, when_open_words, action_words, ratioless_jitter_words;

/* Index of a word of length bytes, or -1. */
int word_find(const struct words *words, const char *text, size_t length);

/*
 * The word that was probably meant: the nearest one by edits (insertions,
 * deletions, replacements, swaps of neighbours), if at most a third of it is
 * different. -1 if none is near.
 */
int word_nearest(const struct words *words, const char *text);

/* Number of edits between two texts, or limit if there are at least that many. */
unsigned int edit_distance(const char *a, const char *b, unsigned int limit);

/* Parses "12", "0.25": no sign, no exponent, '.' in every locale. */
bool decimal_parse(const char *text, size_t length, double *number);
/* Parses digits only; false beyond max. */
bool integer_parse(const char *text, size_t length, uint64_t max, uint64_t *number);

#endif
