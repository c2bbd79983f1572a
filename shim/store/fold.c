/* SPDX-License-Identifier: MIT */
/*
 * Exactly once, whenever the folder dies:
 *   1. what the totals name as folded is unlinked: a predecessor's leftovers
 *   2. the next batch is added in memory, and named in the new totals
 *   3. the new totals are written beside the old ones and renamed over them
 *   4. the batch's files are unlinked
 * Before the rename the old totals and all files count; after it the new totals
 * count, and readers and the next folder know whose files no longer do.
 */
#include "fold.h"

#include <stdio.h> /* sys_renameat() */
#include <string.h>

#include "directory.h"
#include "inspect.h"
#include "shim/sys.h"
#include "shim/words.h"

#define TOTALS_TEMPORARY "totals.new"
#define BAD_PREFIX "bad-"
#define NAME_SIZE 64
#define INDEX_SIZE 4096 /* a power of two, well above ENDPOINTS_IN_TOTALS */

/* A file with a dot is being made: milliseconds old, or left behind by a process that died. */
#define UNFINISHED_AGE_NS (INT64_C(3600) * 1000000000)
/* Clocks are set back; a time further ahead than this is no time. */
#define FUTURE_NS (INT64_C(86400) * 1000000000)

struct candidate {
	char name[PROCESS_NAME_SIZE];
	struct folded_process process;
	int64_t ended_at_ns;
	uint64_t bytes_on_disk;
	bool by_age_only;
	bool folded;
};

/* Everything a fold needs, in one mapping, since a host thread's stack may be small. */
struct fold {
	int directory; /* STATE */
	int processes; /* STATE/process */
	int64_t now_ns;
	uint64_t retention_ns;
	uint64_t max_bytes;
	uint64_t bytes_on_disk; /* of all files in process/ */
	uint64_t bytes_bad;     /* of those set aside */
	uint32_t candidate_count;
	struct candidate candidates[FOLDED_AT_ONCE]; /* the oldest, oldest first */
	uint16_t index[INDEX_SIZE]; /* record + 1 in the totals, by endpoint and operation */
	struct connection_slot chunk[SLOTS_PER_CHUNK];
	_Alignas(64) unsigned char head[PROCESS_HEAD_SIZE];
	_Alignas(64) unsigned char totals[TOTALS_SIZE_MAX];
};

static struct process_file *fold_head(struct fold *fold)
{
	return (struct process_file *)(void *)fold->head;
}

static struct totals_file *fold_totals(struct fold *fold)
{
	return (struct totals_file *)(void *)fold->totals;
}

static bool is_older(const struct fold *fold, int64_t time_ns, uint64_t age_ns)
{
	return fold->now_ns > time_ns && (uint64_t)(fold->now_ns - time_ns) > age_ns;
}

/* ---- setting aside -------------------------------------------------------- */

static char *name_append(char *at, const char *end, const char *text)
{
	while (*text && at < end - 1)
		*at++ = *text++;
	*at = '\0';
	return at;
}

/* totals.bad-NANOSECONDS: the time tells which is which and makes the name unique. */
static bool totals_set_aside(const struct fold *fold)
{
	char name[NAME_SIZE], digits[24];
	char *digit = digits + sizeof(digits) - 1;
	uint64_t time_ns = (uint64_t)fold->now_ns;

	*digit = '\0';
	do
		*--digit = (char)('0' + time_ns % 10);
	while (time_ns /= 10);
	name_append(name_append(name, name + sizeof(name), "totals.bad-"), name + sizeof(name),
		    digit);
	return sys_renameat(fold->directory, "totals", fold->directory, name) == 0;
}

static void process_set_aside(const struct fold *fold, const char *name)
{
	char aside[NAME_SIZE];

	name_append(name_append(aside, aside + sizeof(aside), BAD_PREFIX), aside + sizeof(aside),
		    name);
	sys_renameat(fold->processes, name, fold->processes, aside);
}

/* ---- choosing --------------------------------------------------------------- */

