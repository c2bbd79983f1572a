/* SPDX-License-Identifier: MIT */
/* The decision, over every category, decision and limit. */
#include "policy_test.h"

/* Limits that a row changes from: 3 retries of 1s doubled up to 60s, 1m; resolve 10s. */
static struct policy base_policy(void)
{
	struct policy policy = { .rule_count = 0 };
	struct policy_settings *settings = &policy.defaults;

	settings->connect.attempt_timeout_ns = 30 * S;
	settings->connect.deadline_ns = 1 * M;
	settings->resolve.deadline_ns = 10 * S;
	settings->breaker.consecutive_failures = 5;
	settings->budget.ratio = 0.2;
	settings->share.probe_interval_ns = 500 * MS;
	for (int i = 0; i < CATEGORY_COUNT; i++)
		settings->strategies[i] = (struct policy_strategy){
			.base_delay_ns = 1 * S,
			.max_delay_ns = 60 * S,
			.backoff_factor = 2,
			.max_retries = 3,
			.decision = DECISION_BACKOFF,
		};
	return policy;
}

#define NOW VERDICT_RETRY_NOW
#define AFTER VERDICT_RETRY_AFTER
#define NEXT VERDICT_NEXT_ENDPOINT
#define PASS VERDICT_PASS_ON
#define GIVE_UP VERDICT_GIVE_UP
#define UNLIMITED RETRIES_UNLIMITED

struct row {
	enum policy_decision decision;
	uint32_t max_retries;
	uint32_t attempt;
	uint64_t elapsed_ns;
	enum policy_operation operation;
	enum policy_breaker_state breaker;
	bool fail_when_open, budget_empty, other_endpoint;
	enum policy_sibling sibling;
	/* then */
	enum policy_action_taken action;
	enum policy_cause cause;
	uint64_t delay_ns;
};

#define CONNECT OPERATION_CONNECT, BREAKER_CLOSED, false, false, false, SIBLING_NONE
#define RESOLVE OPERATION_RESOLVE, BREAKER_CLOSED, false, false, false, SIBLING_NONE
#define RECONNECT OPERATION_RECONNECT, BREAKER_CLOSED, false, false, false, SIBLING_NONE
#define OPENED OPERATION_CONNECT, BREAKER_OPEN, false, false, false, SIBLING_NONE
#define OPEN_FAIL OPERATION_CONNECT, BREAKER_OPEN, true, false, false, SIBLING_NONE
#define HALF_OPEN OPERATION_CONNECT, BREAKER_HALF_OPEN, false, false, false, SIBLING_NONE
#define NO_BUDGET OPERATION_CONNECT, BREAKER_CLOSED, false, true, false, SIBLING_NONE
#define OTHER OPERATION_CONNECT, BREAKER_CLOSED, false, false, true, SIBLING_NONE
#define AHEAD OPERATION_CONNECT, BREAKER_CLOSED, false, false, false, SIBLING_AHEAD
#define UNTRIED OPERATION_CONNECT, BREAKER_CLOSED, false, false, false, SIBLING_UNTRIED
#define SPENT OPERATION_CONNECT, BREAKER_CLOSED, false, false, false, SIBLING_SPENT
/* Everything that could deny a retry does, and another endpoint is left. */
#define DENIED_AND_OTHER OPERATION_CONNECT, BREAKER_OPEN, true, true, true
#define DENIED OPERATION_CONNECT, BREAKER_OPEN, true, true, false

