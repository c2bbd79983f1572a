/* SPDX-License-Identifier: MIT */
#ifndef HOLDFAST_ENGINE_HOLD_H
#define HOLDFAST_ENGINE_HOLD_H

#include "operation.h"

/*
 * Holds the caller for failure->verdict.delay_ns: 0, or EINTR if the program must
 * see a signal. retries: how many the policy allows, for the one line that a
 * terminal is told; said: whether it has been. A cancellation point; holds
 * nothing that a jump could leave behind.
 */
int hold(struct connection *connection, const struct operation_failure *failure, uint32_t retries,
	 bool *said);

/* Tells the terminal, if `holdfast run` asked for that, what is waited for until when. */
void hold_say(const struct connection *connection, int error, uint32_t retries, int64_t until_ns);
bool hold_is_said(void);

/* Sleeps until a time of CLOCK_MONOTONIC; 0, or EINTR if the program must see a signal. */
int hold_until(int64_t until_ns);

#endif
