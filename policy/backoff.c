/* SPDX-License-Identifier: MIT */
/* Delays between attempts. */
#include "limits.h"
#include "policy.h"

static uint64_t at_most(uint64_t value, uint64_t limit)
{
	return value < limit ? value : limit;
}

/* min(cap, base * factor^exponent); infinity on the way is fine, it is above the cap. */
static uint64_t scheduled(uint64_t base, double factor, uint32_t exponent, uint64_t cap)
{
	double delay = (double)base;

	if (base == 0) /* 0 * infinity would be no number */
		return 0;
	for (; exponent; exponent >>= 1) {
		if (exponent & 1)
			delay *= factor;
		factor *= factor;
	}
	return delay < (double)cap ? (uint64_t)delay : cap;
}

/* low..high, both included. */
static uint64_t uniform(uint64_t low, uint64_t high, uint64_t random)
{
	unsigned __int128 values = (unsigned __int128)high - low + 1;

	return low + (uint64_t)(values * random >> 64);
}

/* How far jitter leads away from the delay, as a part of it. */
static double jitter_reach(const struct policy_strategy *strategy)
{
	static const double reaches[] = { [JITTER_FULL] = 1, [JITTER_EQUAL] = 0.5 };

	return strategy->jitter == JITTER_RATIO ? strategy->jitter_ratio
						: reaches[strategy->jitter];
}

static uint64_t jittered(const struct policy_strategy *strategy, uint64_t delay, uint64_t random)
{
	uint64_t reach = at_most((uint64_t)((double)delay * jitter_reach(strategy)), delay);
	bool up = strategy->decision == DECISION_DELAY || strategy->jitter == JITTER_RATIO;
	bool down = strategy->decision != DECISION_DELAY;

	return uniform(down ? delay - reach : delay, up ? delay + reach : delay, random);
}

static uint64_t decorrelated(const struct policy_strategy *strategy, uint64_t base, uint64_t delay,
			     uint64_t previous, uint64_t random)
{
	uint64_t high = previous < base ? base : previous;

	high = high > DURATION_MAX_NS ? high : 3 * high;
	high = uniform(base, high, random);
	/* "delay" never waits less than its schedule says. */
	if (strategy->decision == DECISION_DELAY && high < delay)
		high = delay;
	return at_most(high, strategy->max_delay_ns);
}

uint64_t policy_backoff(const struct policy_strategy *strategy, uint32_t n,
			uint64_t previous_delay_ns, uint64_t random)
{
	uint64_t base = strategy->base_delay_ns;
	uint32_t exponent = n > 1 ? n - 1 : 0;
	uint64_t delay;

	if (strategy->decision == DECISION_IMMEDIATE) {
		if (n <= 1)
			return 0;
		base = IMMEDIATE_BASE_NS;
		exponent--;
	}
	delay = scheduled(base, strategy->backoff_factor, exponent, strategy->max_delay_ns);
	if (strategy->jitter == JITTER_DECORRELATED)
		return decorrelated(strategy, base, delay, previous_delay_ns, random);
	return jittered(strategy, delay, random);
}
