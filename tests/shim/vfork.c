/* SPDX-License-Identifier: MIT */
/* vfork, clone, posix_spawn, system and popen around managed connections. */
#include <sched.h>
#include <spawn.h>

#include "children.h"

extern char **environ;
/* What libc exports and declares nowhere. */
pid_t __vfork(void) __attribute__((returns_twice));
int __clone(int (*function)(void *), void *stack, int flags, void *argument, ...);

static void vfork_exec(void)
{
	struct server server = server_listening(AF_INET);
	struct pair pair = pair_connect(&server), second = pair_connect(&server);
	int null = open("/dev/null", O_RDWR);
	pid_t pid = vfork();

	if (pid == 0) {
		dup2(null, pair.client);
		close(second.client);
		dup2(second.peer, 77);
		close_range(3, ~0u, 0);
		execl("/bin/true", "true", NULL);
		_exit(1);
	}
	EXPECT_IS(child_wait(pid), 0);
	expect_alive(&pair, 0);
	expect_alive(&second, 1);
	expect_state(getpid(), PROCESS_RUNNING);
	EXPECT_COUNT(operations, 2);
}

static void vfork_exit(void)
{
	struct server server = server_listening(AF_INET);
	struct pair pair = pair_connect(&server);
	pid_t pid = vfork();

	if (pid == 0) {
		close(pair.client);
		_exit(3);
	}
	EXPECT_IS(child_wait(pid), 3);
	expect_alive(&pair, 0);
	expect_state(getpid(), PROCESS_RUNNING);
}

/* A vfork child may even connect: served as without holdfast, in nobody's table. */
static void vfork_connects(void)
{
	struct server server = server_listening(AF_INET);
	struct pair pair = pair_connect(&server);
	pid_t pid = vfork();

	if (pid == 0) {
		int fd = socket(AF_INET, SOCK_STREAM, 0);
		int result = server_connect(&server, fd);

		_exit(result == 0 && write(fd, "1", 1) == 1 ? 0 : 1);
	}
	EXPECT_IS(child_wait(pid), 0);
	expect_alive(&pair, 0);
}

/* What vfork() does, with a stack of the child's own. */
static int cloned_body(void *argument)
{
	const struct pair *pair = argument;

	close(pair->client);
	dup2(pair->peer, pair->client);
	_exit(5);
}

typedef int clone_function(int (*function)(void *), void *stack, int flags, void *argument, ...);

static void cloned_by(clone_function *function)
{
	static _Alignas(16) char stack[65536];
	struct server server = server_listening(AF_INET);
	struct pair pair = pair_connect(&server);
	pid_t pid = function(cloned_body, stack + sizeof(stack), CLONE_VM | CLONE_VFORK | SIGCHLD,
			     &pair);

	REQUIRE(pid > 0);
	EXPECT_IS(child_wait(pid), 5);
	expect_alive(&pair, 0);
	expect_state(getpid(), PROCESS_RUNNING);
	EXPECT_COUNT(operations, 1);
}

static void cloned(void)
{
	cloned_by(clone);
}

static void cloned_by_another_name(void)
{
	cloned_by(__clone);
}

/* As vfork_exit(), by libc's other name for it. */
static void vfork_by_another_name(void)
{
	struct server server = server_listening(AF_INET);
	struct pair pair = pair_connect(&server);
	pid_t pid = __vfork();

	if (pid == 0) {
		close(pair.client);
		_exit(3);
	}
	EXPECT_IS(child_wait(pid), 3);
	expect_alive(&pair, 0);
}

/* clone() has more arguments than its prototype says, on the stack and in registers. */
static int cloned_thread_body(void *argument)
{
	return *(const int *)argument;
}

static void cloned_with_all_arguments(void)
{
	static _Alignas(16) char stack[65536];
	pid_t parent_tid = 0, child_tid = 0;
	int status = 6;
	pid_t pid = clone(cloned_thread_body, stack + sizeof(stack),
			  CLONE_PARENT_SETTID | CLONE_CHILD_SETTID | CLONE_VM | CLONE_VFORK |
				  SIGCHLD,
			  &status, &parent_tid, NULL, &child_tid);

	REQUIRE(pid > 0);
	EXPECT_IS(child_wait(pid), 6);
	EXPECT_IS(parent_tid, pid);
	EXPECT_IS(child_tid, pid);
}

static void spawned(void)
{
	struct server server = server_listening(AF_INET);
	struct pair pair = pair_connect(&server);
	char *const arguments[] = { (char *)"true", NULL };
	posix_spawn_file_actions_t actions;
	char line[32] = "";
	FILE *pipe_;
	pid_t pid;

	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addclose(&actions, pair.client);
	posix_spawn_file_actions_adddup2(&actions, 1, pair.client);
	REQUIRE(posix_spawn(&pid, "/bin/true", &actions, NULL, arguments, environ) == 0);
	EXPECT_IS(child_wait(pid), 0);
	expect_alive(&pair, 0);
	EXPECT_IS(system("exit 5"), 5 << 8);
	expect_alive(&pair, 1);
	pipe_ = popen("echo there", "r");
	REQUIRE(pipe_ && fgets(line, sizeof(line), pipe_));
	EXPECT_IS(strcmp(line, "there\n"), 0);
	EXPECT_IS(pclose(pipe_), 0);
	expect_alive(&pair, 2);
	expect_state(getpid(), PROCESS_RUNNING);
}

/* The first connect of all is a vfork child's, in memory that is its parent's. */
static void vfork_first(void)
{
	struct server server = server_listening(AF_INET);
	int fd = stream_socket(&server);
	struct pair pair;
	pid_t pid = vfork();

	if (pid == 0)
		_exit(server_connect(&server, fd) == 0 ? 0 : 1);
	EXPECT_IS(child_wait(pid), 0);
	close(accept(server.fd, NULL, NULL));
	pair = pair_connect(&server);
	expect_alive(&pair, 0);
	EXPECT_COUNT(operations, 1);
}

static const struct check_case cases[] = {
	CASE("a vfork child closes, dups and execs: nothing of the parent's changes", vfork_exec),
	CASE("a vfork child _exits: the parent's file still says running", vfork_exit),
	CASE("a vfork child connects: nothing of the parent's changes", vfork_connects),
	CASE("clone() of a child in our memory: nothing of the parent's changes", cloned),
	CASE("__clone() is the same", cloned_by_another_name),
	CASE("__vfork() is vfork()", vfork_by_another_name),
	CASE("clone() with all its arguments", cloned_with_all_arguments),
	CASE("posix_spawn, system and popen", spawned),
	CASE("a vfork child that connects first is not counted, and its parent is", vfork_first),
};

CHECK_MAIN(cases)
