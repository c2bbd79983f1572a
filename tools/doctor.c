/* SPDX-License-Identifier: MIT */
/* holdfast doctor: whether the library loads and works in a program, and why not. */
#include <bsd/stdlib.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "tools/holdfast.h"
#include "tools/library.h"
#include "tools/policy_file.h"
#include "tools/process_view.h"
#include "tools/program.h"

#define LOADER_SECONDS 10 /* that ld.so may take to list a program's libraries */

/* One line a finding; each one that speaks against protection counts. */
struct findings {
	unsigned int against;
};

static void obstacles_report(struct findings *findings, const struct program *program,
			     const char *name)
{
	char reason[PROGRAM_REASON_SIZE];

	for (unsigned int left = program->obstacles; left; left &= left - 1) {
		printf("%s %s\n", name, program_reason(program, obstacle_first(left), reason));
		findings->against++;
	}
}

static bool library_find(struct findings *findings, char path[PATH_MAX])
{
	if (!library_locate(path)) {
		printf("%s is neither beside holdfast nor in ../lib\n", LIBRARY_NAME);
		findings->against++;
		return false;
	}
	if (!library_can_be_preloaded(path)) {
		printf("\"%s\" has a colon or a space, which LD_PRELOAD cannot carry\n", path);
		findings->against++;
		return false;
	}
	return true;
}

/* In the child: the loader lists what it would load, and runs nothing of the program. */
static void __attribute__((noreturn))
loader_exec(const struct program *program, const char *library, int output)
{
	const char *file = program->path[program->count - 1];

	/* A file that is the loader itself has no interpreter. */
	const char *loader = program->elf.interpreter[0] ? program->elf.interpreter : file;

	alarm(LOADER_SECONDS);
	if (dup2(output, STDOUT_FILENO) < 0 || dup2(output, STDERR_FILENO) < 0 ||
	    setenv("LD_PRELOAD", library, 1) || setenv("LD_TRACE_LOADED_OBJECTS", "1", 1))
		_exit(EX_OSERR);
	execl(loader, loader, file, (char *)NULL);
	dprintf(STDOUT_FILENO, "%s: %s\n", loader, strerror(errno));
	_exit(EX_OSERR);
}

/* Reads the loader's list to its end; complaint gets the last line that is no list entry. */
static bool loader_list_read(FILE *list, const char *library, char *complaint, size_t size)
{
	char *line = NULL;
	size_t line_size = 0;
	bool found = false;

	complaint[0] = '\0';
	while (getline(&line, &line_size, list) > 0) {
		line[strcspn(line, "\n")] = '\0';
		if (strstr(line, "ERROR") || line[0] != '\t')
			snprintf(complaint, size, "%s", line);
		else if (!strncmp(line + 1, library, strlen(library)))
			found = true;
	}
	free(line);
	return found;
}

/* Asks the program's own loader; false with its complaint if the library is not loaded. */
static bool loader_try(const struct program *program, const char *library, char *complaint,
		       size_t size)
{
	int ends[2], status = 0;
	FILE *list;
	bool found = false;
	pid_t pid;

	if (pipe(ends)) {
		snprintf(complaint, size, "%s", strerror(errno));
		return false;
	}
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		close(ends[0]);
		loader_exec(program, library, ends[1]);
	}
	close(ends[1]);
	list = fdopen(ends[0], "r");
	if (pid > 0 && list)
		found = loader_list_read(list, library, complaint, size);
	if (list)
		fclose(list);
	else
		close(ends[0]);
	if (pid < 0 || waitpid(pid, &status, 0) < 0)
		snprintf(complaint, size, "%s", strerror(errno));
	else if (WIFSIGNALED(status))
		snprintf(complaint, size, "it ended by signal %d", WTERMSIG(status));
	return found && status == 0;
}

static void loader_report(struct findings *findings, const struct program *program)
{
	const char *file = program->path[program->count - 1];
	char library[PATH_MAX], complaint[PATH_MAX + 256] = "";

	if (!library_find(findings, library))
		return;
	if (loader_try(program, library, complaint, sizeof(complaint))) {
		printf("%s loads %s\n", file, library);
		return;
	}
	printf("%s does not load %s%s%s\n", file, library, complaint[0] ? ": " : "", complaint);
	findings->against++;
}

/* The library reads regular files only. */
static bool policy_is_readable(const struct policy_file *file)
{
	return !file->text || file->is_file || file->value[0] != '/';
}

