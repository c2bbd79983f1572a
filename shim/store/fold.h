/* SPDX-License-Identifier: MIT */
/*
 * Folding: the counts of processes that are gone go into `totals`, exactly
 * once, and their files are unlinked.  Done by the tool and, rarely, by an
 * ending process.  No heap.
 */
#ifndef HOLDFAST_STORE_FOLD_H
#define HOLDFAST_STORE_FOLD_H

#include <stdbool.h>
#include <stdint.h>

#include "identity.h"
#include "layout.h"

enum process_liveness {
	PROCESS_ALIVE,
	PROCESS_ENDED,    /* left in order */
	PROCESS_VANISHED, /* died without leaving */
	PROCESS_UNKNOWN   /* of another pid namespace or boot-less: never judged, only aged */
};

/* What has become of the process that wrote a file. inode is the process file's. */
enum process_liveness process_judge(const struct process_file *file, uint64_t inode);

/* Counter of a record with its slots' bytes added in. slots_mapped: how many may be read. */
void process_counters(const struct process_file *file, uint32_t record, uint32_t slots_mapped,
		      uint64_t counters[COUNTER_COUNT]);

/*
 * Folds up to FOLDED_AT_ONCE processes that are no longer alive: the oldest
 * first, as long as they ended more than retention_ns ago or the process files
 * use more than max_bytes on disk. Returns how many were folded, or -1 with
 * errno (EWOULDBLOCK: somebody else is folding).  A process of another pid
 * namespace is folded only by age.  Damaged files are set aside (totals.bad-TIME,
 * process/bad-NAME) and those in process/ unlinked after retention_ns.
 */
int store_fold(int directory, uint64_t retention_ns, uint64_t max_bytes);

#endif
