/* SPDX-License-Identifier: MIT */
/* Non-blocking connects whose failures the policy passes on: as without us, and counted once. */
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/select.h>

#include "net.h"
#include "peek.h"

static int nonblocking_socket(const struct server *server)
{
	int fd = socket(server->address.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
			0);

	REQUIRE(fd >= 0);
	return fd;
}

static int wait_for(int fd, int64_t ms)
{
	struct pollfd wait = { .fd = fd, .events = POLLIN | POLLOUT };

	return poll(&wait, 1, (int)ms) == 1 ? wait.revents : -1;
}

/* Under way: the server is there, or refuses. */
static int start(const struct server *server)
{
	int fd = nonblocking_socket(server);
	int64_t began = now_ms();

	EXPECT_IS(server_connect(server, fd), -1);
	EXPECT_ERRNO(EINPROGRESS);
	EXPECT_WITHIN(now_ms() - began, 0, 90);
	EXPECT_COUNT(operations, 1);
	EXPECT_COUNT(attempts, 1);
	EXPECT_COUNT(succeeded, 0);
	EXPECT_COUNT(failures, 0);
	return fd;
}

static void expect_success(void)
{
	EXPECT_COUNT(operations, 1);
	EXPECT_COUNT(succeeded, 1);
	EXPECT_COUNT(recovered, 0);
	EXPECT_COUNT(retries, 0);
	EXPECT_COUNTS_ADD_UP();
}

static void expect_failure(void)
{
	EXPECT_COUNT(operations, 1);
	EXPECT_COUNT(failures, 1);
	EXPECT_COUNT(attempt_failures, 1);
	EXPECT_COUNT(retries, 0);
	EXPECT_COUNT(abandoned, 0);
	EXPECT_COUNTS_ADD_UP();
}

/* ---- success, found out in every way ------------------------------------------------------ */

static void success_by_error_option(void)
{
	struct server server = server_listening(AF_INET);
	int fd = start(&server);

	EXPECT_IS(wait_for(fd, 2000), POLLOUT);
	EXPECT_IS(socket_error(fd), 0);
	EXPECT_IS(socket_error(fd), 0);
	expect_success();
	EXPECT_SLOT(fd, state, SLOT_CONNECTED);
}

static void success_by_send(void)
{
	struct server server = server_listening(AF_INET);
	int fd = start(&server);

	EXPECT_IS(wait_for(fd, 2000), POLLOUT);
	EXPECT_IS(send(fd, "abc", 3, 0), 3);
	expect_success();
	EXPECT_COUNT(sent_bytes, 3);
}

static void success_by_read(void)
{
	struct server server = server_listening(AF_INET);
	int fd = start(&server), peer = accept(server.fd, NULL, NULL);
	char byte;

	EXPECT_IS(send(peer, "x", 1, 0), 1);
	bytes_waiting(fd, 1);
	EXPECT_IS(read(fd, &byte, 1), 1);
	expect_success();
	EXPECT_COUNT(received_bytes, 1);
}

static void success_by_connect(void)
{
	struct server server = server_listening(AF_INET);
	int fd = start(&server);

	EXPECT_IS(wait_for(fd, 2000), POLLOUT);
	EXPECT_IS(server_connect(&server, fd), 0);
	expect_success();
	EXPECT_IS(server_connect(&server, fd), -1);
	EXPECT_ERRNO(EISCONN);
	expect_success();
}

/* ab, haproxy and others ask both. */
static void success_by_error_option_and_connect(void)
{
	struct server server = server_listening(AF_INET);
	int fd = start(&server);

	EXPECT_IS(wait_for(fd, 2000), POLLOUT);
	EXPECT_IS(socket_error(fd), 0);
	EXPECT_IS(server_connect(&server, fd), 0);
	EXPECT_IS(server_connect(&server, fd), -1);
	EXPECT_ERRNO(EISCONN);
	expect_success();
}