/* False with what is wrong in line. */
static bool policy_judge(char *line, size_t size)
{
	const char *given = getenv("HOLDFAST_POLICY");
	struct policy_errors errors;
	struct policy_file file;
	bool good = false;

	if (policy_file_read(&file, given, &errors) != POLICY_FILE_OK) {
		const char *origin = file.origin ? file.origin : "HOLDFAST_POLICY";

		if (errors.count)
			policy_error_format(&errors.list[0], origin, line, size);
		else
			snprintf(line, size, "%s: %s", origin, strerror(ENOMEM));
	} else if (!policy_is_readable(&file)) {
		snprintf(line, size, "%s: is no regular file", file.origin);
	} else {
		good = policy_file_override(file.policy, line, size, NULL, NULL);
	}
	policy_errors_free(&errors);
	policy_file_free(&file);
	return good;
}

/* Of the environment: what keeps a library that is loaded from protecting anything. */
static void settings_report(struct findings *findings)
{
	const char *enabled = getenv("HOLDFAST_ENABLED");
	char line[POLICY_LINE_SIZE];

	if (enabled && !strcmp(enabled, "0")) {
		puts("HOLDFAST_ENABLED=0 is in the environment: the library does nothing");
		findings->against++;
	} else if (!policy_judge(line, sizeof(line))) {
		printf("%s: with such a policy nothing is protected\n", line);
		findings->against++;
	}
}

static void program_report(struct findings *findings, const char *name)
{
	static struct program program; /* large: a path for every interpreter */

	program_inspect(&program, name);
	for (unsigned int i = 0; i + 1 < program.count; i++)
		printf("%s is a script, run by %s\n", program.path[i], program.path[i + 1]);
	obstacles_report(findings, &program, program.path[program.count - 1]);
	if (!program.obstacles)
		loader_report(findings, &program);
	settings_report(findings);
}

static void environment_report(struct findings *findings, const struct process_view *view)
{
	if (view->library_mapped) {
		if (process_settings_adopt(view->pid))
			settings_report(findings);
		return;
	}
	if (!view->environment_known)
		puts("its environment cannot be read");
	else if (!view->preload_named)
		puts("LD_PRELOAD did not name the library when it started: it was not run under "
		     "holdfast,\nor was started with a cleared environment");
	else
		puts("LD_PRELOAD named the library when it started");
}

static int process_report(struct findings *findings, long pid)
{
	static struct program program;
	struct process_view view;
	char path[64];

	if (!process_view_read(&view, pid)) {
		fprintf(stderr, "holdfast doctor: process %ld: %s\n", pid,
			strerror(errno == ENOENT ? ESRCH : errno));
		return errno == EACCES || errno == EPERM ? EX_NOPERM : EX_NOINPUT;
	}
	printf("process %ld runs %s\n", pid, view.exe);
	snprintf(path, sizeof(path), "/proc/%ld/exe", pid);
	program_inspect_running(&program, path);
	obstacles_report(findings, &program, view.exe);
	if (view.secure) {
		puts("it gained privileges when it started (AT_SECURE): the loader ignores "
		     "LD_PRELOAD");
		findings->against++;
	}
	if (view.library_mapped) {
		printf("%s is mapped in it\n", view.library);
	} else {
		printf("%s is not mapped in it\n", LIBRARY_NAME);
		findings->against++;
	}
	environment_report(findings, &view);
	return EX_OK;
}

/* A number is a process; ./123 is a program. */
static bool pid_parse(const char *text, long *pid)
{
	const char *wrong;

	*pid = (long)strtonum(text, 1, INT_MAX, &wrong);
	return !wrong;
}

int doctor_main(int argc, char *argv[])
{
	struct findings findings = { 0 };
	int result = EX_OK;
	long pid;

	if (argc > 1 && !strcmp(argv[1], "--")) {
		argc--;
		argv++;
	} else if (argc > 1 && argv[1][0] == '-') {
		fprintf(stderr, "holdfast doctor: unrecognized option '%s'\n", argv[1]);
		return usage_error("doctor");
	}
	if (argc != 2) {
		fputs("holdfast doctor: expected one program or process\n", stderr);
		return usage_error("doctor");
	}
	if (pid_parse(argv[1], &pid))
		result = process_report(&findings, pid);
	else
		program_report(&findings, argv[1]);
	if (result != EX_OK)
		return result;
	puts(findings.against ? "not protected" : "protected");
	if (fflush(stdout) || ferror(stdout))
		return EX_IOERR;
	return findings.against ? EX_UNAVAILABLE : EX_OK;
}
