/* SPDX-License-Identifier: MIT */
/*
 * Servers and policies for the tests of the shim.  A server's port is bound, so
 * nobody else's, before anything connects to it; it answers once it listens.
 */
#ifndef TESTS_SHIM_NET_H
#define TESTS_SHIM_NET_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "check.h"

/* A whole policy: these keys of strategy `network`, delays that do not grow, no jitter. */
#define POLICY_NETWORK(keys) POLICY_CONNECT("\"deadline\":\"30s\"", keys)
/* The same with keys of section `connect`. */
#define POLICY_CONNECT(connect, keys)                                                           \
	"{\"version\":1,\"defaults\":{\"connect\":{" connect "},\"strategies\":{\"network\":{"  \
	"\"decision\":\"backoff\",\"backoff_factor\":1,\"jitter\":0,\"max_delay\":\"1h\"," keys \
	"}}}}"
/* 50 retries, 100 ms between them: patient enough for every late server here. */
#define POLICY_PATIENT POLICY_NETWORK("\"max_retries\":50,\"base_delay\":\"100ms\"")
/* The same where a rule takes AF_UNIX paths in. */
#define POLICY_UNIX                                                                            \
	"{\"version\":1,\"rules\":[{\"name\":\"local\",\"match\":{\"paths\":[\"/*\",\"@*\"]}," \
	"\"strategies\":{\"temporary\":{\"decision\":\"backoff\",\"backoff_factor\":1,"        \
	"\"jitter\":0,\"max_retries\":50,\"base_delay\":\"100ms\",\"max_delay\":\"1h\"}}}]}"

union address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
	struct sockaddr_un local;
};

struct server {
	int fd;
	socklen_t length;
	union address address;
};

static inline uint16_t server_port(const struct server *server)
{
	return ntohs(server->address.any.sa_family == AF_INET6 ? server->address.v6.sin6_port
							       : server->address.v4.sin_port);
}

/* Bound to a free loopback port; refuses until it listens. */
static inline struct server server_bind(int family)
{
	struct server server = { .length = sizeof(struct sockaddr_in) };

	server.address.any.sa_family = (sa_family_t)family;
	if (family == AF_INET) {
		server.address.v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	} else {
		server.length = sizeof(struct sockaddr_in6);
		server.address.v6.sin6_addr = in6addr_loopback;
	}
	server.fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (server.fd < 0 || bind(server.fd, &server.address.any, server.length) < 0) {
		if (family == AF_INET6)
			check_skip("there is no ::1 here");
		REQUIRE(!"a loopback port can be bound");
	}
	REQUIRE(getsockname(server.fd, &server.address.any, &server.length) == 0);
	return server;
}

static inline struct server server_listening(int family)
{
	struct server server = server_bind(family);

	REQUIRE(listen(server.fd, 1024) == 0);
	return server;
}

struct later {
	struct server *server;
	int64_t ms;
};

static inline void listen_later(void *argument)
{
	const struct later *later = argument;

	sleep_ms(later->ms);
	listen(later->server->fd, 1024);
}

/* The server listens in ms from now, whatever this process does meanwhile. */
static inline void server_listen_after(struct server *server, int64_t ms)
{
	struct later later = { server, ms };

	helper_start(listen_later, &later);
}

/*
 * Listening, with its queue full: the kernel drops every further SYN and the
 * client's attempt hangs. Raw connects, which no preload sees.
 */
static inline struct server server_full(void)
{
	struct server server = server_bind(AF_INET);

	REQUIRE(listen(server.fd, 0) == 0);
	for (int i = 0; i < 4; i++) {
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

		syscall(SYS_connect, fd, &server.address, server.length);
	}
	sleep_ms(20);
	return server;
}

static inline void drain_later(void *argument)
{
	const struct later *later = argument;

	sleep_ms(later->ms);
	/* Whoever retransmits a SYN from now on is answered. */
	listen(later->server->fd, 1024);
	for (;;)
		accept(later->server->fd, NULL, NULL);
}

static inline pid_t server_drain_after(struct server *server, int64_t ms)
{
	struct later later = { server, ms };

	return helper_start(drain_later, &later);
}

static inline int stream_socket(const struct server *server)
{
	int fd = socket(server->address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	REQUIRE(fd >= 0);
	return fd;
}

static inline int server_connect(const struct server *server, int fd)
{
	return connect(fd, &server->address.any, server->length);
}

/* Both ends of a connection to a server that listens. */
struct pair {
	int client;
	int peer;
};

static inline struct pair pair_connect(const struct server *server)
{
	struct pair pair = { .client = stream_socket(server) };

	REQUIRE(server_connect(server, pair.client) == 0);
	pair.peer = accept4(server->fd, NULL, NULL, SOCK_CLOEXEC);
	REQUIRE(pair.peer >= 0);
	return pair;
}

/* How many bytes there are to read, after all of them had time to arrive. */
static inline int64_t bytes_waiting(int fd, int64_t expected)
{
	char buffer[65536];
	ssize_t n = 0;

	for (int64_t end = now_ms() + 5000; now_ms() < end && n < expected; sleep_ms(1))
		n = recv(fd, buffer, sizeof(buffer), MSG_PEEK | MSG_DONTWAIT);
	return n;
}

static inline int send_timeout_ms(int fd)
{
	struct timeval timeout = { 0 };
	socklen_t length = sizeof(timeout);

	REQUIRE(getsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, &length) == 0);
	return (int)(timeout.tv_sec * 1000 + timeout.tv_usec / 1000);
}

static inline void send_timeout_ask(int fd, int ms)
{
	struct timeval timeout = { ms / 1000, ms % 1000 * 1000 };

	REQUIRE(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)) == 0);
}

/* SYNs are sent this many times more; with 1 the kernel itself gives up after 3 s. */
static inline void syn_retries(int fd, int count)
{
	REQUIRE(setsockopt(fd, IPPROTO_TCP, TCP_SYNCNT, &count, sizeof(count)) == 0);
}

static inline int socket_error(int fd)
{
	int error = -1;
	socklen_t length = sizeof(error);

	REQUIRE(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) == 0);
	return error;
}

#endif
