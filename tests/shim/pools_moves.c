/* SPDX-License-Identifier: MIT */
/* Connects to a pool whose endpoints the socket does not fit, or cannot be moved to. */
#include "pools.h"

#include <sys/resource.h>

enum { V4 = AF_INET, V6 = AF_INET6, UP = 1u << 8, DOWN = 0 };

/* Each of a family, and up or not. */
static struct pool pool_made(const char *network, unsigned int count, const int *kinds)
{
	struct pool pool = { .network = network, .count = count };

	for (unsigned int i = 0; i < count; i++)
		pool.servers[i] = kinds[i] & UP ? server_listening(kinds[i] & ~(int)UP)
						: server_bind(kinds[i]);
	return pool;
}
#define POOL(network, ...)                                                     \
	pool_made(network, sizeof((const int[]){ __VA_ARGS__ }) / sizeof(int), \
		  (const int[]){ __VA_ARGS__ })

static int family_of(int fd)
{
	int family = 0;
	socklen_t length = sizeof(family);

	REQUIRE(getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &length) == 0);
	return family;
}

/* The program's own idea is IPv6. */
static void destination_v6(void)
{
	destination = server_bind(AF_INET6);
}

static int v6_socket(void)
{
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		check_skip("there is no IPv6 here");
	return fd;
}

static bool peer_is_mapped(int fd)
{
	struct sockaddr_in6 peer;
	socklen_t length = sizeof(peer);

	REQUIRE(getpeername(fd, (struct sockaddr *)&peer, &length) == 0);
	return peer.sin6_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&peer.sin6_addr);
}

/* ---- other families ------------------------------------------------------------------------ */

static void v4_to_v6(void)
{
	struct pool pool = POOL(NULL, V6 | UP);
	int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1, got = 0;
	socklen_t length = sizeof(got);

	pool_write(&pool);
	REQUIRE(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) == 0);
	REQUIRE(setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one)) == 0);
	REQUIRE(fcntl(fd, F_SETFD, FD_CLOEXEC) == 0);
	EXPECT_IS(destination_connect(fd), 0);
	EXPECT_IS(pool_reached(&pool, fd), 0);
	EXPECT_IS(family_of(fd), AF_INET6);
	getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &got, &length);
	EXPECT(got);
	getsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &got, &length);
	EXPECT(got);
	EXPECT_IS(fcntl(fd, F_GETFD), FD_CLOEXEC);
	EXPECT_COUNT(attempts, 1);
	EXPECT_COUNT(failovers, 0);
	EXPECT(pool_record(&pool.servers[0])->counters[COUNTER_succeeded] == 1);
	expect_works(fd);
}

static void v6_to_v4(void)
{
	struct pool pool = POOL(NULL, V4 | UP);
	int fd = v6_socket();

	destination_v6();
	pool_write(&pool);
	EXPECT_IS(destination_connect(fd), 0);
	EXPECT_IS(pool_reached(&pool, fd), 0);
	EXPECT(peer_is_mapped(fd));
	EXPECT(pool_record(&pool.servers[0]));
}

static void v6_only_to_v4(void)
{
	struct pool pool = POOL(NULL, V4 | UP);
	int fd = v6_socket(), one = 1;

	destination_v6();
	pool_write(&pool);
	REQUIRE(setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one)) == 0);
	EXPECT_IS(destination_connect(fd), 0);
	EXPECT_IS(pool_reached(&pool, fd), 0);
	EXPECT_IS(family_of(fd), AF_INET);
}

/* An IPv6 socket that has tried a mapped address never connects to IPv6 again. */
static void mapped_then_v6(void)
{
	struct pool pool = POOL(POOL_ONCE, V4, V6 | UP);
	int64_t began = now_ms();
	int fd = v6_socket();

	destination_v6();
	pool_write(&pool);
	EXPECT_IS(destination_connect(fd), 0);
	EXPECT_WITHIN(now_ms() - began, 0, 900);
	EXPECT_IS(pool_reached(&pool, fd), 1);
	EXPECT_IS(family_of(fd), AF_INET6);
	EXPECT_COUNT(attempts, 2);
	EXPECT_COUNT(failovers, 1);
	expect_in_use(fd, &pool.servers[1]);
}

