/* SPDX-License-Identifier: MIT */
#include "inspect.h"

#include <string.h>

#include "fold.h"
#include "shim/sys.h"
#include "shim/words.h"

/* ---- any file ----------------------------------------------------------- */

static int64_t timespec_ns(const struct timespec *time)
{
	return (int64_t)time->tv_sec * 1000000000 + time->tv_nsec;
}

enum file_fitness file_open(int directory, const char *name, int *fd, struct file_facts *facts)
{
	struct stat status;
	enum file_fitness fitness = FILE_FIT;

	*fd = sys_openat(directory, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0);
	if (*fd < 0)
		return errno == ENOENT || errno == ELOOP || errno == ENXIO ? FILE_MISSING
									   : FILE_ERROR;
	if (sys_fstat(*fd, &status) < 0)
		fitness = FILE_ERROR;
	else if (!S_ISREG(status.st_mode))
		fitness = FILE_MISSING;
	if (fitness != FILE_FIT) {
		int error = errno;
		sys_close(*fd);
		*fd = -1;
		errno = error;
		return fitness;
	}
	*facts = (struct file_facts){
		.inode = status.st_ino,
		.size = (uint64_t)status.st_size,
		.bytes_on_disk = (uint64_t)status.st_blocks * 512,
		.changed_at_ns = timespec_ns(&status.st_ctim),
	};
	/* Nobody else can have put it into a directory that is closed to them, but root could. */
	return status.st_uid == sys_geteuid() ? FILE_FIT : FILE_DAMAGED;
}

/* ---- records -------------------------------------------------------------- */

static bool record_valid(const struct endpoint_record *record)
{
	return LOAD(record->state) == RECORD_READY && record->operation < STORE_OPERATIONS &&
	       record->endpoint.kind <= ENDPOINT_NAME &&
	       record->endpoint.length <= sizeof(record->endpoint.bytes);
}

void record_settle(struct endpoint_record *record)
{
	uint64_t done = LOAD(record->counters[COUNTER_succeeded]) +
			LOAD(record->counters[COUNTER_failures]) +
			LOAD(record->counters[COUNTER_fallbacks]) +
			LOAD(record->counters[COUNTER_abandoned]);
	uint64_t operations = LOAD(record->counters[COUNTER_operations]);

	if (operations > done)
		record->counters[COUNTER_abandoned] += operations - done;
}

void record_attempts(struct endpoint_record *record)
{
	STORE(record->counters[COUNTER_attempts],
	      LOAD(record->counters[COUNTER_operations]) + LOAD(record->counters[COUNTER_retries]));
}

void record_merge(struct endpoint_record *into, const struct endpoint_record *from)
{
	for (int i = 0; i < COUNTER_COUNT; i++)
		STORE(into->counters[i], LOAD(into->counters[i]) + LOAD(from->counters[i]));
	for (int i = 0; i < RECOVERY_BUCKETS; i++)
		STORE(into->recovery[i], LOAD(into->recovery[i]) + LOAD(from->recovery[i]));
	STORE(into->recovery_sum_ns, LOAD(into->recovery_sum_ns) + LOAD(from->recovery_sum_ns));
	if (LOAD(from->last_error) &&
	    LOAD(from->last_error_at_ns) >= LOAD(into->last_error_at_ns)) {
		STORE(into->last_error, LOAD(from->last_error));
		STORE(into->last_error_at_ns, LOAD(from->last_error_at_ns));
	}
	if (LOAD(from->last_success_at_ns) > LOAD(into->last_success_at_ns))
		STORE(into->last_success_at_ns, LOAD(from->last_success_at_ns));
}

bool record_used(const struct endpoint_record *record)
{
	for (int i = 0; i < COUNTER_COUNT; i++) {
		if (LOAD(record->counters[i]))
			return true;
	}
	return false;
}

/* ---- process files ---------------------------------------------------------- */

uint32_t process_slots(const struct process_file *head, uint64_t file_size)
{
	uint64_t slots = LOAD(head->slots_used);
	uint64_t present = file_size > PROCESS_HEAD_SIZE ? (file_size - PROCESS_HEAD_SIZE) /
								   sizeof(struct connection_slot)
							 : 0;

	if (slots > SLOTS_PER_PROCESS)
		slots = SLOTS_PER_PROCESS;
	return (uint32_t)(slots < present ? slots : present);
}

static bool head_valid(const struct process_file *head, const char *name)
{
	char expected[PROCESS_NAME_SIZE];
	uint32_t state = LOAD(head->state);

	if (head->magic != STORE_MAGIC_PROCESS || head->version != STORE_VERSION ||
	    head->size != sizeof(struct process_file))
		return false;
	if (head->identity.pid <= 0 || (state != PROCESS_RUNNING && state != PROCESS_EXITED))
		return false;
	/* A copy under another name would be counted twice. */
	process_file_name(expected, head->identity.pid, head->identity.nonce);
	return strcmp(expected, name) == 0;
}

enum file_fitness process_head_read(int fd, const char *name, const struct file_facts *facts,
				    struct process_file *head)
{
	ssize_t n = sys_pread_full(fd, head, PROCESS_HEAD_SIZE, 0);

	if (n < 0)
		return FILE_ERROR;
	memset((char *)head + n, 0, PROCESS_HEAD_SIZE - (size_t)n);
	if ((size_t)n < offsetof(struct process_file, endpoints) || !head_valid(head, name))
		return FILE_DAMAGED;
	for (size_t i = 0; i < ENDPOINTS_PER_PROCESS; i++) {
		if (!record_valid(&head->endpoints[i]))
			STORE(head->endpoints[i].state, RECORD_FREE);
	}
	return FILE_FIT;
}

