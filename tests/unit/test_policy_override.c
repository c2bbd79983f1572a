/* SPDX-License-Identifier: MIT */
/* Overrides by environment variables: what they change, what they leave, what they refuse. */
#include "policy_test.h"

static const char two_rules[] =
	"{\"version\":1,\"rules\":[{\"name\":\"a\"},{\"name\":\"b\",\"strategies\":"
	"{\"auth\":{\"decision\":\"backoff\"},\"network\":{\"decision\":\"none\"}}}]}";

static void override(struct policy *policy, const char *name, const char *value)
{
	char error[256];

	if (!policy_override(policy, name, value, error, sizeof(error)))
		fail_msg("%s=%s: %s", name, value, error);
	assert_string_equal(error, "");
}

/* All retried categories, in the defaults and in every rule; the others stay as they are. */
static void test_all_categories(void **state)
{
	struct policy *policy = compile_right(two_rules);
	struct policy *before = compile_right(two_rules);

	override(policy, "HOLDFAST_MAX_RETRIES", "7");
	override(policy, "HOLDFAST_BASE_DELAY", "20ms");
	override(policy, "HOLDFAST_MAX_DELAY", "3s");
	override(policy, "HOLDFAST_BACKOFF_FACTOR", "1.5");
	override(policy, "HOLDFAST_JITTER", "0.25");
	for (int rule = RULE_NONE; rule < 2; rule++) {
		const struct policy_strategy *now = policy_settings(policy, rule)->strategies;
		const struct policy_strategy *then = policy_settings(before, rule)->strategies;

		for (int i = 0; i < CATEGORY_COUNT; i++) {
			if (then[i].decision == DECISION_NONE) {
				assert_memory_equal(&now[i], &then[i], sizeof(now[i]));
				continue;
			}
			assert_int_equal(now[i].max_retries, 7);
			assert_int_equal(now[i].base_delay_ns, 20 * MS);
			assert_int_equal(now[i].max_delay_ns, 3 * S);
			assert_true(now[i].backoff_factor == 1.5);
			assert_true(now[i].jitter_ratio == 0.25);
			assert_int_equal(now[i].jitter, JITTER_RATIO);
			assert_int_equal(now[i].decision, then[i].decision);
		}
	}
	/* The rows above saw both kinds. */
	assert_int_equal(policy_settings(policy, 1)->strategies[CATEGORY_AUTH].max_retries, 7);
	assert_int_equal(policy_settings(policy, 1)->strategies[CATEGORY_NETWORK].max_retries, 5);
	free(policy);
	free(before);
}

static void test_one_category(void **state)
{
	struct policy *policy = compile_right(two_rules);
	const struct policy_strategy *strategies = policy->defaults.strategies;

	override(policy, "HOLDFAST_NETWORK_MAX_RETRIES", "unlimited");
	override(policy, "HOLDFAST_RATE_LIMIT_JITTER", "decorrelated");
	override(policy, "HOLDFAST_SYSTEM_MAX_DELAY", "2m");
	override(policy, "HOLDFAST_AUTH_MAX_RETRIES", "9");
	assert_int_equal(strategies[CATEGORY_NETWORK].max_retries, RETRIES_UNLIMITED);
	assert_int_equal(strategies[CATEGORY_SYSTEM].max_retries, 5);
	assert_int_equal(strategies[CATEGORY_RATE_LIMIT].jitter, JITTER_DECORRELATED);
	assert_int_equal(strategies[CATEGORY_NETWORK].jitter, JITTER_RATIO);
	assert_int_equal(strategies[CATEGORY_SYSTEM].max_delay_ns, 2 * M);
	assert_int_equal(strategies[CATEGORY_NETWORK].max_delay_ns, 1 * M);
	/* auth is not retried by default; rule b chose to. */
	assert_int_equal(strategies[CATEGORY_AUTH].max_retries, 5);
	assert_int_equal(policy_settings(policy, 1)->strategies[CATEGORY_AUTH].max_retries, 9);
	free(policy);
}

static void test_deadline(void **state)
{
	struct policy *policy = compile_right(two_rules);

	override(policy, "HOLDFAST_DEADLINE", "90s");
	for (int rule = RULE_NONE; rule < 2; rule++) {
		assert_int_equal(policy_settings(policy, rule)->connect.deadline_ns, 90 * S);
		assert_int_equal(policy_settings(policy, rule)->resolve.deadline_ns, 90 * S);
		assert_int_equal(policy_settings(policy, rule)->connect.first_attempt_bounded, 0);
	}
	override(policy, "HOLDFAST_DEADLINE", "off");
	assert_true(policy->defaults.connect.deadline_ns == DURATION_OFF);
	free(policy);
}