static const struct row rows[] = {
	/* Each decision on the first failure. */
	{ DECISION_NONE, 3, 1, 0, CONNECT, PASS, CAUSE_CATEGORY, 0 },
	{ DECISION_IMMEDIATE, 3, 1, 0, CONNECT, NOW, CAUSE_NONE, 0 },
	{ DECISION_DELAY, 3, 1, 0, CONNECT, AFTER, CAUSE_NONE, 1 * S },
	{ DECISION_BACKOFF, 3, 1, 0, CONNECT, AFTER, CAUSE_NONE, 1 * S },
	/* And later. */
	{ DECISION_IMMEDIATE, 3, 2, 0, CONNECT, AFTER, CAUSE_NONE, 100 * MS },
	{ DECISION_IMMEDIATE, 3, 3, 0, CONNECT, AFTER, CAUSE_NONE, 200 * MS },
	{ DECISION_DELAY, 3, 3, 0, CONNECT, AFTER, CAUSE_NONE, 4 * S },
	{ DECISION_BACKOFF, 3, 3, 0, CONNECT, AFTER, CAUSE_NONE, 4 * S },
	/* max_retries: the first attempt is not counted. */
	{ DECISION_BACKOFF, 3, 4, 0, CONNECT, GIVE_UP, CAUSE_LIMIT, 0 },
	{ DECISION_IMMEDIATE, 3, 4, 0, CONNECT, GIVE_UP, CAUSE_LIMIT, 0 },
	{ DECISION_DELAY, 3, UINT32_MAX, 0, CONNECT, GIVE_UP, CAUSE_LIMIT, 0 },
	{ DECISION_BACKOFF, 0, 1, 0, CONNECT, GIVE_UP, CAUSE_LIMIT, 0 },
	{ DECISION_BACKOFF, 1, 1, 0, CONNECT, AFTER, CAUSE_NONE, 1 * S },
	{ DECISION_BACKOFF, UNLIMITED, UINT32_MAX, 0, CONNECT, AFTER, CAUSE_NONE, 60 * S },
	{ DECISION_NONE, 0, 1, 0, CONNECT, PASS, CAUSE_CATEGORY, 0 },
	{ DECISION_NONE, UNLIMITED, 9, 2 * M, CONNECT, PASS, CAUSE_CATEGORY, 0 },
	/* The deadline: of connects, reconnects and lookups; delays are cut to it. */
	{ DECISION_BACKOFF, 3, 3, 56 * S, CONNECT, AFTER, CAUSE_NONE, 4 * S },
	{ DECISION_BACKOFF, 3, 3, 57 * S, CONNECT, AFTER, CAUSE_NONE, 3 * S },
	{ DECISION_BACKOFF, 3, 1, 60 * S - 1, CONNECT, AFTER, CAUSE_NONE, 1 },
	{ DECISION_BACKOFF, 3, 1, 60 * S, CONNECT, GIVE_UP, CAUSE_DEADLINE, 0 },
	{ DECISION_IMMEDIATE, 3, 1, 60 * S, CONNECT, GIVE_UP, CAUSE_DEADLINE, 0 },
	{ DECISION_BACKOFF, 3, 1, UINT64_MAX, CONNECT, GIVE_UP, CAUSE_DEADLINE, 0 },
	{ DECISION_BACKOFF, 3, 4, 60 * S, CONNECT, GIVE_UP, CAUSE_LIMIT, 0 },
	{ DECISION_BACKOFF, 3, 1, 60 * S, RECONNECT, GIVE_UP, CAUSE_DEADLINE, 0 },
	{ DECISION_BACKOFF, 3, 1, 59500 * MS, RECONNECT, AFTER, CAUSE_NONE, 500 * MS },
	{ DECISION_BACKOFF, 3, 1, 10 * S, RESOLVE, GIVE_UP, CAUSE_DEADLINE, 0 },
	{ DECISION_BACKOFF, 3, 3, 8 * S, RESOLVE, AFTER, CAUSE_NONE, 2 * S },
	{ DECISION_BACKOFF, 3, 1, 10 * S, CONNECT, AFTER, CAUSE_NONE, 1 * S },
	/* Denials defer: at least one turn of the shared probe, never past the limits. */
	{ DECISION_BACKOFF, 3, 1, 0, OPENED, AFTER, CAUSE_BREAKER, 1 * S },
	{ DECISION_IMMEDIATE, 3, 1, 0, OPENED, AFTER, CAUSE_BREAKER, 500 * MS },
	{ DECISION_BACKOFF, 3, 1, 60 * S - 7, OPENED, AFTER, CAUSE_BREAKER, 7 },
	{ DECISION_BACKOFF, 3, 4, 0, OPENED, GIVE_UP, CAUSE_LIMIT, 0 },
	{ DECISION_BACKOFF, 3, 1, 60 * S, OPENED, GIVE_UP, CAUSE_DEADLINE, 0 },
	{ DECISION_NONE, 3, 1, 0, OPENED, PASS, CAUSE_CATEGORY, 0 },
	{ DECISION_BACKOFF, 3, 1, 0, OPEN_FAIL, GIVE_UP, CAUSE_BREAKER, 0 },
	{ DECISION_BACKOFF, 3, 1, 0, HALF_OPEN, AFTER, CAUSE_NONE, 1 * S },
	{ DECISION_BACKOFF, 3, 2, 0, NO_BUDGET, AFTER, CAUSE_BUDGET, 2 * S },
	{ DECISION_IMMEDIATE, 3, 1, 0, NO_BUDGET, AFTER, CAUSE_BUDGET, 500 * MS },
	{ DECISION_BACKOFF, 0, 1, 0, NO_BUDGET, GIVE_UP, CAUSE_LIMIT, 0 },
	{ DECISION_NONE, 3, 1, 0, NO_BUDGET, PASS, CAUSE_CATEGORY, 0 },
	{ DECISION_BACKOFF, 3, 1, 0, OPERATION_CONNECT, BREAKER_OPEN, false, true, false,
	  SIBLING_NONE, AFTER, CAUSE_BREAKER, 1 * S },
	{ DECISION_BACKOFF, 3, 1, 0, OPERATION_CONNECT, BREAKER_CLOSED, true, true, false,
	  SIBLING_NONE, AFTER, CAUSE_BUDGET, 1 * S },
	/* Another endpoint is tried without waiting, whatever the limits and denials. */
	{ DECISION_BACKOFF, 3, 1, 0, OTHER, NEXT, CAUSE_NONE, 0 },
	{ DECISION_DELAY, 3, 3, 0, OTHER, NEXT, CAUSE_NONE, 0 },
	{ DECISION_IMMEDIATE, 3, 1, 0, OTHER, NEXT, CAUSE_NONE, 0 },
	{ DECISION_BACKOFF, 3, 4, 0, OTHER, NEXT, CAUSE_NONE, 0 },
	{ DECISION_BACKOFF, 0, 1, 0, OTHER, NEXT, CAUSE_NONE, 0 },
	{ DECISION_BACKOFF, 3, 1, 60 * S, OTHER, NEXT, CAUSE_NONE, 0 },
	{ DECISION_BACKOFF, 3, 1, 0, DENIED_AND_OTHER, SIBLING_NONE, NEXT, CAUSE_NONE, 0 },
	{ DECISION_BACKOFF, 3, 4, 60 * S, DENIED_AND_OTHER, SIBLING_SPENT, NEXT, CAUSE_NONE, 0 },
	{ DECISION_NONE, 3, 1, 0, OTHER, PASS, CAUSE_CATEGORY, 0 },
	/* A sibling that answers or is left to try: the program goes there by itself. */
	{ DECISION_BACKOFF, 3, 1, 0, AHEAD, PASS, CAUSE_FALLBACK, 0 },
	{ DECISION_IMMEDIATE, 3, 1, 0, AHEAD, PASS, CAUSE_FALLBACK, 0 },
	{ DECISION_DELAY, 3, 1, 0, AHEAD, PASS, CAUSE_FALLBACK, 0 },
	{ DECISION_BACKOFF, UNLIMITED, 1, 0, AHEAD, PASS, CAUSE_FALLBACK, 0 },
	{ DECISION_BACKOFF, 3, 4, 0, AHEAD, PASS, CAUSE_FALLBACK, 0 },
	{ DECISION_BACKOFF, 3, 1, 60 * S, AHEAD, PASS, CAUSE_FALLBACK, 0 },
	{ DECISION_NONE, 3, 1, 0, AHEAD, PASS, CAUSE_CATEGORY, 0 },
	{ DECISION_BACKOFF, 3, 1, 0, DENIED, SIBLING_AHEAD, PASS, CAUSE_FALLBACK, 0 },
	{ DECISION_BACKOFF, 3, 1, 0, DENIED_AND_OTHER, SIBLING_AHEAD, PASS, CAUSE_FALLBACK, 0 },
	{ DECISION_BACKOFF, 3, 1, 0, UNTRIED, PASS, CAUSE_FALLBACK, 0 },
	{ DECISION_IMMEDIATE, 3, 2, 0, UNTRIED, PASS, CAUSE_FALLBACK, 0 },
	{ DECISION_BACKOFF, 0, 1, 0, UNTRIED, PASS, CAUSE_FALLBACK, 0 },
	{ DECISION_BACKOFF, 3, 1, 60 * S, UNTRIED, PASS, CAUSE_FALLBACK, 0 },
	{ DECISION_NONE, 3, 1, 0, UNTRIED, PASS, CAUSE_CATEGORY, 0 },
	{ DECISION_BACKOFF, 3, 1, 0, DENIED, SIBLING_UNTRIED, PASS, CAUSE_FALLBACK, 0 },
	{ DECISION_BACKOFF, 3, 1, 0, DENIED_AND_OTHER, SIBLING_UNTRIED, PASS, CAUSE_FALLBACK, 0 },
	/* The name's limits are spent once, not once an address. */
	{ DECISION_BACKOFF, 3, 1, 0, SPENT, GIVE_UP, CAUSE_LIMIT, 0 },
	{ DECISION_IMMEDIATE, 3, 1, 0, SPENT, GIVE_UP, CAUSE_LIMIT, 0 },
	{ DECISION_DELAY, 3, 2, 0, SPENT, GIVE_UP, CAUSE_LIMIT, 0 },
	{ DECISION_BACKOFF, UNLIMITED, 1, 0, SPENT, GIVE_UP, CAUSE_LIMIT, 0 },
	{ DECISION_BACKOFF, 3, 1, 60 * S, SPENT, GIVE_UP, CAUSE_LIMIT, 0 },
	{ DECISION_BACKOFF, 3, 1, 0, DENIED, SIBLING_SPENT, GIVE_UP, CAUSE_LIMIT, 0 },
	{ DECISION_NONE, 3, 1, 0, SPENT, PASS, CAUSE_CATEGORY, 0 },
};