/* Also where the mapped address was tried by a connect before. */
static void mapped_before(void)
{
	struct pool pool = POOL(POOL_ONCE, V6, V4);
	int fd = v6_socket();
	int64_t began;

	destination_v6();
	pool_write(&pool);
	EXPECT_IS(destination_connect(fd), -1);
	EXPECT_ERRNO(ECONNREFUSED);
	server_begin(&pool.servers[0]);
	began = now_ms();
	EXPECT_IS(destination_connect(fd), 0);
	EXPECT_WITHIN(now_ms() - began, 0, 900);
	EXPECT_IS(pool_reached(&pool, fd), 0);
}

/* An IPv4 program's socket comes back to IPv4, and is IPv4 when the failure is told. */
static void there_and_back(void)
{
	struct pool pool = POOL(POOL_ONCE, V4, V6, V4 | UP);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	pool_write(&pool);
	EXPECT_IS(destination_connect(fd), 0);
	EXPECT_IS(pool_reached(&pool, fd), 2);
	EXPECT_IS(family_of(fd), AF_INET);
	EXPECT_COUNT(attempts, 3);
	server_stop(&pool.servers[2]);
	fd = socket(AF_INET, SOCK_STREAM, 0);
	EXPECT_IS(destination_connect(fd), -1);
	EXPECT_ERRNO(ECONNREFUSED);
}

static void all_dead(void)
{
	struct pool pool = POOL(POOL_BRIEF, V4, V6);
	int64_t began = now_ms();
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	pool_write(&pool);
	EXPECT_IS(destination_connect(fd), -1);
	EXPECT_ERRNO(ECONNREFUSED);
	EXPECT_WITHIN(now_ms() - began, 400, 1500);
	EXPECT_IS(family_of(fd), AF_INET);
	EXPECT_COUNT(attempts, 6);
	EXPECT_COUNTS_ADD_UP();
	server_begin(&pool.servers[1]);
	EXPECT_IS(destination_connect(fd), 0);
	EXPECT_IS(pool_reached(&pool, fd), 1);
}

/* Where the program registered its socket before it connected it. */
static void watched(bool nonblocking)
{
	struct pool pool = POOL(NULL, V4, V6 | UP);
	int fd = socket(AF_INET, SOCK_STREAM | (nonblocking ? SOCK_NONBLOCK : 0), 0);
	int set = set_make();

	pool_write(&pool);
	set_add(set, fd, EPOLLOUT | EPOLLIN);
	if (destination_connect(fd) < 0)
		EXPECT_ERRNO(EINPROGRESS);
	EXPECT_IS(set_wait(set, LIMIT_MS), EPOLLOUT);
	EXPECT_IS(pool_reached(&pool, fd), 1);
	EXPECT_IS(send(accept(pool.servers[1].fd, NULL, NULL), "x", 1, 0), 1);
	EXPECT_IS(bytes_waiting(fd, 1), 1);
	EXPECT_IS(set_wait(set, LIMIT_MS), EPOLLOUT | EPOLLIN);
	EXPECT_IS(set_control(set, EPOLL_CTL_DEL, fd, 0, 0), 0);
}

static void watched_blocking(void)
{
	watched(false);
}

static void watched_nonblocking(void)
{
	watched(true);
}

/* ---- sockets that have to stay what they are ------------------------------------------------- */

static void duplicate_before(void)
{
	struct pool pool = POOL(POOL_ONCE, V6 | UP, V4 | UP);
	int fd = socket(AF_INET, SOCK_STREAM, 0), copy = dup(fd);

	pool_write(&pool);
	EXPECT_IS(destination_connect(fd), 0);
	EXPECT_IS(pool_reached(&pool, fd), 1);
	EXPECT_IS(pool_reached(&pool, copy), 1);
	EXPECT_COUNT(attempts, 1);
	EXPECT_COUNT(failovers, 0);
	EXPECT(pool_record(&pool.servers[1]));
	EXPECT(!pool_record(&pool.servers[0]));
}

/* One that is there no more keeps it from nothing. */
static void duplicate_gone(void)
{
	struct pool pool = POOL(POOL_ONCE, V6 | UP, V4 | UP);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	pool_write(&pool);
	close(dup(fd));
	EXPECT_IS(destination_connect(fd), 0);
	EXPECT_IS(pool_reached(&pool, fd), 0);
}

