/* SPDX-License-Identifier: MIT */
/*
 * O_NONBLOCK is set in all ways, connect() begins, and it is cleared again while the
 * connect is held: the next operation waits, and tells the outcome.
 */
#include <sys/uio.h>

#include "tests/shim/alarm.h"
#include "waits.h"

/* ---- setting and clearing ----------------------------------------------------------------- */

static void mode_fcntl(int fd, bool on)
{
	int flags = fcntl(fd, F_GETFL);

	EXPECT_IS(fcntl(fd, F_SETFL, on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK), 0);
}

static void mode_fcntl64(int fd, bool on)
{
	int flags = fcntl64(fd, F_GETFL);

	EXPECT_IS(fcntl64(fd, F_SETFL, on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK), 0);
}

static void mode_ioctl(int fd, bool on)
{
	int value = on;

	EXPECT_IS(ioctl(fd, FIONBIO, &value), 0);
}

static void mode_duplicate(int fd, bool on)
{
	int copy = dup(fd);

	mode_fcntl(copy, on);
	close(copy);
}

static void mode_unseen(int fd, bool on)
{
	EXPECT_IS(syscall(SYS_fcntl, fd, F_SETFL, O_RDWR | (on ? O_NONBLOCK : 0)), 0);
}

typedef void mode_set(int fd, bool on);

static mode_set *const clearings[] = { mode_fcntl, mode_fcntl64, mode_ioctl };

static int socket_mode(mode_set *set)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | (set ? 0 : SOCK_NONBLOCK), 0);

	REQUIRE(fd >= 0);
	if (set)
		set(fd, true);
	return fd;
}

/* ---- operations ----------------------------------------------------------------------------- */

struct task;

struct operation {
	ssize_t (*run)(const struct task *task);
	ssize_t success;
};

struct task {
	const struct server *server;
	const struct operation *operation;
	mode_set *set, *clear;
	int fd;
	pthread_t thread;
};

static char bytes[16];

static ssize_t run_connect(const struct task *task)
{
	return server_connect(task->server, task->fd);
}

static ssize_t run_read(const struct task *task)
{
	return read(task->fd, bytes, sizeof(bytes));
}

static ssize_t run_readv(const struct task *task)
{
	struct iovec into = { bytes, sizeof(bytes) };

	return readv(task->fd, &into, 1);
}

static ssize_t run_recv(const struct task *task)
{
	return recv(task->fd, bytes, sizeof(bytes), 0);
}

static ssize_t run_recvmsg(const struct task *task)
{
	struct iovec into = { bytes, sizeof(bytes) };
	struct msghdr message = { .msg_iov = &into, .msg_iovlen = 1 };

	return recvmsg(task->fd, &message, 0);
}

static ssize_t run_write(const struct task *task)
{
	return write(task->fd, "abc", 3);
}

static ssize_t run_writev(const struct task *task)
{
	struct iovec from = { (void *)(uintptr_t) "abc", 3 };

	return writev(task->fd, &from, 1);
}

static ssize_t run_send(const struct task *task)
{
	return send(task->fd, "abc", 3, 0);
}

static ssize_t run_sendmsg(const struct task *task)
{
	struct iovec from = { (void *)(uintptr_t) "abc", 3 };
	struct msghdr message = { .msg_iov = &from, .msg_iovlen = 1 };

	return sendmsg(task->fd, &message, 0);
}

/* The server says two bytes to all. */
static const struct operation op_connect = { run_connect, 0 };
static const struct operation op_read = { run_read, 2 };
static const struct operation op_readv = { run_readv, 2 };
static const struct operation op_recv = { run_recv, 2 };
static const struct operation op_recvmsg = { run_recvmsg, 2 };
static const struct operation op_write = { run_write, 3 };
static const struct operation op_writev = { run_writev, 3 };
static const struct operation op_send = { run_send, 3 };
static const struct operation op_sendmsg = { run_sendmsg, 3 };

/* ---- every way to set times every way to clear, side by side --------------------------------------- */

static void task_begin(struct task *task)
{
	task->fd = socket_mode(task->set);
	connect_begin(task->server, task->fd);
	expect_pending(task->server, task->fd, 50);
	task->clear(task->fd, false);
	EXPECT_IS(fcntl(task->fd, F_GETFL) & O_NONBLOCK, 0);
}

static void *task_succeeds(void *data)
{
	struct task *task = data;

	task_begin(task);
	EXPECT_IS(task->operation->run(task), task->operation->success);
	expect_works(task->fd);
	EXPECT_IS(fcntl(task->fd, F_GETFL) & O_NONBLOCK, 0);
	return NULL;
}