static struct policy_verdict row_decide(const struct row *row, int category)
{
	struct policy policy = base_policy();
	const struct policy_situation situation = {
		.operation = (uint8_t)row->operation,
		.category = (uint8_t)category,
		.breaker = (uint8_t)row->breaker,
		.sibling = (uint8_t)row->sibling,
		.budget_empty = row->budget_empty,
		.other_endpoint = row->other_endpoint,
		.error = 111,
		.attempt = row->attempt,
		.elapsed_ns = row->elapsed_ns,
		.random = 1,
	};

	/* Only the category in question: the others must not be looked at. */
	for (int i = 0; i < CATEGORY_COUNT; i++)
		policy.defaults.strategies[i].decision = DECISION_NONE;
	policy.defaults.strategies[category].decision = (uint8_t)row->decision;
	policy.defaults.strategies[category].max_retries = row->max_retries;
	policy.defaults.breaker.when_open = row->fail_when_open ? WHEN_OPEN_FAIL : WHEN_OPEN_WAIT;
	return policy_decide(&policy, RULE_NONE, &situation);
}

static void test_rows_in_every_category(void **state)
{
	for (size_t i = 0; i < COUNT(rows); i++) {
		for (int category = 0; category < CATEGORY_COUNT; category++) {
			struct policy_verdict verdict = row_decide(&rows[i], category);

			assert_row(i, verdict.action, rows[i].action);
			assert_row(i, verdict.cause, rows[i].cause);
			assert_row(i, verdict.delay_ns, rows[i].delay_ns);
		}
	}
}

