/* SPDX-License-Identifier: MIT */
/*
 * Proves that folding counts every increment exactly once: in the plain case,
 * when the folder is killed at any of its system calls, and when files are
 * damaged, shortened, too many or not due.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>
#include <sys/file.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

#include "shim/store/reader.h"
#include "store_files.h"

#define PROCESSES 5

/* Process n: known counts on two endpoints, bytes on slots, one operation unfinished. */
static struct process_file *process_sample(uint32_t n)
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

static void samples_write_from(const struct test_store *store, uint32_t first, uint32_t end)
{
	for (uint32_t n = first; n < end; n++) {
		struct process_file *file = process_sample(n);

		process_write(store, file);
		free(file);
	}
}

static void samples_write(const struct test_store *store)
{
	samples_write_from(store, 0, PROCESSES);
}

static const struct endpoint_record *find(const struct snapshot *snapshot, uint32_t operation,
					  struct endpoint endpoint)
{
	for (size_t i = 0; i < snapshot->endpoint_count; i++) {
		if (snapshot->endpoints[i].operation == operation &&
		    endpoint_equal(&snapshot->endpoints[i].endpoint, &endpoint))
			return &snapshot->endpoints[i];
	}
	return NULL;
}

/* What the samples add up to, wherever their counts are at the moment. */
static void assert_samples(const struct test_store *store)
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

static void folding_changes_no_sum(void **state)
{
	struct test_store *store = *state;

	samples_write(store);
	assert_samples(store);
	assert_int_equal(store_fold(store->directory, 0, NO_LIMIT), PROCESSES);
	assert_int_equal(names_beginning(store->processes, ""), 0);
	assert_samples(store);
	assert_int_equal(store_fold(store->directory, 0, NO_LIMIT), 0);
	assert_samples(store);
}

/* ---- killed at every step ------------------------------------------------- */

/*
 * Runs a fold in a child and kills it at its n-th stop, a system call's entry or
 * exit. Returns false once the fold had fewer; *traced is false if not permitted.
 */
