/* SPDX-License-Identifier: MIT */
/*
 * TAP for programs of ours that run under the preload.
 *
 * A test program is a table of cases.  Called without an argument it runs itself
 * once for each of them, in a process and a state directory of its own, with
 * LD_PRELOAD=$SHIM and the case's policy, and prints a TAP line.  A case that
 * claims "as without holdfast" is marked CHECK_ALSO_PLAIN: it must also hold
 * without the preload.  A case that prints anything has failed, be it an
 * expectation of ours or a line of holdfast's that nobody asked for.
 */
#ifndef TESTS_SHIM_CHECK_H
#define TESTS_SHIM_CHECK_H

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CHECK_ALSO_PLAIN 1u

struct check_case {
	const char *name;
	void (*run)(void);
	const char *policy;      /* HOLDFAST_POLICY; NULL: not set */
	const char *environment; /* further variables, "NAME=VALUE NAME=VALUE"; NULL: none */
	unsigned int flags;
};

/* Under holdfast alone, and where the program is told the same with and without it. */
#define CASE_UNDER(name, run, policy)      \
	{                                  \
		name, run, policy, NULL, 0 \
	}
#define CASE_TOLD(name, run, policy)                      \
	{                                                 \
		name, run, policy, NULL, CHECK_ALSO_PLAIN \
	}

/* A case hangs if it takes longer; the slowest takes about 8 s. */
#define CHECK_LIMIT_MS 40000
#define CHECK_SKIP 77

static int check_failures __attribute__((unused));

/* ---- inside a case ------------------------------------------------------------- */

/* What a case that was skipped or failed says goes straight to the file: no buffers to lose. */
static inline void check_say(const char *format, ...) __attribute__((format(printf, 1, 2)));
static inline void check_say(const char *format, ...)
{
	char line[1024];
	va_list arguments;
	int length;

	va_start(arguments, format);
	length = vsnprintf(line, sizeof(line) - 1, format, arguments);
	va_end(arguments);
	if (length > (int)sizeof(line) - 2)
		length = sizeof(line) - 2;
	line[length++] = '\n';
	if (syscall(SYS_write, STDOUT_FILENO, line, (size_t)length) < 0)
		check_failures++;
}

static inline bool check_true(bool held, const char *file, int line, const char *what)
{
	int saved_errno = errno;

	if (!held) {
		check_say("%s:%d: not true: %s (errno %s)", file, line, what,
			  strerrorname_np(saved_errno));
		check_failures++;
	}
	errno = saved_errno;
	return held;
}

static inline bool check_is(int64_t got, int64_t expected, const char *file, int line,
			    const char *what)
{
	int saved_errno = errno;

	if (got != expected) {
		check_say("%s:%d: %s is %" PRId64 ", expected %" PRId64, file, line, what, got,
			  expected);
		check_failures++;
	}
	errno = saved_errno;
	return got == expected;
}

static inline bool check_error(int got, int expected, const char *file, int line)
{
	const char *name = strerrorname_np(got);
	const char *wanted = strerrorname_np(expected);

	if (got == expected)
		return true;
	check_say("%s:%d: errno is %s, expected %s", file, line, name ? name : "unnamed",
		  wanted ? wanted : "unnamed");
	check_failures++;
	return false;
}

static inline bool check_within(int64_t got, int64_t low, int64_t high, const char *file, int line,
				const char *what)
{
	if (got >= low && got <= high)
		return true;
	check_say("%s:%d: %s is %" PRId64 ", expected %" PRId64 " to %" PRId64, file, line, what,
		  got, low, high);
	check_failures++;
	return false;
}

static inline _Noreturn void check_exit(int code)
{
	syscall(SYS_exit_group, code);
	__builtin_unreachable();
}

static inline _Noreturn void check_skip(const char *reason)
{
	check_say("SKIP %s", reason);
	check_exit(CHECK_SKIP);
}

