/* SPDX-License-Identifier: MIT */
/*
 * HOLDFAST_MAX_RETRIES and its kin: one key at a time, over the defaults and every
 * rule, for all categories or for one.  Categories that are not retried stay so.
 */
#include <string.h>

#include "limits.h"
#include "policy.h"
#include "words.h"

#define PREFIX "HOLDFAST_"

/* A value read once, applied to many strategies. */
struct override_value {
	uint64_t integer;
	double number;
	int jitter;
};

struct override {
	const char *name;
	const char *expected;
	bool (*parse)(const char *text, struct override_value *value);
	void (*apply)(struct policy_strategy *strategy, const struct override_value *value);
};

static bool parse_retries(const char *text, struct override_value *value)
{
	value->integer = RETRIES_UNLIMITED;
	return !strcmp(text, "unlimited") ||
	       integer_parse(text, strlen(text), MAX_RETRIES_MAX, &value->integer);
}

static bool parse_delay(const char *text, struct override_value *value)
{
	return duration_parse(text, strlen(text), &value->integer) && value->integer >= MS_NS &&
	       value->integer <= DURATION_MAX_NS;
}

static bool parse_factor(const char *text, struct override_value *value)
{
	return decimal_parse(text, strlen(text), &value->number) && value->number >= 1 &&
	       value->number <= BACKOFF_FACTOR_MAX;
}

static bool parse_jitter(const char *text, struct override_value *value)
{
	int word = word_find(&ratioless_jitter_words, text, strlen(text));

	value->jitter = word < 0 ? JITTER_RATIO : word + 1;
	value->number = 0;
	return word >= 0 ||
	       (decimal_parse(text, strlen(text), &value->number) && value->number <= 1);
}

static bool parse_deadline(const char *text, struct override_value *value)
{
	value->integer = DURATION_OFF;
	return !strcmp(text, "off") || (duration_parse(text, strlen(text), &value->integer) &&
					value->integer <= DURATION_MAX_NS);
}

static void apply_retries(struct policy_strategy *strategy, const struct override_value *value)
{
	strategy->max_retries = (uint32_t)value->integer;
}

static void apply_base(struct policy_strategy *strategy, const struct override_value *value)
{
	strategy->base_delay_ns = value->integer;
}

static void apply_max(struct policy_strategy *strategy, const struct override_value *value)
{
	strategy->max_delay_ns = value->integer;
}

static void apply_factor(struct policy_strategy *strategy, const struct override_value *value)
{
	strategy->backoff_factor = value->number;
}

static void apply_jitter(struct policy_strategy *strategy, const struct override_value *value)
{
	strategy->jitter = (uint8_t)value->jitter;
	strategy->jitter_ratio = value->number;
}

/* apply NULL: no key of a strategy. Such a name cannot follow a category's. */
static const struct override overrides[] = {
	{ "MAX_RETRIES", "an integer from 0 to 4294967294, or unlimited", parse_retries,
	  apply_retries },
	{ "BASE_DELAY", "a duration from 1ms to 8760h, such as 500ms", parse_delay, apply_base },
	{ "MAX_DELAY", "a duration from 1ms to 8760h, such as 30s", parse_delay, apply_max },
	{ "BACKOFF_FACTOR", "a number from 1 to 1000, such as 2.0", parse_factor, apply_factor },
	{ "JITTER", "a number from 0 to 1, full, equal or decorrelated", parse_jitter,
	  apply_jitter },
	{ "DEADLINE", "a duration up to 8760h, such as 30s, or off", parse_deadline, NULL },
};
#define OVERRIDE_COUNT (sizeof(overrides) / sizeof(overrides[0]))

/* What is no key of a policy; where there are few legal values, they are checked here. */
static const char *const log_values[] = { "off", "error", "info", "debug", NULL };
static const char *const enabled_values[] = { "0", "1", NULL };
static const struct other {
	const char *name;
	const char *expected;
	const char *const *values; /* NULL: any */
} others[] = {
	{ "POLICY", NULL, NULL },
	{ "STATE_DIR", NULL, NULL },
	{ "LOG", "off, error, info or debug", log_values },
	{ "ENABLED", "0 or 1", enabled_values },
	{ "RUN", NULL, NULL }, /* `holdfast run` says so to the program that it starts */
};
#define OTHER_COUNT (sizeof(others) / sizeof(others[0]))