static bool fold_killed_at(const struct test_store *store, int n, bool *traced)
{
	pid_t child = fork();
	int status;

	assert_ok(child);
	if (!child) {
		if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
			_exit(77);
		raise(SIGSTOP);
		store_fold(store->directory, 0, NO_LIMIT);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	*traced = WIFSTOPPED(status);
	for (int stop = 0; WIFSTOPPED(status) && stop < n; stop++) {
		assert_ok(ptrace(PTRACE_SYSCALL, child, NULL, NULL));
		assert_int_equal(waitpid(child, &status, 0), child);
	}
	if (!WIFSTOPPED(status))
		return false;
	assert_ok(kill(child, SIGKILL));
	assert_int_equal(waitpid(child, &status, 0), child);
	return true;
}

static void killed_at_every_system_call(void **state)
{
	bool traced = true, killed = true;
	int steps = 0;

	for (int n = 1; killed; n++) {
		struct test_store store;

		store_make(&store);
		/* Some in the totals already, so that there is something to replace. */
		samples_write_from(&store, 0, 2);
		assert_int_equal(store_fold(store.directory, 0, NO_LIMIT), 2);
		samples_write_from(&store, 2, PROCESSES);
		killed = fold_killed_at(&store, n, &traced);
		if (!traced) {
			store_remove(&store);
			print_message("ptrace is not permitted here\n");
			skip();
		}
		assert_samples(&store);
		/* Whoever comes next, even if killed as well at the same place. */
		fold_killed_at(&store, n, &traced);
		assert_samples(&store);
		assert_true(store_fold(store.directory, 0, NO_LIMIT) >= 0);
		assert_samples(&store);
		assert_int_equal(names_beginning(store.processes, ""), 0);
		assert_int_equal(names_beginning(store.directory, "totals."), 0);
		store_remove(&store);
		steps++;
	}
	/* The fold opens, writes, syncs, renames and unlinks: it cannot take fewer. */
	assert_true(steps > 60);
}

/* A later batch must not forget the files of the one before. */
static void killed_with_an_older_batch_left(void **state)
{
	struct test_store *store = *state;
	struct process_file *first = process_sample(0), *second = process_sample(1);
	struct snapshot snapshot;

	process_write(store, first);
	assert_int_equal(store_fold(store->directory, 0, NO_LIMIT), 1);
	/* As if the unlink had not happened. */
	process_write(store, first);
	process_write(store, second);
	for (int round = 0; round < 3; round++) {
		assert_true(snapshot_read(&snapshot, store->directory));
		assert_int_equal(snapshot.totals[COUNTER_operations], 22);
		snapshot_free(&snapshot);
		assert_int_equal(store_fold(store->directory, 0, NO_LIMIT), round == 0);
		assert_false(process_exists(store, first));
	}
	free(first);
	free(second);
}

/* ---- who is due -------------------------------------------------------------- */

static struct process_file *process_ended(const struct test_store *store, uint32_t n,
					  int64_t seconds_ago)
{
	struct process_file *file = process_sample(n);

	file->identity.started_at_ns = now_ns() - (seconds_ago + 10) * SECOND_NS;
	file->updated_at_ns = file->ended_at_ns = now_ns() - seconds_ago * SECOND_NS;
	process_write(store, file);
	return file;
}

static void only_those_past_retention(void **state)
{
	struct test_store *store = *state;
	struct process_file *old = process_ended(store, 1, 7200);
	struct process_file *young = process_ended(store, 2, 1800);

	assert_int_equal(store_fold(store->directory, 3 * HOUR_NS, NO_LIMIT), 0);
	assert_int_equal(store_fold(store->directory, HOUR_NS, NO_LIMIT), 1);
	assert_false(process_exists(store, old));
	assert_true(process_exists(store, young));
	free(old);
	free(young);
}

static void the_oldest_while_too_much_is_used(void **state)
{
	struct test_store *store = *state;
	struct process_file *files[4];
	struct stat status;
	char name[PROCESS_NAME_SIZE];

	for (uint32_t n = 0; n < 4; n++)
		files[n] = process_ended(store, n, 100 * (int64_t)(n + 1));
	process_file_name(name, files[0]->identity.pid, files[0]->identity.nonce);
	assert_ok(fstatat(store->processes, name, &status, 0));
	/* Room for two and a half: the two oldest have to go. */
	assert_int_equal(
		store_fold(store->directory, NO_LIMIT, (uint64_t)status.st_blocks * 512 * 5 / 2),
		2);
	assert_true(process_exists(store, files[0]));
	assert_true(process_exists(store, files[1]));
	assert_false(process_exists(store, files[2]));
	assert_false(process_exists(store, files[3]));
	for (uint32_t n = 0; n < 4; n++)
		free(files[n]);
}

static void many_take_several_folds(void **state)
{
	struct test_store *store = *state;
	struct snapshot snapshot;

	for (uint32_t n = 0; n < FOLDED_AT_ONCE + 6; n++)
		free(process_ended(store, n, 1000 - n));
	assert_int_equal(store_fold(store->directory, 0, NO_LIMIT), FOLDED_AT_ONCE);
	assert_int_equal(store_fold(store->directory, 0, NO_LIMIT), 6);
	assert_int_equal(store_fold(store->directory, 0, NO_LIMIT), 0);
	assert_true(snapshot_read(&snapshot, store->directory));
	assert_int_equal(snapshot.totals[COUNTER_operations], (FOLDED_AT_ONCE + 6) * 11);
	assert_int_equal(snapshot.processes_folded, FOLDED_AT_ONCE + 6);
	snapshot_free(&snapshot);
}

static void another_folder_is_left_alone(void **state)
{
	struct test_store *store = *state;
	int lock = openat(store->directory, "lock", O_RDWR | O_CREAT, 0600);

	samples_write(store);
	assert_ok(flock(lock, LOCK_EX));
	assert_int_equal(store_fold(store->directory, 0, NO_LIMIT), -1);
	assert_int_equal(errno, EWOULDBLOCK);
	close(lock);
	assert_int_equal(store_fold(store->directory, 0, NO_LIMIT), PROCESSES);
	assert_samples(store);
}

static void endpoints_beyond_the_limit_become_other(void **state)
{
	struct test_store *store = *state;
	struct endpoint other = { .kind = ENDPOINT_OTHER };
	const uint32_t per_process = ENDPOINTS_PER_PROCESS - 1, processes = 12;
	struct snapshot snapshot;

	for (uint32_t n = 0; n < processes; n++) {
		struct process_file *file = process_new((int32_t)n + 1, n);

		for (uint32_t i = 1; i <= per_process; i++)
			record_fill(file, i, i % 2, endpoint_tcp(n << 16 | i, 80))
				->counters[COUNTER_operations] = 1;
		process_write(store, file);
		free(file);
	}
	assert_int_equal(store_fold(store->directory, 0, NO_LIMIT), processes);
	assert_true(snapshot_read(&snapshot, store->directory));
	assert_int_equal(snapshot.endpoint_count, ENDPOINTS_IN_TOTALS);
	assert_int_equal(snapshot.totals[COUNTER_operations], processes * per_process);
	assert_int_equal(find(&snapshot, 0, other)->counters[COUNTER_operations] +
				 find(&snapshot, 1, other)->counters[COUNTER_operations],
			 processes * per_process - (ENDPOINTS_IN_TOTALS - STORE_OPERATIONS));
	assert_true(find(&snapshot, 1, other)->counters[COUNTER_operations] > 0);
	snapshot_free(&snapshot);
}

/* ---- damage --------------------------------------------------------------------- */

static void totals_overwrite(const struct test_store *store, off_t at, const void *bytes,
			     size_t size)
{
	int fd = openat(store->directory, "totals", O_RDWR | O_CREAT, 0600);

	assert_ok(fd);
	assert_int_equal(pwrite(fd, bytes, size, at), (ssize_t)size);
	close(fd);
}

static void damaged_totals_are_set_aside(void **state)
{
	struct test_store *store = *state;
	struct process_file *file = process_sample(9);
	struct snapshot snapshot;
	struct stat before, after;
	char byte;
	off_t size;

	samples_write(store);
	assert_int_equal(store_fold(store->directory, 0, NO_LIMIT), PROCESSES);
	assert_ok(fstatat(store->directory, "totals", &before, 0));
	size = before.st_size;
	/* One bit anywhere: in the header, in a record, in the last byte. */
	const off_t places[] = { 0, 8, 12, 20, 40, 600, size - 1 };
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		int fd = openat(store->directory, "totals", O_RDWR);

		assert_int_equal(pread(fd, &byte, 1, places[i]), 1);
		byte ^= 0x10;
		assert_int_equal(pwrite(fd, &byte, 1, places[i]), 1);
		assert_true(snapshot_read(&snapshot, store->directory));
		assert_true(snapshot.totals_damaged);
		assert_int_equal(snapshot.totals[COUNTER_operations], 0);
		snapshot_free(&snapshot);
		byte ^= 0x10;
		assert_int_equal(pwrite(fd, &byte, 1, places[i]), 1);
		close(fd);
		assert_samples(store);
	}
	totals_overwrite(store, 0, "no totals", 9);
	process_write(store, file);
	assert_int_equal(store_fold(store->directory, 0, NO_LIMIT), 1);
	assert_int_equal(names_beginning(store->directory, "totals.bad-"), 1);
	assert_true(snapshot_read(&snapshot, store->directory));
	assert_false(snapshot.totals_damaged);
	assert_int_equal(snapshot.totals[COUNTER_operations], 11);
	snapshot_free(&snapshot);
	assert_ok(fstatat(store->directory, "totals", &after, 0));
	assert_true(after.st_ino != before.st_ino);
	free(file);
}

