/* SPDX-License-Identifier: MIT */
/* fork, vfork, posix_spawn, system, popen and exec around managed connections. */
#include <pthread.h>
#include <sched.h>
#include <spawn.h>

#include "net.h"
#include "peek.h"

extern char **environ;
/* What libc exports and declares nowhere. */
pid_t __vfork(void) __attribute__((returns_twice));
int __clone(int (*function)(void *), void *stack, int flags, void *argument, ...);

static void expect_alive(const struct pair *pair, int64_t sent_before)
{
	char byte;

	EXPECT_IS(send(pair->client, "x", 1, MSG_NOSIGNAL), 1);
	EXPECT_IS(recv(pair->peer, &byte, 1, 0), 1);
	EXPECT_COUNT(sent_bytes, sent_before + 1);
	EXPECT_SLOT(pair->client, state, SLOT_CONNECTED);
}

static void expect_state(pid_t pid, unsigned int state)
{
	const struct process_file *file = preloaded() ? peek_process(pid) : NULL;

	if (preloaded() && EXPECT(file != NULL))
		EXPECT_IS(file->state, state);
}

static void child_connects(void)
{
	struct server server = server_listening(AF_INET);
	struct pair pair = pair_connect(&server);
	const struct process_file *own, *childs;
	pid_t pid = fork();

	if (pid == 0) {
		struct pair other = pair_connect(&server);

		check_exit(send(other.client, "12345", 5, 0) == 5 ? 0 : 1);
	}
	EXPECT_IS(child_wait(pid), 0);
	expect_alive(&pair, 5);
	EXPECT_COUNT(operations, 2);
	if (!preloaded())
		return;
	own = peek_process(getpid());
	childs = peek_process(pid);
	REQUIRE(own && childs);
	EXPECT_IS(childs->identity.parent_nonce, own->identity.nonce);
	EXPECT_IS(own->identity.parent_nonce, 0);
	EXPECT_IS(peek_one(pid).counters[COUNTER_operations], 1);
	EXPECT_IS(peek_one(pid).counters[COUNTER_sent_bytes], 5);
	EXPECT_IS(peek_one(getpid()).counters[COUNTER_operations], 1);
}

static void *held_connect(void *data)
{
	struct server *server = data;

	return (void *)(intptr_t)server_connect(server, stream_socket(server));
}

static void fork_while_held(void)
{
	struct server late = server_bind(AF_INET), server = server_listening(AF_INET);
	pthread_t thread;
	void *result;
	pid_t pid;

	REQUIRE(pthread_create(&thread, NULL, held_connect, &late) == 0);
	sleep_ms(250);
	for (int i = 0; i < 10; i++) {
		pid = fork();
		if (pid == 0) {
			struct pair pair = pair_connect(&server);

			closefrom(3);
			check_exit(pair.client >= 0 ? 0 : 1);
		}
		EXPECT_IS(child_wait(pid), 0);
	}
	/* A child that just inherits the held socket and closes it. */
	pid = fork();
	if (pid == 0) {
		closefrom(3);
		_exit(0);
	}
	EXPECT_IS(child_wait(pid), 0);
	REQUIRE(listen(late.fd, 5) == 0);
	pthread_join(thread, &result);
	EXPECT_IS((intptr_t)result, 0);
	EXPECT_COUNT(operations, 11);
	EXPECT_COUNT(succeeded, 11);
	EXPECT_COUNT(recovered, 1);
	EXPECT_COUNTS_ADD_UP();
}

static void fork_while_held_child_waits_too(void)
{
	struct server late = server_bind(AF_INET);
	pthread_t thread;
	void *result;
	pid_t pid;

	REQUIRE(pthread_create(&thread, NULL, held_connect, &late) == 0);
	sleep_ms(200);
	pid = fork();
	if (pid == 0)
		check_exit(server_connect(&late, stream_socket(&late)) == 0 ? 0 : 1);
	sleep_ms(200);
	REQUIRE(listen(late.fd, 5) == 0);
	pthread_join(thread, &result);
	EXPECT_IS((intptr_t)result, 0);
	EXPECT_IS(child_wait(pid), 0);
	EXPECT_COUNT(operations, 2);
	EXPECT_COUNT(recovered, 2);
	EXPECT_COUNTS_ADD_UP();
}

