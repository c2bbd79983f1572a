/* SPDX-License-Identifier: MIT */
/* What is damaged, shortened or no process file at all is set aside and does no harm. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "store_samples.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
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