static void *task_fails(void *data)
{
	struct task *task = data;
	struct pollfd look = { .events = POLLIN | POLLOUT | POLLRDHUP };

	task_begin(task);
	EXPECT_IS(task->operation->run(task), -1);
	EXPECT_ERRNO(ECONNREFUSED);
	EXPECT_IS(socket_error(task->fd), 0);
	look.fd = task->fd;
	EXPECT_IS(poll(&look, 1, 0), 1);
	EXPECT_IS(look.revents & (POLLERR | POLLHUP), POLLHUP);
	EXPECT_IS(fcntl(task->fd, F_GETFL) & O_NONBLOCK, 0);
	return NULL;
}

static void tasks_run(const struct server *server, const struct operation *operation,
		      void *(*body)(void *))
{
	mode_set *const settings[] = { NULL, mode_fcntl, mode_fcntl64, mode_ioctl };
	struct task tasks[12];
	unsigned int count = 0;

	for (unsigned int set = 0; set < 4; set++)
		for (unsigned int clear = 0; clear < 3; clear++) {
			tasks[count] = (struct task){ server,           operation, settings[set],
						      clearings[clear], -1,        0 };
			tasks[count].thread = thread_start(body, &tasks[count]);
			count++;
		}
	for (unsigned int i = 0; i < count; i++)
		EXPECT(thread_ends(tasks[i].thread, NULL, LIMIT_MS));
	EXPECT_COUNT(operations, count);
	EXPECT_COUNTS_ADD_UP();
}

static void succeed(const struct operation *operation)
{
	struct server server = server_late(LATE_MS);

	tasks_run(&server, operation, task_succeeds);
	EXPECT_COUNT(recovered, 12);
}

static void fail(const struct operation *operation)
{
	struct server server = server_refusing();

	/* SIGPIPE would end us: the failure is ECONNREFUSED, not EPIPE. */
	tasks_run(&server, operation, task_fails);
	EXPECT_COUNT(failures, 12);
}