static void duplicate_meanwhile(void)
{
	struct pool pool = POOL("\"max_retries\":50,\"base_delay\":\"200ms\"", V4, V6);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), copy;

	pool_write(&pool);
	EXPECT_IS(destination_connect(fd), -1);
	EXPECT_ERRNO(EINPROGRESS);
	copy = dup(fd);
	server_begin(&pool.servers[1]);
	/* Whichever it is at by now, there it stays. */
	server_listen_after(&pool.servers[0], 500);
	EXPECT_IS(poll_out(copy, LIMIT_MS), POLLOUT);
	EXPECT_IS(pool_reached(&pool, fd), pool_reached(&pool, copy));
	EXPECT(pool_reached(&pool, fd) >= 0);
	expect_works(copy);
}

static void bind_own(int fd, struct sockaddr_in *own)
{
	own->sin_family = AF_INET;
	own->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	own->sin_port = htons((uint16_t)(10240 + getpid() % 20000));
	while (bind(fd, (struct sockaddr *)own, sizeof(*own)) < 0 && errno == EADDRINUSE)
		own->sin_port = htons((uint16_t)(ntohs(own->sin_port) + 1));
}

static void bound(void)
{
	struct pool pool = POOL(POOL_ONCE, V6 | UP, V4, V4 | UP);
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	struct sockaddr_in own = { 0 }, after = { 0 };
	socklen_t length = sizeof(after);

	pool_write(&pool);
	bind_own(fd, &own);
	EXPECT_IS(destination_connect(fd), 0);
	EXPECT_IS(pool_reached(&pool, fd), 2);
	REQUIRE(getsockname(fd, (struct sockaddr *)&after, &length) == 0);
	EXPECT_IS(ntohs(after.sin_port), ntohs(own.sin_port));
	EXPECT_COUNT(attempts, 2);
	EXPECT_COUNT(failovers, 1);
}

/* No endpoint is left: what the program asked for is what it gets. */
static void bound_to_nowhere(void)
{
	struct pool pool = POOL(POOL_ONCE, V6 | UP);
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	struct sockaddr_in own = { 0 };

	pool_write(&pool);
	bind_own(fd, &own);
	EXPECT_IS(destination_connect(fd), -1);
	EXPECT_ERRNO(ECONNREFUSED);
	EXPECT_COUNT(attempts, 1);
	EXPECT_COUNT(failures, 1);
	EXPECT(pool_record(&destination));
	EXPECT(!pool_record(&pool.servers[0]));
}

static void no_descriptor_left(void)
{
	struct pool pool = POOL(POOL_ONCE, V4, V6, V4 | UP);
	struct rlimit limit, none;
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	pool_write(&pool);
	EXPECT_IS(pool_visit(&pool), 2); /* whatever is opened once has been */
	REQUIRE(getrlimit(RLIMIT_NOFILE, &limit) == 0);
	none = limit;
	none.rlim_cur = (rlim_t)fd + 2; /* fd itself and what pool_visit() left */
	REQUIRE(setrlimit(RLIMIT_NOFILE, &none) == 0);
	EXPECT_IS(destination_connect(fd), 0);
	REQUIRE(setrlimit(RLIMIT_NOFILE, &limit) == 0);
	EXPECT_IS(pool_reached(&pool, fd), 2);
	EXPECT_COUNT(operations, 2);
	EXPECT_COUNT(attempts, 3 + 2);
}

static const struct check_case cases[] = {
	POOLED("an IPv4 socket to an IPv6 endpoint: options are kept", v4_to_v6),
	POOLED("an IPv6 socket to an IPv4 endpoint: mapped", v6_to_v4),
	POOLED("the same for IPv6 only: another socket", v6_only_to_v4),
	POOLED("mapped, then IPv6: another socket", mapped_then_v6),
	POOLED("the same, mapped in a connect before", mapped_before),
	POOLED("IPv4, IPv6 and back", there_and_back),
	POOLED("all dead: the failure is that of a socket of its own family", all_dead),
	POOLED("registered before it is connected, blocking", watched_blocking),
	POOLED("registered before it is connected", watched_nonblocking),
	POOLED("a duplicate from before: endpoints of the other family are passed over",
	       duplicate_before),
	POOLED("a duplicate that is closed again", duplicate_gone),
	POOLED("a duplicate made meanwhile", duplicate_meanwhile),
	POOLED("bound: endpoints of the other family are passed over", bound),
	POOLED("bound, and no endpoint is left: where the program said", bound_to_nowhere),
	POOLED("no descriptor is left for another socket", no_descriptor_left),
};

POOLS_MAIN(cases, 4)
