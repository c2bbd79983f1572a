/* SPDX-License-Identifier: MIT */
/*
 * policy/schema.json says of keys, words and ranges what the compiler's table of
 * keys says, and the example policy and every profile compile.
 */
#include <cjson/cJSON.h>

#include "policy/compile/keys.h"
#include "policy/limits.h"
#include "policy_test.h"

#define TEXT_MAX (256 << 10)

#ifndef SOURCE_DIR
#define SOURCE_DIR "."
#endif

static cJSON *schema;

static char *file_read(const char *name)
{
	const char *source = getenv("HOLDFAST_SOURCE");
	char path[4096], *text = calloc(1, TEXT_MAX);
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", source ? source : SOURCE_DIR, name);
	file = fopen(path, "rb");
	if (!file || fread(text, 1, TEXT_MAX - 1, file) == 0)
		fail_msg("cannot read %s", path);
	fclose(file);
	return text;
}

static int schema_load(void **state)
{
	char *text = file_read("policy/schema.json");

	schema = cJSON_Parse(text);
	free(text);
	return schema ? 0 : -1;
}

static int schema_free(void **state)
{
	cJSON_Delete(schema);
	return 0;
}

static const cJSON *get(const cJSON *object, const char *name)
{
	const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);

	if (!item)
		fail_msg("the schema has no %s", name);
	return item;
}

static const cJSON *definition(const char *name)
{
	return name ? get(get(schema, "definitions"), name) : schema;
}

/* ---- the keys of every object --------------------------------------------------- */

/* A policy with one key that nobody knows: the message names those that are known. */
static const struct {
	const char *definition; /* NULL: the whole schema */
	const char *policy;
} objects[] = {
	{ NULL, "{\"version\":1,\"zzzzzz\":1}" },
	{ "settings", "{\"version\":1,\"defaults\":{\"zzzzzz\":1}}" },
	{ "connect", "{\"version\":1,\"defaults\":{\"connect\":{\"zzzzzz\":1}}}" },
	{ "resolve", "{\"version\":1,\"defaults\":{\"resolve\":{\"zzzzzz\":1}}}" },
	{ "strategies", "{\"version\":1,\"defaults\":{\"strategies\":{\"zzzzzz\":1}}}" },
	{ "strategy", "{\"version\":1,\"defaults\":{\"strategies\":{\"data\":{\"zzzzzz\":1}}}}" },
	{ "transfer", "{\"version\":1,\"defaults\":{\"transfer\":{\"zzzzzz\":1}}}" },
	{ "heartbeat", "{\"version\":1,\"defaults\":{\"heartbeat\":{\"zzzzzz\":1}}}" },
	{ "breaker", "{\"version\":1,\"defaults\":{\"breaker\":{\"zzzzzz\":1}}}" },
	{ "budget", "{\"version\":1,\"defaults\":{\"budget\":{\"zzzzzz\":1}}}" },
	{ "share", "{\"version\":1,\"defaults\":{\"share\":{\"zzzzzz\":1}}}" },
	{ "alerts", "{\"version\":1,\"alerts\":{\"zzzzzz\":1}}" },
	{ "store", "{\"version\":1,\"store\":{\"zzzzzz\":1}}" },
	{ "rule", "{\"version\":1,\"rules\":[{\"zzzzzz\":1}]}" },
	{ "match", "{\"version\":1,\"rules\":[{\"match\":{\"zzzzzz\":1}}]}" },
	{ "pool", "{\"version\":1,\"pools\":{\"p\":{\"endpoints\":[\"[::1]:1\"],"
		  "\"zzzzzz\":1}}}" },
};

