/* SPDX-License-Identifier: MIT */
/* The shipped profiles' figures, merging of layers, and explain. */
#include <locale.h>

#include "policy_test.h"

#define UNLIMITED RETRIES_UNLIMITED

struct figures {
	const char *profile;
	enum policy_category category;
	enum policy_decision decision;
	uint32_t retries;
	uint64_t base, max;
	double factor, jitter;
};

#define ALL(profile, category)                                                             \
	{                                                                                  \
		profile, CATEGORY_##category, DECISION_BACKOFF, 5, 1 * S, 60 * S, 2.0, 0.1 \
	}

/* As the table of profiles says. */
static const struct figures figures[] = {
	ALL("standard", NETWORK),
	ALL("standard", SYSTEM),
	ALL("standard", TEMPORARY),
	ALL("standard", RATE_LIMIT),
	{ "development", CATEGORY_NETWORK, DECISION_BACKOFF, 5, 1 * S, 1 * M, 2.0, 0.1 },
	{ "production", CATEGORY_NETWORK, DECISION_BACKOFF, 10, 1 * S, 5 * M, 2.0, 0.1 },
	ALL("production", SYSTEM),
	{ "high_load", CATEGORY_NETWORK, DECISION_BACKOFF, 15, 500 * MS, 10 * M, 1.5, 0.2 },
	{ "tracking", CATEGORY_NETWORK, DECISION_BACKOFF, 4, 5 * S, 40 * S, 2.0, 0.1 },
	{ "tracking", CATEGORY_RATE_LIMIT, DECISION_DELAY, 3, 300 * S, 1800 * S, 2.0, 0.1 },
	{ "tracking", CATEGORY_TEMPORARY, DECISION_BACKOFF, 3, 60 * S, 300 * S, 2.0, 0.1 },
	{ "screenshot", CATEGORY_NETWORK, DECISION_IMMEDIATE, 5, 0, 10 * S, 1.2, 0.1 },
	{ "screenshot", CATEGORY_SYSTEM, DECISION_DELAY, 3, 60 * S, 300 * S, 2.0, 0.1 },
	{ "screenshot", CATEGORY_TEMPORARY, DECISION_BACKOFF, 3, 1 * S, 10 * S, 2.0, 0.1 },
	ALL("document", NETWORK),
	{ "document", CATEGORY_SYSTEM, DECISION_DELAY, 3, 60 * S, 300 * S, 2.0, 0.1 },
	{ "document", CATEGORY_TEMPORARY, DECISION_BACKOFF, 5, 1 * S, 30 * S, 2.0, 0.1 },
	{ "stream", CATEGORY_NETWORK, DECISION_BACKOFF, UNLIMITED, 1 * S, 30 * S, 2.0, 0.25 },
	ALL("stream", RATE_LIMIT),
};

static void test_strategies(void **state)
{
	for (size_t i = 0; i < COUNT(figures); i++) {
		const struct figures *f = &figures[i];
		const struct policy *policy = policy_profile(f->profile);
		const struct policy_strategy *strategy;

		assert_non_null(policy);
		strategy = &policy->defaults.strategies[f->category];
		assert_row(i, strategy->decision, f->decision);
		assert_row(i, strategy->max_retries, f->retries);
		assert_row(i, strategy->base_delay_ns, f->base);
		assert_row(i, strategy->max_delay_ns, f->max);
		assert_row(i, strategy->backoff_factor == f->factor, true);
		assert_row(i, strategy->jitter_ratio == f->jitter, true);
		assert_row(i, strategy->jitter, JITTER_RATIO);
	}
}

static const struct {
	const char *profile;
	uint64_t attempt_timeout, deadline, idle, interval, idle_timeout;
	uint32_t alert_failures, alert_reconnects;
} sections[] = {
	{ "standard", 30 * S, 5 * M, DURATION_OFF, 10 * S, DURATION_OFF, 5, 3 },
	{ "development", 30 * S, 5 * M, 30 * S, 10 * S, DURATION_OFF, 3, 2 },
	{ "production", 30 * S, 20 * M, 30 * S, 10 * S, DURATION_OFF, 5, 3 },
	{ "high_load", 15 * S, 15 * M, 15 * S, 5 * S, DURATION_OFF, 10, 5 },
	{ "tracking", 30 * S, 5 * M, DURATION_OFF, 10 * S, DURATION_OFF, 50, 3 },
	{ "screenshot", 30 * S, 5 * M, DURATION_OFF, 10 * S, DURATION_OFF, 50, 3 },
	{ "document", 30 * S, 10 * M, DURATION_OFF, 10 * S, DURATION_OFF, 50, 3 },
	{ "stream", 30 * S, DURATION_OFF, 30 * S, 10 * S, 60 * S, 5, 3 },
};

