/* SPDX-License-Identifier: MIT */
/* Timeouts, signals and masks of every wait call while a socket is held. */
#include <limits.h>

#include "kinds.h"
#include "tests/shim/alarm.h"

/* ---- timeouts --------------------------------------------------------------------------- */

/* Never early; late by chance, on a machine with other things to do, but not each time. */
static void timeout_expect(const struct kind *kind, const struct subject *s, int64_t ns, int tries)
{
	int64_t least = INT64_MAX;

	for (int i = 0; i < tries; i++) {
		int64_t began = now_us();
		int result = kind->wait(s, ns, NULL);
		int64_t took = now_us() - began;

		EXPECT_IS(result, 0);
		EXPECT(took >= ns / 1000);
		if (took < least)
			least = took;
	}
	EXPECT_WITHIN(least, ns / 1000, ns / 1000 + 3000);
}

static void timeouts_of(const struct kind *kind)
{
	struct server server = server_never();
	struct subject s = subject_begin(&server, 0);

	EXPECT_IS(kind->wait(&s, ms_ns(120), NULL), 0);
	timeout_expect(kind, &s, 0, 20);
	timeout_expect(kind, &s, ms_ns(1), 30);
	timeout_expect(kind, &s, ms_ns(30), 6);
	timeout_expect(kind, &s, ms_ns(250), 4);
	if (kind->fine)
		timeout_expect(kind, &s, 300000, 30);
	EXPECT_IS(socket_error(s.fd), 0);
	EXPECT_COUNT(failures, 0);
}

#define TIMEOUTS(number)                     \
	static void timeouts_##number(void)  \
	{                                    \
		timeouts_of(&kinds[number]); \
	}

TIMEOUTS(0)
TIMEOUTS(1)
TIMEOUTS(2)
TIMEOUTS(3)
TIMEOUTS(4)
TIMEOUTS(5)
TIMEOUTS(6)
TIMEOUTS(7)
TIMEOUTS(8)

/* As long as can be asked for: told when it is over, and not by an overflow before. */
static void longest_timeouts(void)
{
	const int64_t longest = ms_ns(INT_MAX);
	struct server server = server_late(LATE_MS);

	struct subject subjects[KINDS];

	for (unsigned int i = 0; i < KINDS; i++)
		subjects[i] = subject_begin(&server, 0);
	for (unsigned int i = 0; i < KINDS; i++) {
		int before = check_failures;

		EXPECT_IS(kinds[i].wait(&subjects[i], longest, NULL), POLLOUT);
		expect_works(subjects[i].fd);
		kind_blame(&kinds[i], before);
	}
}

static void strange_timeouts(void)
{
	struct server server = server_late(LATE_MS);
	struct subject s = subject_begin(&server, 0);
	struct pollfd wait = { .fd = s.fd, .events = POLLOUT };
	struct timespec bad = { 0, 1000000000 }, negative = { -1, 0 };
	struct timespec huge = { INT64_MAX, 999999999 };
	struct timeval backwards = { -1, 0 }, carried = { 0, 1100000 };
	/* The compiler would know better than to hand that to libc. */
	volatile int below_nothing = -1;
	struct epoll_event event;
	int64_t began;
	fd_set writable;

	EXPECT_IS(poll_out(s.fd, 100), 0);
	EXPECT_IS(ppoll(&wait, 1, &bad, NULL), -1);
	EXPECT_ERRNO(EINVAL);
	EXPECT_IS(ppoll(&wait, 1, &negative, NULL), -1);
	EXPECT_ERRNO(EINVAL);
	EXPECT_IS(pselect(0, NULL, NULL, NULL, &bad, NULL), -1);
	EXPECT_ERRNO(EINVAL);
	EXPECT_IS(epoll_pwait2(s.set, &event, 1, &bad, NULL), -1);
	EXPECT_ERRNO(EINVAL);
	FD_ZERO(&writable);
	FD_SET(s.fd, &writable);
	EXPECT_IS(select(s.fd + 1, NULL, &writable, NULL, &backwards), -1);
	EXPECT_ERRNO(EINVAL);
	EXPECT_IS(select(-1, NULL, &writable, NULL, NULL), -1);
	EXPECT_ERRNO(EINVAL);
	EXPECT_IS(epoll_wait(s.set, &event, 0, 10), -1);
	EXPECT_ERRNO(EINVAL);
	EXPECT_IS(epoll_wait(s.set, &event, below_nothing, 10), -1);
	EXPECT_ERRNO(EINVAL);
	EXPECT_IS(epoll_wait(s.fd, &event, 1, 10), -1);
	EXPECT_ERRNO(EINVAL);
	EXPECT_IS(epoll_wait(-1, &event, 1, 10), -1);
	EXPECT_ERRNO(EBADF);
	/* More microseconds than a second has are taken for what they are. */
	began = now_ms();
	EXPECT_IS(select(0, NULL, NULL, NULL, &carried), 0);
	EXPECT_WITHIN(now_ms() - began, 1100, 1900);
	EXPECT_IS(ppoll(&wait, 1, &huge, NULL), 1);
	EXPECT_IS(wait.revents, POLLOUT);
	expect_works(s.fd);
}

