/* SPDX-License-Identifier: MIT */
/*
 * The decision: checks in a fixed order, the first that has something to say
 * says it.
 */
#include <errno.h>
#include <sys/socket.h>

#include "limits.h"
#include "policy.h"

/* What the checks look at, looked up once. */
struct case_file {
	const struct policy_settings *settings;
	const struct policy_strategy *strategy;
	const struct policy_situation *situation;
	uint64_t remaining_ns; /* to the deadline; DURATION_OFF without one */
};

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t remaining(uint64_t deadline_ns, uint64_t elapsed_ns)
{
	if (deadline_ns == DURATION_OFF)
		return DURATION_OFF;
	return elapsed_ns < deadline_ns ? deadline_ns - elapsed_ns : 0;
}

/* Before the next retry, cut so that the last one is made at the deadline. */
static uint64_t next_delay(const struct case_file *c)
{
	uint64_t delay = policy_backoff(c->strategy, c->situation->attempt,
					c->situation->previous_delay_ns, c->situation->random);

	return least(delay, c->remaining_ns);
}

/* A denial defers: the caller waits for the shared probe, so at least for one of its turns. */
static uint64_t deferred_delay(const struct case_file *c)
{
	uint64_t delay = next_delay(c), probe = c->settings->share.probe_interval_ns;

	return least(delay > probe ? delay : probe, c->remaining_ns);
}

static bool category_is_final(const struct case_file *c, struct policy_verdict *verdict)
{
	*verdict = (struct policy_verdict){ .action = VERDICT_PASS_ON, .cause = CAUSE_CATEGORY };
	return c->strategy->decision == DECISION_NONE;
}

/* By what the policy says of bytes that were moved. */
static enum policy_cause replay_denies(const struct policy_transfer *transfer,
				       const struct policy_loss *loss)
{
	switch ((enum policy_replay)transfer->replay) {
	case REPLAY_UNSENT:
		return loss->bytes_moved ? CAUSE_UNSAFE : CAUSE_NONE;
	case REPLAY_UNANSWERED:
		if (!loss->bytes_moved)
			return CAUSE_NONE;
		if (loss->is_answered)
			return CAUSE_UNSAFE;
		if (loss->is_overflowed)
			return CAUSE_BUFFER;
		return loss->exchanges + 1 >= transfer->max_attempts ? CAUSE_LIMIT : CAUSE_NONE;
	case REPLAY_ONE_WAY:
		return loss->is_overflowed ? CAUSE_BUFFER : CAUSE_NONE;
	case REPLAY_NEVER:
	default:
		return CAUSE_UNSAFE;
	}
}

/* Nothing may be applied twice, and no stream spliced, without the policy's word. */
static bool rebuilding_is_unsafe(const struct case_file *c, struct policy_verdict *verdict)
{
	const struct policy_loss *loss = c->situation->loss;

	*verdict = (struct policy_verdict){ .action = VERDICT_PASS_ON, .cause = CAUSE_UNSAFE };
	if (!loss)
		return false;
	if (loss->is_shared || loss->is_half_closed || loss->is_session || loss->is_immovable)
		return true;
	verdict->cause = (uint8_t)replay_denies(&c->settings->transfer, loss);
	return verdict->cause != CAUSE_NONE;
}

/* A connection that was good until now: whoever lost it has waited for nothing yet. */
static bool first_rebuild_is_due(const struct case_file *c, struct policy_verdict *verdict)
{
	*verdict = (struct policy_verdict){ .action = VERDICT_RETRY_NOW };
	return c->situation->loss && c->situation->attempt == 0;
}

/* The program reaches by itself what holding it here would keep it from. */
static bool fallback_is_open(const struct case_file *c, struct policy_verdict *verdict)
{
	*verdict = (struct policy_verdict){ .action = VERDICT_PASS_ON, .cause = CAUSE_FALLBACK };
	return c->situation->sibling == SIBLING_AHEAD || c->situation->sibling == SIBLING_UNTRIED;
}

/*
 * Ahead of the limits: they count rounds over all endpoints, and one that answers
 * must not be given up.
 */
static bool another_endpoint_is_left(const struct case_file *c, struct policy_verdict *verdict)
{
	*verdict = (struct policy_verdict){ .action = VERDICT_NEXT_ENDPOINT };
	return c->situation->other_endpoint;
}

static bool sibling_spent_the_limits(const struct case_file *c, struct policy_verdict *verdict)
{
	*verdict = (struct policy_verdict){ .action = VERDICT_GIVE_UP, .cause = CAUSE_LIMIT };
	return c->situation->sibling == SIBLING_SPENT;
}