/* When a process that is gone was last known to live. */
static int64_t process_ended_at_ns(const struct fold *fold, const struct process_file *head)
{
	int64_t ended = LOAD(head->ended_at_ns);

	if (LOAD(head->state) != PROCESS_EXITED || ended <= 0)
		ended = LOAD(head->updated_at_ns);
	if (ended < head->identity.started_at_ns)
		ended = head->identity.started_at_ns;
	return ended < 0 || (ended > fold->now_ns && ended - fold->now_ns > FUTURE_NS) ? 0 : ended;
}

static void candidate_insert(struct fold *fold, const struct candidate *candidate)
{
	uint32_t at = fold->candidate_count;

	if (at == FOLDED_AT_ONCE) {
		if (fold->candidates[--at].ended_at_ns <= candidate->ended_at_ns)
			return;
	} else {
		fold->candidate_count++;
	}
	for (; at && fold->candidates[at - 1].ended_at_ns > candidate->ended_at_ns; at--)
		fold->candidates[at] = fold->candidates[at - 1];
	fold->candidates[at] = *candidate;
}

static void candidate_consider(struct fold *fold, const char *name, const struct file_facts *facts)
{
	const struct process_file *head = fold_head(fold);
	enum process_liveness liveness = process_judge(head, facts->inode);
	struct candidate candidate = {
		.process = { .pid = head->identity.pid, .nonce = head->identity.nonce },
		.ended_at_ns = process_ended_at_ns(fold, head),
		.bytes_on_disk = facts->bytes_on_disk,
		.by_age_only = liveness == PROCESS_UNKNOWN,
	};

	if (liveness == PROCESS_ALIVE)
		return;
	if (candidate.by_age_only && !is_older(fold, candidate.ended_at_ns, fold->retention_ns))
		return;
	memcpy(candidate.name, name, strlen(name) + 1);
	candidate_insert(fold, &candidate);
}

/* A file already set aside, or one that is being made. */
static void leftover_visit(struct fold *fold, const char *name, const struct file_facts *facts)
{
	uint64_t limit = name[0] == '.' ? UNFINISHED_AGE_NS : fold->retention_ns;

	if (is_older(fold, facts->changed_at_ns, limit) &&
	    sys_unlinkat(fold->processes, name, 0) == 0)
		return;
	fold->bytes_on_disk += facts->bytes_on_disk;
	if (name[0] != '.')
		fold->bytes_bad += facts->bytes_on_disk;
}

static bool is_bad_name(const char *name)
{
	return strncmp(name, BAD_PREFIX, strlen(BAD_PREFIX)) == 0;
}

static bool process_visit(const char *name, void *data)
{
	struct fold *fold = data;
	struct file_facts facts;
	int fd;
	enum file_fitness fitness = file_open(fold->processes, name, &fd, &facts);

	if (fd < 0)
		return true;
	if (name[0] == '.' || is_bad_name(name)) {
		leftover_visit(fold, name, &facts);
		sys_close(fd);
		return true;
	}
	if (fitness == FILE_FIT)
		fitness = process_head_read(fd, name, &facts, fold_head(fold));
	sys_close(fd);
	fold->bytes_on_disk += facts.bytes_on_disk;
	if (fitness == FILE_FIT) {
		candidate_consider(fold, name, &facts);
	} else if (fitness == FILE_DAMAGED) {
		process_set_aside(fold, name);
		fold->bytes_bad += facts.bytes_on_disk;
	}
	return true;
}

/* Files set aside count nothing, so they go first when there is no room. */
static bool bad_unlink_visit(const char *name, void *data)
{
	struct fold *fold = data;
	struct file_facts facts;
	int fd;

	if (!is_bad_name(name))
		return true;
	file_open(fold->processes, name, &fd, &facts);
	if (fd < 0)
		return true;
	sys_close(fd);
	if (sys_unlinkat(fold->processes, name, 0) == 0)
		fold->bytes_on_disk -= facts.bytes_on_disk < fold->bytes_on_disk
					       ? facts.bytes_on_disk
					       : fold->bytes_on_disk;
	return fold->bytes_on_disk > fold->max_bytes;
}

static bool candidates_find(struct fold *fold)
{
	if (!directory_each(fold->processes, process_visit, fold))
		return false;
	if (fold->bytes_on_disk > fold->max_bytes && fold->bytes_bad)
		return directory_each(fold->processes, bad_unlink_visit, fold);
	return true;
}

