/* SPDX-License-Identifier: MIT */
/*
 * Reading store files that nobody vouches for: they may be random bytes, cut
 * short, or change while they are read.  Everything is read with pread() into
 * the caller's memory, never mapped, so that a file cut meanwhile costs no
 * SIGBUS.  Sizes and indices found in files are checked before they are used.
 * No heap; async-signal-safe.
 */
#ifndef HOLDFAST_STORE_INSPECT_H
#define HOLDFAST_STORE_INSPECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "layout.h"

/* A process file without its slots; what is read into memory at once. */
#define PROCESS_HEAD_SIZE offsetof(struct process_file, slots)
#define TOTALS_SIZE_MAX                            \
	(offsetof(struct totals_file, endpoints) + \
	 ENDPOINTS_IN_TOTALS * sizeof(struct endpoint_record))

enum file_fitness {
	FILE_FIT,
	FILE_DAMAGED, /* wrong magic, version, size, owner, name or checksum */
	FILE_MISSING, /* there is none, or it is no regular file */
	FILE_ERROR    /* errno says why */
};

/* What a regular file is, beside its contents. */
struct file_facts {
	uint64_t inode;
	uint64_t size; /* bytes */
	uint64_t bytes_on_disk;
	int64_t changed_at_ns; /* ctime */
};

/* Opens for reading, without following a link or waiting for a fifo. FILE_FIT with the fd in *fd. */
enum file_fitness file_open(int directory, const char *name, int *fd, struct file_facts *facts);

/* The slots of a process file that may be read: used, and inside the file. */
uint32_t process_slots(const struct process_file *head, uint64_t file_size);

/*
 * Reads the head of an open process file: PROCESS_HEAD_SIZE bytes at head, those
 * beyond the end of a shortened file being zero. A record with impossible contents
 * is made RECORD_FREE, so that those still RECORD_READY can be used as they are.
 */
enum file_fitness process_head_read(int fd, const char *name, const struct file_facts *facts,
				    struct process_file *head);

/* Calls visit for each slot whose endpoint record is ready. False with errno on a read error. */
bool process_slots_read(int fd, const struct process_file *head, uint32_t slots,
			struct connection_slot chunk[SLOTS_PER_CHUNK],
			void (*visit)(const struct connection_slot *slot, uint32_t index,
				      void *data),
			void *data);

/*
 * The endpoint that a slot is or was last connected to, in head: that of its
 * in_use if this names a ready record, else that of its own, which must be ready.
 */
const struct endpoint *process_slot_endpoint(const struct process_file *head,
					     const struct connection_slot *slot);

/* Adds the slots' bytes to the records in memory. False with errno on a read error. */
bool process_slots_add(int fd, struct process_file *head, uint32_t slots,
		       struct connection_slot chunk[SLOTS_PER_CHUNK]);

/* Operations that an ended process never finished become abandoned. */
void record_settle(struct endpoint_record *record);

/*
 * The attempts: an operation's first, and its retries. The writer does not count them, since
 * a jump or a kill between two counts would part what belongs together.
 */
void record_attempts(struct endpoint_record *record);

/* Adds the counts of one record in private memory to another; the later times and errors win. */
void record_merge(struct endpoint_record *into, const struct endpoint_record *from);

/* True if any counter is not zero. */
bool record_used(const struct endpoint_record *record);

/* Reads STATE/totals into TOTALS_SIZE_MAX bytes; a missing file gives empty totals and FILE_MISSING. */
enum file_fitness totals_read(int directory, struct totals_file *totals, struct file_facts *facts);

/* True if the totals name the process as folded: its file no longer counts. */
bool totals_include(const struct totals_file *totals, const struct process_identity *identity);

#endif
