/* SPDX-License-Identifier: MIT */
/*
 * The memory of names.c: entries that several processes write and read, none of
 * which waits for another or trusts what another wrote.  Async-signal-safe.
 */
#ifndef HOLDFAST_ENGINE_NAMES_TABLE_H
#define HOLDFAST_ENGINE_NAMES_TABLE_H

#include <stdatomic.h>

#include "names.h"

/* What a lookup said; copied in and out by words, each of them atomic. */
struct name_content {
	uint32_t count;
	uint32_t reserved;
	struct name_address addresses[NAME_ADDRESSES];
	char host[NAME_SIZE_MAX];
};
#define NAME_WORDS (sizeof(struct name_content) / sizeof(uint64_t))

enum name_family { FAMILY_IPV4, FAMILY_IPV6, FAMILY_COUNT };

struct name_entry {
	/* Its version in the high half, odd while it is written; then since when, in ms. */
	_Atomic uint64_t state;
	_Atomic uint64_t order; /* of lookups; the last one wins */
	_Atomic int64_t learned_ns[FAMILY_COUNT];
	_Atomic uint64_t content[NAME_WORDS];
	_Atomic uint64_t answers[NAME_ADDRESSES]; /* answer | port << 2 | milliseconds << 18 */
};

struct name_table {
	_Atomic uint32_t used;
	_Atomic uint64_t lookups;
	struct name_entry entries[NAME_ENTRIES];
};

#define NO_ENTRY UINT32_MAX

/* Of CLOCK_MONOTONIC; differences of up to 24 days are told right. */
static inline uint32_t name_milliseconds(int64_t ns)
{
	return (uint32_t)(ns / 1000000);
}

int64_t name_now_ns(void);

static inline uint32_t name_version(uint64_t state)
{
	return (uint32_t)(state >> 32);
}

/* The table, NULL if there is none. make: then it is made, if holdfast is enabled. */
struct name_table *name_table(bool make);
uint32_t name_table_used(const struct name_table *table);

/* A whole copy; false if it is being written or was rewritten meanwhile. */
bool name_entry_read(const struct name_entry *entry, struct name_content *content, uint64_t *state);

/*
 * Which of the entry's addresses it is, without a copy of the whole; false if none.
 * name: its version and count are filled in.
 */
bool name_entry_has(const struct name_entry *entry, const struct name_address *address,
		    struct name *name, uint32_t *index);

/* Its host was looked up just now, in this family or AF_UNSPEC. */
void name_entry_stamp(struct name_entry *entry, int family, uint64_t order);

/*
 * Over what was there in that state, which is then the new one. False if the entry
 * changed meanwhile or another is writing it.
 */
bool name_entry_write(struct name_entry *entry, uint64_t *state, const struct name_content *content,
		      int family, uint64_t order);

/* The first entry of a host but for one; NO_ENTRY if there is none. */
uint32_t name_entry_find(const struct name_table *table, const char *host, uint32_t other_than,
			 struct name_content *content, uint64_t *state);

/* One that was never used; else the one whose lookup is longest ago. */
uint32_t name_entry_spare(struct name_table *table, uint64_t *state);

bool name_address_equal(const struct name_address *a, const struct name_address *b);

#endif