static void test_sections(void **state)
{
	static const enum policy_category never[] = { CATEGORY_AUTH, CATEGORY_DATA,
						      CATEGORY_PERMANENT, CATEGORY_UNKNOWN };

	for (size_t i = 0; i < COUNT(sections); i++) {
		const struct policy *policy = policy_profile(sections[i].profile);
		const struct policy_settings *settings;

		assert_non_null(policy);
		assert_true(policy_valid(policy, policy->size));
		assert_string_equal(policy_string(policy, policy->profile), sections[i].profile);
		assert_string_equal(policy_string(policy, policy->origin), "");
		settings = &policy->defaults;
		assert_row(i, settings->connect.attempt_timeout_ns, sections[i].attempt_timeout);
		assert_row(i, settings->connect.deadline_ns, sections[i].deadline);
		assert_row(i, settings->connect.siblings, SIBLINGS_PROBE);
		/* `standard` must cost nothing before the first failure. */
		assert_row(i, settings->connect.first_attempt_bounded, i > 0);
		assert_row(i, settings->heartbeat.idle_ns, sections[i].idle);
		assert_row(i, settings->heartbeat.interval_ns, sections[i].interval);
		assert_row(i, settings->heartbeat.count, 1);
		assert_row(i, settings->heartbeat.idle_timeout_ns, sections[i].idle_timeout);
		assert_row(i, policy->alerts.consecutive_failures, sections[i].alert_failures);
		assert_row(i, policy->alerts.reconnects, sections[i].alert_reconnects);
		assert_row(i, policy->store.retention_ns, 24 * H);
		assert_row(i, policy->store.max_size_bytes, 16 << 20);
		for (size_t n = 0; n < COUNT(never); n++)
			assert_row(i, settings->strategies[never[n]].decision, DECISION_NONE);
	}
}

static void test_names(void **state)
{
	unsigned int count = 0;

	assert_string_equal(policy_profile_name(0), "standard");
	for (; policy_profile_name(count); count++)
		assert_string_equal(
			policy_string(policy_profile(policy_profile_name(count)),
				      policy_profile(policy_profile_name(count))->profile),
			policy_profile_name(count));
	assert_int_equal(count, COUNT(sections));
	assert_null(policy_profile("nonsense"));
	assert_null(policy_profile(""));
}

/* standard -> profile -> defaults -> rule: objects merge, key by key. */
static void test_merge(void **state)
{
	struct policy *policy = compile_right(
		"{\"version\":1,\"profile\":\"production\",\"defaults\":{"
		"\"connect\":{\"deadline\":\"7m\"},"
		"\"strategies\":{\"network\":{\"base_delay\":\"2s\"}}},"
		"\"rules\":[{\"strategies\":{\"network\":{\"jitter\":\"full\"}}},"
		"{\"connect\":{\"attempt_timeout\":\"off\"}}]}");
	const struct policy_settings *first = policy_settings(policy, 0);
	const struct policy_strategy *network = &first->strategies[CATEGORY_NETWORK];

	assert_int_equal(first->connect.deadline_ns, 7 * M);  /* defaults */
	assert_int_equal(network->base_delay_ns, 2 * S);      /* defaults */
	assert_int_equal(network->max_retries, 10);           /* production */
	assert_int_equal(network->jitter, JITTER_FULL);       /* the rule */
	assert_int_equal(first->resolve.deadline_ns, 30 * S); /* standard */
	assert_int_equal(policy->defaults.strategies[CATEGORY_NETWORK].jitter, JITTER_RATIO);
	assert_true(policy_settings(policy, 1)->connect.attempt_timeout_ns == DURATION_OFF);
	assert_string_equal(policy_string(policy, policy_rule(policy, 1)->name), "rules[1]");
	free(policy);
}

