/* SPDX-License-Identifier: MIT */
/*
 * The table of keys: what a policy file can set, where it goes and in which range.
 * Parsing, validation, merging, explain and suggestions are all driven by it.
 */
#ifndef HOLDFAST_COMPILE_KEYS_H
#define HOLDFAST_COMPILE_KEYS_H

#include "context.h"

enum key_section {
	SECTION_CONNECT,
	SECTION_RESOLVE,
	SECTION_TRANSFER,
	SECTION_HEARTBEAT,
	SECTION_BREAKER,
	SECTION_BUDGET,
	SECTION_SHARE,
	SECTION_STRATEGY, /* below "strategies" and a category */
	SECTION_ALERTS,
	SECTION_STORE,
	SECTION_COUNT
};

enum key_type {
	KEY_DURATION, /* uint64_t, nanoseconds; off: DURATION_OFF */
	KEY_SIZE,     /* uint64_t, bytes */
	KEY_COUNT,    /* uint32_t; off: 0 */
	KEY_RETRIES,  /* uint32_t, or RETRIES_UNLIMITED */
	KEY_NUMBER,   /* double; off: -1 */
	KEY_JITTER,   /* jitter and jitter_ratio of a struct policy_strategy */
	KEY_WORD,     /* uint8_t, index in words */
	KEY_BOOL,     /* uint8_t */
	KEY_RECORD    /* uint32_t, bytes; "newline": 0 */
};

struct key {
	enum key_section section;
	const char *name;
	enum key_type type;
	/* In struct policy_settings or policy_strategy; for alerts and store, struct policy. */
	size_t offset;
	double low, high; /* range, inclusive */
	const struct words *words;
	bool can_be_off;
	bool acted_on; /* false: parsed, and nothing acts on it yet */
};

#define KEY_ROWS 40
extern const struct key keys[KEY_ROWS];
extern const char *const section_names[SECTION_COUNT];

#define SECTION_KEYS_MAX 10

/* The names of a section's keys; *first is the section's first row. */
struct words section_keys(enum key_section section, const char *names[SECTION_KEYS_MAX],
			  const struct key **first);

/* value.c: reads an item into base (see struct key); adds an error if it does not fit. */
void value_compile(struct compile_context *context, const struct key *key, const cJSON *item,
		   void *base);
/* Writes the value as a file would have it. */
void value_format(const struct key *key, const void *base, struct text *text);
/* Whether both bases have the same value. */
bool value_equal(const struct key *key, const void *a, const void *b);

#endif
