/* SPDX-License-Identifier: MIT */
/* What the policy will do attempt by attempt, asked of policy_decide() itself. */
#ifndef HOLDFAST_TOOL_SCHEDULE_H
#define HOLDFAST_TOOL_SCHEDULE_H

#include <stdbool.h>
#include <stdint.h>

#include "policy/policy.h"

#define SCHEDULE_ROWS 1000
#define DURATION_TEXT_SIZE 32

/* Everything exists twice: with the shortest and with the longest possible delays. */
enum schedule_extreme { SHORTEST, LONGEST, EXTREME_COUNT };

struct schedule_row {
	uint32_t attempt;                 /* 1 is the first */
	bool made[EXTREME_COUNT];         /* the deadline can end one before the other */
	uint64_t delay_ns[EXTREME_COUNT]; /* before this attempt */
	uint64_t at_ns[EXTREME_COUNT];    /* since the operation began */
};

struct schedule_end {
	uint8_t action; /* VERDICT_PASS_ON or VERDICT_GIVE_UP */
	uint8_t cause;
	uint32_t attempts;
	uint64_t at_ns;
};

/*
 * Attempts are taken as failing at once with the same error: the time that they
 * take themselves comes on top, and counts towards the deadline.
 */
struct schedule {
	struct schedule_row rows[SCHEDULE_ROWS];
	uint32_t row_count;
	bool beyond[EXTREME_COUNT]; /* no end was reached within SCHEDULE_ROWS attempts */
	struct schedule_end end[EXTREME_COUNT];
};

void schedule_make(struct schedule *schedule, const struct policy *policy, int rule,
		   enum policy_operation operation, enum policy_category category, int error);

/* "250ms", "1.05s", "2m30s", "1h05m". Returns text. */
char *duration_show(char text[DURATION_TEXT_SIZE], uint64_t ns);

#endif