static void success_by_send_and_connect(void)
{
	struct server server = server_listening(AF_INET);
	int fd = start(&server);

	EXPECT_IS(wait_for(fd, 2000), POLLOUT);
	EXPECT_IS(send(fd, "abc", 3, 0), 3);
	EXPECT_IS(server_connect(&server, fd), 0);
	expect_success();
}

static void success_at_close(void)
{
	struct server server = server_listening(AF_INET);
	int fd = start(&server);

	EXPECT_IS(wait_for(fd, 2000), POLLOUT);
	EXPECT_IS(close(fd), 0);
	expect_success();
}

static void success_later(void)
{
	struct server server = server_full();
	int fd = start(&server);
	char byte;

	/* None of these knows the outcome yet. */
	EXPECT_IS(wait_for(fd, 50), -1);
	EXPECT_IS(socket_error(fd), 0);
	EXPECT_IS(server_connect(&server, fd), -1);
	EXPECT_ERRNO(EALREADY);
	EXPECT_IS(recv(fd, &byte, 1, 0), -1);
	EXPECT_ERRNO(EAGAIN);
	EXPECT_IS(send(fd, "x", 1, 0), -1);
	EXPECT_ERRNO(EAGAIN);
	EXPECT_COUNT(succeeded, 0);
	EXPECT_COUNT(operations, 1);
	server_drain_after(&server, 0);
	EXPECT_IS(wait_for(fd, 8000), POLLOUT);
	EXPECT_IS(socket_error(fd), 0);
	expect_success();
}

/* ---- failure, found out in every way ------------------------------------------------------- */

static void failure_by_error_option(void)
{
	struct server server = server_bind(AF_INET);
	int fd = start(&server);

	EXPECT_IS(wait_for(fd, 2000), POLLIN | POLLOUT | POLLERR | POLLHUP);
	EXPECT_IS(socket_error(fd), ECONNREFUSED);
	EXPECT_IS(socket_error(fd), 0);
	expect_failure();
	EXPECT_SLOT(fd, state, SLOT_FAILED);
	EXPECT_SLOT(fd, last_error, ECONNREFUSED);
}

static void failure_by_send(void)
{
	struct server server = server_bind(AF_INET);
	int fd = start(&server);

	wait_for(fd, 2000);
	EXPECT_IS(send(fd, "abc", 3, MSG_NOSIGNAL), -1);
	EXPECT_ERRNO(ECONNREFUSED);
	EXPECT_IS(send(fd, "abc", 3, MSG_NOSIGNAL), -1);
	EXPECT_ERRNO(EPIPE);
	expect_failure();
	EXPECT_COUNT(sent_bytes, 0);
}

static void failure_by_read(void)
{
	struct server server = server_bind(AF_INET);
	int fd = start(&server);
	char byte;

	wait_for(fd, 2000);
	EXPECT_IS(read(fd, &byte, 1), -1);
	EXPECT_ERRNO(ECONNREFUSED);
	EXPECT_IS(read(fd, &byte, 1), 0);
	expect_failure();
}

static void failure_by_connect(void)
{
	struct server server = server_bind(AF_INET);
	int fd = start(&server);

	wait_for(fd, 2000);
	EXPECT_IS(server_connect(&server, fd), -1);
	EXPECT_ERRNO(ECONNREFUSED);
	expect_failure();
}

/* The kernel eats the connect() after a consumed error: the program must see that too. */
static void failure_then_again(void)
{
	struct server server = server_bind(AF_INET);
	int fd = start(&server);

	wait_for(fd, 2000);
	EXPECT_IS(socket_error(fd), ECONNREFUSED);
	REQUIRE(listen(server.fd, 5) == 0);
	EXPECT_IS(server_connect(&server, fd), -1);
	EXPECT_ERRNO(ECONNABORTED);
	EXPECT_IS(server_connect(&server, fd), -1);
	EXPECT_ERRNO(EINPROGRESS);
	EXPECT_IS(wait_for(fd, 2000), POLLOUT);
	EXPECT_IS(socket_error(fd), 0);
	EXPECT_COUNT(succeeded, 1);
	EXPECT_COUNT(retries, 0);
	EXPECT_COUNTS_ADD_UP();
}

