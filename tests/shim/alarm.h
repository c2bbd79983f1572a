/* SPDX-License-Identifier: MIT */
/* Signals that a test is sent by its own timer while it waits in a call. */
#ifndef HOLDFAST_TEST_ALARM_H
#define HOLDFAST_TEST_ALARM_H

#include <signal.h>
#include <sys/time.h>

#include "check.h"

typedef void signal_handler(int signal);

/* How often handler_count() ran. */
static volatile sig_atomic_t handled;

static inline void handler_count(int signal)
{
	handled++;
}

/* flags: of sigaction(2). */
static inline void handle(int signal, signal_handler *handler, int flags)
{
	struct sigaction action = { .sa_handler = handler, .sa_flags = flags };

	REQUIRE(sigaction(signal, &action, NULL) == 0);
}

/* SIGALRM after so long and then at that interval; 0: never, once. */
static inline void timer_set_us(int64_t after_us, int64_t interval_us)
{
	struct itimerval timer = {
		.it_value = { after_us / 1000000, after_us % 1000000 },
		.it_interval = { interval_us / 1000000, interval_us % 1000000 },
	};

	REQUIRE(setitimer(ITIMER_REAL, &timer, NULL) == 0);
}

static inline void timer_set(int64_t after_ms, int64_t interval_ms)
{
	timer_set_us(after_ms * 1000, interval_ms * 1000);
}

static inline void alarm_after(int64_t ms, signal_handler *handler, int flags)
{
	handle(SIGALRM, handler, flags);
	timer_set(ms, 0);
}

#endif
