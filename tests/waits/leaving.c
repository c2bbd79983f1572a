/* SPDX-License-Identifier: MIT */
/* Leaving a wait for a pending connect by a cancellation or a jump, or closing it under the waiter. */
#include <setjmp.h>

#include "tests/shim/alarm.h"
#include "waiter.h"

/* ---- cancelled and jumped out ---------------------------------------------------------------------- */

static void cancelled(void *(*body)(void *))
{
	struct server server = server_late(LATE_MS);
	struct waiter waiter = { .set = set_make(), .timeout_ms = -1 };
	void *value = NULL;

	waiter.fd = pending_socket(&server);
	set_add(waiter.set, waiter.fd, EPOLLOUT);
	waiter_start(&waiter, body);
	sleep_ms(150);
	EXPECT_IS(pthread_cancel(waiter.thread), 0);
	EXPECT(thread_ends(waiter.thread, &value, 1000));
	EXPECT(value == PTHREAD_CANCELED);
	EXPECT_IS(set_wait(waiter.set, 100), 0);
	EXPECT_IS(set_wait(waiter.set, LIMIT_MS), EPOLLOUT);
	expect_works(waiter.fd);
	expect_one_recovered();
}

static void cancelled_epoll(void)
{
	cancelled(waiter_epoll);
}

static void cancelled_poll(void)
{
	cancelled(waiter_poll);
}

static void cancelled_select(void)
{
	cancelled(waiter_select);
}

/* One of two: the other's wait goes on. */
static void cancelled_beside(void)
{
	struct server server = server_late(LATE_MS);
	struct waiter first = { .set = set_make(), .timeout_ms = -1 }, second;
	int64_t began = now_ms();

	first.fd = pending_socket(&server);
	second = first;
	set_add(first.set, first.fd, EPOLLOUT);
	waiter_start(&first, waiter_epoll);
	waiter_start(&second, waiter_epoll);
	sleep_ms(150);
	EXPECT_IS(pthread_cancel(first.thread), 0);
	EXPECT(thread_ends(first.thread, NULL, 1000));
	expect_told(&second, began, EPOLLOUT);
	expect_one_recovered();
}

static sigjmp_buf away;

static void jump(int signal)
{
	siglongjmp(away, 1);
}

/* Out of the wait at ever other moments; then to its end. */
static void jumped_out(int (*wait)(int set, int fd))
{
	struct server server = server_late(LATE_MS);
	int fd = pending_socket(&server);
	volatile int jumps = 0;
	int set = set_make();

	set_add(set, fd, EPOLLOUT);
	signal(SIGALRM, jump);
	if (sigsetjmp(away, 1))
		jumps++;
	if (jumps < 60) {
		timer_set_us(500 + jumps % 11 * 900, 0);
		EXPECT_IS(wait(set, fd), POLLOUT);
	}
	timer_set_us(0, 0);
	EXPECT(jumps >= 50);
	EXPECT_IS(wait(set, fd), POLLOUT);
	expect_works(fd);
	expect_one_recovered();
}

static int jump_epoll(int set, int fd)
{
	return (int)set_wait(set, LIMIT_MS);
}

static int jump_poll(int set, int fd)
{
	return poll_out(fd, LIMIT_MS);
}

static int jump_select(int set, int fd)
{
	struct timeval span = { LIMIT_MS / 1000, 0 };
	fd_set writable;

	FD_ZERO(&writable);
	FD_SET(fd, &writable);
	return select(fd + 1, NULL, &writable, NULL, &span) > 0 ? POLLOUT : 0;
}

static void jumped_out_of_epoll(void)
{
	jumped_out(jump_epoll);
}

static void jumped_out_of_poll(void)
{
	jumped_out(jump_poll);
}

static void jumped_out_of_select(void)
{
	jumped_out(jump_select);
}

/* Jumped out of a hold and closed, as `wget -T` does. */
static void jumped_out_and_closed(void)
{
	struct server server = server_never();
	int fd = pending_socket(&server);

	signal(SIGALRM, jump);
	if (sigsetjmp(away, 1) == 0) {
		timer_set_us(250000, 0);
		poll_out(fd, LIMIT_MS);
		REQUIRE(!"the jump came");
	}
	EXPECT_IS(close(fd), 0);
	EXPECT_IS(poll(NULL, 0, 250), 0);
	expect_one_abandoned();
}

/* Nobody is woken by a close, and the operation ends as abandoned. */
static void closed_by_another(void)
{
	struct server server = server_never();
	struct waiter first = { .set = set_make(), .timeout_ms = 600 }, second;
	int64_t began = now_ms();

	first.fd = pending_socket(&server);
	second = first;
	set_add(first.set, first.fd, EPOLLOUT);
	waiter_start(&first, waiter_epoll);
	waiter_start(&second, waiter_poll);
	sleep_ms(200);
	EXPECT_IS(close(first.fd), 0);
	EXPECT(thread_ends(first.thread, NULL, LIMIT_MS));
	EXPECT(thread_ends(second.thread, NULL, LIMIT_MS));
	EXPECT_IS(first.told, 0);
	/* poll() looks once more in the end, and finds nothing there. */
	EXPECT_IS(second.told, POLLNVAL);
	EXPECT(first.told_at - began >= 600);
	/* A wait that holds a socket looks again when the next attempt is due, and may find it closed. */
	EXPECT(second.told_at - began >= 200);
	expect_one_abandoned();
}

#define NEVER(name, run) SAME_UNDER(POLICY_FOR_EVER, name, run)

static const struct check_case cases[] = {
	SAME("cancelled in epoll_wait: the next wait goes on", cancelled_epoll),
	SAME("cancelled in poll: the next wait goes on", cancelled_poll),
	SAME("cancelled in select: the next wait goes on", cancelled_select),
	SAME("one of two is cancelled: the other's wait goes on", cancelled_beside),
	SAME("siglongjmp out of epoll_wait, again and again", jumped_out_of_epoll),
	SAME("siglongjmp out of poll, again and again", jumped_out_of_poll),
	SAME("siglongjmp out of select, again and again", jumped_out_of_select),
	NEVER("siglongjmp out of poll, then close: abandoned", jumped_out_and_closed),
	NEVER("closed by another thread: nobody is woken, abandoned", closed_by_another),
};

WAITS_MAIN(cases, 6)
