/* SPDX-License-Identifier: MIT */
/*
 * A connect that does not block and fails at once, since there is no route: it is
 * held like one that fails later. Runs in a network namespace of its own, with lo up.
 */
#include "kinds.h"

#define ADDRESS "10.77.0.1"
#define LATER_MS 500

/* poll, select and epoll_wait among the kinds. */
static const unsigned int typical[] = { 0, 4, 6 };
#define TYPICAL 3

/* Everywhere on this host, and there is no way to get to ADDRESS yet. */
static struct server server_without_route(void)
{
	struct server server = { .fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0),
				 .length = sizeof(struct sockaddr_in) };

	server.address.v4.sin_family = AF_INET;
	REQUIRE(bind(server.fd, &server.address.any, server.length) == 0);
	REQUIRE(listen(server.fd, 64) == 0);
	REQUIRE(getsockname(server.fd, &server.address.any, &server.length) == 0);
	REQUIRE(inet_pton(AF_INET, ADDRESS, &server.address.v4.sin_addr) == 1);
	return server;
}

static void ip(const char *arguments)
{
	char line[128];

	snprintf(line, sizeof(line), "LD_PRELOAD= ip %s >/dev/null 2>&1", arguments);
	REQUIRE(system(line) == 0);
}

static void route_later(void *argument)
{
	sleep_ms(LATER_MS);
	ip("address add " ADDRESS "/32 dev lo");
}

static void held(const struct kind *kind, uint32_t trigger)
{
	struct server server = server_without_route();
	int before = check_failures;
	struct subject s;
	pid_t helper;

	helper = helper_start(route_later, NULL);
	s = subject_begin(&server, trigger);
	EXPECT_IS(kind->wait(&s, ms_ns(120), NULL), 0);
	EXPECT_IS(socket_error(s.fd), 0);
	EXPECT_IS(server_connect(&server, s.fd), -1);
	EXPECT_ERRNO(EALREADY);
	EXPECT_IS(kind->wait(&s, ms_ns(LIMIT_MS), NULL), POLLOUT);
	expect_works(s.fd);
	EXPECT_IS(child_wait(helper), 0);
	ip("address delete " ADDRESS "/32 dev lo");
	close(s.fd);
	kind_blame(kind, before);
}

static void held_in_all(void)
{
	for (unsigned int i = 0; i < TYPICAL; i++)
		held(&kinds[typical[i]], 0);
	held(&kinds[6], EPOLLET);
	held(&kinds[6], EPOLLONESHOT);
	EXPECT_COUNT(operations, TYPICAL + 2);
	EXPECT_COUNT(recovered, TYPICAL + 2);
	EXPECT_COUNTS_ADD_UP();
}

static void failed(const struct kind *kind, uint32_t trigger)
{
	struct server server = server_without_route();
	struct subject s = subject_begin(&server, trigger);
	bool selects = kind->wait == kind_select || kind->wait == kind_pselect;
	int before = check_failures;
	char byte;

	EXPECT_IS(kind->wait(&s, ms_ns(120), NULL), 0);
	EXPECT_IS(socket_error(s.fd), 0);
	EXPECT_IS(kind->wait(&s, ms_ns(LIMIT_MS), NULL),
		  selects ? POLLOUT : POLLOUT | POLLERR | POLLHUP);
	EXPECT_IS(socket_error(s.fd), ENETUNREACH);
	EXPECT_IS(socket_error(s.fd), 0);
	EXPECT_IS(poll_out(s.fd, 0), POLLOUT | POLLHUP);
	EXPECT_IS(recv(s.fd, &byte, 1, 0), -1);
	close(s.fd);
	kind_blame(kind, before);
}

static void failed_in_all(void)
{
	for (unsigned int i = 0; i < TYPICAL; i++)
		failed(&kinds[typical[i]], 0);
	failed(&kinds[6], EPOLLET);
	failed(&kinds[6], EPOLLONESHOT);
	EXPECT_COUNT(failures, TYPICAL + 2);
	EXPECT_COUNTS_ADD_UP();
}

/* ---- told otherwise than by SO_ERROR ------------------------------------------------------- */

static int failing_socket(void)
{
	struct server server = server_without_route();
	int fd = pending_socket(&server);

	EXPECT_IS(poll_out(fd, LIMIT_MS), POLLOUT | POLLERR | POLLHUP);
	return fd;
}

static void told_by_all(void)
{
	struct server server = server_without_route();
	char byte;
	int fd;

	fd = failing_socket();
	EXPECT_IS(server_connect(&server, fd), -1);
	EXPECT_ERRNO(ENETUNREACH);
	EXPECT_IS(socket_error(fd), 0);
	fd = failing_socket();
	EXPECT_IS(read(fd, &byte, 1), -1);
	EXPECT_ERRNO(ENETUNREACH);
	EXPECT_IS(socket_error(fd), 0);
	fd = failing_socket();
	EXPECT_IS(send(fd, "x", 1, MSG_NOSIGNAL), -1);
	EXPECT_ERRNO(ENETUNREACH);
	EXPECT_IS(socket_error(fd), 0);
	EXPECT_COUNT(failures, 3);
}

/* ---- passed on ----------------------------------------------------------------------------- */

static void passed_on(void)
{
	struct server server = server_without_route();
	int fd = nonblocking_socket(&server);

	EXPECT_IS(server_connect(&server, fd), -1);
	EXPECT_ERRNO(ENETUNREACH);
	EXPECT_IS(poll_out(fd, 0), POLLOUT | POLLHUP);
	EXPECT_IS(socket_error(fd), 0);
	EXPECT_COUNT(failures, 1);
}

static void prohibited(void)
{
	struct server server = server_without_route();
	int fd = nonblocking_socket(&server);

	ip("route add prohibit " ADDRESS);
	EXPECT_IS(server_connect(&server, fd), -1);
	EXPECT_ERRNO(EACCES);
	EXPECT_IS(poll_out(fd, 0), POLLOUT | POLLHUP);
	EXPECT_IS(socket_error(fd), 0);
	ip("route delete prohibit " ADDRESS);
	EXPECT_COUNT(failures, 1);
}

#define POLICY_NONE                                                               \
	"{\"version\":1,\"defaults\":{\"strategies\":{\"network\":{\"decision\":" \
	"\"none\"}}}}"

static const struct check_case cases[] = {
	HELD("no route, and later there is one: held in every wait", held_in_all),
	{ "no route, ever: told in every wait", failed_in_all, POLICY_BRIEF, NULL, 0 },
	{ "no route, ever: told by connect, read and send", told_by_all, POLICY_BRIEF, NULL, 0 },
	SAME_UNDER(POLICY_NONE, "no route, and the policy says so: told at once", passed_on),
	SAME("prohibited: told at once", prohibited),
};

/* One after the other: they change the same routes. */
WAITS_MAIN(cases, 1)