#define BOTH(name)                        \
	static void name##_succeeds(void) \
	{                                 \
		succeed(&op_##name);      \
	}                                 \
	static void name##_fails(void)    \
	{                                 \
		fail(&op_##name);         \
	}

BOTH(connect)
BOTH(read)
BOTH(readv)
BOTH(recv)
BOTH(recvmsg)
BOTH(write)
BOTH(writev)
BOTH(send)
BOTH(sendmsg)

/* ---- seen through other names, or not at all -------------------------------------------------------- */

static void cleared_by(mode_set *clear)
{
	struct server server = server_late(LATE_MS);
	struct task task = { .server = &server, .clear = clear };

	task_begin(&task);
	EXPECT_IS(write(task.fd, "abc", 3), 3);
	expect_works(task.fd);
	expect_one_recovered();
}

static void cleared_through_duplicate(void)
{
	cleared_by(mode_duplicate);
}

static void cleared_unseen(void)
{
	cleared_by(mode_unseen);
}

static void set_by(mode_set *set)
{
	struct server server = server_late(LATE_MS);
	int fd = socket_mode(set);

	connect_begin(&server, fd);
	expect_pending(&server, fd, 100);
	expect_connects(fd);
	expect_one_recovered();
}

static void set_through_duplicate(void)
{
	set_by(mode_duplicate);
}

static void set_unseen(void)
{
	set_by(mode_unseen);
}

/* ---- what else can be asked of a socket that blocks again -------------------------------------------- */

static int blocking_again(const struct server *server)
{
	int fd = pending_socket(server);

	EXPECT_IS(poll_out(fd, 100), 0);
	mode_fcntl(fd, false);
	return fd;
}

static void waited_for(void)
{
	struct server server = server_late(LATE_MS);
	int fd = blocking_again(&server);

	EXPECT_IS(poll_out(fd, 100), 0);
	expect_connects(fd);
	expect_one_recovered();
}

static void set_again(void)
{
	struct server server = server_late(LATE_MS);
	int fd = blocking_again(&server);

	mode_ioctl(fd, true);
	EXPECT_IS(write(fd, "x", 1), -1);
	EXPECT_ERRNO(EAGAIN);
	expect_pending(&server, fd, 100);
	expect_connects(fd);
	expect_one_recovered();
}

static void not_to_wait(void)
{
	struct server server = server_late(LATE_MS);
	int fd = blocking_again(&server);
	int64_t began = now_ms();
	char byte;

	EXPECT_IS(recv(fd, &byte, 1, MSG_DONTWAIT), -1);
	EXPECT_ERRNO(EAGAIN);
	EXPECT_IS(send(fd, "x", 1, MSG_DONTWAIT), -1);
	EXPECT_ERRNO(EAGAIN);
	EXPECT_WITHIN(now_ms() - began, 0, 100);
	EXPECT_IS(recv(fd, &byte, 1, 0), 1);
	expect_works(fd);
	expect_one_recovered();
}

static void timeout_ask(int fd, int option, int ms)
{
	struct timeval timeout = { ms / 1000, ms % 1000 * 1000 };

	REQUIRE(setsockopt(fd, SOL_SOCKET, option, &timeout, sizeof(timeout)) == 0);
}

/* The program's own limits hold. */
static void own_timeouts(void)
{
	struct server server = server_never();
	int fd = blocking_again(&server);
	int64_t began = now_ms();
	char byte;

	timeout_ask(fd, SO_RCVTIMEO, 200);
	EXPECT_IS(recv(fd, &byte, 1, 0), -1);
	EXPECT_ERRNO(EAGAIN);
	EXPECT_WITHIN(now_ms() - began, 190, 600);
	began = now_ms();
	timeout_ask(fd, SO_SNDTIMEO, 200);
	EXPECT_IS(send(fd, "x", 1, 0), -1);
	EXPECT_ERRNO(EAGAIN);
	EXPECT_WITHIN(now_ms() - began, 190, 600);
	began = now_ms();
	EXPECT_IS(server_connect(&server, fd), -1);
	EXPECT_ERRNO(EALREADY);
	EXPECT_WITHIN(now_ms() - began, 190, 600);
	EXPECT_IS(send_timeout_ms(fd), 200);
}

static void interrupted(void)
{
	struct server server = server_late(LATE_MS);
	int fd = blocking_again(&server);
	int64_t began = now_ms();
	char byte;

	alarm_after(150, handler_count, 0);
	EXPECT_IS(recv(fd, &byte, 1, 0), -1);
	EXPECT_ERRNO(EINTR);
	EXPECT_WITHIN(now_ms() - began, 140, 450);
	alarm_after(50, handler_count, 0);
	EXPECT_IS(server_connect(&server, fd), -1);
	EXPECT_ERRNO(EINTR);
	EXPECT_IS(handled, 2);
	EXPECT_IS(recv(fd, &byte, 1, 0), 1);
	expect_works(fd);
	expect_one_recovered();
}

static void interrupted_and_restarted(void)
{
	struct server server = server_late(LATE_MS);
	int fd = blocking_again(&server);
	char byte;

	alarm_after(150, handler_count, SA_RESTART);
	EXPECT_IS(recv(fd, &byte, 1, 0), 1);
	EXPECT_IS(handled, 1);
	expect_works(fd);
	expect_one_recovered();
}

#define BRIEF(name, run) SAME_UNDER(POLICY_BRIEF, name, run)
#define NEVER(name, run) SAME_UNDER(POLICY_FOR_EVER, name, run)

static const struct check_case cases[] = {
	SAME("blocking again: connect waits", connect_succeeds),
	BRIEF("blocking again: connect fails", connect_fails),
	SAME("blocking again: read waits", read_succeeds),
	BRIEF("blocking again: read fails", read_fails),
	SAME("blocking again: readv waits", readv_succeeds),
	BRIEF("blocking again: readv fails", readv_fails),
	SAME("blocking again: recv waits", recv_succeeds),
	BRIEF("blocking again: recv fails", recv_fails),
	SAME("blocking again: recvmsg waits", recvmsg_succeeds),
	BRIEF("blocking again: recvmsg fails", recvmsg_fails),
	SAME("blocking again: write waits", write_succeeds),
	BRIEF("blocking again: write fails", write_fails),
	SAME("blocking again: writev waits", writev_succeeds),
	BRIEF("blocking again: writev fails", writev_fails),
	SAME("blocking again: send waits", send_succeeds),
	BRIEF("blocking again: send fails", send_fails),
	SAME("blocking again: sendmsg waits", sendmsg_succeeds),
	BRIEF("blocking again: sendmsg fails", sendmsg_fails),
	SAME("cleared through a duplicate", cleared_through_duplicate),
	SAME("cleared unseen", cleared_unseen),
	SAME("set through a duplicate", set_through_duplicate),
	SAME("set unseen", set_unseen),
	SAME("blocking again, and waited for in poll", waited_for),
	SAME("blocking again, and not again", set_again),
	SAME("blocking again, and MSG_DONTWAIT", not_to_wait),
	NEVER("blocking again: SO_RCVTIMEO and SO_SNDTIMEO hold", own_timeouts),
	SAME("blocking again: a signal", interrupted),
	SAME("blocking again: a signal whose handler restarts", interrupted_and_restarted),
};

WAITS_MAIN(cases, 6)