static void failure_at_close(void)
{
	struct server server = server_bind(AF_INET);
	int fd = start(&server);

	wait_for(fd, 2000);
	EXPECT_IS(close(fd), 0);
	EXPECT_COUNT(operations, 1);
	EXPECT_COUNT(succeeded, 0);
	EXPECT_COUNTS_ADD_UP();
}

static void abandoned_at_close(void)
{
	struct server server = server_full();
	int fd = start(&server);

	EXPECT_IS(close(fd), 0);
	EXPECT_COUNT(abandoned, 1);
	EXPECT_COUNTS_ADD_UP();
}

/* ---- how a socket becomes non-blocking ------------------------------------------------------- */

static void refused_at_once(int fd, const struct server *server)
{
	int64_t began = now_ms();

	EXPECT_IS(server_connect(server, fd), -1);
	EXPECT_ERRNO(EINPROGRESS);
	wait_for(fd, 2000);
	EXPECT_IS(socket_error(fd), ECONNREFUSED);
	EXPECT_WITHIN(now_ms() - began, 0, 90);
}

static void by_fcntl(void)
{
	struct server server = server_bind(AF_INET);
	int fd = stream_socket(&server);

	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
	refused_at_once(fd, &server);
}

static void by_ioctl(void)
{
	struct server server = server_bind(AF_INET);
	int fd = stream_socket(&server), on = 1;

	ioctl(fd, FIONBIO, &on);
	refused_at_once(fd, &server);
}

