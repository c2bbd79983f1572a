/* SPDX-License-Identifier: MIT */
/* Processes whose counts are known, and whether all of them are still in a store. */
#ifndef HOLDFAST_TEST_STORE_SAMPLES_H
#define HOLDFAST_TEST_STORE_SAMPLES_H

#include "shim/store/reader.h"
#include "store_files.h"

#define PROCESSES 5

/* Process n: known counts on two endpoints, bytes on slots, one operation unfinished. */
static inline struct process_file *process_sample(uint32_t n)
{
	struct process_file *file = process_new((int32_t)(100 + n), 0xabc0 + n);
	struct endpoint_record *shared = record_fill(file, 1, 0, endpoint_tcp(0x0a000005, 5432));
	struct endpoint_record *own = record_fill(file, 2, 2, endpoint_tcp(0x0a010000 + n, 80));

	shared->counters[COUNTER_operations] = 10;
	shared->counters[COUNTER_succeeded] = 6;
	shared->counters[COUNTER_failures] = 2;
	shared->counters[COUNTER_fallbacks] = 1;
	shared->counters[COUNTER_sent_bytes] = 1000;
	shared->recovery[3] = 2;
	shared->recovery_sum_ns = 700;
	shared->last_error = n + 1;
	shared->last_error_at_ns = 5000 - n;
	own->counters[COUNTER_operations] = 1;
	own->counters[COUNTER_succeeded] = 1;
	own->counters[COUNTER_received_bytes] = UINT64_C(1) << 60;
	file->slots_used = 2;
	file->slots[0].endpoint = 1;
	file->slots[0].state = SLOT_DISCONNECTED;
	file->slots[0].sent_bytes = 23;
	file->slots[0].sent_base = 20;
	file->slots[1].endpoint = 2;
	file->slots[1].state = SLOT_FAILED;
	file->slots[1].received_bytes = 7;
	/* Beyond slots_used: must not count. */
	file->slots[2].endpoint = 1;
	file->slots[2].sent_bytes = 1 << 30;
	return file;
}

static inline void samples_write_from(const struct test_store *store, uint32_t first, uint32_t end)
{
	for (uint32_t n = first; n < end; n++) {
		struct process_file *file = process_sample(n);

		process_write(store, file);
		free(file);
	}
}

static inline void samples_write(const struct test_store *store)
{
	samples_write_from(store, 0, PROCESSES);
}

static inline const struct endpoint_record *find(const struct snapshot *snapshot,
						 uint32_t operation, struct endpoint endpoint)
{
	for (size_t i = 0; i < snapshot->endpoint_count; i++) {
		if (snapshot->endpoints[i].operation == operation &&
		    endpoint_equal(&snapshot->endpoints[i].endpoint, &endpoint))
			return &snapshot->endpoints[i];
	}
	return NULL;
}

/* What the samples add up to, wherever their counts are at the moment. */
static inline void assert_samples(const struct test_store *store)
{
	struct snapshot snapshot;
	const struct endpoint_record *record;

	assert_true(snapshot_read(&snapshot, store->directory));
	assert_int_equal(snapshot.totals[COUNTER_operations], PROCESSES * 11);
	assert_int_equal(snapshot.totals[COUNTER_succeeded], PROCESSES * 7);
	assert_int_equal(snapshot.totals[COUNTER_abandoned], PROCESSES * 1);
	assert_int_equal(snapshot.totals[COUNTER_sent_bytes], PROCESSES * 1023);
	assert_true(snapshot.totals[COUNTER_received_bytes] ==
		    PROCESSES * ((UINT64_C(1) << 60) + 7));
	assert_int_equal(snapshot.processes_folded + snapshot.process_count, PROCESSES);
	record = find(&snapshot, 0, endpoint_tcp(0x0a000005, 5432));
	assert_non_null(record);
	assert_int_equal(record->counters[COUNTER_failures], PROCESSES * 2);
	assert_int_equal(record->recovery[3], PROCESSES * 2);
	assert_int_equal(record->recovery_sum_ns, PROCESSES * 700);
	/* Process 0 failed last. */
	assert_int_equal(record->last_error, 1);
	assert_int_equal(record->last_error_at_ns, 5000);
	for (uint32_t n = 0; n < PROCESSES; n++) {
		record = find(&snapshot, 2, endpoint_tcp(0x0a010000 + n, 80));
		assert_non_null(record);
		assert_int_equal(record->counters[COUNTER_operations], 1);
	}
	snapshot_free(&snapshot);
}

/* ---- a store for each test ---- */

static inline int store_setup(void **state)
{
	static struct test_store store;

	store_make(&store);
	*state = &store;
	return 0;
}

static inline int store_teardown(void **state)
{
	store_remove(*state);
	return 0;
}

#define STORE_TEST(name) cmocka_unit_test_setup_teardown(name, store_setup, store_teardown)

#endif
