/* SPDX-License-Identifier: MIT */
/*
 * Blocking connects while routes come and go.  Runs in a network namespace of
 * its own (routes.sh), where it may change them: 10.99.0.0/16 has no meaning
 * until a case gives it one.
 */
#include "alarm.h"
#include "net.h"
#include "peek.h"

static void shell(const char *command)
{
	if (system(command) != 0) {
		check_say("failed: %s", command);
		check_exit(1);
	}
}

struct change {
	const char *command;
	int64_t ms;
};

static void change_later(void *argument)
{
	const struct change *change = argument;

	sleep_ms(change->ms);
	shell(change->command);
}

static void change_after(const char *command, int64_t ms)
{
	struct change change = { command, ms };

	helper_start(change_later, &change);
}

struct outcome {
	int result;
	int error;
	int64_t ms;
};

static struct outcome connect_address(const char *text, uint16_t port)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(port) };
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	struct outcome outcome;
	int64_t began = now_ms();

	inet_pton(AF_INET, text, &address.sin_addr);
	errno = 0;
	outcome.result = connect(fd, (struct sockaddr *)&address, sizeof(address));
	outcome.error = errno;
	outcome.ms = now_ms() - began;
	return outcome;
}

static void expect_at_once(int error)
{
	struct outcome outcome = connect_address("10.99.1.1", 80);

	EXPECT_IS(outcome.result, -1);
	EXPECT_ERROR(outcome.error, error);
	EXPECT_WITHIN(outcome.ms, 0, 90);
	EXPECT_COUNT(retries, 0);
	EXPECT_COUNT(failures, 1);
}

static void prohibited(void)
{
	shell("ip route replace prohibit 10.99.0.0/16");
	expect_at_once(EACCES);
}

static void blackhole(void)
{
	shell("ip route replace blackhole 10.99.0.0/16");
	expect_at_once(EINVAL);
}

/* What comes later than the first errno: the budget ends with the errno of the last attempt. */
static void expect_after_budget(int error)
{
	struct outcome outcome = connect_address("10.99.1.1", 80);

	EXPECT_IS(outcome.result, -1);
	EXPECT_ERROR(outcome.error, error);
	EXPECT_WITHIN(outcome.ms, 800, 2000);
	EXPECT_COUNT(retries, 8);
	EXPECT_COUNT(failures, 1);
}

static void unreachable_host(void)
{
	shell("ip route replace unreachable 10.99.0.0/16");
	expect_after_budget(EHOSTUNREACH);
}

static void no_route(void)
{
	shell("ip route flush root 10.99.0.0/16");
	expect_after_budget(ENETUNREACH);
}

static void last_errno(void)
{
	shell("ip route replace unreachable 10.99.0.0/16");
	change_after("ip route flush root 10.99.0.0/16", 400);
	expect_after_budget(ENETUNREACH);
}

/* The category of the last errno decides, not that of the first. */
static void becomes_permanent(void)
{
	struct outcome outcome;

	shell("ip route replace unreachable 10.99.0.0/16");
	change_after("ip route replace prohibit 10.99.0.0/16", 250);
	outcome = connect_address("10.99.1.1", 80);
	EXPECT_IS(outcome.result, -1);
	EXPECT_ERROR(outcome.error, EACCES);
	EXPECT_WITHIN(outcome.ms, 240, 790);
	EXPECT_COUNT(failures, 1);
	EXPECT_COUNT(retries_denied_limit, 0);
}

/*
 * A signal ends the hold, and the attempt that is made then fails at once: the
 * program must not be led to believe that it is connecting, or connected.
 */
static void interrupted(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(80) };
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	struct pollfd wait = { .fd = fd, .events = POLLOUT };
	int64_t began = now_ms();

	shell("ip route flush root 10.99.0.0/16");
	inet_pton(AF_INET, "10.99.1.1", &address.sin_addr);
	handle(SIGALRM, handler_count, 0);
	alarm(1);
	EXPECT_IS(connect(fd, (struct sockaddr *)&address, sizeof(address)), -1);
	EXPECT_WITHIN(now_ms() - began, 990, 2500);
	if (errno == EINTR && poll(&wait, 1, 1000) == 1)
		EXPECT(socket_error(fd) != 0);
	else
		EXPECT_ERRNO(ENETUNREACH);
	close(fd);
	EXPECT_COUNTS_ADD_UP();
}

