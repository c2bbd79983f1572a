/* SPDX-License-Identifier: MIT */
/*
 * A snapshot: the totals and every process file that they do not include.  The
 * shared lock keeps folders out; where it cannot be had (a read-only directory,
 * a long fold), a snapshot during which the totals were replaced is taken again.
 */
#include "reader.h"

#include <stdlib.h>
#include <string.h>

#include "directory.h"
#include "shim/sys.h"
#include "shim/words.h"

#define LOCK_WAIT_MS 1000
#define LOCK_POLL_MS 10
#define SNAPSHOT_ATTEMPTS 100

struct snapshot_work {
	struct snapshot *snapshot;
	struct totals_file *totals;
	int processes;
	size_t process_room;
	size_t endpoint_room;
	size_t *index; /* endpoint + 1 by hash; index_room, a power of two, is twice endpoint_room */
	size_t index_room;
	struct process_file *head; /* PROCESS_HEAD_SIZE bytes, and the same once more */
	struct process_file *later;
	struct connection_slot chunk[SLOTS_PER_CHUNK];
	bool failed; /* errno says why */
};

/* Room for one more element. */
static bool array_grow(void **array, size_t count, size_t *room, size_t element_size)
{
	if (count < *room)
		return true;
	size_t wanted = *room ? *room * 2 : 64;
	void *grown = reallocarray(*array, wanted, element_size);

	if (!grown)
		return false;
	*array = grown;
	*room = wanted;
	return true;
}

/* ---- sums ------------------------------------------------------------------- */

static size_t *index_find(const struct snapshot_work *work, const struct endpoint_record *record)
{
	size_t at = endpoint_hash(&record->endpoint) * (size_t)3 + record->operation;

	for (;; at++) {
		size_t *entry = &work->index[at & (work->index_room - 1)];

		if (!*entry)
			return entry;
		const struct endpoint_record *found = &work->snapshot->endpoints[*entry - 1];
		if (found->operation == record->operation &&
		    endpoint_equal(&found->endpoint, &record->endpoint))
			return entry;
	}
}

static bool endpoints_grow(struct snapshot_work *work)
{
	struct snapshot *snapshot = work->snapshot;
	void *array = snapshot->endpoints;

	if (snapshot->endpoint_count < work->endpoint_room)
		return true;
	if (!array_grow(&array, snapshot->endpoint_count, &work->endpoint_room,
			sizeof(*snapshot->endpoints)))
		return false;
	snapshot->endpoints = array;
	free(work->index);
	work->index_room = 2 * work->endpoint_room;
	work->index = calloc(work->index_room, sizeof(*work->index));
	if (!work->index)
		return false;
	for (size_t i = 0; i < snapshot->endpoint_count; i++)
		*index_find(work, &snapshot->endpoints[i]) = i + 1;
	return true;
}

static bool endpoint_add(struct snapshot_work *work, const struct endpoint_record *from)
{
	struct snapshot *snapshot = work->snapshot;
	size_t *entry;

	if (!endpoints_grow(work))
		return false;
	for (int i = 0; i < COUNTER_COUNT; i++)
		snapshot->totals[i] += LOAD(from->counters[i]);
	entry = index_find(work, from);
	if (*entry) {
		record_merge(&snapshot->endpoints[*entry - 1], from);
		return true;
	}
	memcpy(&snapshot->endpoints[snapshot->endpoint_count++], from, sizeof(*from));
	*entry = snapshot->endpoint_count;
	return true;
}

static bool totals_add(struct snapshot_work *work)
{
	for (uint32_t i = 0; i < work->totals->endpoint_count; i++) {
		if (!endpoint_add(work, &work->totals->endpoints[i]))
			return false;
	}
	work->snapshot->processes_folded = work->totals->processes;
	return true;
}

/* ---- one process --------------------------------------------------------------- */

struct connection_list {
	struct snapshot_work *work;
	struct reader_process *process;
	size_t room;
	bool failed;
};

static void connection_visit(const struct connection_slot *slot, uint32_t index, void *data)
{
	struct connection_list *list = data;
	struct reader_process *process = list->process;
	struct endpoint_record *record = &list->work->later->endpoints[LOAD(slot->endpoint)];
	void *array = process->connections;

	record->counters[COUNTER_sent_bytes] += LOAD(slot->sent_bytes);
	record->counters[COUNTER_received_bytes] += LOAD(slot->received_bytes);
	if (LOAD(slot->state) == SLOT_FREE || LOAD(slot->state) > SLOT_FAILED)
		return;
	if (!array_grow(&array, process->connection_count, &list->room,
			sizeof(*process->connections))) {
		list->failed = true;
		return;
	}
	process->connections = array;
	struct reader_connection *connection = &process->connections[process->connection_count++];
	memcpy(&connection->slot, slot, sizeof(*slot));
	connection->index = index;
	connection->endpoint = record->endpoint;
	connection->connected_to = *process_slot_endpoint(list->work->later, slot);
}