/* ---- signals ------------------------------------------------------------------------------- */

static volatile sig_atomic_t inside;
static volatile sig_atomic_t handled_outside;
static volatile int64_t handled_at;

static void handler(int signal)
{
	handler_count(signal);
	handled_outside += !inside;
	handled_at = now_ms();
}

static sigset_t alarm_mask(bool blocked)
{
	sigset_t mask;

	sigemptyset(&mask);
	if (blocked)
		sigaddset(&mask, SIGALRM);
	return mask;
}

/* None of these calls is ever restarted after a handler. */
static void interrupted(int flags)
{
	struct server server = server_never();
	struct subject s = subject_begin(&server, 0);

	handle(SIGALRM, handler, flags);
	for (unsigned int i = 0; i < KINDS; i++) {
		int before = check_failures;
		int64_t began = now_ms();

		handled = 0;
		timer_set(130, 0);
		EXPECT_IS(kinds[i].wait(&s, i % 2 ? -1 : ms_ns(3000), NULL), -1);
		EXPECT_ERRNO(EINTR);
		EXPECT_WITHIN(now_ms() - began, 125, 700);
		EXPECT_IS(handled, 1);
		/* The next wait has nothing to do with it. */
		EXPECT_IS(kinds[i].wait(&s, ms_ns(20), NULL), 0);
		kind_blame(&kinds[i], before);
	}
	EXPECT_IS(socket_error(s.fd), 0);
}

static void interrupted_plainly(void)
{
	interrupted(0);
}

static void interrupted_restarting(void)
{
	interrupted(SA_RESTART);
}

static void ignored(void)
{
	struct server server = server_never();
	struct subject s = subject_begin(&server, 0);

	signal(SIGALRM, SIG_IGN);
	timer_set(10, 10);
	for (unsigned int i = 0; i < KINDS; i++) {
		int before = check_failures;
		int64_t began = now_ms();

		EXPECT_IS(kinds[i].wait(&s, ms_ns(150), NULL), 0);
		EXPECT(now_ms() - began >= 150);
		kind_blame(&kinds[i], before);
	}
}

/* Interrupted all the time, and still it gets there. */
static void interrupted_always(void)
{
	struct server server = server_late(LATE_MS);
	struct subject s = subject_begin(&server, 0);
	int result = -1;

	handle(SIGALRM, handler, SA_RESTART);
	timer_set(3, 3);
	for (int64_t end = now_ms() + LIMIT_MS; now_ms() < end && result < 0;)
		result = poll_out(s.fd, 1000);
	timer_set(0, 0);
	EXPECT_IS(result, POLLOUT);
	expect_works(s.fd);
	expect_one_recovered();
}

static void play_stop(void *argument)
{
	pid_t parent = getppid();

	sleep_ms(120);
	kill(parent, SIGSTOP);
	sleep_ms(100);
	kill(parent, SIGCONT);
}

/* Stopped and continued, without any handler: epoll has always said EINTR to that. */
static void stopped(void)
{
	struct server server = server_never();
	struct subject s = subject_begin(&server, 0);

	for (unsigned int i = 0; i < KINDS; i++) {
		bool is_epoll = strncmp(kinds[i].name, "epoll", 5) == 0;
		int before = check_failures;
		int64_t began = now_ms();
		pid_t helper = helper_start(play_stop, NULL);

		EXPECT_IS(kinds[i].wait(&s, ms_ns(400), NULL), is_epoll ? -1 : 0);
		if (is_epoll)
			EXPECT_ERRNO(EINTR);
		else
			EXPECT(now_ms() - began >= 400);
		child_wait(helper);
		kind_blame(&kinds[i], before);
	}
}

/* ---- masks ------------------------------------------------------------------------------------- */

