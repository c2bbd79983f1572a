/* SPDX-License-Identifier: MIT */
/*
 * Proves that a process is told to be alive, ended or vanished rightly: by boot,
 * pid namespace, start time, and by whether it still maps its file, since exec
 * keeps pid and start time.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "store_files.h"

/* A process file on disk, mapped as its writer has it. */
struct mapped_process {
	struct process_file *file;
	uint64_t inode;
};

static void identity_of(struct process_file *file, pid_t pid)
{
	file->identity.proc_device = identity_proc_device();
	assert_true(file->identity.proc_device != 0);
	file->identity.pid = pid;
	file->identity.boottime_ns = identity_boottime_ns();
	file->state = PROCESS_RUNNING;
}

static struct mapped_process process_map(const struct test_store *store)
{
	struct process_file *file = process_new(1, 0x5eed);
	struct mapped_process mapped;
	struct stat status;
	int fd;

	process_write_as(store, "1-00005eed", file, PROCESS_HEAD_SIZE);
	fd = openat(store->processes, "1-00005eed", O_RDWR);
	assert_ok(fstat(fd, &status));
	mapped.inode = status.st_ino;
	mapped.file = mmap(NULL, PROCESS_HEAD_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_true(mapped.file != MAP_FAILED);
	close(fd);
	free(file);
	return mapped;
}

static void process_unmap(struct mapped_process *mapped)
{
	munmap(mapped->file, PROCESS_HEAD_SIZE);
}

static void the_file_name_is_pid_and_nonce(void **state)
{
	char name[PROCESS_NAME_SIZE];

	process_file_name(name, 2147483647, 0xffffffff);
	assert_string_equal(name, "2147483647-ffffffff");
	process_file_name(name, 7, 0xa0b);
	assert_string_equal(name, "7-00000a0b");
}

static void alive_while_it_maps_its_file(void **state)
{
	struct mapped_process mapped = process_map(*state);
	struct process_file *copy = process_new(1, 0x5eed);

	identity_of(mapped.file, getpid());
	assert_int_equal(process_judge(mapped.file, mapped.inode), PROCESS_ALIVE);
	/* Still at it, whatever its state word says: it may count until the end. */
	mapped.file->state = PROCESS_EXITED;
	assert_int_equal(process_judge(mapped.file, mapped.inode), PROCESS_ALIVE);
	/* Even if clocks differ (a time namespace): who has it mapped is alive. */
	mapped.file->identity.boottime_ns = 1;
	assert_int_equal(process_judge(mapped.file, mapped.inode), PROCESS_ALIVE);
	mapped.file->identity.boottime_ns = identity_boottime_ns();
	/* As after exec: same pid, began before, and the file is not mapped. */
	mapped.file->state = PROCESS_RUNNING;
	memcpy(copy, mapped.file, PROCESS_HEAD_SIZE);
	process_unmap(&mapped);
	assert_int_equal(process_judge(copy, mapped.inode), PROCESS_ENDED);
	/* Began after the file was made: the pid came round again. */
	copy->identity.boottime_ns = 1;
	assert_int_equal(process_judge(copy, mapped.inode), PROCESS_VANISHED);
	copy->state = PROCESS_EXITED;
	assert_int_equal(process_judge(copy, mapped.inode), PROCESS_ENDED);
	free(copy);
}

static void exec_ends_it(void **state)
{
	struct mapped_process mapped = process_map(*state);
	int ready[2];
	char byte;
	pid_t child;

	assert_ok(pipe2(ready, O_CLOEXEC));
	child = fork();
	assert_ok(child);
	if (!child) {
		execl("/bin/sleep", "sleep", "60", (char *)NULL);
		_exit(127);
	}
	close(ready[1]);
	/* The end of the pipe is closed by the exec. */
	assert_int_equal(read(ready[0], &byte, 1), 0);
	close(ready[0]);
	identity_of(mapped.file, child);
	assert_int_equal(process_judge(mapped.file, mapped.inode), PROCESS_ENDED);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	process_unmap(&mapped);
}

static void killed_vanishes_and_leaving_ends(void **state)
{
	struct mapped_process mapped = process_map(*state);
	pid_t child = fork();

	assert_ok(child);
	if (!child) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
	identity_of(mapped.file, child);
	assert_int_equal(process_judge(mapped.file, mapped.inode), PROCESS_ALIVE);
	assert_ok(kill(child, SIGKILL));
	siginfo_t info;
	assert_ok(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT));
	/* A zombie writes nothing any more. */
	assert_int_equal(process_judge(mapped.file, mapped.inode), PROCESS_VANISHED);
	assert_int_equal(waitpid(child, NULL, 0), child);
	assert_int_equal(process_judge(mapped.file, mapped.inode), PROCESS_VANISHED);
	mapped.file->state = PROCESS_EXITED;
	assert_int_equal(process_judge(mapped.file, mapped.inode), PROCESS_ENDED);
	process_unmap(&mapped);
}

