/* SPDX-License-Identifier: MIT */
#include "hold.h"

#include <errno.h>
#include <poll.h>

#include "call.h"
#include "shim/config.h"
#include "shim/libc.h"
#include "shim/log.h"
#include "shim/sys.h"
#include "signals.h"

void hold_say(const struct connection *connection, int error, uint32_t retries, int64_t until_ns)
{
	struct line line;

	line_begin(&line);
	line_add(&line, "waiting for ");
	line_add_endpoint(&line, &connection->record->endpoint);
	line_add(&line, ": ");
	line_add_error(&line, error);
	/* The failed one has been counted on already. */
	line_add(&line, ", attempt ");
	line_add_number(&line, connection->attempts);
	if (retries != RETRIES_UNLIMITED) {
		line_add(&line, " of ");
		line_add_number(&line, (uint64_t)retries + 1);
	}
	line_add(&line, " in ");
	line_add_wait(&line, (uint64_t)(until_ns - clock_ns()));
	log_notice(&line);
}

/* Sleeps until a time of CLOCK_MONOTONIC; 0, or EINTR if the program must see the signal. */
bool hold_is_said(void)
{
	return config_get()->notice && log_on_terminal();
}

int hold_until(int64_t until_ns)
{
	for (;;) {
		int64_t left = until_ns - clock_ns();
		struct timespec timeout = { left / SECOND_NS, left % SECOND_NS };

		if (left <= 0)
			return 0;
		if (LIBC(ppoll)(NULL, 0, &timeout, NULL) == 0)
			continue;
		/* A sandbox may not know ppoll(): then without being a cancellation point. */
		if (errno != EINTR)
			SYS(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &timeout, NULL);
		if (errno == EINTR && !signals_restart())
			return EINTR;
	}
}

int hold(struct connection *connection, const struct operation_failure *failure, uint32_t retries,
	 bool *said)
{
	int64_t began = clock_ns();
	int64_t until = began + (int64_t)failure->verdict.delay_ns;
	int64_t say_at = connection->began_ns + SECOND_NS;
	int interrupted = 0;

	if (!*said && say_at < until && hold_is_said()) {
		interrupted = hold_until(say_at);
		if (!interrupted)
			hold_say(connection, failure->error, retries, until);
		*said = true;
	}
	if (!interrupted)
		interrupted = hold_until(until);
	operation_waited(connection, clock_ns() - began);
	return interrupted;
}
