/* SPDX-License-Identifier: MIT */
#include "tools/schedule.h"

#include <inttypes.h>
#include <stdio.h>

#define SECOND_NS UINT64_C(1000000000)

static const uint64_t extreme_random[EXTREME_COUNT] = { [SHORTEST] = 0, [LONGEST] = UINT64_MAX };

/* Decides after one failed attempt; false at the end. */
static bool attempt_follow(struct schedule *schedule, const struct policy *policy, int rule,
			   struct policy_situation *situation, enum schedule_extreme extreme)
{
	struct policy_verdict verdict = policy_decide(policy, rule, situation);
	struct schedule_row *row;

	if (verdict.action == VERDICT_PASS_ON || verdict.action == VERDICT_GIVE_UP) {
		schedule->end[extreme] = (struct schedule_end){
			.action = verdict.action,
			.cause = verdict.cause,
			.attempts = situation->attempt,
			.at_ns = situation->elapsed_ns,
		};
		return false;
	}
	if (situation->attempt == SCHEDULE_ROWS) {
		schedule->beyond[extreme] = true;
		return false;
	}
	row = &schedule->rows[situation->attempt++];
	situation->previous_delay_ns = verdict.delay_ns;
	situation->elapsed_ns += verdict.delay_ns;
	row->attempt = situation->attempt;
	row->made[extreme] = true;
	row->delay_ns[extreme] = verdict.delay_ns;
	row->at_ns[extreme] = situation->elapsed_ns;
	if (schedule->row_count < situation->attempt)
		schedule->row_count = situation->attempt;
	return true;
}

void schedule_make(struct schedule *schedule, const struct policy *policy, int rule,
		   enum policy_operation operation, enum policy_category category, int error)
{
	*schedule = (struct schedule){ .row_count = 1 };
	schedule->rows[0] = (struct schedule_row){ .attempt = 1, .made = { true, true } };
	for (int extreme = SHORTEST; extreme < EXTREME_COUNT; extreme++) {
		struct policy_situation situation = {
			.operation = (uint8_t)operation,
			.category = (uint8_t)category,
			.error = error,
			.attempt = 1,
			.random = extreme_random[extreme],
		};

		while (attempt_follow(schedule, policy, rule, &situation, extreme))
			;
	}
}

char *duration_show(char text[DURATION_TEXT_SIZE], uint64_t ns)
{
	uint64_t seconds = ns / SECOND_NS;

	if (ns == DURATION_OFF)
		snprintf(text, DURATION_TEXT_SIZE, "off");
	else if (ns < SECOND_NS)
		snprintf(text, DURATION_TEXT_SIZE, "%.0fms", (double)ns / 1e6);
	else if (seconds < 100)
		snprintf(text, DURATION_TEXT_SIZE, "%.2fs", (double)ns / 1e9);
	else if (seconds < 3600)
		snprintf(text, DURATION_TEXT_SIZE, "%" PRIu64 "m%02" PRIu64 "s", seconds / 60,
			 seconds % 60);
	else
		snprintf(text, DURATION_TEXT_SIZE, "%" PRIu64 "h%02" PRIu64 "m", seconds / 3600,
			 seconds / 60 % 60);
	return text;
}