static void test_without_limits(void **state)
{
	struct policy policy = base_policy();
	struct policy_situation situation = { .attempt = 2, .elapsed_ns = 8760 * H };
	struct policy_verdict verdict;

	policy.defaults.connect.deadline_ns = DURATION_OFF;
	verdict = policy_decide(&policy, RULE_NONE, &situation);
	assert_int_equal(verdict.action, VERDICT_RETRY_AFTER);
	assert_int_equal(verdict.delay_ns, 2 * S);

	/* No breaker and no budget in the policy: nothing that could deny. */
	policy.defaults.breaker.consecutive_failures = 0;
	policy.defaults.budget.ratio = -1;
	situation.breaker = BREAKER_OPEN;
	situation.budget_empty = true;
	verdict = policy_decide(&policy, RULE_NONE, &situation);
	assert_int_equal(verdict.cause, CAUSE_NONE);
	assert_int_equal(verdict.delay_ns, 2 * S);
}

/* The rule's settings decide, not the defaults. */
static void test_rule(void **state)
{
	struct policy *policy = compile_right(
		"{\"version\":1,\"rules\":[{\"name\":\"r\",\"connect\":{\"deadline\":\"2s\"},"
		"\"strategies\":{\"network\":{\"max_retries\":1,\"jitter\":0}}}]}");
	struct policy_situation situation = { .attempt = 2, .elapsed_ns = 1 * S };
	struct policy_verdict verdict = policy_decide(policy, 0, &situation);

	assert_int_equal(verdict.cause, CAUSE_LIMIT);
	assert_int_equal(policy_decide(policy, RULE_NONE, &situation).cause, CAUSE_NONE);
	situation.attempt = 1;
	assert_int_equal(policy_decide(policy, 0, &situation).delay_ns, 1 * S);
	situation.elapsed_ns = 2 * S;
	assert_int_equal(policy_decide(policy, 0, &situation).cause, CAUSE_DEADLINE);
	assert_int_equal(policy_decide(policy, RULE_NONE, &situation).cause, CAUSE_NONE);
	free(policy);
}

