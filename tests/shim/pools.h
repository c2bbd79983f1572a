/* SPDX-License-Identifier: MIT */
/*
 * What the tests of pools share: a policy whose pool consists of servers of the case's own,
 * and a destination that is none of them, which only the rule leads anywhere.
 */
#ifndef TESTS_SHIM_POOLS_H
#define TESTS_SHIM_POOLS_H

#include "tests/waits/waits.h"

#define POOL_PATIENT "\"max_retries\":50,\"base_delay\":\"100ms\""
/* Three rounds in 400 ms. */
#define POOL_BRIEF "\"max_retries\":2,\"base_delay\":\"200ms\""
#define POOL_ONCE "\"max_retries\":0,\"base_delay\":\"10s\""

#define POOL_SERVERS 8

struct pool {
	const char *balance;
	const char *connect; /* further keys, "" */
	const char *network;
	unsigned int count;
	struct server servers[POOL_SERVERS];
};

static struct server destination;

static inline void pool_endpoint_print(FILE *file, const struct server *server)
{
	char text[INET6_ADDRSTRLEN];
	bool is_v6 = server->address.any.sa_family == AF_INET6;

	inet_ntop(server->address.any.sa_family,
		  is_v6 ? (const void *)&server->address.v6.sin6_addr
			: (const void *)&server->address.v4.sin_addr,
		  text, sizeof(text));
	fprintf(file, is_v6 ? "\"[%s]:%u\"" : "\"%s:%u\"", text, server_port(server));
}

/* Before the first connect, which is when the policy is read. */
static inline void pool_write(const struct pool *pool)
{
	FILE *file = fopen(getenv("HOLDFAST_POLICY"), "w");

	REQUIRE(file);
	if (!destination.fd)
		destination = server_bind(AF_INET);
	fprintf(file,
		"{\"version\":1,\"defaults\":{\"connect\":{\"deadline\":\"30s\"%s},\"strategies\":{"
		"\"network\":{\"decision\":\"backoff\",\"backoff_factor\":1,\"jitter\":0,"
		"\"max_delay\":\"1h\",%s}}},\"pools\":{\"p\":{\"balance\":\"%s\",\"endpoints\":[",
		pool->connect ? pool->connect : "", pool->network ? pool->network : POOL_PATIENT,
		pool->balance ? pool->balance : "first");
	for (unsigned int i = 0; i < pool->count; i++) {
		fputs(i ? "," : "", file);
		pool_endpoint_print(file, &pool->servers[i]);
	}
	fprintf(file,
		"]}},\"rules\":[{\"name\":\"pooled\",\"match\":{\"ports\":[%u]},\"pool\":\"p\"}]}",
		server_port(&destination));
	REQUIRE(fclose(file) == 0);
}

/* To where the program believes that it goes. */
static inline int destination_connect(int fd)
{
	return server_connect(&destination, fd);
}

/* Where it went: the number of the server, -1 if it is none of them. */
static inline int pool_reached(const struct pool *pool, int fd)
{
	union address peer = { 0 };
	socklen_t length = sizeof(peer);
	uint16_t port;

	if (getpeername(fd, &peer.any, &length) < 0)
		return -1;
	port = ntohs(peer.any.sa_family == AF_INET6 ? peer.v6.sin6_port : peer.v4.sin_port);
	for (unsigned int i = 0; i < pool->count; i++)
		if (server_port(&pool->servers[i]) == port)
			return (int)i;
	return -1;
}

/* A blocking connect from a new socket, which stays open. */
static inline int pool_visit(const struct pool *pool)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	REQUIRE(fd >= 0);
	if (destination_connect(fd) < 0)
		return -1;
	return pool_reached(pool, fd);
}

static inline void server_stop(const struct server *server)
{
	REQUIRE(shutdown(server->fd, SHUT_RDWR) == 0);
}

static inline void server_begin(const struct server *server)
{
	REQUIRE(listen(server->fd, 1024) == 0);
}

static inline const struct endpoint_record *pool_record(const struct server *server)
{
	return peek_record(peek_process(getpid()), ENDPOINT_TCP,
			   server->address.any.sa_family == AF_INET ? "127.0.0.1" : "::1",
			   server_port(server));
}

/* The word of the slot leads to a server's record. */
static inline void expect_in_use(int fd, const struct server *server)
{
	const struct connection_slot *slot = peek_slot(fd);
	const struct process_file *file = peek_process(getpid());

	if (!EXPECT(slot && file) || !EXPECT(slot->in_use > 0))
		return;
	EXPECT(file->endpoints[slot->in_use - 1].endpoint.port == server_port(server));
}

/* As check_main(), but each case has its policy in a file of its own. */
static inline int pools_main(int argc, char **argv, const struct check_case *cases,
			     unsigned int count, unsigned int at_a_time)
{
	char path[512];

	if (argc > 1 && !getenv("POOLS_POLICY")) {
		snprintf(path, sizeof(path), "%s/policy.json", getenv("CHECK_DIR"));
		setenv("HOLDFAST_POLICY", path, 1);
		setenv("POOLS_POLICY", "1", 1);
		execv(argv[0], argv);
		return 1;
	}
	return waits_main(argc, argv, cases, count, at_a_time);
}

#define POOLS_MAIN(cases, at_a_time)                                                     \
	int main(int argc, char **argv)                                                  \
	{                                                                                \
		return pools_main(argc, argv, cases, sizeof(cases) / sizeof((cases)[0]), \
				  at_a_time);                                            \
	}

#define POOLED(name, run)                \
	{                                \
		name, run, NULL, NULL, 0 \
	}

#endif