/* Each goes on after a failure; REQUIRE is for what the rest of the case stands on. */
#define EXPECT(condition) check_true(condition, __FILE__, __LINE__, #condition)
#define EXPECT_IS(got, expected) \
	check_is((int64_t)(got), (int64_t)(expected), __FILE__, __LINE__, #got)
#define EXPECT_ERRNO(expected) check_error(errno, expected, __FILE__, __LINE__)
#define EXPECT_ERROR(got, expected) check_error(got, expected, __FILE__, __LINE__)
#define EXPECT_WITHIN(got, low, high) \
	check_within((int64_t)(got), (int64_t)(low), (int64_t)(high), __FILE__, __LINE__, #got)
#define REQUIRE(condition)                                                  \
	do {                                                                \
		if (!check_true(condition, __FILE__, __LINE__, #condition)) \
			check_exit(1);                                      \
	} while (0)

static inline bool preloaded(void)
{
	static int known;

	if (!known)
		known = getenv("LD_PRELOAD") ? 1 : 2;
	return known == 1;
}

static inline int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * INT64_C(1000) + now.tv_nsec / 1000000;
}

/* The whole time, whatever signals arrive. */
static inline void sleep_ms(int64_t ms)
{
	struct timespec left = { ms / 1000, ms % 1000 * 1000000 };

	while (clock_nanosleep(CLOCK_MONOTONIC, 0, &left, &left) == EINTR)
		;
}

/*
 * Runs body(argument) in a child that ends with us and shares nothing but the
 * fds. Returns its pid.
 */
static inline pid_t helper_start(void (*body)(void *), void *argument)
{
	pid_t parent = getpid();
	pid_t pid = fork();

	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() == parent)
			body(argument);
		check_exit(check_failures ? 1 : 0);
	}
	REQUIRE(pid > 0);
	return pid;
}

/* The exit code, or 128 and the signal. */
static inline int child_wait(pid_t pid)
{
	int status = 0;

	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

/* ---- running the cases ------------------------------------------------------------- */

static inline void check_environment(const char *variables)
{
	char *copy = variables ? strdup(variables) : NULL;
	char *rest = copy;
	char *variable;

	while (rest && (variable = strsep(&rest, " ")))
		putenv(variable);
}

static inline _Noreturn void check_become(const char *program, const struct check_case *c,
					  bool plain, const char *directory, int output)
{
	char state[512];

	snprintf(state, sizeof(state), "%s/state", directory);
	dup2(output, STDOUT_FILENO);
	dup2(output, STDERR_FILENO);
	close(output);
	unsetenv("HOLDFAST_POLICY");
	setenv("HOLDFAST_STATE_DIR", state, 1);
	setenv("CHECK_DIR", directory, 1);
	if (c->policy)
		setenv("HOLDFAST_POLICY", c->policy, 1);
	check_environment(c->environment);
	setpgid(0, 0);
	if (!plain)
		setenv("LD_PRELOAD", getenv("SHIM"), 1);
	execl(program, program, c->name, NULL);
	check_say("cannot run %s: %s", program, strerror(errno));
	check_exit(1);
}

/* Exit code; 128 and the signal; 124 if it hung and had to be ended. */
static inline int check_wait(pid_t pid)
{
	int64_t end = now_ms() + CHECK_LIMIT_MS;
	siginfo_t info = { 0 };
	bool hung = false;
	int code;

	/* It stays a zombie, so that its process group stays its own. */
	while (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT | WNOHANG) == 0 && !info.si_pid) {
		if (now_ms() > end) {
			hung = true;
			break;
		}
		sleep_ms(2);
	}
	kill(-pid, SIGKILL);
	code = child_wait(pid);
	return hung ? 124 : code;
}

static inline size_t check_output(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY);
	ssize_t length = fd < 0 ? 0 : read(fd, text, size - 1);

	close(fd);
	text[length > 0 ? length : 0] = '\0';
	return length > 0 ? (size_t)length : 0;
}

static inline void check_diagnose(const char *mode, int code, char *output)
{
	char *line;

	printf("# %s: ended with %d%s\n", mode, code, code == 124 ? " (hung)" : "");
	while ((line = strsep(&output, "\n")))
		if (line[0])
			printf("# %s: %s\n", mode, line);
}

/* Prints nothing if it passed; 0 passed, 1 failed, 2 skipped with the reason in output. */
static inline int check_run(const char *program, const struct check_case *c, unsigned int number,
			    bool plain, char *output, size_t size)
{
	const char *base = getenv("TMPDIR");
	const char *name = strrchr(program, '/');
	char directory[400], path[512];
	pid_t pid;
	int code, fd;

	snprintf(directory, sizeof(directory), "%s/%s-%u%s", base ? base : "/tmp",
		 name ? name + 1 : program, number, plain ? "-plain" : "");
	snprintf(path, sizeof(path), "%s/output", directory);
	mkdir(directory, 0700);
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
	fflush(stdout);
	pid = fork();
	if (pid == 0)
		check_become(program, c, plain, directory, fd);
	close(fd);
	code = check_wait(pid);
	size = check_output(path, output, size);
	if (code == CHECK_SKIP)
		return 2;
	return code != 0 || size != 0 ? 1 + (code == 0 ? 1000 : code * 1000) : 0;
}

static inline bool check_case_run(const char *program, const struct check_case *c,
				  unsigned int number)
{
	char output[2][8192];
	int results[2] = { 0, 0 };
	unsigned int modes = c->flags & CHECK_ALSO_PLAIN ? 2 : 1;

	for (unsigned int plain = 0; plain < modes; plain++)
		results[plain] = check_run(program, c, number, plain, output[plain],
					   sizeof(output[plain]));
	for (unsigned int plain = 0; plain < modes; plain++) {
		if (results[plain] != 2)
			continue;
		output[plain][strcspn(output[plain], "\n")] = '\0';
		printf("ok %u - %s # %s\n", number, c->name, output[plain]);
		return true;
	}
	printf("%sok %u - %s\n", results[0] || results[1] ? "not " : "", number, c->name);
	for (unsigned int plain = 0; plain < modes; plain++)
		if (results[plain])
			check_diagnose(plain ? "without the preload" : "under the preload",
				       results[plain] / 1000, output[plain]);
	return !results[0] && !results[1];
}

/* PROGRAM: all cases.  PROGRAM NAME: that one, in this process, as it was started. */
static inline int check_main(int argc, char **argv, const struct check_case *cases,
			     unsigned int count)
{
	bool passed = true;

	if (argc > 1) {
		for (unsigned int i = 0; i < count; i++)
			if (strcmp(cases[i].name, argv[1]) == 0) {
				cases[i].run();
				return check_failures ? 1 : 0;
			}
		check_say("no case is called %s", argv[1]);
		return 1;
	}
	if (!getenv("SHIM")) {
		printf("Bail out! SHIM does not name the preload\n");
		return 1;
	}
	for (unsigned int i = 0; i < count; i++)
		passed &= check_case_run(argv[0], &cases[i], i + 1);
	printf("1..%u\n", count);
	return !passed;
}

#define CHECK_MAIN(cases)                                                                 \
	int main(int argc, char **argv)                                                   \
	{                                                                                 \
		return check_main(argc, argv, cases, sizeof(cases) / sizeof((cases)[0])); \
	}

#endif