static bool retries_are_used_up(const struct case_file *c, struct policy_verdict *verdict)
{
	*verdict = (struct policy_verdict){ .action = VERDICT_GIVE_UP, .cause = CAUSE_LIMIT };
	return c->strategy->max_retries != RETRIES_UNLIMITED &&
	       c->situation->attempt > c->strategy->max_retries;
}

static bool deadline_has_passed(const struct case_file *c, struct policy_verdict *verdict)
{
	*verdict = (struct policy_verdict){ .action = VERDICT_GIVE_UP, .cause = CAUSE_DEADLINE };
	return c->remaining_ns == 0;
}

static bool breaker_denies(const struct case_file *c, struct policy_verdict *verdict)
{
	const struct policy_breaker *breaker = &c->settings->breaker;

	if (c->situation->breaker != BREAKER_OPEN || breaker->consecutive_failures == 0)
		return false;
	verdict->cause = CAUSE_BREAKER;
	if (breaker->when_open == WHEN_OPEN_FAIL) {
		verdict->action = VERDICT_GIVE_UP;
		verdict->delay_ns = 0;
	} else {
		verdict->action = VERDICT_RETRY_AFTER;
		verdict->delay_ns = deferred_delay(c);
	}
	return true;
}

static bool budget_denies(const struct case_file *c, struct policy_verdict *verdict)
{
	if (!c->situation->budget_empty || c->settings->budget.ratio < 0)
		return false;
	*verdict = (struct policy_verdict){ deferred_delay(c), VERDICT_RETRY_AFTER, CAUSE_BUDGET };
	return true;
}

static bool backoff_applies(const struct case_file *c, struct policy_verdict *verdict)
{
	uint64_t delay = next_delay(c);

	*verdict = (struct policy_verdict){
		.delay_ns = delay,
		.action = delay ? VERDICT_RETRY_AFTER : VERDICT_RETRY_NOW,
	};
	return true;
}

static bool (*const checks[])(const struct case_file *, struct policy_verdict *) = {
	category_is_final,        rebuilding_is_unsafe,     fallback_is_open,
	another_endpoint_is_left, sibling_spent_the_limits, retries_are_used_up,
	deadline_has_passed,      breaker_denies,           budget_denies,
	first_rebuild_is_due,     backoff_applies,
};

struct policy_verdict policy_decide(const struct policy *policy, int rule,
				    const struct policy_situation *situation)
{
	const struct policy_settings *settings = policy_settings(policy, rule);
	bool resolving = situation->operation == OPERATION_RESOLVE;
	const struct case_file c = {
		.settings = settings,
		.strategy = &settings->strategies[situation->category],
		.situation = situation,
		.remaining_ns = remaining(resolving ? settings->resolve.deadline_ns
						    : settings->connect.deadline_ns,
					  situation->elapsed_ns),
	};
	struct policy_verdict verdict = { 0 };

	for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++)
		if (checks[i](&c, &verdict))
			break;
	return verdict;
}

/* What an attempt that is cut short is judged by. */
static const struct policy_strategy *timeout_strategy(const struct policy_settings *settings)
{
	return &settings->strategies[policy_classify(settings, AF_INET, ETIMEDOUT)];
}

/* Whether an attempt that was cut short would be followed by another. */
static bool another_attempt_is_left(const struct policy_settings *settings, uint32_t attempt)
{
	const struct policy_strategy *strategy = timeout_strategy(settings);

	return strategy->decision != DECISION_NONE &&
	       (strategy->max_retries == RETRIES_UNLIMITED || attempt <= strategy->max_retries);
}

/* Of one that is not the first. */
static uint64_t later_bound(const struct policy_settings *settings, bool is_cut,
			    uint64_t elapsed_ns)
{
	uint64_t left = remaining(settings->connect.deadline_ns, elapsed_ns);

	if (left < LAST_ATTEMPT_NS)
		left = LAST_ATTEMPT_NS;
	return is_cut ? least(settings->connect.attempt_timeout_ns, left) : left;
}

uint64_t policy_attempt_bound(const struct policy_settings *settings, uint32_t attempt,
			      uint64_t elapsed_ns)
{
	const struct policy_connect *connect = &settings->connect;
	bool is_cut = another_attempt_is_left(settings, attempt);

	if (attempt <= 1)
		return is_cut && connect->first_attempt_bounded ? connect->attempt_timeout_ns
								: DURATION_OFF;
	return later_bound(settings, is_cut, elapsed_ns);
}

uint64_t policy_pool_bound(const struct policy_settings *settings,
			   const struct policy_situation *situation, bool is_first)
{
	bool is_cut = situation->other_endpoint
			      ? timeout_strategy(settings)->decision != DECISION_NONE
			      : another_attempt_is_left(settings, situation->attempt);

	if (is_first)
		return is_cut ? settings->connect.attempt_timeout_ns : DURATION_OFF;
	return later_bound(settings, is_cut, situation->elapsed_ns);
}
