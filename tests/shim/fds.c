/* SPDX-License-Identifier: MIT */
/* Which fd stands for which connection: duplicates, every way of closing, numbers used again. */
#include <linux/close_range.h>

#include "net.h"
#include "peek.h"

/* One byte each way through fd; the connection's counts must have grown by them. */
static void expect_counted(int fd, const struct pair *pair, int64_t before)
{
	char byte;

	EXPECT_IS(send(fd, "x", 1, 0), 1);
	EXPECT_IS(recv(pair->peer, &byte, 1, 0), 1);
	EXPECT_IS(send(pair->peer, "y", 1, 0), 1);
	EXPECT_IS(recv(fd, &byte, 1, 0), 1);
	EXPECT_COUNT(sent_bytes, before + 1);
	EXPECT_COUNT(received_bytes, before + 1);
}

static int copy_by_dup(int fd)
{
	return dup(fd);
}

static int copy_by_dup2(int fd)
{
	return dup2(fd, 200);
}

static int copy_by_dup3(int fd)
{
	return dup3(fd, 201, O_CLOEXEC);
}

static int copy_by_fcntl(int fd)
{
	return fcntl(fd, F_DUPFD, 202);
}

static int copy_by_fcntl_cloexec(int fd)
{
	return fcntl(fd, F_DUPFD_CLOEXEC, 203);
}

extern int fcntl64(int fd, int command, ...);

static int copy_by_fcntl64(int fd)
{
	return fcntl64(fd, F_DUPFD, 204);
}

/* Beyond the first chunk of the shim's table. */
static int copy_far(int fd)
{
	return fcntl(fd, F_DUPFD, 1500);
}

static void copy_check(int (*copy)(int fd))
{
	struct server server = server_listening(AF_INET);
	struct pair pair = pair_connect(&server);
	int second = copy(pair.client);

	REQUIRE(second >= 0);
	expect_counted(pair.client, &pair, 0);
	expect_counted(second, &pair, 1);
	EXPECT_IS(close(pair.client), 0);
	EXPECT_SLOT(pair.client, state, SLOT_CONNECTED);
	expect_counted(second, &pair, 2);
	EXPECT_IS(close(second), 0);
	EXPECT_SLOT(pair.client, state, SLOT_DISCONNECTED);
	EXPECT_COUNT(operations, 1);
	EXPECT_COUNTS_ADD_UP();
}

static void dup_case(void)
{
	copy_check(copy_by_dup);
}

static void dup2_case(void)
{
	copy_check(copy_by_dup2);
}

static void dup3_case(void)
{
	copy_check(copy_by_dup3);
}

static void fcntl_case(void)
{
	copy_check(copy_by_fcntl);
}

static void fcntl_cloexec_case(void)
{
	copy_check(copy_by_fcntl_cloexec);
}

static void fcntl64_case(void)
{
	copy_check(copy_by_fcntl64);
}

static void far_case(void)
{
	copy_check(copy_far);
}

static void dup2_onto_itself(void)
{
	struct server server = server_listening(AF_INET);
	struct pair pair = pair_connect(&server);

	EXPECT_IS(dup2(pair.client, pair.client), pair.client);
	EXPECT_IS(dup3(pair.client, pair.client, 0), -1);
	EXPECT_ERRNO(EINVAL);
	expect_counted(pair.client, &pair, 0);
	EXPECT_IS(close(pair.client), 0);
	EXPECT_SLOT(pair.client, state, SLOT_DISCONNECTED);
}

/* A duplicate made before connect() is the same socket. */
static void copied_before(void)
{
	struct server server = server_listening(AF_INET);
	struct pair pair = { .client = stream_socket(&server) };
	int second = dup(pair.client);

	REQUIRE(server_connect(&server, pair.client) == 0);
	pair.peer = accept(server.fd, NULL, NULL);
	expect_counted(pair.client, &pair, 0);
	EXPECT_IS(close(second), 0);
	expect_counted(pair.client, &pair, 1);
	EXPECT_SLOT(pair.client, state, SLOT_CONNECTED);
	EXPECT_COUNT(operations, 1);
}

/* ---- ways to end it --------------------------------------------------------------------- */