static void child_closes(void)
{
	struct server server = server_listening(AF_INET);
	struct pair pair = pair_connect(&server);
	pid_t pid = fork();

	if (pid == 0) {
		close(pair.client);
		_exit(0);
	}
	EXPECT_IS(child_wait(pid), 0);
	expect_alive(&pair, 0);
	EXPECT(peek_process(pid) == NULL);
	expect_state(getpid(), PROCESS_RUNNING);
}

static void child_sends(void)
{
	struct server server = server_listening(AF_INET);
	struct pair pair = pair_connect(&server);
	pid_t pid = fork();

	if (pid == 0)
		check_exit(send(pair.client, "1234567", 7, 0) == 7 ? 0 : 1);
	EXPECT_IS(child_wait(pid), 0);
	EXPECT_COUNT(sent_bytes, 7);
	pid = fork();
	if (pid == 0) {
		/* With a file of its own by now; the connection is still the parent's. */
		struct pair other = pair_connect(&server);

		check_exit(send(pair.client, "123", 3, 0) == 3 && other.peer >= 0 ? 0 : 1);
	}
	EXPECT_IS(child_wait(pid), 0);
	EXPECT_COUNT(sent_bytes, 10);
	expect_alive(&pair, 10);
}

static void child_reuses_number(void)
{
	struct server server = server_listening(AF_INET);
	struct pair pair = pair_connect(&server);
	pid_t pid = fork();

	if (pid == 0) {
		struct pair other;

		close(pair.client);
		other = pair_connect(&server);
		if (other.client != pair.client)
			check_exit(2);
		check_exit(send(other.client, "123", 3, 0) == 3 ? 0 : 1);
	}
	EXPECT_IS(child_wait(pid), 0);
	if (preloaded()) {
		EXPECT_IS(peek_one(pid).counters[COUNTER_sent_bytes], 3);
		EXPECT_IS(peek_one(getpid()).counters[COUNTER_sent_bytes], 0);
	}
	expect_alive(&pair, 3);
}

static void grandchildren(void)
{
	struct server server = server_listening(AF_INET);
	struct pair pair = pair_connect(&server);
	pid_t pid = fork();

	if (pid == 0) {
		struct pair other = pair_connect(&server);
		pid_t grandchild = fork();

		if (grandchild == 0) {
			/* In a process that never connected itself: nothing to inherit but fds. */
			pid_t last = fork();

			if (last == 0) {
				other = pair_connect(&server);
				_exit(send(other.client, "1", 1, 0) == 1 ? 0 : 1);
			}
			_exit(child_wait(last));
		}
		_exit(child_wait(grandchild));
	}
	EXPECT_IS(child_wait(pid), 0);
	expect_alive(&pair, 1);
	EXPECT_COUNT(operations, 3);
}

/* ---- vfork and those who use it ------------------------------------------------------------ */

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

/* ---- exec --------------------------------------------------------------------------------- */

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

static void exec_connects(void)
{
	struct server server = server_listening(AF_INET);
	struct pair pair;

	fcntl(server.fd, F_SETFD, 0);
	pair = pair_connect(&server);
	if (!getenv("CHECK_AGAIN")) {
		char number[16];

		snprintf(number, sizeof(number), "%d", pair.peer);
		setenv("CHECK_AGAIN", number, 1);
		execl("/proc/self/exe", "children", "exec: each image counts for itself", NULL);
		REQUIRE(!"exec");
	}
	EXPECT_COUNT(operations, 2);
	EXPECT_COUNT(succeeded, 2);
	if (preloaded())
		EXPECT_IS(peek_all().processes, 2);
	expect_alive(&pair, 0);
}