/* ---- connections that were lost ----------------------------------------------------------- */

/* max_attempts 3; attempt: tries to make it anew so far. */
struct lost {
	enum policy_replay replay;
	struct policy_loss loss;
	uint32_t attempt;
	uint64_t elapsed_ns;
	/* then */
	enum policy_action_taken action;
	enum policy_cause cause;
	uint64_t delay_ns;
};

#define NEVER REPLAY_NEVER
#define UNSENT REPLAY_UNSENT
#define UNANSWERED REPLAY_UNANSWERED
#define ONE_WAY REPLAY_ONE_WAY
#define MOVED .bytes_moved = 1

static const struct lost losses[] = {
	/* Nothing was moved: at once, and then as often as connects are retried. */
	{ UNSENT, { 0 }, 0, 0, NOW, CAUSE_NONE, 0 },
	{ UNSENT, { 0 }, 1, 0, AFTER, CAUSE_NONE, 1 * S },
	{ UNSENT, { 0 }, 3, 0, AFTER, CAUSE_NONE, 4 * S },
	{ UNSENT, { 0 }, 4, 0, GIVE_UP, CAUSE_LIMIT, 0 },
	{ UNSENT, { 0 }, 0, 60 * S, GIVE_UP, CAUSE_DEADLINE, 0 },
	{ UNSENT, { 0 }, 2, 59 * S, AFTER, CAUSE_NONE, 1 * S },
	{ UNANSWERED, { 0 }, 0, 0, NOW, CAUSE_NONE, 0 },
	{ ONE_WAY, { 0 }, 0, 0, NOW, CAUSE_NONE, 0 },
	{ NEVER, { 0 }, 0, 0, PASS, CAUSE_UNSAFE, 0 },
	/* Bytes were moved. */
	{ NEVER, { MOVED }, 0, 0, PASS, CAUSE_UNSAFE, 0 },
	{ UNSENT, { MOVED }, 0, 0, PASS, CAUSE_UNSAFE, 0 },
	{ UNSENT, { .bytes_moved = UINT64_MAX }, 1, 0, PASS, CAUSE_UNSAFE, 0 },
	{ UNANSWERED, { MOVED }, 0, 0, NOW, CAUSE_NONE, 0 },
	{ UNANSWERED, { MOVED }, 1, 0, AFTER, CAUSE_NONE, 1 * S },
	{ ONE_WAY, { MOVED }, 0, 0, NOW, CAUSE_NONE, 0 },
	/* An answer came; it is none where output goes one way. */
	{ UNANSWERED, { MOVED, .is_answered = true }, 0, 0, PASS, CAUSE_UNSAFE, 0 },
	{ ONE_WAY, { MOVED, .is_answered = true }, 0, 0, NOW, CAUSE_NONE, 0 },
	/* The exchange was sent again before: max_attempts counts the first time, too. */
	{ UNANSWERED, { MOVED, .exchanges = 1 }, 0, 0, NOW, CAUSE_NONE, 0 },
	{ UNANSWERED, { MOVED, .exchanges = 2 }, 0, 0, PASS, CAUSE_LIMIT, 0 },
	{ UNANSWERED, { MOVED, .exchanges = UINT32_MAX - 1 }, 0, 0, PASS, CAUSE_LIMIT, 0 },
	{ ONE_WAY, { MOVED, .exchanges = 9 }, 0, 0, NOW, CAUSE_NONE, 0 },
	/* It was not kept. */
	{ UNANSWERED, { MOVED, .is_overflowed = true }, 0, 0, PASS, CAUSE_BUFFER, 0 },
	{ ONE_WAY, { MOVED, .is_overflowed = true }, 0, 0, PASS, CAUSE_BUFFER, 0 },
	{ UNANSWERED,
	  { MOVED, .is_answered = true, .is_overflowed = true },
	  0,
	  0,
	  PASS,
	  CAUSE_UNSAFE,
	  0 },
	/* Never, whatever the policy says. */
	{ UNSENT, { .is_shared = true }, 0, 0, PASS, CAUSE_UNSAFE, 0 },
	{ UNSENT, { .is_half_closed = true }, 0, 0, PASS, CAUSE_UNSAFE, 0 },
	{ UNSENT, { .is_immovable = true }, 0, 0, PASS, CAUSE_UNSAFE, 0 },
	{ UNANSWERED, { MOVED, .is_shared = true }, 0, 0, PASS, CAUSE_UNSAFE, 0 },
	{ UNANSWERED, { MOVED, .is_half_closed = true }, 0, 0, PASS, CAUSE_UNSAFE, 0 },
	{ UNANSWERED, { MOVED, .is_session = true }, 0, 0, PASS, CAUSE_UNSAFE, 0 },
	{ ONE_WAY, { MOVED, .is_session = true }, 0, 0, PASS, CAUSE_UNSAFE, 0 },
	{ ONE_WAY, { MOVED, .is_shared = true }, 0, 0, PASS, CAUSE_UNSAFE, 0 },
	{ ONE_WAY, { MOVED, .is_immovable = true }, 0, 0, PASS, CAUSE_UNSAFE, 0 },
	{ ONE_WAY, { MOVED, .is_half_closed = true }, 4, 60 * S, PASS, CAUSE_UNSAFE, 0 },
};