static void test_keys(void **state)
{
	for (size_t i = 0; i < COUNT(objects); i++) {
		const cJSON *object = definition(objects[i].definition), *property;
		struct policy_errors errors;
		unsigned int listed = 0, properties = 0;

		assert_null(policy_compile(objects[i].policy, strlen(objects[i].policy), "", NULL,
					   &errors));
		assert_row(i, errors.count, 1);
		assert_true(cJSON_IsFalse(get(object, "additionalProperties")));
		cJSON_ArrayForEach(property, get(object, "properties"))
		{
			char quoted[64];

			snprintf(quoted, sizeof(quoted), "\"%s\"", property->string);
			if (!strstr(errors.list[0].message, quoted))
				fail_msg("%s is in the schema, but not in: %s", quoted,
					 errors.list[0].message);
			properties++;
		}
		for (const char *at = errors.list[0].message; (at = strchr(at, '"')); at++)
			listed++;
		assert_row(i, listed, 2 * properties);
		policy_errors_free(&errors);
	}
}

/* ---- words and ranges -------------------------------------------------------------- */

/* The alternative of a property for which test is true; NULL if there is none. */
static const cJSON *alternative(const cJSON *property, const char *name)
{
	const cJSON *choices = cJSON_GetObjectItemCaseSensitive(property, "anyOf"), *choice;

	if (!choices)
		return cJSON_GetObjectItemCaseSensitive(property, name);
	cJSON_ArrayForEach(choice, choices) if (
		cJSON_GetObjectItemCaseSensitive(
			choice, name)) return cJSON_GetObjectItemCaseSensitive(choice, name);
	return NULL;
}

static void words_check(const cJSON *list, const struct words *words)
{
	assert_non_null(list);
	assert_int_equal(cJSON_GetArraySize(list), words->count);
	for (int i = 0; i < cJSON_GetArraySize(list); i++)
		assert_string_equal(cJSON_GetArrayItem(list, i)->valuestring, words->list[i]);
}

static void range_check(const cJSON *property, const struct key *key, const char *type)
{
	const cJSON *low = alternative(property, "minimum"),
		    *high = alternative(property, "maximum");

	assert_non_null(low);
	assert_non_null(high);
	assert_true(low->valuedouble == key->low && high->valuedouble == key->high);
	assert_string_equal(alternative(property, "type")->valuestring, type);
}

static void constant_check(const cJSON *property, const char *word)
{
	const cJSON *constant = alternative(property, "const");

	assert_non_null(constant);
	assert_string_equal(constant->valuestring, word);
}

static void reference_check(const cJSON *property, const char *name)
{
	const cJSON *reference = alternative(property, "$ref");
	char expected[64];

	snprintf(expected, sizeof(expected), "#/definitions/%s", name);
	assert_non_null(reference);
	assert_string_equal(reference->valuestring, expected);
}

static void key_check(const struct key *key, const cJSON *property)
{
	switch (key->type) {
	case KEY_DURATION:
		reference_check(property, key->can_be_off ? "durationOrOff" : "duration");
		return;
	case KEY_SIZE:
		reference_check(property, "size");
		return;
	case KEY_RECORD:
		reference_check(property, "size");
		constant_check(property, "newline");
		return;
	case KEY_RETRIES:
		range_check(property, key, "integer");
		constant_check(property, "unlimited");
		return;
	case KEY_COUNT:
		range_check(property, key, "integer");
		break;
	case KEY_NUMBER:
		range_check(property, key, "number");
		break;
	case KEY_JITTER:
		range_check(property, key, "number");
		words_check(alternative(property, "enum"), key->words);
		break;
	case KEY_WORD:
		words_check(alternative(property, "enum"), key->words);
		break;
	case KEY_BOOL:
		assert_string_equal(alternative(property, "type")->valuestring, "boolean");
		break;
	default:
		fail_msg("%s has a type of its own", key->name);
	}
	if (key->can_be_off)
		constant_check(property, "off");
	else
		assert_null(alternative(property, "const"));
}

static void test_values(void **state)
{
	for (size_t i = 0; i < KEY_ROWS; i++) {
		const char *section = keys[i].section == SECTION_STRATEGY
					      ? "strategy"
					      : section_names[keys[i].section];

		key_check(&keys[i], get(get(definition(section), "properties"), keys[i].name));
	}
}

