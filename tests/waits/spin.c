/* SPDX-License-Identifier: MIT */
/* What a held connect costs while nothing happens: next to nothing, in every wait. */
#include "kinds.h"

#define HOLD_MS 2000
/* Twenty retries cost a few milliseconds at most; a wait that spins costs all there is. */
#define LIMIT_US 60000

static void expect_idle(int64_t began_us)
{
	EXPECT_WITHIN(cpu_us() - began_us, 0, LIMIT_US);
}

static void idle_in(const struct kind *kind, uint32_t trigger)
{
	struct server server = server_never();
	struct subject s = subject_begin(&server, trigger);
	int64_t began = cpu_us();

	EXPECT_IS(kind->wait(&s, ms_ns(HOLD_MS), NULL), 0);
	expect_idle(began);
	EXPECT_COUNT_WITHIN(retries, preloaded() ? 10 : 0, 21);
}

#define IDLE(number)                        \
	static void idle_in_##number(void)  \
	{                                   \
		idle_in(&kinds[number], 0); \
	}

IDLE(0)
IDLE(1)
IDLE(2)
IDLE(3)
IDLE(4)
IDLE(5)
IDLE(6)
IDLE(7)
IDLE(8)

static void idle_edge(void)
{
	idle_in(&kinds[6], EPOLLET);
}

static void idle_oneshot(void)
{
	idle_in(&kinds[6], EPOLLONESHOT);
}

static void idle_exclusive(void)
{
	idle_in(&kinds[6], EPOLLEXCLUSIVE);
}

static void idle_nested(void)
{
	struct server server = server_never();
	struct subject s = subject_begin(&server, 0);
	int outer = set_make();
	int64_t began = cpu_us();

	set_add(outer, s.set, EPOLLIN);
	EXPECT_IS(set_wait(outer, HOLD_MS), 0);
	expect_idle(began);
}

static void idle_set_in_poll(void)
{
	struct server server = server_never();
	struct subject s = subject_begin(&server, 0);
	struct pollfd wait = { .fd = s.set, .events = POLLIN };
	int64_t began = cpu_us();

	EXPECT_IS(poll(&wait, 1, HOLD_MS), 0);
	expect_idle(began);
}

/* No events asked for: nothing but a failure can be told, and there is none yet. */
static void idle_without_events(void)
{
	struct server server = server_never();
	struct subject s = { .fd = pending_socket(&server), .set = set_make() };
	struct pollfd wait = { .fd = s.fd };
	int64_t began = cpu_us();

	set_add(s.set, s.fd, 0);
	EXPECT_IS(poll(&wait, 1, HOLD_MS / 2), 0);
	EXPECT_IS(set_wait(s.set, HOLD_MS / 2), 0);
	expect_idle(began);
}

static void *idle_thread(void *data)
{
	const struct subject *s = data;

	EXPECT_IS(set_wait(s->set, HOLD_MS), 0);
	return NULL;
}

/* Several threads in one set, and one of them in another way beside. */
static void idle_threads(void)
{
	struct server server = server_never();
	struct subject s = subject_begin(&server, 0);
	pthread_t threads[3];
	int64_t began = cpu_us();

	for (int i = 0; i < 3; i++)
		threads[i] = thread_start(idle_thread, &s);
	EXPECT_IS(poll_out(s.fd, HOLD_MS), 0);
	for (int i = 0; i < 3; i++)
		EXPECT(thread_ends(threads[i], NULL, LIMIT_MS));
	expect_idle(began);
}

/* Blocked in an operation, since the socket blocks again. */
static void idle_in_read(void)
{
	struct server server = server_never();
	int fd = pending_socket(&server);
	struct timeval timeout = { HOLD_MS / 1000, 0 };
	int64_t began = cpu_us();
	int off = 0;
	char byte;

	EXPECT_IS(poll_out(fd, 100), 0);
	EXPECT_IS(ioctl(fd, FIONBIO, &off), 0);
	REQUIRE(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)) == 0);
	EXPECT_IS(recv(fd, &byte, 1, 0), -1);
	EXPECT_ERRNO(EAGAIN);
	expect_idle(began);
}

/* A hundred that are held, and a wait for something else. */
static void idle_beside(void)
{
	struct server server = server_never();
	int event = eventfd(0, EFD_CLOEXEC), set = set_make();
	struct pollfd wait = { .fd = event, .events = POLLIN };
	int64_t began;

	for (int i = 0; i < 100; i++)
		set_add(set, pending_socket(&server), EPOLLOUT);
	EXPECT_IS(set_wait(set, 150), 0);
	began = cpu_us();
	EXPECT_IS(poll(&wait, 1, HOLD_MS), 0);
	EXPECT_WITHIN(cpu_us() - began, 0, 4 * LIMIT_US);
}

#define NEVER(name, run) SAME_UNDER(POLICY_FOR_EVER, name, run)

static const struct check_case cases[] = {
	NEVER("no spin: poll", idle_in_0),
	NEVER("no spin: ppoll", idle_in_1),
	NEVER("no spin: __poll_chk", idle_in_2),
	NEVER("no spin: __ppoll_chk", idle_in_3),
	NEVER("no spin: select", idle_in_4),
	NEVER("no spin: pselect", idle_in_5),
	NEVER("no spin: epoll_wait", idle_in_6),
	NEVER("no spin: epoll_pwait", idle_in_7),
	NEVER("no spin: epoll_pwait2", idle_in_8),
	NEVER("no spin: edge", idle_edge),
	NEVER("no spin: oneshot", idle_oneshot),
	NEVER("no spin: exclusive", idle_exclusive),
	NEVER("no spin: a set in a set", idle_nested),
	NEVER("no spin: a set in poll", idle_set_in_poll),
	NEVER("no spin: no events asked for", idle_without_events),
	NEVER("no spin: four threads", idle_threads),
	NEVER("no spin: recv, blocking again", idle_in_read),
	NEVER("no spin: a hundred are held, and a wait for something else", idle_beside),
};

/* All of them sleep. */
WAITS_MAIN(cases, 9)