/* Other variables change nothing and are no errors. */
static void test_ignored(void **state)
{
	static const char *const names[] = {
		"HOLDFAST_POLICY",
		"HOLDFAST_STATE_DIR",
		"HOLDFAST_RUN",
		"PATH",
		"HOLDFAS",
		"holdfast_max_retries",
		"",
	};
	static const char *const legal[][2] = {
		{ "HOLDFAST_LOG", "off" },   { "HOLDFAST_LOG", "error" },
		{ "HOLDFAST_LOG", "info" },  { "HOLDFAST_LOG", "debug" },
		{ "HOLDFAST_LOG", "" },      { "HOLDFAST_ENABLED", "1" },
		{ "HOLDFAST_ENABLED", "0" }, { "HOLDFAST_ENABLED", "" },
	};
	struct policy *policy = compile_right(two_rules);
	struct policy *before = compile_right(two_rules);

	for (size_t i = 0; i < COUNT(names); i++)
		override(policy, names[i], "nonsense");
	for (size_t i = 0; i < COUNT(legal); i++)
		override(policy, legal[i][0], legal[i][1]);
	assert_memory_equal(policy, before, policy->size);
	free(policy);
	free(before);
}

#define KNOWN                                                                                 \
	", expected HOLDFAST_MAX_RETRIES, _BASE_DELAY, _MAX_DELAY, _BACKOFF_FACTOR, _JITTER " \
	"or _DEADLINE"
#define RETRIES ", expected an integer from 0 to 4294967294, or unlimited"
#define DELAY ", expected a duration from 1ms to 8760h, such as "
#define FACTOR ", expected a number from 1 to 1000, such as 2.0"
#define JITTERS ", expected a number from 0 to 1, full, equal or decorrelated"
#define DEADLINES ", expected a duration up to 8760h, such as 30s, or off"

static const struct {
	const char *name, *value, *error;
} bad[] = {
	{ "HOLDFAST_LOG", "loud", "found \"loud\", expected off, error, info or debug" },
	{ "HOLDFAST_ENABLED", "no", "found \"no\", expected 0 or 1" },
	{ "HOLDFAST_MAX_RETRIES", "", "found \"\"" RETRIES },
	{ "HOLDFAST_MAX_RETRIES", "-1", "found \"-1\"" RETRIES },
	{ "HOLDFAST_MAX_RETRIES", "3.5", "found \"3.5\"" RETRIES },
	{ "HOLDFAST_MAX_RETRIES", "4294967295", "found \"4294967295\"" RETRIES },
	{ "HOLDFAST_NETWORK_MAX_RETRIES", "many", "found \"many\"" RETRIES },
	{ "HOLDFAST_AUTH_MAX_RETRIES", "many", "found \"many\"" RETRIES },
	{ "HOLDFAST_BASE_DELAY", "5", "found \"5\"" DELAY "500ms" },
	{ "HOLDFAST_BASE_DELAY", "0s", "found \"0s\"" DELAY "500ms" },
	{ "HOLDFAST_MAX_DELAY", "8761h", "found \"8761h\"" DELAY "30s" },
	{ "HOLDFAST_MAX_DELAY", "off", "found \"off\"" DELAY "30s" },
	{ "HOLDFAST_BACKOFF_FACTOR", "0.5", "found \"0.5\"" FACTOR },
	{ "HOLDFAST_BACKOFF_FACTOR", "1,5", "found \"1,5\"" FACTOR },
	{ "HOLDFAST_BACKOFF_FACTOR", "nan", "found \"nan\"" FACTOR },
	{ "HOLDFAST_JITTER", "1.1", "found \"1.1\"" JITTERS },
	{ "HOLDFAST_JITTER", "ratio", "found \"ratio\"" JITTERS },
	{ "HOLDFAST_DEADLINE", "unlimited", "found \"unlimited\"" DEADLINES },
	{ "HOLDFAST_MAX_RETRYS", "3",
	  "found the unknown variable \"HOLDFAST_MAX_RETRYS\"" KNOWN
	  "; did you mean HOLDFAST_MAX_RETRIES?" },
	{ "HOLDFAST_NETWORK_JITER", "1",
	  "found the unknown variable \"HOLDFAST_NETWORK_JITER\"" KNOWN
	  "; did you mean HOLDFAST_NETWORK_JITTER?" },
	{ "HOLDFAST_STATEDIR", "/x",
	  "found the unknown variable \"HOLDFAST_STATEDIR\"" KNOWN
	  "; did you mean HOLDFAST_STATE_DIR?" },
	{ "HOLDFAST_NETWORK_DEADLINE", "1s",
	  "found the unknown variable \"HOLDFAST_NETWORK_DEADLINE\"" KNOWN },
	{ "HOLDFAST_", "1", "found the unknown variable \"HOLDFAST_\"" KNOWN },
	{ "HOLDFAST_NETWORK", "1", "found the unknown variable \"HOLDFAST_NETWORK\"" KNOWN },
};

static void test_refused(void **state)
{
	struct policy *policy = compile_right(two_rules);
	struct policy *before = compile_right(two_rules);

	for (size_t i = 0; i < COUNT(bad); i++) {
		char error[256] = "";

		if (policy_override(policy, bad[i].name, bad[i].value, error, sizeof(error)))
			fail_msg("%s=%s was accepted", bad[i].name, bad[i].value);
		assert_string_equal(error, bad[i].error);
		/* A small buffer is not overrun. */
		memset(error, '#', sizeof(error));
		policy_override(policy, bad[i].name, bad[i].value, error, 10);
		assert_int_equal(strlen(error), 9);
		assert_int_equal(error[10], '#');
	}
	assert_memory_equal(policy, before, policy->size);
	free(policy);
	free(before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_categories), cmocka_unit_test(test_one_category),
		cmocka_unit_test(test_deadline),       cmocka_unit_test(test_ignored),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