/* ---- ends ----------------------------------------------------------------------------------- */

static void end_body(const char *way)
{
	struct server server = server_listening(AF_INET);
	struct pair pair = pair_connect(&server);

	if (pair.client < 0)
		check_exit(1);
	if (strcmp(way, "exit") == 0)
		exit(0);
	if (strcmp(way, "_exit") == 0)
		_exit(0);
	if (strcmp(way, "_Exit") == 0)
		_Exit(0);
	if (strcmp(way, "quick_exit") == 0)
		quick_exit(0);
	kill(getpid(), strcmp(way, "SIGKILL") == 0 ? SIGKILL : SIGTERM);
	sleep_ms(CHECK_LIMIT_MS);
}

static void end_check(const char *way, int code, unsigned int state)
{
	pid_t pid = fork();

	if (pid == 0)
		end_body(way);
	EXPECT_IS(child_wait(pid), code);
	expect_state(pid, state);
	if (preloaded())
		EXPECT_IS(peek_one(pid).counters[COUNTER_succeeded], 1);
}

static void ends_in_order(void)
{
	end_check("exit", 0, PROCESS_EXITED);
	end_check("_exit", 0, PROCESS_EXITED);
	end_check("_Exit", 0, PROCESS_EXITED);
}

static void ends_quickly(void)
{
	end_check("quick_exit", 0, PROCESS_EXITED);
}

static void ends_by_signal(void)
{
	end_check("SIGKILL", 128 + SIGKILL, PROCESS_RUNNING);
	end_check("SIGTERM", 128 + SIGTERM, PROCESS_RUNNING);
}

/* The forked child of a managed process leaves; that must not mark the parent's file. */
static void child_leaves(void)
{
	struct server server = server_listening(AF_INET);
	struct pair pair = pair_connect(&server);
	pid_t pid = fork();

	if (pid == 0)
		exit(0);
	EXPECT_IS(child_wait(pid), 0);
	expect_state(getpid(), PROCESS_RUNNING);
	expect_alive(&pair, 0);
}

#define CASE(name, run)                                           \
	{                                                         \
		name, run, POLICY_PATIENT, NULL, CHECK_ALSO_PLAIN \
	}
#define OURS(name, run)                            \
	{                                          \
		name, run, POLICY_PATIENT, NULL, 0 \
	}

static const struct check_case cases[] = {
	CASE("a forked child that connects has a file of its own", child_connects),
	OURS("fork while another thread is held: children connect", fork_while_held),
	OURS("fork while another thread is held: the child waits too",
	     fork_while_held_child_waits_too),
	CASE("a child closes what it inherited: the parent's is untouched", child_closes),
	CASE("bytes that a child sends are counted once", child_sends),
	CASE("a child uses the number for a socket of its own", child_reuses_number),
	CASE("grandchildren count for themselves", grandchildren),
	CASE("a vfork child closes, dups and execs: nothing of the parent's changes", vfork_exec),
	CASE("a vfork child _exits: the parent's file still says running", vfork_exit),
	CASE("a vfork child connects: nothing of the parent's changes", vfork_connects),
	CASE("clone() of a child in our memory: nothing of the parent's changes", cloned),
	CASE("__clone() is the same", cloned_by_another_name),
	CASE("__vfork() is vfork()", vfork_by_another_name),
	CASE("clone() with all its arguments", cloned_with_all_arguments),
	CASE("posix_spawn, system and popen", spawned),
	CASE("a vfork child that connects first is not counted, and its parent is", vfork_first),
	CASE("exec: each image counts for itself", exec_connects),
	CASE("exit, _exit and _Exit leave in order", ends_in_order),
	CASE("quick_exit leaves in order", ends_quickly),
	CASE("a killed process's file still says running", ends_by_signal),
	CASE("a child's exit() does not end the parent's file", child_leaves),
};

CHECK_MAIN(cases)
