/* SPDX-License-Identifier: MIT */
/*
 * Proves that snapshots taken while processes count, leave, vanish and are folded
 * never go backwards, hold the sums that the design states, and end exact; with
 * the lock and without it.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "shim/store/reader.h"
#include "shim/store/store.h"
#include "store_files.h"

#define WRITERS 24
#define AT_ONCE 4
#define OPERATIONS 4000

/* One process: a connect after another, each counted when it begins and when it ends. */
static void writer_run(const struct test_store *test, bool leave)
{
	static struct store store;
	const char *problem = NULL;
	struct endpoint endpoint = endpoint_tcp(0x7f000001, 80);
	struct connection_slot *slot;
	uint32_t record;

	strcpy(store.directory, test->path);
	if (!store_open(&store, test->directory, "/usr/bin/writer", 0, &problem))
		_exit(1);
	record = store_record(&store, &endpoint, 0);
	slot = &store.file->slots[store_slot_take(&store, record)];
	slot->state = SLOT_CONNECTED;
	for (int i = 0; i < OPERATIONS; i++) {
		store_count(&store.file->endpoints[record], COUNTER_operations, 1);
		/* The last one never ends. */
		if (i < OPERATIONS - 1)
			store_count(&store.file->endpoints[record], COUNTER_succeeded, 1);
		atomic_fetch_add(&slot->sent_bytes, 3);
	}
	if (leave)
		store_leave(&store);
	else
		raise(SIGKILL);
	_exit(0);
}

static uint64_t outcomes(const struct snapshot *snapshot)
{
	return snapshot->totals[COUNTER_succeeded] + snapshot->totals[COUNTER_failures] +
	       snapshot->totals[COUNTER_fallbacks] + snapshot->totals[COUNTER_abandoned];
}

/* Nothing less than before, and never more ends than beginnings. */
static void assert_onward(const struct test_store *store, uint64_t before[COUNTER_COUNT])
{
	struct snapshot snapshot;

	assert_true(snapshot_read(&snapshot, store->directory));
	for (int i = 0; i < COUNTER_COUNT; i++) {
		assert_true(snapshot.totals[i] >= before[i]);
		before[i] = snapshot.totals[i];
	}
	assert_true(outcomes(&snapshot) <= snapshot.totals[COUNTER_operations]);
	assert_int_equal(snapshot.files_damaged, 0);
	snapshot_free(&snapshot);
}