/* Blocked but in the wait: it comes there and nowhere else. */
static void deliverable_inside(void)
{
	struct server server = server_never();
	struct subject s = subject_begin(&server, 0);
	sigset_t blocked = alarm_mask(true), open = alarm_mask(false), now;

	handle(SIGALRM, handler, SA_RESTART);
	sigprocmask(SIG_SETMASK, &blocked, NULL);
	for (unsigned int i = 0; i < KINDS; i++) {
		int before = check_failures;
		int64_t began = now_ms();

		if (!kinds[i].masks)
			continue;
		/* It comes while we are there. */
		handled = handled_outside = 0;
		timer_set(130, 0);
		inside = 1;
		EXPECT_IS(kinds[i].wait(&s, ms_ns(3000), &open), -1);
		EXPECT_ERRNO(EINTR);
		inside = 0;
		EXPECT_WITHIN(now_ms() - began, 125, 700);
		EXPECT_IS(handled, 1);
		/* It has come before. */
		raise(SIGALRM);
		EXPECT_IS(handled, 1);
		began = now_ms();
		inside = 1;
		EXPECT_IS(kinds[i].wait(&s, ms_ns(3000), &open), -1);
		EXPECT_ERRNO(EINTR);
		inside = 0;
		EXPECT_WITHIN(now_ms() - began, 0, 400);
		EXPECT_IS(handled, 2);
		EXPECT_IS(handled_outside, 0);
		sigprocmask(SIG_SETMASK, NULL, &now);
		EXPECT(sigismember(&now, SIGALRM));
		kind_blame(&kinds[i], before);
	}
}

/* Blocked only in the wait: it comes right after, and the wait is whole. */
static void blocked_inside(void)
{
	struct server server = server_never();
	struct subject s = subject_begin(&server, 0);
	sigset_t blocked = alarm_mask(true), now;

	handle(SIGALRM, handler, 0);
	inside = 1;
	for (unsigned int i = 0; i < KINDS; i++) {
		int before = check_failures;
		int64_t began = now_ms();

		if (!kinds[i].masks)
			continue;
		handled = 0;
		timer_set(50, 0);
		EXPECT_IS(kinds[i].wait(&s, ms_ns(260), &blocked), 0);
		EXPECT(now_ms() - began >= 260);
		EXPECT_IS(handled, 1);
		EXPECT(handled_at - began >= 260);
		sigprocmask(SIG_SETMASK, NULL, &now);
		EXPECT(!sigismember(&now, SIGALRM));
		kind_blame(&kinds[i], before);
	}
}

/* Signals all the time, deliverable only inside, until the connect is done. */
static void deliverable_always(void)
{
	struct server server = server_late(LATE_MS);
	struct subject s = subject_begin(&server, 0);
	sigset_t blocked = alarm_mask(true), open = alarm_mask(false);
	int result = -1;

	handle(SIGALRM, handler, 0);
	sigprocmask(SIG_SETMASK, &blocked, NULL);
	timer_set(5, 5);
	for (int64_t end = now_ms() + LIMIT_MS; now_ms() < end && result <= 0;) {
		inside = 1;
		result = kind_epoll_pwait(&s, ms_ns(7), &open);
		inside = 0;
	}
	timer_set(0, 0);
	EXPECT_IS(result, POLLOUT);
	EXPECT(handled > 10);
	EXPECT_IS(handled_outside, 0);
	expect_works(s.fd);
	expect_one_recovered();
}

#define NEVER(name, run) SAME_UNDER(POLICY_FOR_EVER, name, run)

static const struct check_case cases[] = {
	NEVER("timeouts of poll", timeouts_0),
	NEVER("timeouts of ppoll", timeouts_1),
	NEVER("timeouts of __poll_chk", timeouts_2),
	NEVER("timeouts of __ppoll_chk", timeouts_3),
	NEVER("timeouts of select", timeouts_4),
	NEVER("timeouts of pselect", timeouts_5),
	NEVER("timeouts of epoll_wait", timeouts_6),
	NEVER("timeouts of epoll_pwait", timeouts_7),
	NEVER("timeouts of epoll_pwait2", timeouts_8),
	SAME("the longest timeouts", longest_timeouts),
	SAME("strange timeouts and arguments", strange_timeouts),
	NEVER("interrupted", interrupted_plainly),
	NEVER("interrupted, with SA_RESTART", interrupted_restarting),
	SAME("interrupted all the time", interrupted_always),
	NEVER("signals that are ignored", ignored),
	NEVER("stopped and continued", stopped),
	NEVER("a signal that can come only inside", deliverable_inside),
	NEVER("a signal that can not come inside", blocked_inside),
	SAME("signals all the time, that can come only inside", deliverable_always),
};

WAITS_MAIN(cases, 6)
