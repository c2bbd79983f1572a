/* SPDX-License-Identifier: MIT */
/*
 * Every file in tests/policy/malformed/ is refused with exactly the messages, all
 * of them and in that order, that stand in the file of the same name beside it.
 */
#include <dirent.h>

#include "policy_test.h"

#define FILES_MAX 512
#define TEXT_MAX (64 << 10)

#ifndef SOURCE_DIR
#define SOURCE_DIR "."
#endif

static char directory[2048];

/* The whole of a file of at most TEXT_MAX bytes; free() it. */
static char *file_read(const char *name, const char *suffix, size_t *length)
{
	char path[4096];
	char *text = calloc(1, TEXT_MAX);
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s%s", directory, name, suffix);
	file = fopen(path, "rb");
	if (!file)
		fail_msg("cannot open %s", path);
	*length = fread(text, 1, TEXT_MAX - 1, file);
	fclose(file);
	return text;
}

static void test_file(void **state)
{
	const char *name = *state;
	size_t length, ignored;
	char *text = file_read(name, ".json", &length);
	char *expected = file_read(name, ".expected", &ignored);
	char *found = calloc(1, TEXT_MAX), file[300];
	struct policy_errors errors;
	struct policy *policy = policy_compile(text, length, "", NULL, &errors);

	snprintf(file, sizeof(file), "%s.json", name);
	for (size_t i = 0; i < errors.count; i++) {
		size_t at = strlen(found);

		policy_error_format(&errors.list[i], file, found + at, TEXT_MAX - at);
		strcat(found, "\n");
	}
	assert_true(expected[0] != '\0');
	assert_string_equal(found, expected);
	assert_null(policy);
	policy_errors_free(&errors);
	free(text);
	free(expected);
	free(found);
}

static int is_policy(const struct dirent *entry)
{
	size_t length = strlen(entry->d_name);

	return length > 5 && !strcmp(entry->d_name + length - 5, ".json");
}

int main(int argc, char **argv)
{
	static struct CMUnitTest tests[FILES_MAX];
	const char *source = getenv("HOLDFAST_SOURCE");
	struct dirent **entries;
	int count;

	source = argc > 1 ? argv[1] : source ? source : SOURCE_DIR;
	snprintf(directory, sizeof(directory), "%s/tests/policy/malformed", source);
	count = scandir(directory, &entries, is_policy, alphasort);
	if (count < 50 || count > FILES_MAX) {
		fprintf(stderr, "%s: found %d policies, expected 50 to %d\n", directory, count,
			FILES_MAX);
		return 1;
	}
	for (int i = 0; i < count; i++) {
		char *name = strndup(entries[i]->d_name, strlen(entries[i]->d_name) - 5);

		tests[i] = (struct CMUnitTest){ .name = name,
						.test_func = test_file,
						.initial_state = name };
	}
	return _cmocka_run_group_tests("malformed", tests, (size_t)count, NULL, NULL);
}
