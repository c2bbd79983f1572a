/* SPDX-License-Identifier: MIT */
/*
 * A socket that was connected, moved bytes and connects again: what it was registered for
 * meanwhile, when that was none of our business, counts in the outage that follows.
 */
#include "waits.h"

static struct server last; /* where the first connection went */

/* How the first connection ends. */
static void end_by_dissolving(int fd, int peer)
{
	const struct sockaddr nowhere = { .sa_family = AF_UNSPEC };

	REQUIRE(connect(fd, &nowhere, sizeof(nowhere)) == 0);
	close(peer);
}

static void end_by_reset(int fd, int peer)
{
	const struct linger now = { .l_onoff = 1 };
	struct pollfd wait = { .fd = fd };
	char byte;

	REQUIRE(setsockopt(peer, SOL_SOCKET, SO_LINGER, &now, sizeof(now)) == 0);
	close(peer);
	EXPECT_IS(poll(&wait, 1, 2000), 1);
	EXPECT_IS(recv(fd, &byte, 1, 0), -1);
	EXPECT_ERRNO(ECONNRESET);
	/* The kernel tells the next connect() that the connection was lost. */
	EXPECT_IS(connect(fd, &last.address.any, last.length), -1);
	EXPECT_ERRNO(ECONNABORTED);
}

struct used {
	int fd;
	int first; /* the set that it was in when it connected */
	int second;
};

/* Connected, registered as at the first connect, and bytes have moved. */
static int used_begin(struct used *used, const struct server *server)
{
	char byte;
	int peer;

	last = *server;
	used->first = set_make();
	used->second = set_make();
	used->fd = pending_socket(server);
	REQUIRE(set_control(used->first, EPOLL_CTL_ADD, used->fd, EPOLLOUT, 1) == 0);
	EXPECT_IS(set_wait(used->first, LIMIT_MS), EPOLLOUT);
	peer = accept(server->fd, NULL, NULL);
	expect_works(used->fd);
	EXPECT_IS(recv(peer, &byte, 1, 0), 1);
	return peer;
}

/* One event of a set: all of it, or nothing. */
static void expect_event(int set, int limit_ms, uint32_t events, uint64_t data)
{
	struct epoll_event event = { 0 };
	int count = epoll_wait(set, &event, 1, limit_ms);

	EXPECT_IS(count, events ? 1 : 0);
	if (count == 1) {
		EXPECT_IS(event.events, events);
		EXPECT_IS(event.data.u64, data);
	}
}

typedef void end_function(int fd, int peer);

/* It went to another set, with other data. */
static void moved(end_function *end)
{
	struct server before = server_listening(AF_INET), late = server_late(LATE_MS);
	struct used used;
	int peer = used_begin(&used, &before);

	REQUIRE(set_control(used.first, EPOLL_CTL_DEL, used.fd, 0, 0) == 0);
	REQUIRE(set_control(used.second, EPOLL_CTL_ADD, used.fd, EPOLLOUT | EPOLLET, 77) == 0);
	end(used.fd, peer);
	set_wait(used.second, 0);
	connect_begin(&late, used.fd);
	expect_event(used.second, 150, 0, 0);
	expect_event(used.first, 0, 0, 0);
	expect_pending(&late, used.fd, 100);
	expect_event(used.second, LIMIT_MS, EPOLLOUT, 77);
	expect_event(used.first, 100, 0, 0);
	expect_works(used.fd);
	EXPECT_COUNT(recovered, 1);
	EXPECT_COUNTS_ADD_UP();
}

/* It stayed where it was, for something else. */
static void modified(end_function *end)
{
	struct server before = server_listening(AF_INET), late = server_late(LATE_MS);
	struct used used;
	int peer = used_begin(&used, &before);

	REQUIRE(set_control(used.first, EPOLL_CTL_MOD, used.fd, EPOLLIN, 2) == 0);
	end(used.fd, peer);
	connect_begin(&late, used.fd);
	expect_event(used.first, 150, 0, 0);
	/* The greeting, and not that it is connected. */
	expect_event(used.first, LIMIT_MS, EPOLLIN, 2);
	expect_works(used.fd);
	EXPECT_IS(set_control(used.first, EPOLL_CTL_ADD, used.fd, EPOLLOUT, 3), -1);
	EXPECT_ERRNO(EEXIST);
	EXPECT_COUNT(recovered, 1);
	EXPECT_COUNTS_ADD_UP();
}

