/* SPDX-License-Identifier: MIT */
/*
 * A socket that is held vanishes, by calls that nobody sees or by common ones, and
 * its number is given to something else: nothing may happen to that.
 */
#include "waits.h"

/* Long enough for several retries to come due. */
#define WATCH_MS 600

static int held_socket(const struct server *server)
{
	int fd = pending_socket(server);

	EXPECT_IS(poll_out(fd, 150), 0);
	return fd;
}

static int raw_socket(int type)
{
	return (int)syscall(SYS_socket, AF_INET, type | SOCK_CLOEXEC, 0);
}

/* fd becomes a name of `made`, as if the kernel had given it the number. */
static void number_give(int fd, int made)
{
	REQUIRE(made >= 0);
	if (made == fd)
		return;
	REQUIRE(syscall(SYS_fcntl, made, F_DUPFD_CLOEXEC, fd) == fd);
	REQUIRE(syscall(SYS_close, made) == 0);
}

/* Waits of all kinds, so that whatever is due is done. */
static void let_it_work(int64_t milliseconds)
{
	struct timeval span;
	int set = set_make();

	for (int64_t end = now_ms() + milliseconds; now_ms() < end;) {
		poll(NULL, 0, 20);
		span = (struct timeval){ 0, 20000 };
		select(0, NULL, NULL, NULL, &span);
		set_wait(set, 20);
	}
	close(set);
}

/* ---- connected ---------------------------------------------------------------------------- */

static void expect_untouched(int fd, int peer)
{
	char byte;

	for (int64_t end = now_ms() + WATCH_MS; now_ms() < end && !check_failures;) {
		EXPECT_IS(poll_out(fd, 20), POLLOUT);
		EXPECT_IS(send(fd, "x", 1, MSG_NOSIGNAL), 1);
		EXPECT_IS(recv(peer, &byte, 1, 0), 1);
		let_it_work(60);
	}
	expect_works(fd);
}

static void reused_connected_unseen(void)
{
	struct server server = server_never(), other = server_listening(AF_INET);
	int fd = held_socket(&server);
	int made;

	REQUIRE(syscall(SYS_close, fd) == 0);
	made = raw_socket(SOCK_STREAM);
	number_give(fd, made);
	REQUIRE(syscall(SYS_connect, fd, &other.address, other.length) == 0);
	expect_untouched(fd, accept(other.fd, NULL, NULL));
	expect_one_abandoned();
}

/* The same, and connected to the destination that the held one wanted. */
static void reused_same_destination(void)
{
	struct server server = server_never();
	int fd = held_socket(&server);
	int peer;

	if (!preloaded())
		server = server_listening(AF_INET);
	REQUIRE(syscall(SYS_close, fd) == 0);
	number_give(fd, raw_socket(SOCK_STREAM));
	REQUIRE(syscall(SYS_listen, server.fd, 8) == 0);
	REQUIRE(syscall(SYS_connect, fd, &server.address, server.length) == 0);
	peer = accept(server.fd, NULL, NULL);
	expect_untouched(fd, peer);
	expect_one_abandoned();
}

static void reused_connected_seen(void)
{
	struct server server = server_never(), other = server_listening(AF_INET);
	int fd = held_socket(&server);

	REQUIRE(syscall(SYS_close, fd) == 0);
	/* By a call that is seen, and the number is known as the held one's. */
	EXPECT_IS(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), fd);
	EXPECT_IS(server_connect(&other, fd), 0);
	expect_untouched(fd, accept(other.fd, NULL, NULL));
	EXPECT_COUNT(operations, 2);
	EXPECT_COUNT(succeeded, 1);
	EXPECT_COUNT(abandoned, 1);
	EXPECT_COUNTS_ADD_UP();
}

static void reused_pending(void)
{
	struct server server = server_never(), late = server_late(LATE_MS);
	int fd = held_socket(&server);

	REQUIRE(syscall(SYS_close, fd) == 0);
	EXPECT_IS(pending_socket(&late), fd);
	expect_pending(&late, fd, 100);
	expect_connects(fd);
	EXPECT_COUNT(operations, 2);
	EXPECT_COUNT(succeeded, 1);
	EXPECT_COUNT(recovered, 1);
	EXPECT_COUNT(abandoned, 1);
	EXPECT_COUNTS_ADD_UP();
}

/* ---- something else ----------------------------------------------------------------------- */