static struct policy_verdict lost_decide(const struct lost *lost, enum policy_decision decision)
{
	struct policy policy = base_policy();
	struct policy_situation situation = {
		.operation = OPERATION_RECONNECT,
		.category = CATEGORY_NETWORK,
		.error = 104,
		.attempt = lost->attempt,
		.elapsed_ns = lost->elapsed_ns,
		.loss = &lost->loss,
	};

	policy.defaults.transfer.replay = (uint8_t)lost->replay;
	policy.defaults.transfer.max_attempts = 3;
	policy.defaults.strategies[CATEGORY_NETWORK].decision = (uint8_t)decision;
	return policy_decide(&policy, RULE_NONE, &situation);
}

static void test_losses(void **state)
{
	for (size_t i = 0; i < COUNT(losses); i++) {
		struct policy_verdict verdict = lost_decide(&losses[i], DECISION_BACKOFF);

		assert_row(i, verdict.action, losses[i].action);
		assert_row(i, verdict.cause, losses[i].cause);
		assert_row(i, verdict.delay_ns, losses[i].delay_ns);
		/* And where the errno's category is none to be retried. */
		verdict = lost_decide(&losses[i], DECISION_NONE);
		assert_row(i, verdict.action, VERDICT_PASS_ON);
		assert_row(i, verdict.cause, CAUSE_CATEGORY);
	}
}