static void settings_override(struct policy_settings *settings, const struct override *override,
			      int category, const struct override_value *value)
{
	if (!override->apply) {
		settings->connect.deadline_ns = value->integer;
		settings->resolve.deadline_ns = value->integer;
		return;
	}
	for (int i = 0; i < CATEGORY_COUNT; i++)
		if ((category < 0 || category == i) &&
		    settings->strategies[i].decision != DECISION_NONE)
			override->apply(&settings->strategies[i], value);
}

/* Whether name is the category's name in capitals and an underscore; returns that length. */
static size_t category_prefix(const char *name, int category)
{
	const char *word = category_words.list[category];
	size_t i = 0;

	for (; word[i]; i++)
		if (name[i] != (word[i] == '_' ? '_' : word[i] - ('a' - 'A')))
			return 0;
	return name[i] == '_' ? i + 1 : 0;
}

static const struct override *override_find(const char *name, bool of_category)
{
	for (size_t i = 0; i < OVERRIDE_COUNT; i++)
		if (!strcmp(overrides[i].name, name) && (overrides[i].apply || !of_category))
			return &overrides[i];
	return NULL;
}

/* name is what follows HOLDFAST_. *category is -1 for all of them. */
static const struct override *override_resolve(const char *name, int *category)
{
	for (*category = 0; *category < CATEGORY_COUNT; ++*category) {
		size_t length = category_prefix(name, *category);

		if (length)
			return override_find(name + length, true);
	}
	*category = -1;
	return override_find(name, false);
}

/* The known name that is nearest to a misspelt one, without its prefixes. */
static void add_nearest(struct text *text, const char *name)
{
	const char *names[OVERRIDE_COUNT + OTHER_COUNT];
	const struct words words = { names, OVERRIDE_COUNT + OTHER_COUNT };
	size_t prefix = 0;
	int nearest;

	for (int i = 0; i < CATEGORY_COUNT && !prefix; i++)
		prefix = category_prefix(name, i);
	for (size_t i = 0; i < OVERRIDE_COUNT; i++)
		names[i] = overrides[i].name;
	for (size_t i = 0; i < OTHER_COUNT; i++)
		names[OVERRIDE_COUNT + i] = others[i].name;
	nearest = word_nearest(&words, name + prefix);
	if (nearest < 0 || !strcmp(names[nearest], name + prefix))
		return;
	text_add(text, "; did you mean " PREFIX);
	for (size_t i = 0; i < prefix; i++)
		text_add(text, (const char[]){ name[i], '\0' });
	text_add(text, names[nearest]);
	text_add(text, "?");
}

static const struct other *other_find(const char *name)
{
	for (size_t i = 0; i < OTHER_COUNT; i++)
		if (!strcmp(others[i].name, name))
			return &others[i];
	return NULL;
}

static bool other_allows(const struct other *other, const char *value)
{
	for (const char *const *allowed = other->values; allowed && *allowed; allowed++)
		if (!strcmp(*allowed, value))
			return true;
	return !other->values || !value[0]; /* empty is unset */
}

static bool value_refuse(struct text *text, const char *value, const char *expected)
{
	text_add(text, "found ");
	text_add_quoted(text, value);
	text_add(text, ", expected ");
	text_add(text, expected);
	return false;
}

static void describe_unknown(struct text *text, const char *name)
{
	text_add(text, "found the unknown variable ");
	text_add_quoted(text, name);
	text_add(text, ", expected " PREFIX "MAX_RETRIES, _BASE_DELAY, _MAX_DELAY, "
		       "_BACKOFF_FACTOR, _JITTER or _DEADLINE");
	add_nearest(text, name + strlen(PREFIX));
}

bool policy_override(struct policy *policy, const char *name, const char *value, char *error,
		     size_t error_size)
{
	struct override_value parsed = { 0 };
	const struct override *override;
	const struct other *other;
	struct policy_rule *rules = (struct policy_rule *)(void *)((unsigned char *)policy +
								   policy->rule_offset);
	struct text text;
	int category;

	text_begin(&text, error, error_size);
	if (strncmp(name, PREFIX, strlen(PREFIX)))
		return true;
	other = other_find(name + strlen(PREFIX));
	if (other)
		return other_allows(other, value) || value_refuse(&text, value, other->expected);
	override = override_resolve(name + strlen(PREFIX), &category);
	if (!override) {
		describe_unknown(&text, name);
		return false;
	}
	if (!override->parse(value, &parsed))
		return value_refuse(&text, value, override->expected);
	settings_override(&policy->defaults, override, category, &parsed);
	for (uint32_t i = 0; i < policy->rule_count; i++)
		settings_override(&rules[i].settings, override, category, &parsed);
	return true;
}