static void test_bounded(void **state)
{
	static const struct {
		const char *json;
		bool defaults, rule;
	} cases[] = {
		{ "{\"version\":1,\"rules\":[{}]}", false, false },
		{ "{\"version\":1,\"profile\":\"standard\",\"rules\":[{}]}", false, false },
		{ "{\"version\":1,\"profile\":\"document\",\"rules\":[{}]}", true, true },
		{ "{\"version\":1,\"defaults\":{\"connect\":{\"deadline\":\"1s\"}},"
		  "\"rules\":[{}]}",
		  false, false },
		{ "{\"version\":1,\"defaults\":{\"connect\":{\"attempt_timeout\":\"30s\"}},"
		  "\"rules\":[{}]}",
		  true, true },
		{ "{\"version\":1,\"rules\":[{\"connect\":{\"attempt_timeout\":\"5s\"}}]}", false,
		  true },
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		struct policy *policy = compile_right(cases[i].json);

		assert_row(i, policy->defaults.connect.first_attempt_bounded, cases[i].defaults);
		assert_row(i, policy_settings(policy, 0)->connect.first_attempt_bounded,
			   cases[i].rule);
		free(policy);
	}
}

static void test_off(void **state)
{
	struct policy *policy = compile_right(
		"{\"version\":1,\"defaults\":{\"breaker\":{\"consecutive_failures\":\"off\"},"
		"\"budget\":{\"ratio\":\"off\"},\"resolve\":{\"deadline\":\"off\"},"
		"\"share\":{\"enabled\":false},\"transfer\":{\"record\":\"128B\"}},"
		"\"alerts\":{\"reconnects\":\"off\"},\"store\":{\"retention\":\"off\"}}");

	assert_int_equal(policy->defaults.breaker.consecutive_failures, 0);
	assert_true(policy->defaults.budget.ratio < 0);
	assert_true(policy->defaults.resolve.deadline_ns == DURATION_OFF);
	assert_int_equal(policy->defaults.share.enabled, 0);
	assert_int_equal(policy->defaults.transfer.record_length, 128);
	assert_int_equal(policy->alerts.reconnects, 0);
	assert_int_equal(policy->alerts.consecutive_failures, 5);
	assert_true(policy->store.retention_ns == DURATION_OFF);
	free(policy);
}

/* ---- explain ------------------------------------------------------------------ */

struct wanted {
	const char *key, *value;
	enum policy_layer layer;
	bool acted_on;
	unsigned int seen;
};

struct visit {
	struct wanted *wanted;
	size_t count, total;
};

static void wanted_check(const struct policy_key_value *value, void *data)
{
	struct visit *visit = data;

	visit->total++;
	for (size_t i = 0; i < visit->count; i++) {
		struct wanted *wanted = &visit->wanted[i];

		if (strcmp(wanted->key, value->key))
			continue;
		assert_string_equal(value->value, wanted->value);
		assert_row(i, value->layer, wanted->layer);
		assert_row(i, value->acted_on, wanted->acted_on);
		wanted->seen++;
	}
}

static const char explained[] =
	"{\"version\":1,\"profile\":\"high_load\",\"defaults\":{"
	"\"resolve\":{\"deadline\":\"1m\"},\"classify\":{\"EAI_FAIL\":\"temporary\"},"
	"\"strategies\":{\"network\":{\"jitter\":\"equal\"},"
	"\"system\":{\"max_retries\":\"unlimited\"}}},"
	"\"rules\":[{\"name\":\"r\",\"transfer\":{\"record\":\"2KiB\",\"max_buffer\":\"1MiB\"},"
	"\"classify\":{\"EWOULDBLOCK\":\"network\"}}]}";