struct bound {
	uint64_t attempt_timeout, deadline;
	uint8_t bounded;
	uint32_t attempt;
	uint64_t elapsed, expected;
};

static const struct bound bounds[] = {
	/* The first: by attempt_timeout if somebody chose one, never by the deadline. */
	{ 30 * S, 5 * M, 0, 1, 0, DURATION_OFF },
	{ 30 * S, 5 * M, 1, 1, 0, 30 * S },
	{ 30 * S, 1 * S, 1, 1, 0, 30 * S },
	{ DURATION_OFF, 1 * S, 1, 1, 0, DURATION_OFF },
	/* Later ones: by what is left, with a round trip for the one at the deadline. */
	{ 30 * S, 5 * M, 0, 2, 0, 30 * S },
	{ 30 * S, 5 * M, 1, 2, 290 * S, 10 * S },
	{ 30 * S, 5 * M, 1, 5, 300 * S, 250 * MS },
	{ 30 * S, 5 * M, 1, 9, 400 * S, 250 * MS },
	{ 30 * S, 5 * M, 1, 5, 300 * S - 251 * MS, 251 * MS },
	/* The last of six: cut by the deadline alone. */
	{ 30 * S, 5 * M, 1, 5, 0, 30 * S },
	{ 30 * S, 5 * M, 1, 6, 0, 5 * M },
	{ 30 * S, DURATION_OFF, 1, 6, 0, DURATION_OFF },
	{ 30 * S, DURATION_OFF, 1, 2, 9 * H, 30 * S },
	{ DURATION_OFF, 5 * M, 1, 2, 4 * M, 1 * M },
	{ DURATION_OFF, DURATION_OFF, 1, 2, 4 * M, DURATION_OFF },
	/* A shorter attempt_timeout is the user's word. */
	{ 100 * MS, 5 * M, 1, 2, 0, 100 * MS },
};

static void test_attempt_bound(void **state)
{
	for (size_t i = 0; i < COUNT(bounds); i++) {
		const struct bound *b = &bounds[i];
		struct policy_settings settings = {
			.connect = {
				.attempt_timeout_ns = b->attempt_timeout,
				.deadline_ns = b->deadline,
				.first_attempt_bounded = b->bounded,
			},
		};

		settings.strategies[CATEGORY_NETWORK].decision = DECISION_BACKOFF;
		settings.strategies[CATEGORY_NETWORK].max_retries = 5;
		assert_row(i, policy_attempt_bound(&settings, b->attempt, b->elapsed), b->expected);
	}
}

/* Nothing follows the first attempt: there is nothing to cut it short for. */
static void test_only_attempt(void **state)
{
	struct policy_settings settings = {
		.connect = {
			.attempt_timeout_ns = 1 * S,
			.deadline_ns = 5 * M,
			.first_attempt_bounded = 1,
		},
	};

	settings.strategies[CATEGORY_NETWORK].decision = DECISION_NONE;
	settings.strategies[CATEGORY_NETWORK].max_retries = 5;
	assert_true(policy_attempt_bound(&settings, 1, 0) == DURATION_OFF);
	settings.strategies[CATEGORY_NETWORK].decision = DECISION_BACKOFF;
	assert_int_equal(policy_attempt_bound(&settings, 1, 0), 1 * S);
	settings.strategies[CATEGORY_NETWORK].max_retries = 0;
	assert_true(policy_attempt_bound(&settings, 1, 0) == DURATION_OFF);
	settings.strategies[CATEGORY_NETWORK].max_retries = RETRIES_UNLIMITED;
	assert_int_equal(policy_attempt_bound(&settings, 1, 0), 1 * S);
}