static void shortened_and_lengthened_totals(void **state)
{
	struct test_store *store = *state;
	struct snapshot snapshot;
	struct stat status;
	char path[128];

	samples_write(store);
	assert_int_equal(store_fold(store->directory, 0, NO_LIMIT), PROCESSES);
	snprintf(path, sizeof(path), "%s/totals", store->path);
	assert_ok(stat(path, &status));
	const off_t sizes[] = { 0, 7, 559, status.st_size - 1, status.st_size + 8, 10 << 20 };
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		assert_ok(truncate(path, sizes[i]));
		assert_true(snapshot_read(&snapshot, store->directory));
		assert_true(snapshot.totals_damaged);
		snapshot_free(&snapshot);
	}
	assert_int_equal(store_fold(store->directory, 0, NO_LIMIT), 0);
	assert_int_equal(names_beginning(store->directory, "totals"), 1);
	assert_int_equal(names_beginning(store->directory, "totals.bad-"), 1);
}

static void random_process_files_are_set_aside(void **state)
{
	struct test_store *store = *state;
	struct process_file *file = process_sample(7);
	char name[32];

	srandom(11);
	samples_write(store);
	for (int i = 0; i < 40; i++) {
		unsigned char bytes[4096];

		for (size_t k = 0; k < sizeof(bytes); k++)
			bytes[k] = (unsigned char)random();
		snprintf(name, sizeof(name), "%d-%08lx", 5000 + i, random());
		process_write_as(store, name, bytes, (size_t)(random() % 4097));
	}
	/* A copy of a good file under another name would count twice. */
	process_write_as(store, "107-00000001", file, PROCESS_HEAD_SIZE);
	file->version++;
	process_write(store, file);
	assert_samples(store);
	assert_int_equal(store_fold(store->directory, 0, NO_LIMIT), PROCESSES);
	assert_samples(store);
	assert_int_equal(names_beginning(store->processes, "bad-"), 42);
	assert_int_equal(names_beginning(store->processes, ""), 42);
	/* They stay for the retention, unless there is no room. */
	assert_int_equal(store_fold(store->directory, HOUR_NS, NO_LIMIT), 0);
	assert_int_equal(names_beginning(store->processes, "bad-"), 42);
	assert_int_equal(store_fold(store->directory, HOUR_NS, 0), 0);
	assert_int_equal(names_beginning(store->processes, ""), 0);
	assert_samples(store);
	free(file);
}