/* The shim sees O_NONBLOCK only where it is set through the fd itself. */
static void nonblocking_by_copy(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(80) };
	int fd = socket(AF_INET, SOCK_STREAM, 0), copy = dup(fd);
	struct pollfd wait = { .fd = fd, .events = POLLOUT };
	int64_t began = now_ms();

	shell("ip route flush root 10.99.0.0/16");
	inet_pton(AF_INET, "10.99.1.1", &address.sin_addr);
	fcntl(copy, F_SETFL, O_NONBLOCK);
	EXPECT_IS(connect(fd, (struct sockaddr *)&address, sizeof(address)), -1);
	EXPECT_ERRNO(EINPROGRESS);
	EXPECT_WITHIN(now_ms() - began, 0, 300);
	EXPECT_IS(poll(&wait, 1, 50), 0);
	EXPECT_IS(poll(&wait, 1, 10000), 1);
	EXPECT_IS(socket_error(fd), ENETUNREACH);
	EXPECT_COUNT(failures, 1);
	EXPECT_COUNTS_ADD_UP();
}

static void route_comes(const char *before)
{
	struct sockaddr_in any = { .sin_family = AF_INET };
	struct outcome outcome;
	socklen_t length = sizeof(any);
	int server = socket(AF_INET, SOCK_STREAM, 0);

	REQUIRE(bind(server, (struct sockaddr *)&any, sizeof(any)) == 0);
	REQUIRE(listen(server, 5) == 0);
	REQUIRE(getsockname(server, (struct sockaddr *)&any, &length) == 0);
	shell(before);
	change_after("ip route replace local 10.99.0.0/16 dev lo", 350);
	outcome = connect_address("10.99.1.1", ntohs(any.sin_port));
	shell("ip route flush root 10.99.0.0/16 table local");
	EXPECT_IS(outcome.result, 0);
	EXPECT_WITHIN(outcome.ms, 340, 1500);
	EXPECT_COUNT(recovered, 1);
	EXPECT_COUNTS_ADD_UP();
}

static void route_after_none(void)
{
	route_comes("ip route flush root 10.99.0.0/16");
}

static void route_after_unreachable(void)
{
	route_comes("ip route replace unreachable 10.99.0.0/16 table local");
}

static void link_comes_up(void)
{
	struct server server = server_listening(AF_INET);
	int fd = stream_socket(&server);

	shell("ip link set lo down");
	change_after("ip link set lo up", 350);
	EXPECT_IS(server_connect(&server, fd), 0);
	/* No error to retry: its route stays, and the kernel repeats the SYN. */
	EXPECT_COUNT(succeeded, 1);
}

static void link_comes_up6(void)
{
	struct server server = server_listening(AF_INET6);
	int fd = stream_socket(&server);

	shell("ip link set lo down");
	change_after("ip link set lo up", 350);
	EXPECT_IS(server_connect(&server, fd), 0);
	EXPECT_COUNT(recovered, 1);
}

/*
 * Packets are lost without an answer, as IPv4 does on a loopback that is down:
 * attempts are cut, and the link's return is noticed.
 */
static void packets_dropped(void)
{
	struct server server = server_listening(AF_INET);
	int fd = stream_socket(&server);
	int64_t began = now_ms();

	shell("ip link set lo down");
	change_after("ip link set lo up", 1500);
	EXPECT_IS(server_connect(&server, fd), 0);
	/* The kernel's own repetitions come at 1 and 3 s; those of ours every 300 ms. */
	EXPECT_WITHIN(now_ms() - began, 1490, 2500);
	EXPECT_COUNT(recovered, 1);
}

/*
 * A neighbour that does not answer leaves an entry in the error queue, for which
 * poll() would say POLLERR on a healthy socket for ever.
 */
static void no_neighbour(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET };
	int server = socket(AF_INET, SOCK_STREAM, 0), fd = socket(AF_INET, SOCK_STREAM, 0);
	struct pollfd wait = { .fd = fd, .events = POLLIN | POLLOUT };
	socklen_t length = sizeof(address);

	if (system("ip link add d0 type veth peer name d1 2>/dev/null") != 0)
		check_skip("this kernel has no veth");
	shell("ip addr add 10.98.0.1/24 dev d0 && ip link set d0 up && ip link set d1 up");
	REQUIRE(bind(server, (struct sockaddr *)&address, sizeof(address)) == 0);
	REQUIRE(listen(server, 5) == 0);
	REQUIRE(getsockname(server, (struct sockaddr *)&address, &length) == 0);
	inet_pton(AF_INET, "10.98.0.2", &address.sin_addr);
	/* The kernel asks three times, a second apart, and says EHOSTUNREACH. */
	change_after("ip addr add 10.98.0.2/32 dev lo", 4000);
	EXPECT_IS(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	shell("ip link del d0 && ip addr del 10.98.0.2/32 dev lo");
	EXPECT_COUNT(recovered, 1);
	EXPECT_IS(poll(&wait, 1, 0), 1);
	EXPECT_IS(wait.revents, POLLOUT);
	EXPECT_IS(socket_error(fd), 0);
}