static void reused_listening(void)
{
	struct server server = server_never();
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t length = sizeof(address);
	int fd = held_socket(&server);
	int client;

	REQUIRE(syscall(SYS_close, fd) == 0);
	number_give(fd, raw_socket(SOCK_STREAM));
	REQUIRE(syscall(SYS_bind, fd, &address, sizeof(address)) == 0);
	REQUIRE(syscall(SYS_listen, fd, 8) == 0);
	REQUIRE(syscall(SYS_getsockname, fd, &address, &length) == 0);
	EXPECT_IS(poll_out(fd, 20), 0);
	let_it_work(WATCH_MS);
	client = raw_socket(SOCK_STREAM);
	EXPECT_IS(syscall(SYS_connect, client, &address, length), 0);
	EXPECT(accept(fd, NULL, NULL) >= 0);
	expect_one_abandoned();
}

static void reused_fresh(void)
{
	struct server server = server_never();
	struct sockaddr_in address;
	socklen_t length = sizeof(address);
	int fd = held_socket(&server);

	REQUIRE(syscall(SYS_close, fd) == 0);
	number_give(fd, raw_socket(SOCK_STREAM | SOCK_NONBLOCK));
	EXPECT_IS(poll_out(fd, 20), POLLOUT | POLLHUP);
	let_it_work(WATCH_MS);
	EXPECT_IS(poll_out(fd, 20), POLLOUT | POLLHUP);
	EXPECT_IS(socket_error(fd), 0);
	EXPECT_IS(getsockname(fd, (struct sockaddr *)&address, &length), 0);
	EXPECT_IS(address.sin_port, 0);
	expect_one_abandoned();
}

static void reused_datagram(void)
{
	struct server server = server_never();
	union address address;
	socklen_t length = sizeof(address);
	int fd = held_socket(&server);

	REQUIRE(syscall(SYS_close, fd) == 0);
	number_give(fd, raw_socket(SOCK_DGRAM));
	EXPECT_IS(poll_out(fd, 20), POLLOUT);
	let_it_work(WATCH_MS);
	EXPECT_IS(getpeername(fd, &address.any, &length), -1);
	EXPECT_ERRNO(ENOTCONN);
	expect_one_abandoned();
}

static void reused_file(void)
{
	struct server server = server_never();
	int fd = held_socket(&server);
	char bytes[8] = "";
	int error = 0;
	socklen_t length = sizeof(error);

	REQUIRE(syscall(SYS_close, fd) == 0);
	number_give(fd, memfd_create("file", MFD_CLOEXEC));
	let_it_work(WATCH_MS / 2);
	EXPECT_IS(write(fd, "abc", 3), 3);
	EXPECT_IS(lseek(fd, 0, SEEK_SET), 0);
	EXPECT_IS(read(fd, bytes, sizeof(bytes)), 3);
	EXPECT_IS(poll_out(fd, 20), POLLOUT);
	EXPECT_IS(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length), -1);
	EXPECT_ERRNO(ENOTSOCK);
	let_it_work(WATCH_MS / 2);
	expect_one_abandoned();
}

static void reused_pipe_in_set(void)
{
	struct server server = server_never();
	int fd = held_socket(&server);
	int set = set_make();
	int ends[2];

	set_add(set, fd, EPOLLOUT);
	EXPECT_IS(set_wait(set, 120), 0);
	REQUIRE(syscall(SYS_close, fd) == 0);
	REQUIRE(syscall(SYS_pipe2, ends, O_CLOEXEC) == 0);
	number_give(fd, ends[0]);
	EXPECT_IS(set_control(set, EPOLL_CTL_ADD, fd, EPOLLIN, 7), 0);
	EXPECT_IS(set_wait(set, WATCH_MS), 0);
	EXPECT_IS(write(ends[1], "x", 1), 1);
	EXPECT_IS(set_wait(set, 100), EPOLLIN);
	EXPECT_IS(set_wait(set, 100), EPOLLIN);
	expect_one_abandoned();
}

/* ---- closed in ways that are seen ------------------------------------------------------------ */

static void not_there(int fd)
{
	struct pollfd wait = { .fd = fd, .events = POLLOUT };

	EXPECT_IS(poll(&wait, 1, 20), 1);
	EXPECT_IS(wait.revents, POLLNVAL);
	let_it_work(WATCH_MS / 2);
	EXPECT_IS(fcntl(fd, F_GETFD), -1);
	EXPECT_ERRNO(EBADF);
	expect_one_abandoned();
}