/* A pool: the limits and the delays count rounds, and nothing is waited for within one. */
static void test_rounds(void **state)
{
	static const enum policy_action_taken expected[3][3] = {
		{ NEXT, NEXT, AFTER },
		{ NEXT, NEXT, AFTER },
		{ NEXT, NEXT, GIVE_UP },
	};
	struct policy policy = base_policy();

	policy.defaults.strategies[CATEGORY_NETWORK].max_retries = 2;
	for (uint32_t i = 0; i < 9; i++) {
		struct policy_situation situation = {
			.category = CATEGORY_NETWORK,
			.other_endpoint = i % 3 < 2,
			.error = 111,
			.attempt = i / 3 + 1,
			.elapsed_ns = i * S,
		};
		struct policy_verdict verdict = policy_decide(&policy, RULE_NONE, &situation);

		assert_row(i, verdict.action, expected[i / 3][i % 3]);
		assert_row(i, verdict.delay_ns, verdict.action == AFTER ? (i / 3 + 1) * S : 0);
		assert_row(i, verdict.cause, verdict.action == GIVE_UP ? CAUSE_LIMIT : CAUSE_NONE);
	}
}

struct pool_bound {
	uint64_t attempt_timeout, deadline;
	uint32_t max_retries;
	bool is_first, other_endpoint;
	uint32_t round;
	uint64_t elapsed, expected;
};

static const struct pool_bound pool_bounds[] = {
	/* The first: whoever chose attempt_timeout, never by the deadline. */
	{ 30 * S, 5 * M, 5, true, true, 1, 0, 30 * S },
	{ 30 * S, 1 * S, 5, true, true, 1, 0, 30 * S },
	{ 30 * S, 5 * M, 0, true, true, 1, 0, 30 * S },
	{ DURATION_OFF, 5 * M, 5, true, true, 1, 0, DURATION_OFF },
	/* A pool of one. */
	{ 30 * S, 5 * M, 5, true, false, 1, 0, 30 * S },
	{ 30 * S, 5 * M, 0, true, false, 1, 0, DURATION_OFF },
	/* Later ones: as long as another endpoint or another round is left. */
	{ 30 * S, 5 * M, 0, false, true, 1, 30 * S, 30 * S },
	{ 30 * S, 5 * M, 0, false, false, 1, 30 * S, 270 * S },
	{ 30 * S, 5 * M, 1, false, false, 1, 30 * S, 30 * S },
	{ 30 * S, 5 * M, 1, false, true, 2, 60 * S, 30 * S },
	{ 30 * S, 5 * M, 1, false, false, 2, 60 * S, 4 * M },
	{ 30 * S, DURATION_OFF, 1, false, false, 2, 60 * S, DURATION_OFF },
	/* By what is left, with a round trip at the deadline. */
	{ 30 * S, 5 * M, 5, false, true, 1, 290 * S, 10 * S },
	{ 30 * S, 5 * M, 5, false, true, 1, 400 * S, 250 * MS },
	{ DURATION_OFF, 5 * M, 5, false, true, 2, 4 * M, 1 * M },
};

static void test_pool_bound(void **state)
{
	for (size_t i = 0; i < COUNT(pool_bounds); i++) {
		const struct pool_bound *b = &pool_bounds[i];
		const struct policy_situation situation = {
			.other_endpoint = b->other_endpoint,
			.attempt = b->round,
			.elapsed_ns = b->elapsed,
		};
		struct policy_settings settings = {
			.connect = {
				.attempt_timeout_ns = b->attempt_timeout,
				.deadline_ns = b->deadline,
			},
		};

		settings.strategies[CATEGORY_NETWORK].decision = DECISION_BACKOFF;
		settings.strategies[CATEGORY_NETWORK].max_retries = b->max_retries;
		assert_row(i, policy_pool_bound(&settings, &situation, b->is_first), b->expected);
		/* A timeout that is not retried is the program's: nothing is cut short for it. */
		settings.strategies[CATEGORY_NETWORK].decision = DECISION_NONE;
		if (b->is_first)
			assert_true(policy_pool_bound(&settings, &situation, true) == DURATION_OFF);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows_in_every_category),
		cmocka_unit_test(test_losses),
		cmocka_unit_test(test_without_limits),
		cmocka_unit_test(test_rule),
		cmocka_unit_test(test_attempt_bound),
		cmocka_unit_test(test_only_attempt),
		cmocka_unit_test(test_rounds),
		cmocka_unit_test(test_pool_bound),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