static void test_explain(void **state)
{
	struct wanted wanted[] = {
		{ "connect.attempt_timeout", "\"15s\"", LAYER_PROFILE, true, 0 },
		{ "connect.deadline", "\"10s\"", LAYER_ENVIRONMENT, true, 0 },
		{ "connect.siblings", "\"probe\"", LAYER_STANDARD, true, 0 },
		{ "resolve.deadline", "\"10s\"", LAYER_ENVIRONMENT, true, 0 },
		{ "transfer.record", "\"2KiB\"", LAYER_RULE, true, 0 },
		{ "transfer.max_buffer", "\"1MiB\"", LAYER_RULE, true, 0 },
		{ "transfer.overlap", "\"0B\"", LAYER_STANDARD, true, 0 },
		{ "heartbeat.idle", "\"15s\"", LAYER_PROFILE, true, 0 },
		{ "heartbeat.user_timeout", "\"off\"", LAYER_STANDARD, true, 0 },
		{ "budget.ratio", "0.2", LAYER_STANDARD, false, 0 },
		{ "budget.min_per_second", "10", LAYER_STANDARD, false, 0 },
		{ "share.enabled", "true", LAYER_STANDARD, false, 0 },
		{ "strategies.network.jitter", "\"equal\"", LAYER_DEFAULTS, true, 0 },
		{ "strategies.network.backoff_factor", "1.5", LAYER_PROFILE, true, 0 },
		{ "strategies.network.max_retries", "15", LAYER_PROFILE, true, 0 },
		{ "strategies.system.max_retries", "\"unlimited\"", LAYER_DEFAULTS, true, 0 },
		{ "strategies.auth.decision", "\"none\"", LAYER_STANDARD, true, 0 },
		{ "classify.EAI_FAIL", "\"temporary\"", LAYER_DEFAULTS, true, 0 },
		{ "classify.EAGAIN", "\"network\"", LAYER_RULE, true, 0 },
	};
	struct visit visit = { wanted, COUNT(wanted), 0 };
	struct policy *policy = compile_right(explained);
	char error[128];

	assert_true(policy_override(policy, "HOLDFAST_DEADLINE", "10s", error, sizeof(error)));
	policy_explain(policy, 0, explained, strlen(explained), wanted_check, &visit);
	for (size_t i = 0; i < COUNT(wanted); i++)
		assert_row(i, wanted[i].seen, 1);
	/* 30 plain keys, 8 categories of 6, two classified errors. */
	assert_int_equal(visit.total, 30 + 48 + 2);
	free(policy);
}

/* Without a text: a shipped profile. */
static void test_explain_profile(void **state)
{
	struct wanted wanted[] = {
		{ "connect.deadline", "\"off\"", LAYER_PROFILE, true, 0 },
		{ "resolve.deadline", "\"30s\"", LAYER_STANDARD, true, 0 },
		{ "strategies.network.max_retries", "\"unlimited\"", LAYER_PROFILE, true, 0 },
		{ "strategies.network.jitter", "0.25", LAYER_PROFILE, true, 0 },
		{ "strategies.network.base_delay", "\"1s\"", LAYER_STANDARD, true, 0 },
	};
	struct visit visit = { wanted, COUNT(wanted), 0 };

	policy_explain(policy_profile("stream"), RULE_NONE, NULL, 0, wanted_check, &visit);
	for (size_t i = 0; i < COUNT(wanted); i++)
		assert_row(i, wanted[i].seen, 1);
	assert_int_equal(visit.total, 30 + 48);
}

static bool comma_locale_set(void)
{
	static const char *const locales[] = { "de_DE.UTF-8", "de_DE.utf8", "fr_FR.UTF-8" };

	for (size_t i = 0; i < COUNT(locales); i++)
		if (setlocale(LC_NUMERIC, locales[i]))
			return true;
	return false;
}

/* In a locale with a decimal comma 0.1 is still 0.1, read and written. */
static void test_decimal_comma(void **state)
{
	static const char json[] = "{\"version\":1,\"defaults\":{\"strategies\":{\"network\":"
				   "{\"jitter\":0.125}}}}";
	struct wanted wanted[] = {
		{ "strategies.network.jitter", "0.125", LAYER_DEFAULTS, true, 0 },
	};
	struct visit visit = { wanted, 1, 0 };
	struct policy_errors errors;
	struct policy *policy;

	assert_true(comma_locale_set());
	assert_string_equal(localeconv()->decimal_point, ",");
	policy = compile_right(json);
	assert_true(policy->defaults.strategies[CATEGORY_NETWORK].jitter_ratio == 0.125);
	policy_explain(policy, RULE_NONE, json, strlen(json), wanted_check, &visit);
	assert_int_equal(wanted[0].seen, 1);
	free(policy);
	policy = policy_compile("{\"version\":1.5}", 15, "", NULL, &errors);
	assert_null(policy);
	assert_string_equal(errors.list[0].message, "found 1.5, expected 1");
	policy_errors_free(&errors);
	setlocale(LC_NUMERIC, "C");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_strategies), cmocka_unit_test(test_sections),
		cmocka_unit_test(test_names),      cmocka_unit_test(test_merge),
		cmocka_unit_test(test_bounded),    cmocka_unit_test(test_off),
		cmocka_unit_test(test_explain),    cmocka_unit_test(test_explain_profile),
	};
	const struct CMUnitTest comma_tests[] = { cmocka_unit_test(test_decimal_comma) };

	/* tests/policy/locale.sh makes a locale and asks for this, or says why it cannot. */
	if (getenv("HFTEST_COMMA"))
		return cmocka_run_group_tests(comma_tests, NULL, NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
