/* SPDX-License-Identifier: MIT */
/* fork and exec around managed connections, and how a process ends. */
#include <pthread.h>

#include "children.h"

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

/* ---- exec --------------------------------------------------------------------------------- */

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

/* A connect that does not block, and what poll() says of it. */
static int connect_and_poll(const struct server *server, int timeout_ms)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct pollfd wait = { .fd = fd, .events = POLLOUT };

	EXPECT_IS(server_connect(server, fd), -1);
	EXPECT_ERRNO(EINPROGRESS);
	return poll(&wait, 1, timeout_ms);
}

/*
 * The store cannot grow, as on a full disk, and the parent has more connections than there is
 * room for: what it keeps of those in memory is none of the child's.
 */
static void child_without_store(void)
{
	enum { MORE_THAN_RESERVED = 140 };
	struct server up = server_listening(AF_INET), down = server_bind(AF_INET);
	char away[512];
	pid_t pid;

	EXPECT_IS(server_connect(&up, stream_socket(&up)), 0);
	snprintf(away, sizeof(away), "%s.away", getenv("HOLDFAST_STATE_DIR"));
	REQUIRE(rename(getenv("HOLDFAST_STATE_DIR"), away) == 0);
	close(open(getenv("HOLDFAST_STATE_DIR"), O_CREAT | O_WRONLY, 0600));
	for (int i = 0; i < MORE_THAN_RESERVED; i++)
		EXPECT_IS(connect_and_poll(&up, 5000), 1);
	pid = fork();
	if (pid == 0) {
		EXPECT_IS(connect_and_poll(&down, 300), 0);
		check_exit(check_failures ? 1 : 0);
	}
	EXPECT_IS(child_wait(pid), 0);
	unlink(getenv("HOLDFAST_STATE_DIR"));
	REQUIRE(rename(away, getenv("HOLDFAST_STATE_DIR")) == 0);
}

#define POLICY_SILENCE                                                              \
	"{\"version\":1,\"defaults\":{\"heartbeat\":{\"idle_timeout\":\"60s\"},"    \
	"\"strategies\":{\"network\":{\"decision\":\"backoff\",\"max_retries\":50," \
	"\"base_delay\":\"100ms\"}}}}"

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
	CASE("exec: each image counts for itself", exec_connects),
	CASE("exit, _exit and _Exit leave in order", ends_in_order),
	CASE("quick_exit leaves in order", ends_quickly),
	CASE("a killed process's file still says running", ends_by_signal),
	CASE("a child's exit() does not end the parent's file", child_leaves),
	{ "a child that can have no store, of a parent that could not have more",
	  child_without_store, POLICY_SILENCE, NULL, 0 },
};

CHECK_MAIN(cases)