static void by_raw_call(void)
{
	struct server server = server_bind(AF_INET);
	int fd = (int)syscall(SYS_socket, AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

	refused_at_once(fd, &server);
}

static void cleared_again(void)
{
	struct server server = server_bind(AF_INET);
	int fd = nonblocking_socket(&server), off = 0;

	ioctl(fd, FIONBIO, &off);
	server_listen_after(&server, 250);
	EXPECT_IS(server_connect(&server, fd), 0);
	EXPECT_COUNT(recovered, 1);
}

/* whois and Rust clear the flag while it is connecting. */
static void cleared_meanwhile(void)
{
	struct server server = server_full();
	int fd = start(&server);

	fcntl(fd, F_SETFL, 0);
	server_drain_after(&server, 200);
	EXPECT_IS(send(fd, "abc", 3, 0), 3);
	expect_success();
}

/* A dup'ed socket has one mode with its copy. */
static void by_copy(void)
{
	struct server server = server_bind(AF_INET);
	int fd = stream_socket(&server), copy = dup(fd);

	fcntl(copy, F_SETFL, O_NONBLOCK);
	refused_at_once(fd, &server);
}

/* ---- waits ------------------------------------------------------------------------------------- */

static void by_epoll(void)
{
	struct server server = server_bind(AF_INET);
	int fd = nonblocking_socket(&server), set = epoll_create1(0);
	struct epoll_event event = { .events = EPOLLIN | EPOLLOUT, .data = { .fd = fd } };

	/* Registered before connect(), as nginx does. */
	REQUIRE(epoll_ctl(set, EPOLL_CTL_ADD, fd, &event) == 0);
	EXPECT_IS(server_connect(&server, fd), -1);
	EXPECT_ERRNO(EINPROGRESS);
	EXPECT_IS(epoll_wait(set, &event, 1, 2000), 1);
	EXPECT_IS(event.events, EPOLLIN | EPOLLOUT | EPOLLERR | EPOLLHUP);
	EXPECT_IS(socket_error(fd), ECONNREFUSED);
	expect_failure();
}

static void by_select(void)
{
	struct server server = server_listening(AF_INET);
	int fd = start(&server);
	struct timeval limit = { 2, 0 };
	fd_set writable, readable;

	FD_ZERO(&writable);
	FD_SET(fd, &writable);
	readable = writable;
	EXPECT_IS(select(fd + 1, &readable, &writable, NULL, &limit), 1);
	EXPECT(FD_ISSET(fd, &writable) && !FD_ISSET(fd, &readable));
	EXPECT_IS(socket_error(fd), 0);
	expect_success();
}

static void by_peer_name(void)
{
	struct server server = server_listening(AF_INET);
	int fd = start(&server);
	union address peer;
	socklen_t length = sizeof(peer);

	wait_for(fd, 2000);
	EXPECT_IS(getpeername(fd, &peer.any, &length), 0);
	EXPECT_IS(peer.v4.sin_port, server.address.v4.sin_port);
	EXPECT_IS(write(fd, "x", 1), 1);
	expect_success();
}

/* The path of a socket that is not there yet. */
static void local_by_rule(void)
{
	struct server server = { .fd = socket(AF_UNIX, SOCK_STREAM, 0) };
	int fd;

	server.address.any.sa_family = AF_UNIX;
	snprintf(server.address.local.sun_path, sizeof(server.address.local.sun_path), "%s/socket",
		 getenv("CHECK_DIR"));
	server.length = sizeof(server.address.local);
	fd = nonblocking_socket(&server);
	EXPECT_IS(server_connect(&server, fd), -1);
	EXPECT_ERRNO(EINPROGRESS);
	EXPECT_IS(wait_for(fd, 50), -1);
	REQUIRE(bind(server.fd, &server.address.any, server.length) == 0);
	REQUIRE(listen(server.fd, 5) == 0);
	EXPECT_IS(wait_for(fd, 5000), POLLOUT);
	EXPECT_IS(socket_error(fd), 0);
	EXPECT_COUNT(recovered, 1);
	EXPECT_COUNTS_ADD_UP();
}

#define POLICY_PASS POLICY_NETWORK("\"max_retries\":0")

#define CASE(name, run)                                           \
	{                                                         \
		name, run, POLICY_PATIENT, NULL, CHECK_ALSO_PLAIN \
	}
#define CASE_FAILS(name, run)                                  \
	{                                                      \
		name, run, POLICY_PASS, NULL, CHECK_ALSO_PLAIN \
	}

static const struct check_case cases[] = {
	CASE("success learned by SO_ERROR", success_by_error_option),
	CASE("success learned by send", success_by_send),
	CASE("success learned by read", success_by_read),
	CASE("success learned by a second connect()", success_by_connect),
	CASE("success learned by SO_ERROR, then a second connect()",
	     success_by_error_option_and_connect),
	CASE("success learned by send, then a second connect()", success_by_send_and_connect),
	CASE("success never asked for, found at close", success_at_close),
	CASE("success that takes its time", success_later),
	CASE_FAILS("failure learned by SO_ERROR", failure_by_error_option),
	CASE_FAILS("failure learned by send", failure_by_send),
	CASE_FAILS("failure learned by read", failure_by_read),
	CASE_FAILS("failure learned by a second connect()", failure_by_connect),
	CASE_FAILS("failure, then the same socket again", failure_then_again),
	CASE_FAILS("failure never asked for: over at close", failure_at_close),
	CASE("closed while under way: abandoned", abandoned_at_close),
	CASE_FAILS("made non-blocking by fcntl", by_fcntl),
	CASE_FAILS("made non-blocking by ioctl", by_ioctl),
	CASE_FAILS("made non-blocking out of sight", by_raw_call),
	CASE_FAILS("made non-blocking through a duplicate", by_copy),
	{ "made blocking again before connect(): held", cleared_again, POLICY_PATIENT, NULL, 0 },
	CASE_FAILS("made blocking while under way", cleared_meanwhile),
	CASE_FAILS("epoll, registered before connect()", by_epoll),
	CASE("select", by_select),
	CASE("getpeername", by_peer_name),
	{ "AF_UNIX by a rule, non-blocking: held", local_by_rule, POLICY_UNIX, NULL, 0 },
};

CHECK_MAIN(cases)