static void test_profile_names(void **state)
{
	const cJSON *names = get(get(get(schema, "properties"), "profile"), "enum");
	int i = 0;

	for (; policy_profile_name((unsigned int)i); i++)
		assert_string_equal(cJSON_GetArrayItem(names, i)->valuestring,
				    policy_profile_name((unsigned int)i));
	assert_int_equal(cJSON_GetArraySize(names), i);
}

/* ---- files that have to compile ------------------------------------------------------ */

static void test_example(void **state)
{
	char *text = file_read("tests/policy/example.json");
	struct policy *policy = compile_right(text);
	const struct policy_rule *rule = policy_rule(policy, 2);

	assert_string_equal(policy_string(policy, policy->profile), "production");
	assert_int_equal(policy->rule_count - policy->shipped_rule_count, 3);
	assert_int_equal(policy->pool_count, 1);
	assert_int_equal(policy->defaults.connect.deadline_ns, 900 * SECOND_NS);
	assert_int_equal(policy->defaults.heartbeat.user_timeout_ns, 40 * SECOND_NS);
	assert_int_equal(policy_rule(policy, 0)->action, ACTION_BYPASS);
	assert_int_equal(policy_rule(policy, 1)->pool, 0);
	assert_int_equal(rule->settings.connect.deadline_ns, 120 * SECOND_NS);
	assert_int_equal(rule->settings.strategies[CATEGORY_NETWORK].max_retries,
			 RETRIES_UNLIMITED);
	assert_int_equal(rule->settings.strategies[CATEGORY_RATE_LIMIT].decision, DECISION_DELAY);
	assert_int_equal(rule->ports.count, 2);
	free(policy);
	free(text);
}

/* A profile is a policy: as a file of one's own it gives the same settings. */
static void test_profiles_as_policies(void **state)
{
	const char *name;

	for (unsigned int i = 0; (name = policy_profile_name(i)); i++) {
		char path[128], *text;
		struct policy *policy;
		struct policy_settings settings;

		snprintf(path, sizeof(path), "policy/profiles/%s.json", name);
		text = file_read(path);
		policy = compile_right(text);
		settings = policy->defaults;
		/* A file chose its attempt_timeout, even where standard's is the same. */
		if (i == 0)
			settings.connect.first_attempt_bounded = 0;
		assert_memory_equal(&settings, &policy_profile(name)->defaults, sizeof(settings));
		free(policy);
		free(text);
	}
}

/* Only `standard` may ship rules, and only such as suit every policy. */
static void test_shipped_rules(void **state)
{
	static const char rules[] = "{\"version\":1,\"defaults\":{},\"rules\":[]}";
	char *text = file_read("policy/profiles/standard.json");
	cJSON *standard = cJSON_Parse(text);
	struct policy_errors errors;
	struct policy *policy = profile_compile(text, strlen(text), "standard", NULL, &errors);

	assert_non_null(policy);
	assert_int_equal(policy->rule_count, cJSON_GetArraySize(get(standard, "rules")));
	assert_int_equal(policy->shipped_rule_count, policy->rule_count);
	free(policy);
	free(text);

	assert_null(profile_compile(rules, strlen(rules), "other", policy_profile("standard"),
				    &errors));
	assert_int_equal(errors.count, 1);
	assert_string_equal(errors.list[0].path, "$.rules");
	policy_errors_free(&errors);

	cJSON_AddObjectToObject(cJSON_GetArrayItem(get(standard, "rules"), 0), "connect");
	cJSON_AddObjectToObject(standard, "pools");
	text = cJSON_Print(standard);
	assert_null(profile_compile(text, strlen(text), "standard", NULL, &errors));
	assert_string_equal(errors.list[0].path, "$");
	assert_string_equal(errors.list[errors.count - 1].path, "$.rules[0].connect");
	policy_errors_free(&errors);
	free(text);
	cJSON_Delete(standard);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_keys),
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_profile_names),
		cmocka_unit_test(test_example),
		cmocka_unit_test(test_profiles_as_policies),
		cmocka_unit_test(test_shipped_rules),
	};

	return cmocka_run_group_tests(tests, schema_load, schema_free);
}
