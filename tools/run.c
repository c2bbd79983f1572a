/* SPDX-License-Identifier: MIT */
/* holdfast run: prepares the environment and becomes the program. */
#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "shim/engine/policy_cache.h"
#include "shim/store/directory.h"
#include "tools/holdfast.h"
#include "tools/library.h"
#include "tools/policy_file.h"
#include "tools/program.h"

/* As env(1) has them. */
#define EXIT_NOT_EXECUTABLE 126
#define EXIT_NOT_FOUND 127

struct run {
	const char *policy;    /* as given, or NULL */
	const char *state_dir; /* as given, or NULL */
	const char *log;       /* for HOLDFAST_LOG, or NULL */
	char *const *program;  /* NULL-terminated */
};

/* One line on standard error, unless there is to be none. */
static void __attribute__((format(printf, 1, 2))) say(const char *format, ...)
{
	const char *log = getenv("HOLDFAST_LOG");
	char line[2 * PATH_MAX];
	va_list arguments;

	if (log && !strcmp(log, "off"))
		return;
	va_start(arguments, format);
	vsnprintf(line, sizeof(line), format, arguments);
	va_end(arguments);
	fprintf(stderr, "holdfast: %s\n", line);
}

static bool options_parse(struct run *run, int argc, char *argv[])
{
	static const struct option long_options[] = {
		{ "policy", required_argument, NULL, 'p' },
		{ "state-dir", required_argument, NULL, 's' },
		{ 0 },
	};
	int option;

	while ((option = getopt_long(argc, argv, "+qv", long_options, NULL)) != -1) {
		switch (option) {
		case 'p':
			run->policy = optarg;
			break;
		case 's':
			run->state_dir = optarg;
			break;
		case 'q':
			run->log = "off";
			break;
		case 'v':
			run->log = "info";
			break;
		default:
			return false;
		}
	}
	if (optind == argc) {
		fputs("holdfast run: no program given\n", stderr);
		return false;
	}
	run->program = argv + optind;
	return true;
}

/*
 * Paths made absolute, since the program may change its directory before it
 * needs them.  Without --state-dir or HOLDFAST_STATE_DIR none is set: a child of
 * another user then keeps to that user's own.
 */
static bool state_dir_set(const struct run *run, char state_dir[STORE_PATH_SIZE])
{
	const char *given = run->state_dir ? run->state_dir : getenv("HOLDFAST_STATE_DIR");
	char *absolute = NULL;

	if (given && *given) {
		absolute = path_absolute(given);
		if (!absolute || setenv("HOLDFAST_STATE_DIR", absolute, 1))
			return false;
	}
	if (!directory_locate(state_dir, absolute, getenv("XDG_STATE_HOME"), getenv("HOME"),
			      geteuid()))
		state_dir[0] = '\0';
	free(absolute);
	return true;
}

static void bad_policy_say(const char *program, const struct policy_file *file,
			   const struct policy_errors *errors)
{
	char line[POLICY_LINE_SIZE], more[64] = "";
	const char *origin = file->origin ? file->origin : "policy";

	if (errors->count)
		policy_error_format(&errors->list[0], origin, line, sizeof(line));
	else
		snprintf(line, sizeof(line), "%s: %s", origin, strerror(ENOMEM));
	if (errors->count > 1)
		snprintf(more, sizeof(more), ", and %zu more error%s", errors->count - 1,
			 errors->count > 2 ? "s" : "");
	/* JSON in the environment has no file to name; `check` takes it as an operand. */
	say("%s%s; %s runs unprotected, see holdfast check %s", line, more, program,
	    file->text && !strcmp(origin, "HOLDFAST_POLICY") ? "\"$HOLDFAST_POLICY\"" : origin);
}

static bool override_check(const char *program, struct policy *policy)
{
	char line[POLICY_LINE_SIZE];

	if (policy_file_override(policy, line, sizeof(line), NULL, NULL))
		return true;
	say("%s; %s runs unprotected", line, program);
	return false;
}

