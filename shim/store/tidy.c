/* SPDX-License-Identifier: MIT */
/* Keeping the store bounded without any process that has this for its job. */
#include "fold.h"
#include "shim/sys.h"
#include "store.h"

/* One process in so many looks, at its end, when nobody waits for it any more. */
#define LOOKS_ONE_IN 16

static bool file_count(const char *name, void *data)
{
	uint64_t *count = data;

	*count += name[0] != '.';
	return true;
}

/* An estimate from the number of files: asking each for its size costs a call a file. */
static bool process_files_exceed(int directory, uint64_t max_bytes)
{
	const char *problem;
	uint64_t count = 0;
	int processes = directory_open_sub(directory, "process", false, &problem);

	if (processes < 0)
		return false;
	directory_each(processes, file_count, &count);
	sys_close(processes);
	return count * PROCESS_FIRST_BYTES > max_bytes;
}

void store_tidy(const struct store *store, int directory, uint64_t retention_ns, uint64_t max_bytes)
{
	if (store->file->identity.nonce % LOOKS_ONE_IN == 0 &&
	    process_files_exceed(directory, max_bytes))
		store_fold(directory, retention_ns, max_bytes);
}