/* ---- adding up ------------------------------------------------------------------ */

static uint32_t index_start(const struct endpoint *endpoint, uint32_t operation)
{
	return (endpoint_hash(endpoint) * 3 + operation) % INDEX_SIZE;
}

static void index_build(struct fold *fold)
{
	const struct totals_file *totals = fold_totals(fold);

	for (uint32_t i = 0; i < totals->endpoint_count; i++) {
		const struct endpoint_record *record = &totals->endpoints[i];
		uint32_t at = index_start(&record->endpoint, record->operation);

		while (fold->index[at])
			at = (at + 1) % INDEX_SIZE;
		fold->index[at] = (uint16_t)(i + 1);
	}
}

/* The totals' record for an endpoint and operation: found, added, or `other` when full. */
static struct endpoint_record *totals_record(struct fold *fold, const struct endpoint_record *from)
{
	struct totals_file *totals = fold_totals(fold);
	uint32_t at = index_start(&from->endpoint, from->operation);
	struct endpoint_record *record;

	if (from->endpoint.kind == ENDPOINT_OTHER)
		return &totals->endpoints[from->operation];
	for (; fold->index[at]; at = (at + 1) % INDEX_SIZE) {
		record = &totals->endpoints[fold->index[at] - 1];
		if (record->operation == from->operation &&
		    endpoint_equal(&record->endpoint, &from->endpoint))
			return record;
	}
	if (totals->endpoint_count == ENDPOINTS_IN_TOTALS)
		return &totals->endpoints[from->operation];
	record = &totals->endpoints[totals->endpoint_count++];
	fold->index[at] = (uint16_t)totals->endpoint_count;
	record->endpoint = from->endpoint;
	record->operation = from->operation;
	atomic_store_explicit(&record->state, RECORD_READY, memory_order_relaxed);
	return record;
}

static bool process_read(struct fold *fold, const char *name)
{
	struct file_facts facts;
	int fd;
	enum file_fitness fitness = file_open(fold->processes, name, &fd, &facts);
	struct process_file *head = fold_head(fold);

	if (fitness == FILE_FIT)
		fitness = process_head_read(fd, name, &facts, head);
	if (fitness == FILE_FIT &&
	    !process_slots_add(fd, head, process_slots(head, facts.size), fold->chunk))
		fitness = FILE_ERROR;
	if (fd >= 0)
		sys_close(fd);
	return fitness == FILE_FIT;
}

static bool candidate_add(struct fold *fold, struct candidate *candidate)
{
	struct totals_file *totals = fold_totals(fold);
	struct process_file *head = fold_head(fold);

	if (!process_read(fold, candidate->name))
		return false;
	for (uint32_t i = 0; i < ENDPOINTS_PER_PROCESS; i++) {
		struct endpoint_record *record = &head->endpoints[i];

		if (LOAD(record->state) != RECORD_READY)
			continue;
		record_settle(record);
		record_attempts(record);
		if (record_used(record))
			record_merge(totals_record(fold, record), record);
	}
	totals->folded[totals->folded_count++] = candidate->process;
	totals->processes++;
	return true;
}

/* Adds the processes that are due to the totals in memory. Returns how many. */
static int candidates_add(struct fold *fold)
{
	int count = 0;

	for (uint32_t i = 0; i < fold->candidate_count; i++) {
		struct candidate *candidate = &fold->candidates[i];
		bool aged = is_older(fold, candidate->ended_at_ns, fold->retention_ns);
		bool full = fold->bytes_on_disk > fold->max_bytes && !candidate->by_age_only;

		if ((!aged && !full) || !candidate_add(fold, candidate))
			continue;
		candidate->folded = true;
		fold->bytes_on_disk -= candidate->bytes_on_disk;
		count++;
	}
	return count;
}

/* ---- writing ---------------------------------------------------------------------- */

static bool totals_fill(struct fold *fold, int fd)
{
	struct totals_file *totals = fold_totals(fold);
	size_t size = sizeof(*totals) + totals->endpoint_count * sizeof(struct endpoint_record);

	totals->checksum = totals_checksum(totals);
	/* A umask can have taken our own rights away. */
	return fchmod(fd, 0600) == 0 && sys_write_full(fd, totals, size) && sys_fdatasync(fd) == 0;
}

