/* SPDX-License-Identifier: MIT */
/*
 * Proves that folding counts every increment exactly once: in the plain case,
 * when the folder is killed at any of its system calls, and when files are too
 * many or not due. (Damaged ones: test_store_damage.c.)
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

#include "store_samples.h"

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
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
