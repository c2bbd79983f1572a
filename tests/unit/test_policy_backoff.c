/* SPDX-License-Identifier: MIT */
/* Delays: the schedule's figures, the four jitters' bounds and shapes, the extremes. */
#include "policy_test.h"

static const struct policy_strategy plain = {
	.base_delay_ns = 1 * S,
	.max_delay_ns = 60 * S,
	.backoff_factor = 2,
	.max_retries = 5,
	.decision = DECISION_BACKOFF,
	.jitter = JITTER_RATIO,
};

struct schedule {
	uint64_t base, max;
	double factor;
	enum policy_decision decision;
	uint64_t delays_us[8]; /* by hand: min(max, base * factor^(n-1)) */
};

/* Columns n = 1..8. */
static const struct schedule schedules[] = {
	{ 1 * S,
	  60 * S,
	  2,
	  DECISION_BACKOFF,
	  { 1000000, 2000000, 4000000, 8000000, 16000000, 32000000, 60000000, 60000000 } },
	{ 1 * S,
	  60 * S,
	  2,
	  DECISION_DELAY,
	  { 1000000, 2000000, 4000000, 8000000, 16000000, 32000000, 60000000, 60000000 } },
	{ 500 * MS,
	  10 * M,
	  1.5,
	  DECISION_BACKOFF,
	  { 500000, 750000, 1125000, 1687500, 2531250, 3796875, 5695312, 8542968 } },
	{ 5 * S,
	  40 * S,
	  2,
	  DECISION_BACKOFF,
	  { 5000000, 10000000, 20000000, 40000000, 40000000, 40000000, 40000000, 40000000 } },
	{ 300 * S,
	  1800 * S,
	  2,
	  DECISION_DELAY,
	  { 300000000, 600000000, 1200000000, 1800000000, 1800000000, 1800000000, 1800000000,
	    1800000000 } },
	{ 0,
	  10 * S,
	  1.25,
	  DECISION_IMMEDIATE,
	  { 0, 100000, 125000, 156250, 195312, 244140, 305175, 381469 } },
	{ 7 * S,
	  150 * MS,
	  2,
	  DECISION_IMMEDIATE,
	  { 0, 100000, 150000, 150000, 150000, 150000, 150000, 150000 } },
	{ 3 * S,
	  60 * S,
	  1,
	  DECISION_BACKOFF,
	  { 3000000, 3000000, 3000000, 3000000, 3000000, 3000000, 3000000, 3000000 } },
	{ 0, 60 * S, 2, DECISION_BACKOFF, { 0, 0, 0, 0, 0, 0, 0, 0 } },
};

static void test_schedule(void **state)
{
	for (size_t i = 0; i < COUNT(schedules); i++) {
		struct policy_strategy strategy = plain;

		strategy.base_delay_ns = schedules[i].base;
		strategy.max_delay_ns = schedules[i].max;
		strategy.backoff_factor = schedules[i].factor;
		strategy.decision = (uint8_t)schedules[i].decision;
		for (uint32_t n = 1; n <= 8; n++)
			assert_row(i, policy_backoff(&strategy, n, 0, 12345) / 1000,
				   schedules[i].delays_us[n - 1]);
	}
}

struct shape {
	enum policy_jitter jitter;
	double ratio;
	enum policy_decision decision;
	uint32_t n;
	uint64_t previous;
	uint64_t low, high; /* by hand */
};

/* base 1s, factor 2, max 60s */
static const struct shape shapes[] = {
	{ JITTER_RATIO, 0.1, DECISION_BACKOFF, 1, 0, 900 * MS, 1100 * MS },
	{ JITTER_RATIO, 0.25, DECISION_BACKOFF, 4, 0, 6 * S, 10 * S },
	{ JITTER_RATIO, 0.5, DECISION_BACKOFF, 20, 0, 30 * S, 90 * S }, /* cap first */
	{ JITTER_RATIO, 1, DECISION_BACKOFF, 1, 0, 0, 2 * S },
	{ JITTER_RATIO, 0.1, DECISION_DELAY, 1, 0, 1 * S, 1100 * MS },
	{ JITTER_FULL, 0, DECISION_BACKOFF, 3, 0, 0, 4 * S },
	{ JITTER_FULL, 0, DECISION_DELAY, 3, 0, 4 * S, 8 * S },
	{ JITTER_EQUAL, 0, DECISION_BACKOFF, 3, 0, 2 * S, 4 * S },
	{ JITTER_EQUAL, 0, DECISION_DELAY, 3, 0, 4 * S, 6 * S },
	{ JITTER_EQUAL, 0, DECISION_IMMEDIATE, 3, 0, 100 * MS, 200 * MS },
	{ JITTER_DECORRELATED, 0, DECISION_BACKOFF, 1, 0, 1 * S, 3 * S },
	{ JITTER_DECORRELATED, 0, DECISION_BACKOFF, 2, 5 * S, 1 * S, 15 * S },
	{ JITTER_DECORRELATED, 0, DECISION_IMMEDIATE, 2, 0, 100 * MS, 300 * MS },
};

