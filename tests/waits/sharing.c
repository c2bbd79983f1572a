/* SPDX-License-Identifier: MIT */
/* vfork, fork, exec and spawn while a connect is held. */
#include <spawn.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>

#include "waits.h"

extern char **environ;

#define TOLD_CONNECTED 0
#define TOLD_NOT_TRUE 1
#define TOLD_FAILED 2

/* ---- vfork ----------------------------------------------------------------------------- */

static void vfork_closes(void)
{
	struct server server = server_late(LATE_MS);
	int fd = pending_socket(&server);
	pid_t pid;

	expect_pending(&server, fd, 150);
	pid = vfork();
	if (pid == 0) {
		close(fd);
		_exit(3);
	}
	EXPECT_IS(child_wait(pid), 3);
	expect_pending(&server, fd, 50);
	expect_connects(fd);
	expect_one_recovered();
}

static void vfork_execs(void)
{
	struct server server = server_late(LATE_MS);
	int fd = pending_socket(&server);
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	pid_t pid;

	expect_pending(&server, fd, 150);
	pid = vfork();
	if (pid == 0) {
		dup2(null, fd);
		close_range(3, ~0u, 0);
		execl("/bin/true", "true", NULL);
		_exit(1);
	}
	EXPECT_IS(child_wait(pid), 0);
	expect_pending(&server, fd, 50);
	expect_connects(fd);
	expect_one_recovered();
}

/* In memory that is the parent's. What it is told is the kernel's affair. */
static void vfork_asks(void)
{
	struct server server = server_late(LATE_MS);
	int fd = pending_socket(&server);
	pid_t pid;

	expect_pending(&server, fd, 150);
	pid = vfork();
	if (pid == 0) {
		struct pollfd wait = { .fd = fd, .events = POLLOUT };
		int error;
		socklen_t length = sizeof(error);
		char byte;

		poll(&wait, 1, 0);
		getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length);
		(void)!read(fd, &byte, 1);
		_exit(0);
	}
	EXPECT_IS(child_wait(pid), 0);
	expect_connects(fd);
	expect_one_recovered();
}

static void vfork_waits_in_set(void)
{
	struct server server = server_late(LATE_MS);
	int fd = pending_socket(&server);
	int set = set_make();
	pid_t pid;

	set_add(set, fd, EPOLLOUT);
	EXPECT_IS(set_wait(set, 150), 0);
	pid = vfork();
	if (pid == 0) {
		close(set);
		close(fd);
		_exit(0);
	}
	EXPECT_IS(child_wait(pid), 0);
	EXPECT_IS(set_wait(set, LIMIT_MS), EPOLLOUT);
	expect_works(fd);
	expect_one_recovered();
}

static void spawned(void)
{
	struct server server = server_late(LATE_MS);
	char *const arguments[] = { (char *)"true", NULL };
	int fd = pending_socket(&server);
	posix_spawn_file_actions_t actions;
	char line[32] = "";
	FILE *pipe_;
	pid_t pid;

	expect_pending(&server, fd, 100);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addclose(&actions, fd);
	posix_spawn_file_actions_adddup2(&actions, 1, fd);
	REQUIRE(posix_spawn(&pid, "/bin/true", &actions, NULL, arguments, environ) == 0);
	EXPECT_IS(child_wait(pid), 0);
	EXPECT_IS(system("exit 5"), 5 << 8);
	pipe_ = popen("echo there", "r");
	REQUIRE(pipe_ && fgets(line, sizeof(line), pipe_));
	EXPECT_IS(strcmp(line, "there\n"), 0);
	EXPECT_IS(pclose(pipe_), 0);
	expect_connects(fd);
	expect_one_recovered();
}

/* ---- fork ------------------------------------------------------------------------------ */

static void fork_leaves(void)
{
	struct server server = server_late(LATE_MS);
	int fd = pending_socket(&server);
	pid_t pid;

	expect_pending(&server, fd, 100);
	pid = fork();
	if (pid == 0)
		exit(4);
	EXPECT_IS(child_wait(pid), 4);
	pid = fork();
	if (pid == 0)
		_exit(5);
	EXPECT_IS(child_wait(pid), 5);
	expect_pending(&server, fd, 50);
	expect_connects(fd);
	expect_one_recovered();
}

static void fork_closes(void)
{
	struct server server = server_late(LATE_MS);
	int fd = pending_socket(&server);
	int set = set_make();
	pid_t pid;

	set_add(set, fd, EPOLLOUT);
	EXPECT_IS(set_wait(set, 100), 0);
	pid = fork();
	if (pid == 0) {
		close(set);
		close(fd);
		sleep_ms(200);
		exit(0);
	}
	EXPECT_IS(child_wait(pid), 0);
	EXPECT_IS(set_wait(set, LIMIT_MS), EPOLLOUT);
	expect_works(fd);
	expect_one_recovered();
}

/* Whatever it is told, it must be true. */
static int told(int fd)
{
	struct pollfd wait = { .fd = fd, .events = POLLOUT };
	union address address;
	socklen_t length = sizeof(address);
	int error = -1;
	socklen_t size = sizeof(error);

	if (poll(&wait, 1, LIMIT_MS) != 1)
		return TOLD_FAILED;
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0 || error)
		return TOLD_FAILED;
	return getpeername(fd, &address.any, &length) == 0 ? TOLD_CONNECTED : TOLD_NOT_TRUE;
}

