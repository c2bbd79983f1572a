/* SPDX-License-Identifier: MIT */
/* heartbeat: TCP's own keepalive and user timeout as the policy says. */
#include <netinet/tcp.h>
#include <poll.h>

#include "script.h"

static int option(int fd, int level, int name)
{
	int value = -1;
	socklen_t length = sizeof(value);

	REQUIRE(getsockopt(fd, level, name, &value, &length) == 0);
	return value;
}

static void option_set(int fd, int level, int name, int value)
{
	REQUIRE(setsockopt(fd, level, name, &value, sizeof(value)) == 0);
}

static void expect_heartbeat(int fd)
{
	EXPECT_IS(option(fd, SOL_SOCKET, SO_KEEPALIVE), 1);
	EXPECT_IS(option(fd, IPPROTO_TCP, TCP_KEEPIDLE), 7);
	EXPECT_IS(option(fd, IPPROTO_TCP, TCP_KEEPINTVL), 3);
	EXPECT_IS(option(fd, IPPROTO_TCP, TCP_KEEPCNT), 2);
}

static void set_by_connect(void)
{
	int fd = script_connect(server_script("e"));

	expect_heartbeat(fd);
	EXPECT_IS(option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT), 11000);
	expect_echo(fd, "hello");
}

/* Not said: as long as the heartbeat takes to notice. */
static void user_timeout_by_itself(void)
{
	int fd = script_connect(server_script("e"));

	expect_heartbeat(fd);
	EXPECT_IS(option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT), (7 + 3 * 2) * 1000);
}

static void user_timeout_alone(void)
{
	int fd = script_connect(server_script("e"));

	EXPECT_IS(option(fd, SOL_SOCKET, SO_KEEPALIVE), 0);
	EXPECT_IS(option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT), 11000);
}

static void set_by_poll(void)
{
	int fd = loop_connect(server_script("e"));

	EXPECT_IS(socket_error(fd), 0);
	expect_heartbeat(fd);
	EXPECT_IS(option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT), 11000);
}

static void set_after_retries(void)
{
	struct server server = server_bind(AF_INET);
	int fd = stream_socket(&server);

	server_listen_after(&server, 200);
	EXPECT_IS(server_connect(&server, fd), 0);
	EXPECT_COUNT(recovered, 1);
	expect_heartbeat(fd);
}

static void kept_when_made_anew(void)
{
	struct script *script = server_script("R e");
	int fd = script_connect(script);

	until_lost(fd);
	expect_echo(fd, "hello");
	EXPECT_COUNT(reconnects, 1);
	expect_heartbeat(fd);
	EXPECT_IS(option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT), 11000);
}

static void own_keepalive(void)
{
	struct script *script = server_script("e");
	int fd = stream_socket(&script->server);

	option_set(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
	option_set(fd, IPPROTO_TCP, TCP_KEEPIDLE, 77);
	REQUIRE(server_connect(&script->server, fd) == 0);
	EXPECT_IS(option(fd, SOL_SOCKET, SO_KEEPALIVE), 1);
	EXPECT_IS(option(fd, IPPROTO_TCP, TCP_KEEPIDLE), 77);
	EXPECT(option(fd, IPPROTO_TCP, TCP_KEEPINTVL) != 3);
}

static void own_user_timeout(void)
{
	struct script *script = server_script("e");
	int fd = stream_socket(&script->server);

	option_set(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, 77000);
	REQUIRE(server_connect(&script->server, fd) == 0);
	EXPECT_IS(option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT), 77000);
}

/* As without holdfast. */
static void nothing_is_set(void)
{
	struct script *script = server_script("e");
	int fd = script_connect(script), plain = stream_socket(&script->server);
	static const int names[] = { TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_KEEPCNT, TCP_USER_TIMEOUT };

	EXPECT_IS(option(fd, SOL_SOCKET, SO_KEEPALIVE), 0);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		EXPECT_IS(option(fd, IPPROTO_TCP, names[i]), option(plain, IPPROTO_TCP, names[i]));
}

#define BEATS "\"idle\":\"7s\",\"interval\":\"3s\",\"count\":2"
#define POLICY_BEATS(keys) POLICY_TENDED("\"heartbeat\":{" keys "}", "\"max_retries\":50")
#define POLICY_ALL POLICY_BEATS(BEATS ",\"user_timeout\":\"11s\"")

static const struct check_case cases[] = {
	CASE_UNDER("keepalive and user timeout, connect", set_by_connect, POLICY_ALL),
	CASE_UNDER("keepalive, user timeout by itself", user_timeout_by_itself,
		   POLICY_BEATS(BEATS)),
	CASE_UNDER("user timeout without keepalive", user_timeout_alone,
		   POLICY_BEATS("\"user_timeout\":\"11s\"")),
	CASE_UNDER("keepalive, non-blocking", set_by_poll, POLICY_ALL),
	CASE_UNDER("keepalive, after retries", set_after_retries, POLICY_ALL),
	CASE_UNDER("keepalive, made anew", kept_when_made_anew, POLICY_ALL),
	CASE_UNDER("the program's own keepalive", own_keepalive, POLICY_ALL),
	CASE_UNDER("the program's own user timeout", own_user_timeout, POLICY_ALL),
	{ "standard sets nothing", nothing_is_set, NULL, NULL, CHECK_ALSO_PLAIN },
};

CHECK_MAIN(cases)