/* It was taken out, and nobody puts it back. */
static void removed(end_function *end)
{
	struct server before = server_listening(AF_INET), late = server_late(LATE_MS);
	struct used used;
	int peer = used_begin(&used, &before);

	REQUIRE(set_control(used.first, EPOLL_CTL_DEL, used.fd, 0, 0) == 0);
	end(used.fd, peer);
	connect_begin(&late, used.fd);
	expect_event(used.first, 150, 0, 0);
	expect_connects(used.fd);
	expect_event(used.first, 100, 0, 0);
	EXPECT_IS(set_control(used.first, EPOLL_CTL_MOD, used.fd, EPOLLOUT, 3), -1);
	EXPECT_ERRNO(ENOENT);
	EXPECT_COUNT(recovered, 1);
	EXPECT_COUNTS_ADD_UP();
}

/* The duplicate is the registered one. */
static void duplicate_moved(end_function *end)
{
	struct server before = server_listening(AF_INET), late = server_late(LATE_MS);
	struct used used;
	int peer = used_begin(&used, &before), copy = dup(used.fd);

	REQUIRE(set_control(used.first, EPOLL_CTL_DEL, used.fd, 0, 0) == 0);
	REQUIRE(set_control(used.second, EPOLL_CTL_ADD, copy, EPOLLOUT | EPOLLET, 78) == 0);
	end(used.fd, peer);
	set_wait(used.second, 0);
	connect_begin(&late, used.fd);
	expect_event(used.second, 150, 0, 0);
	expect_event(used.second, LIMIT_MS, EPOLLOUT, 78);
	expect_works(copy);
}

/* Told once and never armed again: nobody arms it. */
static void disarmed(end_function *end)
{
	struct server before = server_listening(AF_INET), late = server_late(LATE_MS);
	struct used used;
	int peer = used_begin(&used, &before);

	REQUIRE(set_control(used.first, EPOLL_CTL_MOD, used.fd, EPOLLOUT | EPOLLONESHOT, 5) == 0);
	expect_event(used.first, 100, EPOLLOUT, 5);
	end(used.fd, peer);
	connect_begin(&late, used.fd);
	expect_event(used.first, 100, 0, 0);
	expect_connects(used.fd);
	expect_event(used.first, 100, 0, 0);
	REQUIRE(set_control(used.first, EPOLL_CTL_MOD, used.fd, EPOLLOUT | EPOLLONESHOT, 6) == 0);
	expect_event(used.first, 100, EPOLLOUT, 6);
	EXPECT_COUNT(recovered, 1);
}

/* The same, and armed while it is held. */
static void armed_later(end_function *end)
{
	struct server before = server_listening(AF_INET), late = server_late(LATE_MS);
	struct used used;
	int peer = used_begin(&used, &before);

	REQUIRE(set_control(used.first, EPOLL_CTL_MOD, used.fd, EPOLLOUT | EPOLLONESHOT, 5) == 0);
	expect_event(used.first, 100, EPOLLOUT, 5);
	end(used.fd, peer);
	connect_begin(&late, used.fd);
	expect_pending(&late, used.fd, 100);
	REQUIRE(set_control(used.first, EPOLL_CTL_MOD, used.fd, EPOLLOUT | EPOLLONESHOT, 6) == 0);
	expect_event(used.first, 100, 0, 0);
	expect_event(used.first, LIMIT_MS, EPOLLOUT, 6);
	expect_event(used.first, 100, 0, 0);
	expect_works(used.fd);
	EXPECT_COUNT(recovered, 1);
}

#define BY(end, name)                  \
	static void name##_##end(void) \
	{                              \
		name(end_by_##end);    \
	}
BY(dissolving, moved)
BY(dissolving, modified)
BY(dissolving, removed)
BY(dissolving, duplicate_moved)
BY(dissolving, disarmed)
BY(dissolving, armed_later)
BY(reset, moved)
BY(reset, modified)
BY(reset, removed)
BY(reset, duplicate_moved)
BY(reset, disarmed)
BY(reset, armed_later)

static const struct check_case cases[] = {
	SAME("dissolved, moved to another set", moved_dissolving),
	SAME("dissolved, modified", modified_dissolving),
	SAME("dissolved, taken out", removed_dissolving),
	SAME("dissolved, a duplicate is in another set", duplicate_moved_dissolving),
	SAME("dissolved, disarmed", disarmed_dissolving),
	SAME("dissolved, armed while it is held", armed_later_dissolving),
	SAME("reset, moved to another set", moved_reset),
	SAME("reset, modified", modified_reset),
	SAME("reset, taken out", removed_reset),
	SAME("reset, a duplicate is in another set", duplicate_moved_reset),
	SAME("reset, disarmed", disarmed_reset),
	SAME("reset, armed while it is held", armed_later_reset),
};

WAITS_MAIN(cases, 8)