static bool totals_write(struct fold *fold)
{
	int fd, error;
	bool done;

	if (sys_unlinkat(fold->directory, TOTALS_TEMPORARY, 0) < 0 && errno != ENOENT)
		return false;
	fd = sys_openat(fold->directory, TOTALS_TEMPORARY, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW,
			0600);
	if (fd < 0)
		return false;
	done = totals_fill(fold, fd);
	error = errno;
	if (sys_close(fd) < 0 && done) {
		done = false;
		error = errno;
	}
	if (done &&
	    sys_renameat(fold->directory, TOTALS_TEMPORARY, fold->directory, "totals") < 0) {
		done = false;
		error = errno;
	}
	if (!done)
		sys_unlinkat(fold->directory, TOTALS_TEMPORARY, 0);
	errno = error;
	/* The rename must not come to the disk after the unlinks. */
	return done && sys_fsync(fold->directory) == 0;
}

/* False if one is still there: it would be counted again once nothing names it any more. */
static bool folded_unlink(struct fold *fold)
{
	const struct totals_file *totals = fold_totals(fold);

	for (uint32_t i = 0; i < totals->folded_count; i++) {
		char name[PROCESS_NAME_SIZE];

		process_file_name(name, totals->folded[i].pid, totals->folded[i].nonce);
		if (sys_unlinkat(fold->processes, name, 0) < 0 && errno != ENOENT)
			return false;
	}
	return true;
}

static bool totals_load(struct fold *fold)
{
	struct file_facts facts;

	switch (totals_read(fold->directory, fold_totals(fold), &facts)) {
	case FILE_DAMAGED:
		return totals_set_aside(fold);
	case FILE_ERROR:
		return false;
	case FILE_FIT:
	case FILE_MISSING:
	default:
		return true;
	}
}

/* Under the lock. */
static int fold_locked(struct fold *fold)
{
	struct totals_file *totals = fold_totals(fold);
	int count;

	if (!totals_load(fold) || !folded_unlink(fold))
		return -1;
	sys_unlinkat(fold->directory, TOTALS_TEMPORARY, 0);
	if (!candidates_find(fold))
		return -1;
	totals->folded_count = 0;
	memset(totals->folded, 0, sizeof(totals->folded));
	index_build(fold);
	count = candidates_add(fold);
	if (count && !totals_write(fold))
		return -1;
	/* A failure here is made good by the next one who folds. */
	folded_unlink(fold);
	return count;
}

static int lock_open(int directory)
{
	int fd = sys_openat(directory, "lock", O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);

	if (fd >= 0 || errno != ENOENT)
		return fd;
	fd = sys_openat(directory, "lock", O_RDONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK, 0600);
	if (fd >= 0)
		fchmod(fd, 0600);
	return fd;
}

static int fold_run(struct fold *fold, const char **problem)
{
	int count, error;
	int lock = lock_open(fold->directory);

	if (lock < 0)
		return -1;
	if (sys_flock(lock, LOCK_EX | LOCK_NB) < 0) {
		count = -1;
	} else {
		fold->processes = directory_open_sub(fold->directory, "process", false, problem);
		count = fold->processes < 0 ? (errno == ENOENT ? 0 : -1) : fold_locked(fold);
	}
	error = errno;
	if (fold->processes >= 0)
		sys_close(fold->processes);
	/* Closing alone would leave the lock to a child forked meanwhile. */
	sys_flock(lock, LOCK_UN);
	sys_close(lock);
	errno = error;
	return count;
}

int store_fold(int directory, uint64_t retention_ns, uint64_t max_bytes)
{
	const char *problem;
	int count, error, saved = errno;
	struct fold *fold = sys_mmap(NULL, sizeof(*fold), PROT_READ | PROT_WRITE,
				     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (fold == MAP_FAILED)
		return -1;
	fold->directory = directory;
	fold->processes = -1;
	fold->now_ns = sys_realtime_ns();
	fold->retention_ns = retention_ns;
	fold->max_bytes = max_bytes;
	count = fold_run(fold, &problem);
	error = count < 0 ? errno : saved;
	sys_munmap(fold, sizeof(*fold));
	errno = error;
	return count;
}