/* So that the program finds it compiled; if that fails, its first process compiles it. */
static void policy_keep(const char *state_dir, const struct policy *policy)
{
	const char *problem;
	int directory = state_dir[0] ? directory_open(state_dir, true, &problem) : -1;

	if (directory < 0)
		return;
	policy_cache_write(directory, policy);
	close(directory);
}

/* False after one line if the policy is bad in any way. */
static bool policy_set(const struct run *run, const char *state_dir)
{
	const char *given = run->policy ? run->policy : getenv("HOLDFAST_POLICY");
	struct policy_file file;
	struct policy_errors errors;
	enum policy_file_result result = policy_file_read(&file, given, &errors);
	bool good = false;

	if (result != POLICY_FILE_OK) {
		bad_policy_say(run->program[0], &file, &errors);
	} else if (file.value && file.text && file.value[0] == '/' && !file.is_file) {
		say("%s: is no regular file, which a policy must be to be read again; "
		    "%s runs unprotected",
		    file.origin, run->program[0]);
	} else {
		if (file.text)
			policy_keep(state_dir, file.policy);
		good = override_check(run->program[0], file.policy);
		if (good && given && *given && file.value)
			good = !setenv("HOLDFAST_POLICY", file.value, 1);
	}
	policy_errors_free(&errors);
	policy_file_free(&file);
	return good;
}

/* One line for the first thing that keeps the library out; false if it would do harm. */
static bool program_check(const char *name)
{
	char reason[PROGRAM_REASON_SIZE];
	static struct program program; /* large: a path for every interpreter */
	unsigned int harmful, obstacle;
	const char *last;

	program_inspect(&program, name);
	/* exec itself reports these, and what cannot be read can still be run. */
	if (program.obstacles & (OBSTACLES_EXEC | OBSTACLE_UNREADABLE) || !program.obstacles)
		return true;
	last = program.path[program.count - 1];
	harmful = program.obstacles & OBSTACLES_HARMFUL;
	obstacle = obstacle_first(harmful ? harmful : program.obstacles);
	if (program.count > 1)
		say("%s is run by %s, which %s; it runs unprotected", program.path[0], last,
		    program_reason(&program, obstacle, reason));
	else
		say("%s %s; it runs unprotected", last, program_reason(&program, obstacle, reason));
	return !harmful;
}

static void preload_set(const char *program)
{
	char path[PATH_MAX], *value;

	if (!library_locate(path)) {
		say("%s is neither beside this program nor in ../lib; %s runs unprotected",
		    LIBRARY_NAME, program);
		return;
	}
	if (!library_can_be_preloaded(path)) {
		say("\"%s\" has a colon or a space, which LD_PRELOAD cannot carry; "
		    "%s runs unprotected",
		    path, program);
		return;
	}
	value = library_preload_value(path, getenv("LD_PRELOAD"));
	if (!value || setenv("LD_PRELOAD", value, 1))
		say("%s; %s runs unprotected", strerror(ENOMEM), program);
	free(value);
}

/*
 * A bad policy leaves LD_PRELOAD alone and turns holdfast off, so that a program
 * which was to be run under it elsewhere up the tree is not held by another policy.
 */
static void environment_prepare(const struct run *run)
{
	char state_dir[STORE_PATH_SIZE];

	if (run->log)
		setenv("HOLDFAST_LOG", run->log, 1);
	/* Lets the library tell somebody at a terminal what is waited for. */
	setenv("HOLDFAST_RUN", "1", 1);
	if (!state_dir_set(run, state_dir)) {
		say("the state directory: %s", strerror(errno));
		state_dir[0] = '\0';
	}
	if (!policy_set(run, state_dir)) {
		setenv("HOLDFAST_ENABLED", "0", 1);
		return;
	}
	if (program_check(run->program[0]))
		preload_set(run->program[0]);
}

int run_main(int argc, char *argv[])
{
	struct run run = { 0 };

	if (!options_parse(&run, argc, argv))
		return usage_error("run");
	environment_prepare(&run);
	execvp(run.program[0], run.program);
	fprintf(stderr, "holdfast: %s: %s\n", run.program[0], strerror(errno));
	return errno == ENOENT ? EXIT_NOT_FOUND : EXIT_NOT_EXECUTABLE;
}
