/* SPDX-License-Identifier: MIT */
/*
 * Reading a policy the way HOLDFAST_POLICY is read: JSON itself when it begins
 * with `{`, a shipped profile's name, or a file.  For the tool; allocates.
 */
#ifndef HOLDFAST_TOOL_POLICY_FILE_H
#define HOLDFAST_TOOL_POLICY_FILE_H

#include <stdbool.h>
#include <stddef.h>

#include "policy/compile.h"

/* Longer files are refused: no policy is, and a running program may have to read it. */
#define POLICY_TEXT_LIMIT (1024 * 1024)
#define POLICY_LINE_SIZE 1024

struct policy_file {
	char *origin; /* absolute path, the profile's name, or "HOLDFAST_POLICY" for JSON given */
	char *value;  /* what HOLDFAST_POLICY is to be for a child: absolute if a file */
	char *text;   /* NULL for a shipped profile */
	size_t length;
	bool is_file;
	struct policy_source source;
	struct policy *policy; /* NULL if it could not be compiled */
};

enum policy_file_result {
	POLICY_FILE_OK,
	POLICY_FILE_MISSING, /* cannot be opened or read */
	POLICY_FILE_BAD      /* read, and it is no policy */
};

/*
 * Reads and compiles. given NULL or "": the profile `standard`. What is wrong
 * goes to errors, all of it; errors->count is 0 on success. Free both with
 * policy_file_free() and policy_errors_free() whatever the result.
 */
enum policy_file_result policy_file_read(struct policy_file *file, const char *given,
					 struct policy_errors *errors);
/* The same for a file by path, "-" being standard input; never a shipped profile. */
enum policy_file_result policy_file_read_path(struct policy_file *file, const char *path,
					      struct policy_errors *errors);
void policy_file_free(struct policy_file *file);

/*
 * Applies every HOLDFAST_* variable of the environment to the policy, and calls
 * visit, if any, for each one that changed something. False at the first bad
 * one, with "NAME: what was found, what was expected" in line.
 */
bool policy_file_override(struct policy *policy, char *line, size_t size,
			  void (*visit)(const char *name, const char *value, void *data),
			  void *data);

/* path made absolute, without resolving links; NULL when out of memory or no cwd. */
char *path_absolute(const char *path);

#endif
