/* SPDX-License-Identifier: MIT */
/*
 * Runs a fuzz target over the files of the corpus, without libFuzzer: one TAP
 * line a file. An abort or a sanitizer's report ends the run before its plan.
 */
#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#ifndef CORPUS
#define CORPUS "tests/fuzz/corpus"
#endif
#define INPUT_MAX (8U << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int is_visible(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

/* A copy of exactly the file's size, so that a sanitizer sees every overrun. */
static uint8_t *file_read(const char *path, size_t *size)
{
	uint8_t *bytes = malloc(INPUT_MAX), *exact = NULL;
	FILE *file = fopen(path, "rb");

	if (file && bytes) {
		*size = fread(bytes, 1, INPUT_MAX, file);
		exact = malloc(*size ? *size : 1);
	}
	if (exact)
		memcpy(exact, bytes, *size);
	if (file)
		fclose(file);
	free(bytes);
	return exact;
}

int main(int argc, char **argv)
{
	const char *directory = argc > 1 ? argv[1] : CORPUS;
	struct dirent **entries;
	int count = scandir(directory, &entries, is_visible, alphasort);

	if (count <= 0) {
		fprintf(stderr, "%s: found no corpus: %s\n", directory,
			count < 0 ? strerror(errno) : "no files");
		return EX_NOINPUT;
	}
	for (int i = 0; i < count; i++) {
		char path[4096];
		size_t size = 0;
		uint8_t *bytes;

		snprintf(path, sizeof(path), "%s/%s", directory, entries[i]->d_name);
		bytes = file_read(path, &size);
		if (bytes)
			LLVMFuzzerTestOneInput(bytes, size);
		printf("%s %d - %s\n", bytes ? "ok" : "not ok", i + 1, entries[i]->d_name);
		fflush(stdout);
		free(bytes);
		free(entries[i]);
	}
	free(entries);
	printf("1..%d\n", count);
	return 0;
}