static void end_close(int fd)
{
	EXPECT_IS(close(fd), 0);
}

static void end_close_range(int fd)
{
	EXPECT_IS(close_range((unsigned int)fd, (unsigned int)fd, 0), 0);
}

static void end_close_range_all(int fd)
{
	EXPECT_IS(close_range(3, ~0u, 0), 0);
}

static void end_closefrom(int fd)
{
	closefrom(fd);
}

static void end_fclose(int fd)
{
	FILE *stream = fdopen(fd, "r+");

	EXPECT_IS(fclose(stream), 0);
}

static void end_dup2_over(int fd)
{
	int other = open("/dev/null", O_RDWR);

	EXPECT_IS(dup2(other, fd), fd);
	EXPECT_IS(write(fd, "12345", 5), 5);
	close(fd);
	close(other);
}

static void end_dup3_over(int fd)
{
	int other = open("/dev/null", O_RDWR);

	EXPECT_IS(dup3(other, fd, O_CLOEXEC), fd);
	EXPECT_IS(write(fd, "12345", 5), 5);
}

/* After any of them the number belongs to whoever opens it next. */
static void end_check(void (*end)(int fd))
{
	struct server server = server_listening(AF_INET);
	struct pair pair = pair_connect(&server);
	int fd = pair.client;
	int file;

	expect_counted(pair.client, &pair, 0);
	end(fd);
	EXPECT_SLOT(fd, state, SLOT_DISCONNECTED);
	file = open("/dev/null", O_RDWR);
	dup2(file, fd);
	EXPECT_IS(write(fd, "123", 3), 3);
	EXPECT_COUNT(sent_bytes, 1);
	EXPECT_COUNT(operations, 1);
	EXPECT_COUNT(abandoned, 0);
	EXPECT_COUNTS_ADD_UP();
}

static void close_case(void)
{
	end_check(end_close);
}

static void close_range_case(void)
{
	end_check(end_close_range);
}

static void close_range_all_case(void)
{
	end_check(end_close_range_all);
}

static void closefrom_case(void)
{
	end_check(end_closefrom);
}

static void fclose_case(void)
{
	end_check(end_fclose);
}

static void dup2_over_case(void)
{
	end_check(end_dup2_over);
}

static void dup3_over_case(void)
{
	end_check(end_dup3_over);
}

static void close_range_cloexec(void)
{
	struct server server = server_listening(AF_INET);
	struct pair pair = pair_connect(&server);

	EXPECT_IS(close_range(3, ~0u, CLOSE_RANGE_CLOEXEC), 0);
	expect_counted(pair.client, &pair, 0);
	EXPECT_SLOT(pair.client, state, SLOT_CONNECTED);
}

static void close_range_of_others(void)
{
	struct server server = server_listening(AF_INET);
	struct pair pair = pair_connect(&server);

	EXPECT_IS(close_range((unsigned int)pair.peer + 1, ~0u, 0), 0);
	EXPECT_IS(close_range(9, 5, 0), -1);
	EXPECT_ERRNO(EINVAL);
	expect_counted(pair.client, &pair, 0);
	EXPECT_SLOT(pair.client, state, SLOT_CONNECTED);
}

static void live_over_live(void)
{
	struct server server = server_listening(AF_INET);
	struct pair first = pair_connect(&server), second = pair_connect(&server);

	expect_counted(first.client, &first, 0);
	EXPECT_IS(dup2(second.client, first.client), first.client);
	expect_counted(first.client, &second, 1);
	EXPECT_IS(close(second.client), 0);
	expect_counted(first.client, &second, 2);
	EXPECT_IS(close(first.client), 0);
	EXPECT_COUNT(operations, 2);
	EXPECT_COUNTS_ADD_UP();
}

/* closed behind our back: the number comes back from socket(), accept(), pipe() or open(). */
static void raw_close_then_socket(void)
{
	struct server server = server_listening(AF_INET);
	struct pair first = pair_connect(&server), second;

	expect_counted(first.client, &first, 0);
	syscall(SYS_close, first.client);
	second = pair_connect(&server);
	EXPECT_IS(second.client, first.client);
	expect_counted(second.client, &second, 1);
	EXPECT_SLOT(second.client, state, SLOT_CONNECTED);
	EXPECT_COUNT(operations, 2);
	EXPECT_COUNT(succeeded, 2);
	EXPECT_COUNTS_ADD_UP();
}

