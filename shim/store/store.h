/* SPDX-License-Identifier: MIT */
/*
 * The writer's side of the store: one process, its file, and the shared ring of
 * events.  No heap, no lock, no fd kept open; every function may be called in
 * any thread and in a signal handler, and may be left at any point by a jump or
 * by the process's death without making a reader see anything false.
 */
#ifndef HOLDFAST_STORE_STORE_H
#define HOLDFAST_STORE_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "directory.h"
#include "layout.h"
#include "shim/words.h"

struct store {
	struct process_file *file; /* NULL: not opened */
	struct event_file *_Atomic events;
	bool on_disk;                    /* false: memory only, nobody can read it */
	char directory[STORE_PATH_SIZE]; /* absolute */
	uint64_t inode;                  /* of the process file */
	/* Free slots of each endpoint: index + 1 in the low half, a tag against ABA in the high. */
	_Atomic uint64_t free_slots[ENDPOINTS_PER_PROCESS];
};

#define SLOT_NONE UINT32_MAX

/*
 * Makes the process file in a state directory, open as directory (-1: there is
 * none) and named in store->directory by the caller, and maps it. program is a
 * path whose basename is stored. parent_nonce: 0, or of the process that
 * was forked. False if that cannot be done: problem and errno say why, and
 * store->file is memory of our own, or NULL if there is none even of that.
 */
bool store_open(struct store *store, int directory, const char *program, uint32_t parent_nonce,
		const char **problem);

/* A store that nobody else can read. False if there is no memory. */
bool store_open_memory(struct store *store);

/* Forgets which slots are free: for a forked child that goes on with its parent's file. */
void store_forget_free(struct store *store);

/*
 * Puts disk space behind the first `slots` slots.  Idempotent, so that a thread
 * that is killed or jumps away half-way holds up nobody.  errno is kept.
 */
bool store_space_reserve(struct store *store, uint32_t slots);

/* Makes a file for the next process to take: making one is the most of a first connect. */
void store_spare(int directory);

/* Marks the process as having left in order. */
void store_leave(struct store *store);

/*
 * At a process's end, now and then: folds what ended long ago if the process
 * files use more than max_bytes. Takes milliseconds when it does.
 */
void store_tidy(const struct store *store, int directory, uint64_t retention_ns,
		uint64_t max_bytes);

/* The record of an endpoint and operation; the operation's `other` when the table is full. */
uint32_t store_record(struct store *store, const struct endpoint *endpoint, uint32_t operation);

/*
 * A slot of a record for a new connection: its generation is raised, its bytes
 * start from here, nobody has asked it to be rebuilt, and it is connected to no
 * other endpoint than its own. SLOT_NONE if there is none or no disk space for one.
 */
uint32_t store_slot_take(struct store *store, uint32_t record);
/* Gives it back; the slot keeps showing its last connection until it is taken again. */
void store_slot_release(struct store *store, uint32_t slot);

/* Adds an event; fills in its time, process and program. */
void store_event_add(struct store *store, struct store_event *event);

static inline void store_count(struct endpoint_record *record, enum store_counter counter,
			       uint64_t n)
{
	atomic_fetch_add_explicit(&record->counters[counter], n, memory_order_relaxed);
}

/* Milliseconds are what readers are shown, so the cheap clock will do. */
int64_t store_now_ns(void);

#endif
