/* SPDX-License-Identifier: MIT */
/*
 * Proves that no text makes the policy compiler misbehave, and that whatever it
 * accepts is a valid policy on which every pure function keeps its promises.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "policy/compile.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(condition)        \
	do {                      \
		if (!(condition)) \
			abort();  \
	} while (0)

static void decisions_try(const struct policy *policy, int rule)
{
	static const uint32_t attempts[] = { 1, 2, 3, 40, UINT32_MAX };
	static const uint64_t randoms[] = { 0, UINT64_MAX / 3, UINT64_MAX };
	const struct policy_settings *settings = policy_settings(policy, rule);

	for (unsigned int i = 0; i < CATEGORY_COUNT * 5 * 3; i++) {
		const struct policy_situation situation = {
			.operation = (uint8_t)(i % OPERATION_COUNT),
			.category = (uint8_t)(i % CATEGORY_COUNT),
			.breaker = (uint8_t)(i % 3),
			.budget_empty = i % 7 == 0,
			.error = 111,
			.attempt = attempts[i % 5],
			.previous_delay_ns = randoms[i % 3],
			.elapsed_ns = randoms[i % 2] / 1000,
			.random = randoms[i % 3],
		};
		const struct policy_verdict verdict = policy_decide(policy, rule, &situation);
		const uint64_t limit = situation.operation == OPERATION_RESOLVE
					       ? settings->resolve.deadline_ns
					       : settings->connect.deadline_ns;

		REQUIRE(verdict.action <= VERDICT_GIVE_UP && verdict.cause < CAUSE_COUNT);
		REQUIRE(verdict.delay_ns == 0 || verdict.action == VERDICT_RETRY_AFTER);
		REQUIRE(limit == DURATION_OFF || verdict.delay_ns == 0 ||
			verdict.delay_ns <= limit - situation.elapsed_ns);
		policy_attempt_bound(settings, situation.attempt, situation.elapsed_ns);
	}
}

static void matches_try(const struct policy *policy)
{
	struct policy_destination destination = {
		.exec_path = "/usr/bin/psql",
		.exe_path = "./a.out",
		.host = "Db.Internal.",
		.unix_path = "@name",
		.address = { [10] = 0xff, [11] = 0xff, 10, 0, 0, 5 },
		.port = 5432,
	};

	for (int i = 0; i < 4; i++) {
		int rule = policy_rule_find(policy, &destination);

		REQUIRE(rule == RULE_NONE || policy_rule(policy, rule));
		decisions_try(policy, rule);
		destination.is_unix = i & 1;
		if (i == 1)
			destination.host = destination.exec_path = NULL;
		memset(destination.address, i, sizeof(destination.address));
	}
}

static void key_look(const struct policy_key_value *value, void *data)
{
	REQUIRE(value->value[0] != '\0' && value->layer != LAYER_ENVIRONMENT);
	++*(unsigned int *)data;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct policy_errors errors;
	unsigned int visited = 0;
	struct policy *policy = policy_compile((const char *)data, size, "fuzz", NULL, &errors);

	REQUIRE((policy == NULL) == (errors.count > 0));
	for (size_t i = 0; i < errors.count; i++) {
		char line[2048];

		REQUIRE(policy_error_format(&errors.list[i], "fuzz", line, sizeof(line)) > 0);
	}
	if (policy) {
		REQUIRE(policy_valid(policy, policy->size));
		matches_try(policy);
		policy_explain(policy, policy->rule_count ? 0 : RULE_NONE, (const char *)data, size,
			       key_look, &visited);
		REQUIRE(visited > 0);
	}
	policy_errors_free(&errors);
	free(policy);
	return 0;
}
