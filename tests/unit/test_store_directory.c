/* SPDX-License-Identifier: MIT */
/*
 * Proves where the state directory is looked for, that missing parents are made
 * 0700, and that a link, a foreign owner or a directory open to others is refused
 * with the reason.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "store_files.h"

static void assert_located(const char *expected, const char *state_dir, const char *xdg,
			   const char *home, uid_t uid)
{
	char path[STORE_PATH_SIZE];

	assert_true(directory_locate(path, state_dir, xdg, home, uid));
	assert_string_equal(path, expected);
}

static void location_by_precedence(void **state)
{
	char path[STORE_PATH_SIZE], longest[STORE_PATH_SIZE + 1];

	assert_located("/s", "/s", "/x", "/h", 1000);
	assert_located("/s", "/s", "/x", "/h", 0);
	assert_located("relative", "relative", NULL, NULL, 0);
	assert_located("/var/lib/holdfast", NULL, "/x", "/h", 0);
	assert_located("/var/lib/holdfast", "", "", "", 0);
	assert_located("/x/holdfast", "", "/x", "/h", 1000);
	assert_located("/h/.local/state/holdfast", NULL, "", "/h", 1000);
	/* The XDG specification has relative paths ignored. */
	assert_located("/h/.local/state/holdfast", NULL, "x", "/h", 1000);
	assert_false(directory_locate(path, NULL, NULL, NULL, 1000));
	assert_false(directory_locate(path, "", "", "", 1000));
	memset(longest, 'a', sizeof(longest));
	longest[0] = '/';
	longest[STORE_PATH_SIZE] = '\0';
	assert_false(directory_locate(path, longest, NULL, "/h", 1000));
	longest[STORE_PATH_SIZE - 1] = '\0';
	assert_true(directory_locate(path, longest, NULL, "/h", 1000));
	longest[STORE_PATH_SIZE - 4] = '\0';
	assert_false(directory_locate(path, NULL, longest, NULL, 1000));
}

static void assert_refused(const char *path, bool create, int error, const char *problem)
{
	const char *found = NULL;
	int fd = directory_open(path, create, &found);

	assert_int_equal(fd, -1);
	assert_int_equal(errno, error);
	assert_string_equal(found, problem);
}

static mode_t mode_of(const char *path)
{
	struct stat status;

	assert_ok(lstat(path, &status));
	return status.st_mode & 07777;
}

static void parents_are_made(void **state)
{
	struct test_store *store = *state;
	const char *problem;
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s/a/b/c//", store->path);
	assert_refused(path, false, ENOENT, "does not exist");
	fd = directory_open(path, true, &problem);
	assert_ok(fd);
	assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	close(fd);
	for (int cut = 0; cut < 3; cut++) {
		snprintf(path, sizeof(path), "%s/a/b/c", store->path);
		path[strlen(path) - 2 * (size_t)cut] = '\0';
		assert_int_equal(mode_of(path), 0700);
	}
	fd = directory_open(path, true, &problem);
	assert_ok(fd);
	close(fd);
}

static void links_are_refused(void **state)
{
	struct test_store *store = *state;
	char path[128], target[128];
	const char *problem;
	int fd;

	snprintf(target, sizeof(target), "%s/process", store->path);
	snprintf(path, sizeof(path), "%s/link", store->path);
	assert_ok(symlink(target, path));
	assert_refused(path, false, ELOOP, "is a symbolic link");
	assert_refused(path, true, ELOOP, "is a symbolic link");
	/* A slash behind it would have the kernel follow it. */
	strcat(path, "/");
	assert_refused(path, true, ELOOP, "is a symbolic link");
	assert_int_equal(directory_open_sub(store->directory, "link", true, &problem), -1);
	assert_string_equal(problem, "is a symbolic link");
	/* Above the last component they are the user's own business. */
	snprintf(path, sizeof(path), "%s/link/sub", store->path);
	fd = directory_open(path, true, &problem);
	assert_ok(fd);
	close(fd);
	snprintf(path, sizeof(path), "%s/dangling", store->path);
	assert_ok(symlink("/nonexistent/x", path));
	assert_refused(path, true, ELOOP, "is a symbolic link");
}

static void files_and_wide_modes_are_refused(void **state)
{
	static const mode_t wide[] = { 0701, 0710, 0704, 0770, 0755, 01777 };
	struct test_store *store = *state;
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s/file", store->path);
	fd = open(path, O_CREAT | O_WRONLY, 0600);
	assert_ok(fd);
	close(fd);
	assert_refused(path, true, ENOTDIR, "is not a directory");
	snprintf(path, sizeof(path), "%s/file/below", store->path);
	assert_refused(path, true, ENOTDIR, "is not a directory");
	for (size_t i = 0; i < sizeof(wide) / sizeof(wide[0]); i++) {
		assert_ok(chmod(store->path, wide[i]));
		assert_refused(store->path, true, EPERM,
			       "is open to other users, expected mode 0700");
		assert_int_equal(mode_of(store->path), wide[i]);
	}
	assert_ok(chmod(store->path, 0700));
	assert_refused("", true, ENOENT, "does not exist");
}

static void foreign_directories_are_refused(void **state)
{
	struct test_store *store = *state;

	if (geteuid() != 0) {
		print_message("needs root to give a directory away\n");
		skip();
	}
	assert_ok(chown(store->path, 65534, 65534));
	assert_refused(store->path, true, EPERM, "belongs to another user");
	assert_ok(chown(store->path, 0, 0));
}

static void descriptors_avoid_standard_streams(void **state)
{
	struct test_store *store = *state;
	const char *problem;
	int saved = dup(STDIN_FILENO), fd;

	close(STDIN_FILENO);
	fd = directory_open(store->path, false, &problem);
	dup2(saved, STDIN_FILENO);
	close(saved);
	assert_true(fd > 2);
	assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	close(fd);
}

static void every_name_is_listed(void **state)
{
	struct test_store *store = *state;
	char name[64];

	for (int i = 0; i < 500; i++) {
		snprintf(name, sizeof(name), "entry-with-a-long-name-to-fill-blocks-%04d", i);
		close(openat(store->processes, name, O_CREAT | O_WRONLY, 0600));
	}
	assert_int_equal(names_beginning(store->processes, "entry-"), 500);
	assert_int_equal(names_beginning(store->processes, "."), 0);
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
		cmocka_unit_test(location_by_precedence),
		STORE_TEST(parents_are_made),
		STORE_TEST(links_are_refused),
		STORE_TEST(files_and_wide_modes_are_refused),
		STORE_TEST(foreign_directories_are_refused),
		STORE_TEST(descriptors_avoid_standard_streams),
		STORE_TEST(every_name_is_listed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
