/* SPDX-License-Identifier: MIT */
/* holdfast check: every error of every file given. */
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "tools/holdfast.h"
#include "tools/policy_file.h"

static void errors_show(const struct policy_errors *errors, const char *name)
{
	char line[POLICY_LINE_SIZE];

	for (size_t i = 0; i < errors->count; i++) {
		policy_error_format(&errors->list[i], name, line, sizeof(line));
		fprintf(stderr, "%s\n", line);
	}
}

/* A shipped profile can be named too, but a file of that name goes first here. */
static enum policy_file_result given_read(struct policy_file *file, const char *given,
					  struct policy_errors *errors)
{
	if (strcmp(given, "-") && access(given, F_OK))
		return policy_file_read(file, given, errors);
	return policy_file_read_path(file, given, errors);
}

/* Counted are the file's own rules. */
static void valid_show(const struct policy *policy, const char *name)
{
	uint32_t rules = policy->rule_count - policy->shipped_rule_count;

	printf("%s: valid: %u rule%s, profile %s\n", name, rules, rules == 1 ? "" : "s",
	       policy_string(policy, policy->profile));
}

static int file_check(const char *given)
{
	static const int codes[] = {
		[POLICY_FILE_OK] = EX_OK,
		[POLICY_FILE_MISSING] = EX_NOINPUT,
		[POLICY_FILE_BAD] = EX_DATAERR,
	};
	const char *name = given[0] == '{' ? "HOLDFAST_POLICY" : given;
	struct policy_file file;
	struct policy_errors errors;
	enum policy_file_result result = given_read(&file, given, &errors);

	errors_show(&errors, name);
	if (result == POLICY_FILE_OK)
		valid_show(file.policy, name);
	policy_errors_free(&errors);
	policy_file_free(&file);
	return codes[result];
}

int check_main(int argc, char *argv[])
{
	int code = EX_OK, first = 1;

	if (argc > 1 && !strcmp(argv[1], "--"))
		first = 2;
	else if (argc > 1 && argv[1][0] == '-' && argv[1][1]) {
		fprintf(stderr, "holdfast check: unrecognized option '%s'\n", argv[1]);
		return usage_error("check");
	}
	if (first == argc) {
		fputs("holdfast check: no file given\n", stderr);
		return usage_error("check");
	}
	for (int i = first; i < argc; i++) {
		int result = file_check(argv[i]);

		/* A policy that is wrong says more than one that is not there. */
		if (result == EX_DATAERR || code == EX_OK)
			code = result;
	}
	if (fflush(stdout) || ferror(stdout))
		return EX_IOERR;
	return code;
}