/* Uniform: exact ends, the right mean, and ten equally full tenths. */
static void test_jitter_shapes(void **state)
{
	enum { DRAWS = 100000 };

	for (size_t i = 0; i < COUNT(shapes); i++) {
		const struct shape *shape = &shapes[i];
		struct policy_strategy strategy = plain;
		unsigned int tenths[10] = { 0 };
		uint64_t seed = i + 1, width = shape->high - shape->low;
		double sum = 0;

		strategy.jitter = (uint8_t)shape->jitter;
		strategy.jitter_ratio = shape->ratio;
		strategy.decision = (uint8_t)shape->decision;
		assert_row(i, policy_backoff(&strategy, shape->n, shape->previous, 0), shape->low);
		assert_row(i, policy_backoff(&strategy, shape->n, shape->previous, UINT64_MAX),
			   shape->high);
		for (int draw = 0; draw < DRAWS; draw++) {
			uint64_t delay = policy_backoff(&strategy, shape->n, shape->previous,
							random_next(&seed));

			assert_in_range(delay, shape->low, shape->high);
			sum += (double)(delay - shape->low) / (double)width;
			tenths[(delay - shape->low) * 10 / (width + 1)]++;
		}
		/* Six standard deviations of a uniform mean: 6 * sqrt(1/12 / DRAWS). */
		assert_true(sum / DRAWS > 0.5 - 0.0055 && sum / DRAWS < 0.5 + 0.0055);
		for (int tenth = 0; tenth < 10; tenth++)
			assert_in_range(tenths[tenth], DRAWS / 10 - 570, DRAWS / 10 + 570);
	}
}

/* What exceeds the cap is the cap, so its value is drawn more often than others. */
static void test_decorrelated_cap(void **state)
{
	struct policy_strategy strategy = plain;
	uint64_t seed = 7, delay = 0;
	unsigned int capped = 0;

	strategy.jitter = JITTER_DECORRELATED;
	for (uint32_t n = 1; n <= 10000; n++) {
		uint64_t previous = delay < S ? S : delay;

		delay = policy_backoff(&strategy, n, delay, random_next(&seed));
		assert_in_range(delay, S, 60 * S);
		assert_true(delay <= 3 * previous);
		capped += delay == 60 * S;
	}
	assert_in_range(capped, 1000, 9000);
	/* "delay" never waits less than its schedule. */
	strategy.decision = DECISION_DELAY;
	assert_int_equal(policy_backoff(&strategy, 4, 1 * S, 0), 8 * S);
	assert_int_equal(policy_backoff(&strategy, 4, 60 * S, UINT64_MAX), 60 * S);
}

/* No attempt number, factor or previous delay leads beyond max_delay * (1 + ratio). */
static void test_extremes(void **state)
{
	static const uint32_t numbers[] = { 0, 1, 2, 31, 63, 64, 65, 1024, 1U << 31, UINT32_MAX };
	static const double factors[] = { 1, 1.0000001, 1.2, 2, 1000 };
	static const uint64_t delays[] = { 0, 1, MS, 60 * S, 8760 * H };
	static const uint64_t previous[] = { 0, 1, 8760 * H, UINT64_MAX / 2, UINT64_MAX };
	static const uint64_t randoms[] = { 0, 1, UINT64_MAX / 2, UINT64_MAX };
	struct policy_strategy none = plain;
	const size_t cases = COUNT(numbers) * COUNT(factors) * COUNT(delays) * COUNT(previous) *
			     COUNT(randoms) * 4 * 3;

	for (size_t i = 0; i < cases; i++) {
		size_t rest = i;
		struct policy_strategy strategy = plain;
		uint32_t n;
		uint64_t before, random, delay;

#define PICK(list)                  \
	(list)[rest % COUNT(list)]; \
	rest /= COUNT(list)
		n = PICK(numbers);
		strategy.backoff_factor = PICK(factors);
		strategy.max_delay_ns = PICK(delays);
		before = PICK(previous);
		random = PICK(randoms);
#undef PICK
		strategy.base_delay_ns = strategy.max_delay_ns / 3;
		strategy.jitter = (uint8_t)(rest % 4);
		strategy.jitter_ratio = strategy.jitter == JITTER_RATIO ? 1 : 0;
		strategy.decision = (uint8_t)(DECISION_IMMEDIATE + rest / 4 % 3);
		delay = policy_backoff(&strategy, n, before, random);
		assert_true(delay <= 2 * strategy.max_delay_ns);
	}
	assert_int_equal(policy_backoff(&plain, UINT32_MAX, 0, 0), 60 * S);
	/* Nothing, doubled for ever, is nothing: 0 times infinity must not become the cap. */
	none.base_delay_ns = 0;
	assert_int_equal(policy_backoff(&none, UINT32_MAX, 0, 0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_schedule),
		cmocka_unit_test(test_jitter_shapes),
		cmocka_unit_test(test_decorrelated_cap),
		cmocka_unit_test(test_extremes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