/* A good header with random contents: nothing may be read or written out of bounds. */
static void random_contents_do_no_harm(void **state)
{
	struct test_store *store = *state;

	srandom(13);
	for (int round = 0; round < 200; round++) {
		struct process_file *file = process_new(round + 1, (uint32_t)round);
		unsigned char *bytes = (unsigned char *)file;
		size_t size = PROCESS_HEAD_SIZE + (size_t)(random() % 20000);
		struct snapshot snapshot;

		for (size_t k = offsetof(struct process_file, slots_used); k < size; k++)
			bytes[k] = (unsigned char)random();
		for (size_t k = 0; k < ENDPOINTS_PER_PROCESS; k++) {
			file->endpoints[k].state = RECORD_READY;
			file->endpoints[k].operation %= STORE_OPERATIONS + 1;
			file->endpoints[k].endpoint.kind %= ENDPOINT_NAME + 2;
			file->endpoints[k].endpoint.length %= 128;
		}
		char name[PROCESS_NAME_SIZE];
		process_file_name(name, file->identity.pid, file->identity.nonce);
		process_write_as(store, name, file, size);
		assert_true(snapshot_read(&snapshot, store->directory));
		snapshot_free(&snapshot);
		free(file);
	}
	for (int folded = 1; folded > 0;)
		folded = store_fold(store->directory, 0, 0);
	assert_int_equal(names_beginning(store->processes, ""), 0);
}

static void a_shortened_file_counts_what_is_in_it(void **state)
{
	struct test_store *store = *state;
	struct process_file *file = process_sample(1);
	struct snapshot snapshot;
	char name[PROCESS_NAME_SIZE];

	process_file_name(name, file->identity.pid, file->identity.nonce);
	for (int folds = 0; folds < 2; folds++) {
		/* The first slot whole, the second not; then nothing behind the second record. */
		process_write_as(store, name, file,
				 folds ? offsetof(struct process_file, endpoints[2])
				       : offsetof(struct process_file, slots[1]) + 100);
		assert_true(snapshot_read(&snapshot, store->directory));
		assert_int_equal(snapshot.totals[COUNTER_operations], folds ? 10 : 11);
		assert_int_equal(snapshot.totals[COUNTER_sent_bytes], folds ? 1000 : 1023);
		assert_int_equal(snapshot.totals[COUNTER_received_bytes],
				 folds ? 0 : UINT64_C(1) << 60);
		snapshot_free(&snapshot);
	}
	assert_int_equal(store_fold(store->directory, 0, NO_LIMIT), 1);
	assert_true(snapshot_read(&snapshot, store->directory));
	assert_int_equal(snapshot.totals[COUNTER_sent_bytes], 1000);
	snapshot_free(&snapshot);
	free(file);
}

static void links_and_fifos_are_not_waited_for(void **state)
{
	struct test_store *store = *state;

	samples_write(store);
	assert_ok(symlinkat("/etc/passwd", store->processes, "1-00000001"));
	assert_ok(mkfifoat(store->processes, "2-00000002", 0600));
	assert_ok(mkdirat(store->processes, "3-00000003", 0700));
	assert_samples(store);
	assert_int_equal(store_fold(store->directory, 0, NO_LIMIT), PROCESSES);
	assert_samples(store);
}

static void leftovers_are_removed(void **state)
{
	struct test_store *store = *state;

	close(openat(store->directory, "totals.new", O_CREAT | O_WRONLY, 0600));
	process_write_as(store, ".12-00000001", "x", 1);
	assert_int_equal(store_fold(store->directory, 0, NO_LIMIT), 0);
	assert_int_equal(names_beginning(store->directory, "totals.new"), 0);
	/* Young: it may be in the making. */
	assert_int_equal(names_beginning(store->processes, ".12-"), 1);
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
		STORE_TEST(folding_changes_no_sum),
		cmocka_unit_test(killed_at_every_system_call),
		STORE_TEST(killed_with_an_older_batch_left),
		STORE_TEST(only_those_past_retention),
		STORE_TEST(the_oldest_while_too_much_is_used),
		STORE_TEST(many_take_several_folds),
		STORE_TEST(another_folder_is_left_alone),
		STORE_TEST(endpoints_beyond_the_limit_become_other),
		STORE_TEST(damaged_totals_are_set_aside),
		STORE_TEST(shortened_and_lengthened_totals),
		STORE_TEST(random_process_files_are_set_aside),
		STORE_TEST(random_contents_do_no_harm),
		STORE_TEST(a_shortened_file_counts_what_is_in_it),
		STORE_TEST(links_and_fifos_are_not_waited_for),
		STORE_TEST(leftovers_are_removed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