static void *thread_wait(void *data)
{
	for (;;)
		pause();
	return data;
}

/* The first thread can leave alone; its maps are empty then, and the others count on. */
static void alive_without_its_first_thread(void **state)
{
	struct mapped_process mapped = process_map(*state);
	pid_t child = fork();
	struct timespec tick = { .tv_nsec = 1000000 };
	char path[64], text[512];
	bool zombie = false;

	assert_ok(child);
	if (!child) {
		pthread_t thread;

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (pthread_create(&thread, NULL, thread_wait, NULL))
			_exit(1);
		pthread_exit(NULL);
	}
	identity_of(mapped.file, child);
	snprintf(path, sizeof(path), "/proc/%d/stat", child);
	for (int i = 0; i < 5000 && !zombie; i++) {
		FILE *file = fopen(path, "r");

		zombie = file && fgets(text, sizeof(text), file) && strstr(text, ") Z ");
		if (file)
			fclose(file);
		nanosleep(&tick, NULL);
	}
	assert_true(zombie);
	assert_int_equal(process_judge(mapped.file, mapped.inode), PROCESS_ALIVE);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	assert_int_equal(process_judge(mapped.file, mapped.inode), PROCESS_VANISHED);
	process_unmap(&mapped);
}

static void other_boots_and_namespaces(void **state)
{
	struct mapped_process mapped = process_map(*state);
	struct process_file *file = mapped.file;

	identity_of(file, getpid());
	file->identity.proc_device++;
	assert_int_equal(process_judge(file, mapped.inode), PROCESS_UNKNOWN);
	file->identity.proc_device = 0;
	assert_int_equal(process_judge(file, mapped.inode), PROCESS_UNKNOWN);
	/* Nothing outlives a boot, in whatever namespace. */
	file->identity.boottime_ns += 3600 * SECOND_NS;
	assert_int_equal(process_judge(file, mapped.inode), PROCESS_VANISHED);
	file->state = PROCESS_EXITED;
	assert_int_equal(process_judge(file, mapped.inode), PROCESS_ENDED);
	process_unmap(&mapped);
}

/* A living process is never folded; one that cannot be judged, by age alone. */
static void only_the_dead_are_folded(void **state)
{
	struct test_store *store = *state;
	struct process_file *alive = process_new(getpid(), 0xa11e);
	struct process_file *foreign = process_new(77, 0xf0);
	char name[PROCESS_NAME_SIZE];
	void *mapping;
	int fd;

	identity_of(alive, getpid());
	process_write(store, alive);
	process_file_name(name, getpid(), 0xa11e);
	fd = openat(store->processes, name, O_RDWR);
	mapping = mmap(NULL, PROCESS_HEAD_SIZE, PROT_READ, MAP_SHARED, fd, 0);
	assert_true(mapping != MAP_FAILED);
	close(fd);
	identity_of(foreign, getpid());
	foreign->identity.pid = 77;
	foreign->identity.proc_device++;
	foreign->identity.started_at_ns = now_ns() - 3600 * SECOND_NS;
	foreign->updated_at_ns = now_ns() - 1800 * SECOND_NS;
	process_write(store, foreign);
	/* No room at all, and yet nobody may go. */
	assert_int_equal(store_fold(store->directory, HOUR_NS, 0), 0);
	assert_true(process_exists(store, alive));
	assert_true(process_exists(store, foreign));
	assert_int_equal(store_fold(store->directory, HOUR_NS / 4, 0), 1);
	assert_true(process_exists(store, alive));
	assert_false(process_exists(store, foreign));
	munmap(mapping, PROCESS_HEAD_SIZE);
	assert_int_equal(store_fold(store->directory, 0, 0), 1);
	assert_false(process_exists(store, alive));
	free(alive);
	free(foreign);
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
		cmocka_unit_test(the_file_name_is_pid_and_nonce),
		STORE_TEST(alive_while_it_maps_its_file),
		STORE_TEST(exec_ends_it),
		STORE_TEST(killed_vanishes_and_leaving_ends),
		STORE_TEST(alive_without_its_first_thread),
		STORE_TEST(other_boots_and_namespaces),
		STORE_TEST(only_the_dead_are_folded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
