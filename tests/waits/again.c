/* SPDX-License-Identifier: MIT */
/*
 * A socket that was connected, moved bytes and connects again: what it was registered for
 * meanwhile, when that was none of our business, counts in the outage that follows.
 */
#include <sys/resource.h>

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

/* Connected, and registered as at the first connect; the peer is returned. */
static int used_connect(struct used *used, const struct server *server)
{
	last = *server;
	used->first = set_make();
	used->second = set_make();
	used->fd = pending_socket(server);
	REQUIRE(set_control(used->first, EPOLL_CTL_ADD, used->fd, EPOLLOUT, 1) == 0);
	EXPECT_IS(set_wait(used->first, LIMIT_MS), EPOLLOUT);
	return accept4(server->fd, NULL, NULL, SOCK_CLOEXEC);
}

static void used_move(const struct used *used, int peer)
{
	char byte;

	expect_works(used->fd);
	EXPECT_IS(recv(peer, &byte, 1, 0), 1);
}

static int used_begin(struct used *used, const struct server *server)
{
	int peer = used_connect(used, server);

	used_move(used, peer);
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

/* With no number left for the list of what it is registered for it is left alone. */
static void unlearnable(void)
{
	struct server before = server_listening(AF_INET), dead = server_bind(AF_INET);
	struct rlimit limit;
	struct used used;
	int peer = used_begin(&used, &before);

	REQUIRE(set_control(used.first, EPOLL_CTL_MOD, used.fd, EPOLLIN | EPOLLOUT, 7) == 0);
	end_by_dissolving(used.fd, peer);
	REQUIRE(getrlimit(RLIMIT_NOFILE, &limit) == 0);
	REQUIRE(setrlimit(RLIMIT_NOFILE, &(struct rlimit){ 3, limit.rlim_max }) == 0);
	EXPECT_IS(server_connect(&dead, used.fd), -1);
	EXPECT_ERRNO(EINPROGRESS);
	REQUIRE(setrlimit(RLIMIT_NOFILE, &limit) == 0);
	EXPECT(set_wait(used.first, 1000) & EPOLLERR);
	EXPECT_IS(socket_error(used.fd), ECONNREFUSED);
	EXPECT_COUNT(operations, 1);
}

/* Connected again, it is held, and told by the set that it is in when the server is there. */
static void expect_held(const struct server *late, int fd, int set, uint64_t data)
{
	while (set_wait(set, 0) > 0)
		;
	connect_begin(late, fd);
	expect_event(set, 150, 0, 0);
	expect_event(set, LIMIT_MS, EPOLLOUT, data);
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

/* It was in two sets before bytes moved, left the first and was modified in the other. */
static void left_one_of_two(end_function *end)
{
	struct server before = server_listening(AF_INET), late = server_late(LATE_MS);
	struct used used;
	int peer = used_connect(&used, &before);

	REQUIRE(set_control(used.second, EPOLL_CTL_ADD, used.fd, EPOLLIN, 5) == 0);
	REQUIRE(set_control(used.first, EPOLL_CTL_DEL, used.fd, 0, 0) == 0);
	used_move(&used, peer);
	REQUIRE(set_control(used.second, EPOLL_CTL_MOD, used.fd, EPOLLOUT | EPOLLET, 79) == 0);
	end(used.fd, peer);
	expect_held(&late, used.fd, used.second, 79);
	expect_works(used.fd);
}

/* The set has another number by now. */
static void set_renumbered(end_function *end)
{
	struct server before = server_listening(AF_INET), late = server_late(LATE_MS);
	struct used used;
	int peer = used_begin(&used, &before), copy;

	REQUIRE(set_control(used.second, EPOLL_CTL_ADD, used.fd, EPOLLOUT | EPOLLET, 80) == 0);
	REQUIRE(set_control(used.first, EPOLL_CTL_DEL, used.fd, 0, 0) == 0);
	copy = dup(used.second);
	REQUIRE(close(used.second) == 0);
	end(used.fd, peer);
	expect_held(&late, used.fd, copy, 80);
	expect_works(used.fd);
}

/*
 * A child has the socket open that had its number before, and the kernel goes on listing
 * that one in the set, by that number.
 */
static void number_of_two(end_function *end)
{
	struct server before = server_listening(AF_INET), late = server_late(LATE_MS);
	struct used old, used;
	int peer, old_peer = used_begin(&old, &before);
	pid_t pid;

	REQUIRE(set_control(old.first, EPOLL_CTL_MOD, old.fd, EPOLLIN, 11) == 0);
	pid = fork();
	if (pid == 0) {
		pause();
		check_exit(0);
	}
	peer = used_begin(&used, &before);
	REQUIRE(close(old.fd) == 0);
	REQUIRE(dup2(used.fd, old.fd) == old.fd && close(used.fd) == 0);
	used.fd = old.fd;
	REQUIRE(set_control(old.first, EPOLL_CTL_ADD, used.fd, EPOLLOUT | EPOLLET, 81) == 0);
	end(used.fd, peer);
	expect_held(&late, used.fd, old.first, 81);
	expect_works(used.fd);
	close(old_peer);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
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
	expect_held(&late, used.fd, used.second, 78);
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
BY(dissolving, left_one_of_two)
BY(dissolving, set_renumbered)
BY(dissolving, number_of_two)
BY(dissolving, disarmed)
BY(dissolving, armed_later)
BY(reset, moved)
BY(reset, modified)
BY(reset, removed)
BY(reset, duplicate_moved)
BY(reset, left_one_of_two)
BY(reset, set_renumbered)
BY(reset, disarmed)
BY(reset, armed_later)

static const struct check_case cases[] = {
	SAME("dissolved, moved to another set", moved_dissolving),
	SAME("dissolved, modified", modified_dissolving),
	SAME("dissolved, taken out", removed_dissolving),
	SAME("dissolved, a duplicate is in another set", duplicate_moved_dissolving),
	SAME("dissolved, left one of two sets", left_one_of_two_dissolving),
	SAME("dissolved, the set has another number", set_renumbered_dissolving),
	SAME("dissolved, a child has the socket that had its number", number_of_two_dissolving),
	SAME("dissolved, and what it is registered for cannot be read", unlearnable),
	SAME("dissolved, disarmed", disarmed_dissolving),
	SAME("dissolved, armed while it is held", armed_later_dissolving),
	SAME("reset, moved to another set", moved_reset),
	SAME("reset, modified", modified_reset),
	SAME("reset, taken out", removed_reset),
	SAME("reset, a duplicate is in another set", duplicate_moved_reset),
	SAME("reset, left one of two sets", left_one_of_two_reset),
	SAME("reset, the set has another number", set_renumbered_reset),
	SAME("reset, disarmed", disarmed_reset),
	SAME("reset, armed while it is held", armed_later_reset),
};

WAITS_MAIN(cases, 8)