/* A folder of its own, so that folds fall between any two steps of a snapshot. */
static pid_t folder_start(const struct test_store *store)
{
	pid_t child = fork();

	if (child)
		return child;
	/* A failed test must not leave it behind. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;)
		store_fold(store->directory, 0, NO_LIMIT);
}

static void folder_end(pid_t folder)
{
	assert_ok(kill(folder, SIGKILL));
	assert_int_equal(waitpid(folder, NULL, 0), folder);
}

static void assert_exact(const struct test_store *store)
{
	struct snapshot snapshot;

	assert_true(snapshot_read(&snapshot, store->directory));
	assert_int_equal(snapshot.totals[COUNTER_operations], WRITERS * OPERATIONS);
	assert_int_equal(snapshot.totals[COUNTER_succeeded], WRITERS * (OPERATIONS - 1));
	assert_int_equal(snapshot.totals[COUNTER_abandoned], WRITERS);
	assert_int_equal(snapshot.totals[COUNTER_sent_bytes], WRITERS * OPERATIONS * 3);
	assert_int_equal(snapshot.process_count + snapshot.processes_folded, WRITERS);
	snapshot_free(&snapshot);
}

static void writers_run(const struct test_store *store)
{
	uint64_t before[COUNTER_COUNT] = { 0 };
	pid_t folder = folder_start(store);

	for (int started = 0; started < WRITERS; started += AT_ONCE) {
		pid_t children[AT_ONCE];

		for (int i = 0; i < AT_ONCE; i++) {
			children[i] = fork();
			assert_ok(children[i]);
			if (!children[i])
				writer_run(store, i % 2);
		}
		for (int i = 0; i < AT_ONCE; i++) {
			int status;

			while (waitpid(children[i], &status, WNOHANG) == 0)
				assert_onward(store, before);
			assert_true(i % 2 ? WIFEXITED(status) && !WEXITSTATUS(status)
					  : WIFSIGNALED(status));
			assert_onward(store, before);
		}
	}
	folder_end(folder);
	assert_exact(store);
	while (store_fold(store->directory, 0, NO_LIMIT) > 0)
		assert_exact(store);
	assert_exact(store);
	assert_int_equal(names_beginning(store->processes, ""), 0);
}

static void sums_under_the_lock(void **state)
{
	writers_run(*state);
}

/*
 * Where there is no lock that the reader could take, a fold can replace the totals
 * and unlink files in the middle of a snapshot.  The one folder makes itself another
 * lock whenever it finds none.
 */
static void sums_without_the_lock(void **state)
{
	struct test_store *store = *state;
	uint64_t before[COUNTER_COUNT] = { 0 };
	const uint32_t rounds = 6, files = 200;

	for (uint32_t round = 0; round < rounds; round++) {
		for (uint32_t n = 0; n < files; n++) {
			struct process_file *file = process_new((int32_t)(round * files + n + 1),
								n);

			record_fill(file, 1, 0, endpoint_tcp(0x7f000001, 80))
				->counters[COUNTER_operations] = 1;
			process_write(store, file);
			free(file);
		}
		assert_onward(store, before);
		assert_int_equal(before[COUNTER_operations], (round + 1) * files);
		pid_t folder = folder_start(store);
		while (names_beginning(store->processes, "")) {
			unlinkat(store->directory, "lock", 0);
			assert_onward(store, before);
			assert_int_equal(before[COUNTER_operations], (round + 1) * files);
		}
		folder_end(folder);
	}
}

static void a_folding_lock_is_waited_for_and_then_passed(void **state)
{
	struct test_store *store = *state;
	struct process_file *file = process_new(3, 3);
	struct timespec start, end;
	struct snapshot snapshot;
	int lock = openat(store->directory, "lock", O_RDWR | O_CREAT, 0600);

	record_fill(file, 1, 0, endpoint_tcp(1, 1))->counters[COUNTER_operations] = 9;
	process_write(store, file);
	free(file);
	assert_ok(flock(lock, LOCK_EX));
	clock_gettime(CLOCK_MONOTONIC, &start);
	assert_true(snapshot_read(&snapshot, store->directory));
	clock_gettime(CLOCK_MONOTONIC, &end);
	assert_int_equal(snapshot.totals[COUNTER_operations], 9);
	assert_in_range(end.tv_sec - start.tv_sec, 0, 3);
	snapshot_free(&snapshot);
	close(lock);
}

/* Whatever a file of before says: living, ended and folded. */
static void attempts_are_operations_and_retries(void **state)
{
	struct test_store *store = *state;
	struct snapshot snapshot;

	for (int i = 0; i < 2; i++) {
		struct process_file *file = process_new(9 + i, 9);
		struct endpoint_record *record = record_fill(file, 1, 0, endpoint_tcp(1, 1));

		record->counters[COUNTER_operations] = 2;
		record->counters[COUNTER_retries] = 3;
		record->counters[COUNTER_attempts] = i ? 4 : 0;
		process_write(store, file);
		free(file);
	}
	for (int folded = 0; folded < 2; folded++) {
		assert_true(snapshot_read(&snapshot, store->directory));
		assert_int_equal(snapshot.totals[COUNTER_attempts], 10);
		/* Behind those of `other`. */
		assert_int_equal(snapshot.endpoints[STORE_OPERATIONS].counters[COUNTER_attempts],
				 10);
		for (size_t i = 0; i < snapshot.process_count; i++)
			assert_int_equal(snapshot.processes[i].counters[COUNTER_attempts], 5);
		assert_int_equal(snapshot.process_count, folded ? 0 : 2);
		snapshot_free(&snapshot);
		assert_int_equal(store_fold(store->directory, 0, NO_LIMIT), folded ? 0 : 2);
	}
}

static void an_empty_directory_is_empty_statistics(void **state)
{
	struct test_store *store = *state;
	struct snapshot snapshot;

	assert_true(snapshot_read(&snapshot, store->directory));
	assert_int_equal(snapshot.process_count, 0);
	snapshot_free(&snapshot);
	assert_ok(unlinkat(store->directory, "process", AT_REMOVEDIR));
	assert_true(snapshot_read(&snapshot, store->directory));
	for (int i = 0; i < COUNTER_COUNT; i++)
		assert_int_equal(snapshot.totals[i], 0);
	snapshot_free(&snapshot);
	/* Reading makes nothing. */
	assert_int_equal(names_beginning(store->directory, ""), 0);
}

static void connections_are_those_ever_used(void **state)
{
	struct test_store *store = *state;
	struct process_file *file = process_new(8, 8);
	struct snapshot snapshot;
	const struct reader_connection *connection;

	record_fill(file, 4, 0, endpoint_tcp(0x0a000009, 9));
	file->slots_used = 6;
	file->slots[1].state = SLOT_CONNECTED;
	file->slots[1].endpoint = 4;
	file->slots[1].generation = 3;
	file->slots[2].state = SLOT_CONNECTED;
	file->slots[2].endpoint = 5; /* no such record */
	file->slots[3].state = SLOT_FAILED + 1;
	file->slots[3].endpoint = 4;
	file->slots[4].state = SLOT_CONNECTED;
	file->slots[4].endpoint = ENDPOINTS_PER_PROCESS;
	file->slots[7].state = SLOT_CONNECTED; /* beyond slots_used */
	file->slots[7].endpoint = 4;
	process_write(store, file);
	free(file);
	assert_true(snapshot_read(&snapshot, store->directory));
	assert_int_equal(snapshot.process_count, 1);
	assert_int_equal(snapshot.processes[0].connection_count, 1);
	connection = &snapshot.processes[0].connections[0];
	assert_int_equal(connection->index, 1);
	assert_int_equal(connection->slot.generation, 3);
	assert_int_equal(connection->endpoint.port, 9);
	snapshot_free(&snapshot);
}

/* Index + 1 of a record, or anything at all in a file that nobody vouches for. */
static void the_endpoint_in_use_is_believed_if_its_record_is_ready(void **state)
{
	static const struct {
		uint32_t in_use;
		uint16_t port;
	} expected[] = {
		{ 0, 9 },
		{ 6, 10 },
		{ 5, 9 }, /* its own */
		{ 7, 9 }, /* claimed, not ready */
		{ 8, 9 }, /* ready, but no operation that there is */
		{ 9, 9 }, /* free */
		{ ENDPOINTS_PER_PROCESS, 11 },
		{ ENDPOINTS_PER_PROCESS + 1, 9 },
		{ UINT32_MAX, 9 },
	};
	const uint32_t count = sizeof(expected) / sizeof(expected[0]);
	struct test_store *store = *state;
	struct process_file *file = process_new(8, 8);
	struct snapshot snapshot;

	record_fill(file, 4, 0, endpoint_tcp(0x0a000009, 9));
	record_fill(file, 5, 0, endpoint_tcp(0x0a000009, 10));
	record_fill(file, 6, 0, endpoint_tcp(0x0a000009, 12))->state = RECORD_CLAIMED;
	record_fill(file, 7, STORE_OPERATIONS, endpoint_tcp(0x0a000009, 13));
	record_fill(file, ENDPOINTS_PER_PROCESS - 1, 0, endpoint_tcp(0x0a000009, 11));
	file->slots_used = count;
	for (uint32_t i = 0; i < count; i++) {
		file->slots[i].state = SLOT_CONNECTED;
		file->slots[i].endpoint = 4;
		file->slots[i].in_use = expected[i].in_use;
	}
	process_write(store, file);
	free(file);
	assert_true(snapshot_read(&snapshot, store->directory));
	assert_int_equal(snapshot.processes[0].connection_count, count);
	for (uint32_t i = 0; i < count; i++) {
		const struct reader_connection *connection = &snapshot.processes[0].connections[i];

		assert_int_equal(connection->endpoint.port, 9);
		assert_int_equal(connection->connected_to.port, expected[i].port);
	}
	snapshot_free(&snapshot);
}

static int setup(void **state)
{
	static struct test_store store;

	store_make(&store);
	*state = &store;
	return 0;
}

static int teardown(void **state)
{
	store_remove(*state);
	return 0;
}

#define STORE_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		STORE_TEST(sums_under_the_lock),
		STORE_TEST(sums_without_the_lock),
		STORE_TEST(a_folding_lock_is_waited_for_and_then_passed),
		STORE_TEST(attempts_are_operations_and_retries),
		STORE_TEST(an_empty_directory_is_empty_statistics),
		STORE_TEST(connections_are_those_ever_used),
		STORE_TEST(the_endpoint_in_use_is_believed_if_its_record_is_ready),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