static void fork_waits(void)
{
	struct server server = server_late(LATE_MS);
	int fd = pending_socket(&server);
	pid_t pid;

	expect_pending(&server, fd, 150);
	pid = fork();
	if (pid == 0)
		_exit(told(fd));
	expect_connects(fd);
	EXPECT(child_wait(pid) != TOLD_NOT_TRUE);
	expect_one_recovered();
}

static void fork_asks(void)
{
	struct server server = server_late(LATE_MS);
	int fd = pending_socket(&server);
	pid_t pid;

	expect_pending(&server, fd, 150);
	pid = fork();
	if (pid == 0) {
		struct pollfd wait = { .fd = fd, .events = POLLOUT };

		for (int64_t end = now_ms() + 1200; now_ms() < end; sleep_ms(5)) {
			poll(&wait, 1, 0);
			socket_error(fd);
		}
		_exit(0);
	}
	expect_connects(fd);
	EXPECT_IS(child_wait(pid), 0);
	expect_one_recovered();
}

/* As daemons start: the parent goes, and the child waits for the connect. */
static void fork_takes_over(void)
{
	struct server server = server_late(LATE_MS);
	int report = memfd_create("report", 0);
	pid_t first, second;
	char answer = '?';

	first = fork();
	if (first == 0) {
		int fd = pending_socket(&server);

		expect_pending(&server, fd, 150);
		second = fork();
		if (second == 0) {
			char code = (char)('0' + told(fd));

			_exit(write(report, &code, 1) != 1);
		}
		_exit(check_failures);
	}
	EXPECT_IS(child_wait(first), 0);
	for (int64_t end = now_ms() + LIMIT_MS; now_ms() < end && answer == '?'; sleep_ms(10))
		if (pread(report, &answer, 1, 0) < 0)
			break;
	EXPECT(answer == '0' + TOLD_CONNECTED || answer == '0' + TOLD_FAILED);
}

/* Its own connects are its own affair, and under the same policy. */
static void fork_connects(void)
{
	struct server server = server_late(LATE_MS);
	int fd = pending_socket(&server);
	pid_t pid;

	expect_pending(&server, fd, 150);
	pid = fork();
	if (pid == 0) {
		int own;

		close(fd);
		own = pending_socket(&server);
		if (own != fd)
			_exit(2);
		expect_connects(own);
		_exit(check_failures);
	}
	expect_connects(fd);
	EXPECT_IS(child_wait(pid), 0);
	EXPECT_COUNT(operations, 2);
	EXPECT_COUNT(recovered, 2);
	EXPECT_COUNT(abandoned, 0);
	EXPECT_COUNTS_ADD_UP();
}

/* The number can have been another's before the child knew: what it is now is what counts. */
static void fork_finds_another(void)
{
	struct server server = server_late(LATE_MS);
	int fd = pending_socket(&server);
	int ends[2] = { -1, -1 };
	char byte = 'x';
	pid_t pid;

	expect_pending(&server, fd, 150);
	pid = fork();
	if (pid == 0) {
		REQUIRE(syscall(SYS_close, fd) == 0);
		REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
		if (ends[0] != fd)
			_exit(2);
		_exit(write(fd, &byte, 1) != 1 || read(ends[1], &byte, 1) != 1);
	}
	EXPECT_IS(child_wait(pid), 0);
	pid = fork();
	if (pid == 0) {
		REQUIRE(syscall(SYS_close, fd) == 0);
		/* Of the calls that are not seen. */
		if (eventfd(1, 0) != fd)
			_exit(2);
		_exit(eventfd_write(fd, 1) != 0 || write(fd, &(uint64_t){ 1 }, 8) != 8);
	}
	EXPECT_IS(child_wait(pid), 0);
	expect_connects(fd);
	expect_one_recovered();
}

static void fork_many_times(void)
{
	struct server server = server_late(LATE_MS);
	int fd = pending_socket(&server);
	int set = set_make();
	int64_t event = 0;
	pid_t pid;

	set_add(set, fd, EPOLLOUT | EPOLLET);
	for (int64_t end = now_ms() + LIMIT_MS; now_ms() < end && event == 0;) {
		event = set_wait(set, 10);
		pid = fork();
		if (pid == 0) {
			closefrom(3);
			_exit(0);
		}
		EXPECT_IS(child_wait(pid), 0);
	}
	EXPECT_IS(event, EPOLLOUT);
	expect_works(fd);
	expect_one_recovered();
}

static const struct check_case cases[] = {
	SAME("a vfork child closes the held socket: it is still held, and connects", vfork_closes),
	SAME("a vfork child dups over it, closes all and execs", vfork_execs),
	SAME("a vfork child asks and reads: the parent is told of its connect all the same",
	     vfork_asks),
	SAME("a vfork child closes the epoll set too", vfork_waits_in_set),
	SAME("posix_spawn, system and popen", spawned),
	SAME("a forked child leaves at once, in order and not", fork_leaves),
	SAME("a forked child closes the socket and the set", fork_closes),
	SAME("a forked child waits too: whatever it is told is true", fork_waits),
	SAME("a forked child asks all the time: the parent is not disturbed", fork_asks),
	SAME("the parent leaves and the child waits: whatever it is told is true", fork_takes_over),
	SAME("a forked child has a connect of its own under the same number", fork_connects),
	SAME("a forked child finds something else under the number", fork_finds_another),
	SAME("a fork between all waits", fork_many_times),
};

WAITS_MAIN(cases, 6)