/*
 * With one ephemeral port left, and that the dead server's own, each retry would
 * connect the socket to itself.
 */
static void self_connect(void)
{
	struct server server = server_bind(AF_INET);
	uint16_t port = server_port(&server);
	int fd = stream_socket(&server);
	struct sockaddr_in address = server.address.v4;
	char command[128];

	close(server.fd);
	snprintf(command, sizeof(command), "echo %d %d > /proc/sys/net/ipv4/ip_local_port_range",
		 port, port);
	change_after(command, 150);
	EXPECT_IS(connect(fd, (struct sockaddr *)&address, sizeof(address)), -1);
	EXPECT_ERRNO(ECONNREFUSED);
	shell("echo 32768 60999 > /proc/sys/net/ipv4/ip_local_port_range");
	EXPECT_COUNT(failures, 1);
	EXPECT_COUNT(retries, 8);
}

/* Out of ephemeral ports: a failure of the system, which passes. */
static void ports_used_up(void)
{
	struct server server = server_listening(AF_INET);
	struct sockaddr_in address = server.address.v4;
	int fd = stream_socket(&server), first = stream_socket(&server);
	char command[128];

	snprintf(command, sizeof(command),
		 "echo 20000 20000 > /proc/sys/net/ipv4/ip_local_port_range");
	shell(command);
	REQUIRE(syscall(SYS_connect, first, &address, sizeof(address)) == 0);
	change_after("echo 32768 60999 > /proc/sys/net/ipv4/ip_local_port_range", 300);
	EXPECT_IS(server_connect(&server, fd), 0);
	EXPECT_COUNT(recovered, 1);
}

#define EIGHT POLICY_NETWORK("\"max_retries\":8,\"base_delay\":\"100ms\"")

#define PATIENT_SLOW POLICY_NETWORK("\"max_retries\":8,\"base_delay\":\"20s\"")

static const struct check_case cases[] = {
	{ "prohibit (EACCES): told at once", prohibited, EIGHT, NULL, CHECK_ALSO_PLAIN },
	{ "blackhole (EINVAL): told at once", blackhole, EIGHT, NULL, CHECK_ALSO_PLAIN },
	{ "unreachable (EHOSTUNREACH): retried to the end", unreachable_host, EIGHT, NULL, 0 },
	{ "no route (ENETUNREACH): retried to the end", no_route, EIGHT, NULL, 0 },
	{ "the errno in the end is that of the last attempt", last_errno, EIGHT, NULL, 0 },
	{ "an errno that is not retried ends the hold", becomes_permanent, EIGHT, NULL, 0 },
	{ "a signal during the hold, and no route still", interrupted, PATIENT_SLOW, NULL, 0 },
	{ "non-blocking through a duplicate: held without blocking", nonblocking_by_copy, EIGHT,
	  NULL, 0 },
	{ "a route that appears: connected", route_after_none, EIGHT, NULL, 0 },
	{ "an unreachable that goes: connected", route_after_unreachable, EIGHT, NULL, 0 },
	{ "a link that comes up, IPv4: connected", link_comes_up, EIGHT, NULL, 0 },
	{ "a link that comes up, IPv6: connected", link_comes_up6, EIGHT, NULL, 0 },
	{ "lost packets: attempts are cut until the link is back", packets_dropped,
	  POLICY_CONNECT("\"attempt_timeout\":\"200ms\"",
			 "\"max_retries\":50,\"base_delay\":\"100ms\""),
	  NULL, 0 },
	{ "a neighbour that does not answer (EHOSTUNREACH) leaves no error behind", no_neighbour,
	  EIGHT, NULL, 0 },
	{ "no retry connects a socket to itself", self_connect, EIGHT, NULL, 0 },
	{ "ephemeral ports used up (EADDRNOTAVAIL): waited for", ports_used_up, NULL,
	  "HOLDFAST_BASE_DELAY=100ms", 0 },
};

CHECK_MAIN(cases)