bool process_slots_read(int fd, const struct process_file *head, uint32_t slots,
			struct connection_slot chunk[SLOTS_PER_CHUNK],
			void (*visit)(const struct connection_slot *slot, uint32_t index,
				      void *data),
			void *data)
{
	for (uint32_t first = 0; first < slots; first += SLOTS_PER_CHUNK) {
		uint32_t count = slots - first < SLOTS_PER_CHUNK ? slots - first : SLOTS_PER_CHUNK;
		ssize_t n = sys_pread_full(fd, chunk, count * sizeof(*chunk),
					   PROCESS_HEAD_SIZE + (uint64_t)first * sizeof(*chunk));

		if (n < 0)
			return false;
		count = (uint32_t)((size_t)n / sizeof(*chunk));
		for (uint32_t i = 0; i < count; i++) {
			uint32_t record = LOAD(chunk[i].endpoint);

			if (record < ENDPOINTS_PER_PROCESS &&
			    LOAD(head->endpoints[record].state) == RECORD_READY)
				visit(&chunk[i], first + i, data);
		}
	}
	return true;
}

const struct endpoint *process_slot_endpoint(const struct process_file *head,
					     const struct connection_slot *slot)
{
	uint32_t in_use = LOAD(slot->in_use), record = LOAD(slot->endpoint);

	if (in_use && in_use <= ENDPOINTS_PER_PROCESS &&
	    LOAD(head->endpoints[in_use - 1].state) == RECORD_READY)
		record = in_use - 1;
	return &head->endpoints[record].endpoint;
}

static void slot_add(const struct connection_slot *slot, uint32_t index, void *data)
{
	struct process_file *head = data;
	struct endpoint_record *record = &head->endpoints[LOAD(slot->endpoint)];

	record->counters[COUNTER_sent_bytes] += LOAD(slot->sent_bytes);
	record->counters[COUNTER_received_bytes] += LOAD(slot->received_bytes);
}

bool process_slots_add(int fd, struct process_file *head, uint32_t slots,
		       struct connection_slot chunk[SLOTS_PER_CHUNK])
{
	return process_slots_read(fd, head, slots, chunk, slot_add, head);
}

void process_counters(const struct process_file *file, uint32_t record, uint32_t slots_mapped,
		      uint64_t counters[COUNTER_COUNT])
{
	uint32_t slots = LOAD(file->slots_used);

	for (int i = 0; i < COUNTER_COUNT; i++)
		counters[i] = LOAD(file->endpoints[record].counters[i]);
	if (slots > slots_mapped)
		slots = slots_mapped;
	for (uint32_t i = 0; i < slots; i++) {
		const struct connection_slot *slot = &file->slots[i];

		if (LOAD(slot->endpoint) != record)
			continue;
		counters[COUNTER_sent_bytes] += LOAD(slot->sent_bytes);
		counters[COUNTER_received_bytes] += LOAD(slot->received_bytes);
	}
}

/* ---- totals --------------------------------------------------------------------- */

static void totals_clear(struct totals_file *totals)
{
	memset(totals, 0, TOTALS_SIZE_MAX);
	totals->magic = STORE_MAGIC_TOTALS;
	totals->version = STORE_VERSION;
	totals->header_size = offsetof(struct totals_file, endpoints);
	totals->record_size = sizeof(struct endpoint_record);
	totals->endpoint_count = STORE_OPERATIONS;
	for (uint32_t i = 0; i < STORE_OPERATIONS; i++) {
		STORE(totals->endpoints[i].state, RECORD_READY);
		totals->endpoints[i].operation = i;
		totals->endpoints[i].endpoint.kind = ENDPOINT_OTHER;
	}
}

static bool totals_valid(const struct totals_file *totals, uint64_t size)
{
	if (size < sizeof(*totals) || size > TOTALS_SIZE_MAX ||
	    totals->magic != STORE_MAGIC_TOTALS || totals->version != STORE_VERSION ||
	    totals->header_size != offsetof(struct totals_file, endpoints) ||
	    totals->record_size != sizeof(struct endpoint_record) ||
	    totals->endpoint_count < STORE_OPERATIONS ||
	    totals->endpoint_count > ENDPOINTS_IN_TOTALS || totals->folded_count > FOLDED_AT_ONCE ||
	    size != sizeof(*totals) + totals->endpoint_count * sizeof(struct endpoint_record) ||
	    totals->checksum != totals_checksum(totals))
		return false;
	for (uint32_t i = 0; i < totals->endpoint_count; i++) {
		const struct endpoint_record *record = &totals->endpoints[i];

		if (!record_valid(record))
			return false;
		if (i < STORE_OPERATIONS &&
		    (record->endpoint.kind != ENDPOINT_OTHER || record->operation != i))
			return false;
	}
	return true;
}

enum file_fitness totals_read(int directory, struct totals_file *totals, struct file_facts *facts)
{
	int fd;
	enum file_fitness fitness = file_open(directory, "totals", &fd, facts);

	if (fitness == FILE_FIT) {
		ssize_t n = sys_pread_full(fd, totals, TOTALS_SIZE_MAX, 0);

		if (n < 0)
			fitness = FILE_ERROR;
		else if ((uint64_t)n != facts->size || !totals_valid(totals, facts->size))
			fitness = FILE_DAMAGED;
	}
	if (fd >= 0) {
		int error = errno;
		sys_close(fd);
		errno = error;
	}
	if (fitness != FILE_FIT)
		totals_clear(totals);
	return fitness;
}

bool totals_include(const struct totals_file *totals, const struct process_identity *identity)
{
	for (uint32_t i = 0; i < totals->folded_count; i++) {
		if (totals->folded[i].pid == identity->pid &&
		    totals->folded[i].nonce == identity->nonce)
			return true;
	}
	return false;
}