static void closed_unseen(void)
{
	struct server server = server_never();
	int fd = held_socket(&server);

	REQUIRE(syscall(SYS_close, fd) == 0);
	not_there(fd);
}

static void closed(void)
{
	struct server server = server_never();
	int fd = held_socket(&server);

	EXPECT_IS(close(fd), 0);
	not_there(fd);
}

static void closed_by_range(void)
{
	struct server server = server_never();
	int fd = held_socket(&server);

	EXPECT_IS(close_range((unsigned int)fd, (unsigned int)fd, 0), 0);
	not_there(fd);
}

static void closed_by_stream(void)
{
	struct server server = server_never();
	int fd = held_socket(&server);
	FILE *stream = fdopen(fd, "r+");

	REQUIRE(stream);
	EXPECT_IS(fclose(stream), 0);
	not_there(fd);
}

static void replaced_by_dup2(void)
{
	struct server server = server_never(), other = server_listening(AF_INET);
	int fd = held_socket(&server);
	struct pair pair = pair_connect(&other);

	EXPECT_IS(dup2(pair.client, fd), fd);
	expect_untouched(fd, pair.peer);
	EXPECT_COUNT(operations, 2);
	EXPECT_COUNT(succeeded, 1);
	EXPECT_COUNT(abandoned, 1);
	EXPECT_COUNTS_ADD_UP();
}

static void replaced_unseen(void)
{
	struct server server = server_never(), other = server_listening(AF_INET);
	int fd = held_socket(&server);
	struct pair pair = pair_connect(&other);

	REQUIRE(syscall(SYS_dup2, pair.client, fd) == fd);
	expect_untouched(fd, pair.peer);
	EXPECT_COUNT(operations, 2);
	EXPECT_COUNT(succeeded, 1);
	EXPECT_COUNT(abandoned, 1);
	EXPECT_COUNTS_ADD_UP();
}

/* ---- a duplicate stays ------------------------------------------------------------------------ */

static void duplicate_stays(void)
{
	struct server server = server_late(LATE_MS);
	int fd = pending_socket(&server);
	int copy = dup(fd);

	expect_pending(&server, fd, 100);
	EXPECT_IS(close(fd), 0);
	expect_pending(&server, copy, 100);
	expect_connects(copy);
	expect_one_recovered();
}

/* The first vanishes unseen, and its number is somebody else's. */
static void duplicate_stays_unseen(void)
{
	struct server server = server_late(LATE_MS), other = server_listening(AF_INET);
	int fd = pending_socket(&server);
	int copy = dup(fd);

	EXPECT_IS(poll_out(copy, 100), 0);
	REQUIRE(syscall(SYS_close, fd) == 0);
	number_give(fd, raw_socket(SOCK_STREAM));
	REQUIRE(syscall(SYS_connect, fd, &other.address, other.length) == 0);
	expect_pending(&server, copy, 100);
	expect_connects(copy);
	expect_untouched(fd, accept(other.fd, NULL, NULL));
	expect_one_recovered();
}

#define NEVER(name, run) SAME_UNDER(POLICY_FOR_EVER, name, run)

static const struct check_case cases[] = {
	NEVER("closed unseen: abandoned", closed_unseen),
	NEVER("closed: abandoned", closed),
	NEVER("close_range: abandoned", closed_by_range),
	NEVER("fclose: abandoned", closed_by_stream),
	NEVER("dup2 over it: the new one is untouched", replaced_by_dup2),
	NEVER("dup2 over it, unseen", replaced_unseen),
	NEVER("closed unseen, the number a connected socket's that nobody saw",
	      reused_connected_unseen),
	NEVER("the same, connected to where the held one wanted to go", reused_same_destination),
	NEVER("closed unseen, the number a connected socket's", reused_connected_seen),
	NEVER("closed unseen, the number the next pending socket's", reused_pending),
	NEVER("closed unseen, the number a listening socket's", reused_listening),
	NEVER("closed unseen, the number a fresh socket's", reused_fresh),
	NEVER("closed unseen, the number a datagram socket's", reused_datagram),
	NEVER("closed unseen, the number a file's", reused_file),
	NEVER("closed unseen, the number a pipe's in the same epoll set", reused_pipe_in_set),
	SAME("the held one is closed and a duplicate stays: it connects", duplicate_stays),
	SAME("the same, unseen, and the number is somebody else's", duplicate_stays_unseen),
};

WAITS_MAIN(cases, 6)