static void raw_close_then_late(void)
{
	struct server server = server_listening(AF_INET), late = server_bind(AF_INET);
	struct pair first = pair_connect(&server);
	int fd;

	syscall(SYS_close, first.client);
	fd = (int)syscall(SYS_socket, AF_INET, SOCK_STREAM, 0);
	EXPECT_IS(fd, first.client);
	/* Neither was the socket() seen; the entry says that fd is connected. */
	server_listen_after(&late, 250);
	EXPECT_IS(server_connect(&late, fd), 0);
	EXPECT_IS(send(fd, "xyz", 3, 0), 3);
	EXPECT_COUNT(operations, 2);
	EXPECT_COUNT(recovered, 1);
	EXPECT_COUNTS_ADD_UP();
}

static void raw_close_then_accept(void)
{
	struct server server = server_listening(AF_INET);
	struct pair first = pair_connect(&server), second = { .client = stream_socket(&server) };
	int accepted;

	REQUIRE(server_connect(&server, second.client) == 0);
	syscall(SYS_close, first.client);
	accepted = accept(server.fd, NULL, NULL);
	EXPECT_IS(accepted, first.client);
	EXPECT_IS(send(accepted, "123", 3, 0), 3);
	EXPECT_COUNT(sent_bytes, 0);
}

static void many_numbers(void)
{
	struct server server = server_listening(AF_INET);
	struct pair pairs[200];

	for (int i = 0; i < 200; i++)
		pairs[i] = pair_connect(&server);
	for (int i = 0; i < 200; i++)
		EXPECT_IS(send(pairs[i].client, "0123456789", 10, 0), 10);
	EXPECT_COUNT(operations, 200);
	EXPECT_COUNT(sent_bytes, 2000);
	for (int i = 0; i < 200; i++)
		EXPECT_SLOT(pairs[i].client, sent_bytes, 10);
	EXPECT_IS(close_range(3, ~0u, 0), 0);
	EXPECT_SLOT(pairs[0].client, state, SLOT_DISCONNECTED);
	EXPECT_SLOT(pairs[199].client, state, SLOT_DISCONNECTED);
}

#define CASE(name, run) CASE_TOLD(name, run, NULL)

static const struct check_case cases[] = {
	CASE("dup: the copy is the same connection", dup_case),
	CASE("dup2: the copy is the same connection", dup2_case),
	CASE("dup3: the copy is the same connection", dup3_case),
	CASE("F_DUPFD: the copy is the same connection", fcntl_case),
	CASE("F_DUPFD_CLOEXEC: the copy is the same connection", fcntl_cloexec_case),
	CASE("fcntl64 F_DUPFD: the copy is the same connection", fcntl64_case),
	CASE("F_DUPFD far up: the copy is the same connection", far_case),
	CASE("dup2 and dup3 onto itself", dup2_onto_itself),
	CASE("a copy made before connect() ends nothing", copied_before),
	CASE("close ends the connection", close_case),
	CASE("close_range of one ends the connection", close_range_case),
	CASE("close_range(3, ~0) ends the connection", close_range_all_case),
	CASE("closefrom ends the connection", closefrom_case),
	CASE("fclose(fdopen()) ends the connection", fclose_case),
	CASE("dup2 over a live socket ends its connection", dup2_over_case),
	CASE("dup3 over a live socket ends its connection", dup3_over_case),
	CASE("close_range with CLOSE_RANGE_CLOEXEC ends nothing", close_range_cloexec),
	CASE("close_range of other numbers, or in vain, ends nothing", close_range_of_others),
	CASE("dup2 of one live socket over another", live_over_live),
	CASE("closed by a raw call, then socket() and connect()", raw_close_then_socket),
	{ "closed and made by raw calls, then a late server", raw_close_then_late, POLICY_PATIENT,
	  NULL, 0 },
	CASE("closed by a raw call, then accept()", raw_close_then_accept),
	CASE("two hundred connections at once, each its own bytes", many_numbers),
};

CHECK_MAIN(cases)