enum reader_state reader_state_of(const struct process_file *head, enum process_liveness liveness)
{
	switch (liveness) {
	case PROCESS_ALIVE:
		return READER_RUNNING;
	case PROCESS_ENDED:
		return READER_EXITED;
	case PROCESS_VANISHED:
		return READER_VANISHED;
	case PROCESS_UNKNOWN:
	default:
		return LOAD(head->state) == PROCESS_EXITED ? READER_EXITED : READER_UNKNOWN;
	}
}

/*
 * A living process counts while it is read. An operation is counted when it
 * begins and again when it ends: with the ends of the first reading and the
 * beginnings of the second there are never more ends than beginnings.
 */
static void outcomes_keep(struct process_file *later, const struct process_file *first)
{
	static const enum store_counter outcomes[] = {
		COUNTER_succeeded, COUNTER_recovered, COUNTER_failures,
		COUNTER_fallbacks, COUNTER_abandoned,
	};

	for (size_t i = 0; i < ENDPOINTS_PER_PROCESS; i++) {
		const struct endpoint_record *from = &first->endpoints[i];
		struct endpoint_record *record = &later->endpoints[i];

		for (size_t k = 0; k < sizeof(outcomes) / sizeof(outcomes[0]); k++) {
			uint64_t count = LOAD(from->state) == RECORD_READY
						 ? LOAD(from->counters[outcomes[k]])
						 : 0;

			STORE(record->counters[outcomes[k]], count);
		}
	}
}

static bool process_sum(struct snapshot_work *work, struct reader_process *process)
{
	for (size_t i = 0; i < ENDPOINTS_PER_PROCESS; i++) {
		struct endpoint_record *record = &work->later->endpoints[i];

		if (LOAD(record->state) != RECORD_READY)
			continue;
		if (process->state == READER_EXITED || process->state == READER_VANISHED)
			record_settle(record);
		record_attempts(record);
		for (int k = 0; k < COUNTER_COUNT; k++)
			process->counters[k] += LOAD(record->counters[k]);
		if (record_used(record) && !endpoint_add(work, record))
			return false;
	}
	return true;
}

static enum file_fitness process_fill(struct snapshot_work *work, int fd, const char *name,
				      const struct file_facts *facts,
				      struct reader_process *process)
{
	struct process_file *later = work->later;
	struct connection_list list = { .work = work, .process = process };
	enum file_fitness fitness = process_head_read(fd, name, facts, work->head);

	if (fitness != FILE_FIT)
		return fitness;
	if (totals_include(work->totals, &work->head->identity))
		return FILE_MISSING;
	/* Judged between the readings: what has ended says nothing more after that. */
	enum process_liveness liveness = process_judge(work->head, facts->inode);
	fitness = process_head_read(fd, name, facts, later);
	if (fitness != FILE_FIT)
		return fitness;
	process->identity = later->identity;
	process->identity.program[PROGRAM_NAME_SIZE - 1] = '\0';
	process->state = reader_state_of(later, liveness);
	process->updated_at_ns = LOAD(later->updated_at_ns);
	process->ended_at_ns = LOAD(later->ended_at_ns);
	process->events_lost = LOAD(later->events_lost);
	if (process->state == READER_RUNNING || process->state == READER_UNKNOWN)
		outcomes_keep(later, work->head);
	if (!process_slots_read(fd, later, process_slots(later, facts->size), work->chunk,
				connection_visit, &list))
		return FILE_ERROR;
	work->failed = list.failed || !process_sum(work, process);
	return FILE_FIT;
}

static bool process_visit(const char *name, void *data)
{
	struct snapshot_work *work = data;
	struct snapshot *snapshot = work->snapshot;
	struct reader_process process = { .connections = NULL };
	struct file_facts facts;
	void *array = snapshot->processes;
	int fd;

	if (name[0] == '.')
		return true;
	enum file_fitness fitness = file_open(work->processes, name, &fd, &facts);
	if (fitness == FILE_FIT)
		fitness = process_fill(work, fd, name, &facts, &process);
	if (fd >= 0)
		sys_close(fd);
	snapshot->files_damaged += fitness == FILE_DAMAGED;
	snapshot->files_unread += fitness == FILE_ERROR;
	if (fitness == FILE_FIT && !work->failed) {
		work->failed = !array_grow(&array, snapshot->process_count, &work->process_room,
					   sizeof(*snapshot->processes));
		snapshot->processes = array;
	}
	if (fitness != FILE_FIT || work->failed)
		free(process.connections);
	else
		snapshot->processes[snapshot->process_count++] = process;
	return !work->failed;
}

