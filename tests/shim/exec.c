/* SPDX-License-Identifier: MIT */
/* One-way output that an outage has kept back is handed over before another image takes the place. */
#include "script.h"

/* Each ends with 7, if all of its arguments arrive. */
static char *in_an_array[] = { (char *)"sh", (char *)"-c", (char *)"exit $1",
			       (char *)"sh", (char *)"7",  NULL };
static char *in_names[] = { (char *)"sh", (char *)"-c", (char *)"exit $WITH", NULL };
static char *names_alone[] = { (char *)"WITH=7", NULL };

static void by_execv(void)
{
	execv("/bin/sh", in_an_array);
}

static void by_execve(void)
{
	execve("/bin/sh", in_names, names_alone);
}

static void by_execvp(void)
{
	execvp("sh", in_an_array);
}

static void by_execvpe(void)
{
	execvpe("sh", in_names, names_alone);
}

static void by_fexecve(void)
{
	fexecve(open("/bin/sh", O_RDONLY | O_CLOEXEC), in_names, names_alone);
}

static void by_execveat(void)
{
	execveat(open("/bin", O_PATH | O_CLOEXEC), "sh", in_names, names_alone, 0);
}

static void by_execveat_of_fd(void)
{
	execveat(open("/bin/sh", O_PATH | O_CLOEXEC), "", in_names, names_alone, AT_EMPTY_PATH);
}

static void by_execl(void)
{
	execl("/bin/sh", "sh", "-c", "exit $1", "sh", "7", NULL);
}

static void by_execle(void)
{
	execle("/bin/sh", "sh", "-c", "exit $WITH", NULL, names_alone);
}

static void by_execlp(void)
{
	execlp("sh", "sh", "-c", "exit $1", "sh", "7", NULL);
}

static void image_replaced(void (*replace)(void))
{
	struct script *script = server_script("r6LR d");
	pid_t pid = fork();

	if (pid == 0) {
		outage_output(script);
		replace();
		_exit(1);
	}
	REQUIRE(pid > 0);
	UNTIL(script->accepted == 1 && socket_state(script->server.fd) == TCP_CLOSE);
	sleep_ms(200);
	server_return(script);
	EXPECT_TEXT(script, 1, "last\n");
	EXPECT_IS(child_wait(pid), 7);
	EXPECT_COUNT(lost_bytes, 0);
}

#define REPLACED(form)                     \
	static void replaced_##form(void)  \
	{                                  \
		image_replaced(by_##form); \
	}

REPLACED(execv)
REPLACED(execve)
REPLACED(execvp)
REPLACED(execvpe)
REPLACED(fexecve)
REPLACED(execveat)
REPLACED(execveat_of_fd)
REPLACED(execl)
REPLACED(execle)
REPLACED(execlp)

#define ONE_WAY POLICY_TRANSFER("\"replay\":\"one_way\",\"drain\":\"10s\"")

static const struct check_case cases[] = {
	CASE_UNDER("an outage, execv()", replaced_execv, ONE_WAY),
	CASE_UNDER("an outage, execve()", replaced_execve, ONE_WAY),
	CASE_UNDER("an outage, execvp()", replaced_execvp, ONE_WAY),
	CASE_UNDER("an outage, execvpe()", replaced_execvpe, ONE_WAY),
	CASE_UNDER("an outage, fexecve()", replaced_fexecve, ONE_WAY),
	CASE_UNDER("an outage, execveat()", replaced_execveat, ONE_WAY),
	CASE_UNDER("an outage, execveat() of an fd", replaced_execveat_of_fd, ONE_WAY),
	CASE_UNDER("an outage, execl()", replaced_execl, ONE_WAY),
	CASE_UNDER("an outage, execle()", replaced_execle, ONE_WAY),
	CASE_UNDER("an outage, execlp()", replaced_execlp, ONE_WAY),
};

CHECK_MAIN(cases)