/* ---- the whole ------------------------------------------------------------------- */

/* Shared, or -1: not there, not permitted, or held too long. */
static int lock_take(int directory)
{
	int fd = sys_openat(directory, "lock", O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);

	if (fd < 0)
		return -1;
	for (int waited_ms = 0; waited_ms < LOCK_WAIT_MS; waited_ms += LOCK_POLL_MS) {
		const struct timespec pause = { .tv_nsec = LOCK_POLL_MS * 1000000L };

		if (sys_flock(fd, LOCK_SH | LOCK_NB) == 0)
			return fd;
		if (errno != EWOULDBLOCK)
			break;
		nanosleep(&pause, NULL);
	}
	sys_close(fd);
	return -1;
}

static bool totals_same(int directory, enum file_fitness fitness, const struct file_facts *before)
{
	struct stat now;

	if (fstatat(directory, "totals", &now, AT_SYMLINK_NOFOLLOW) < 0)
		return fitness == FILE_MISSING;
	return fitness != FILE_MISSING && now.st_ino == before->inode &&
	       (int64_t)now.st_ctim.tv_sec * 1000000000 + now.st_ctim.tv_nsec ==
		       before->changed_at_ns;
}

enum attempt { ATTEMPT_DONE, ATTEMPT_AGAIN, ATTEMPT_FAILED };

static enum attempt snapshot_attempt(struct snapshot_work *work, int directory, bool locked)
{
	struct snapshot *snapshot = work->snapshot;
	struct file_facts facts = { .inode = 0 };
	enum file_fitness fitness = totals_read(directory, work->totals, &facts);

	if (fitness == FILE_ERROR)
		return ATTEMPT_FAILED;
	snapshot->totals_damaged = fitness == FILE_DAMAGED;
	work->processes = sys_openat(directory, "process", O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	if (work->processes < 0 && errno != ENOENT)
		return ATTEMPT_FAILED;
	bool done = totals_add(work) &&
		    (work->processes < 0 || directory_each(work->processes, process_visit, work)) &&
		    !work->failed;
	int error = errno;
	if (work->processes >= 0)
		sys_close(work->processes);
	errno = error;
	if (!done)
		return ATTEMPT_FAILED;
	return locked || totals_same(directory, fitness, &facts) ? ATTEMPT_DONE : ATTEMPT_AGAIN;
}

static int process_order(const void *a, const void *b)
{
	const struct process_identity *x = &((const struct reader_process *)a)->identity;
	const struct process_identity *y = &((const struct reader_process *)b)->identity;

	if (x->started_at_ns != y->started_at_ns)
		return x->started_at_ns < y->started_at_ns ? -1 : 1;
	return x->pid != y->pid ? (x->pid < y->pid ? -1 : 1)
				: (x->nonce > y->nonce) - (x->nonce < y->nonce);
}

static bool work_prepare(struct snapshot_work *work)
{
	size_t head_size = (PROCESS_HEAD_SIZE + 63) / 64 * 64;

	work->totals = calloc(1, TOTALS_SIZE_MAX);
	work->head = aligned_alloc(64, head_size);
	work->later = aligned_alloc(64, head_size);
	return work->totals && work->head && work->later;
}

static void work_release(struct snapshot_work *work)
{
	free(work->totals);
	free(work->head);
	free(work->later);
	free(work->index);
}

bool snapshot_read(struct snapshot *snapshot, int directory)
{
	struct snapshot_work work = { .snapshot = snapshot };
	enum attempt attempt = ATTEMPT_FAILED;
	int lock = lock_take(directory);

	memset(snapshot, 0, sizeof(*snapshot));
	for (int i = 0; i < SNAPSHOT_ATTEMPTS; i++) {
		snapshot_free(snapshot);
		work = (struct snapshot_work){ .snapshot = snapshot };
		attempt = work_prepare(&work) ? snapshot_attempt(&work, directory, lock >= 0)
					      : ATTEMPT_FAILED;
		work_release(&work);
		if (attempt != ATTEMPT_AGAIN)
			break;
	}
	int error = attempt == ATTEMPT_AGAIN ? EAGAIN : errno;
	if (lock >= 0)
		sys_close(lock);
	if (attempt != ATTEMPT_DONE) {
		snapshot_free(snapshot);
		errno = error;
		return false;
	}
	if (snapshot->process_count)
		qsort(snapshot->processes, snapshot->process_count, sizeof(*snapshot->processes),
		      process_order);
	return true;
}

void snapshot_free(struct snapshot *snapshot)
{
	for (size_t i = 0; i < snapshot->process_count; i++)
		free(snapshot->processes[i].connections);
	free(snapshot->processes);
	free(snapshot->endpoints);
	memset(snapshot, 0, sizeof(*snapshot));
}
