/* SPDX-License-Identifier: MIT */
/*
 * Defaults, rules' settings, alerts and store: objects over the table of keys.
 * A value is written over what the layer below left, which is all that merging is.
 */
#include <string.h>

#include "keys.h"
#include "policy/limits.h"

enum { MEMBER_STRATEGIES = 2, MEMBER_CLASSIFY = 3 };

const char *const settings_members[SETTINGS_MEMBERS] = {
	"connect",   "resolve", "strategies", "classify", "transfer",
	"heartbeat", "breaker", "budget",     "share",
};

/* `standard` names every key, so that nothing is ever a zero that nobody chose. */
static void missing_check(struct compile_context *context, const char *key, const cJSON *member)
{
	char message[128];
	struct text text;

	if (!context->complete || member)
		return;
	text_begin(&text, message, sizeof(message));
	text_add(&text, "found no key ");
	text_add_quoted(&text, key);
	text_add(&text, ", expected every key in this profile");
	error_add(context, message);
}

/* Compiles an object of one section into base; members: its values in the table's order. */
static void section_compile(struct compile_context *context, enum key_section section,
			    const cJSON *object, void *base, const cJSON *members[SECTION_KEYS_MAX])
{
	const char *names[SECTION_KEYS_MAX];
	const struct key *first = NULL;
	const struct words words = section_keys(section, names, &first);

	for (size_t i = 0; i < SECTION_KEYS_MAX; i++)
		members[i] = NULL;
	if (!object_expect(context, object))
		return;
	object_members(context, object, &words, members);
	for (size_t i = 0; i < words.count; i++) {
		size_t mark;

		missing_check(context, names[i], members[i]);
		if (!members[i])
			continue;
		mark = path_enter(context, names[i]);
		value_compile(context, &first[i], members[i], base);
		path_leave(context, mark);
	}
}

/* ---- keys that limit each other ------------------------------------------- */

struct pair {
	enum key_section section;
	const char *low, *high; /* low's value is at most high's */
};

static const struct pair pairs[] = {
	{ SECTION_STRATEGY, "base_delay", "max_delay" },
	{ SECTION_BREAKER, "open_for", "max_open_for" },
	{ SECTION_TRANSFER, "overlap", "max_buffer" },
	{ SECTION_TRANSFER, "record", "max_buffer" },
};

static const struct key *key_find(enum key_section section, const char *name, size_t *index)
{
	const char *names[SECTION_KEYS_MAX];
	const struct key *first = NULL;
	const struct words words = section_keys(section, names, &first);

	*index = (size_t)word_find(&words, name, strlen(name));
	return first + *index;
}

static uint64_t amount_at(const struct key *key, const void *base)
{
	const void *value = (const unsigned char *)base + key->offset;

	return key->type == KEY_RECORD ? *(const uint32_t *)value : *(const uint64_t *)value;
}

/* "found "10m", expected at most max_delay, which is "5m"". */
static void pair_error(struct compile_context *context, const struct key *found,
		       const char *relation, const struct key *other, const void *base)
{
	char message[256];
	struct text text;
	size_t mark = path_enter(context, found->name);

	text_begin(&text, message, sizeof(message));
	text_add(&text, "found ");
	value_format(found, base, &text);
	text_add(&text, relation);
	text_add(&text, other->name);
	text_add(&text, ", which is ");
	value_format(other, base, &text);
	error_add(context, message);
	path_leave(context, mark);
}

/* Complains in the layer that set one of the two, at the key that it set. */
static void pairs_check(struct compile_context *context, enum key_section section,
			const cJSON *const members[SECTION_KEYS_MAX], const void *base)
{
	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		size_t low_index, high_index;
		const struct key *low, *high;

		if (pairs[i].section != section)
			continue;
		low = key_find(section, pairs[i].low, &low_index);
		high = key_find(section, pairs[i].high, &high_index);
		if (amount_at(low, base) <= amount_at(high, base))
			continue;
		if (members[low_index])
			pair_error(context, low, ", expected at most ", high, base);
		else if (members[high_index])
			pair_error(context, high, ", expected at least ", low, base);
	}
}

/* A schedule of zeros would hammer. Only "immediate" has one of its own. */
static void base_check(struct compile_context *context,
		       const cJSON *const members[SECTION_KEYS_MAX],
		       const struct policy_strategy *strategy)
{
	size_t decision, base, mark;

	if (strategy->base_delay_ns > 0 ||
	    (strategy->decision != DECISION_DELAY && strategy->decision != DECISION_BACKOFF))
		return;
	key_find(SECTION_STRATEGY, "decision", &decision);
	key_find(SECTION_STRATEGY, "base_delay", &base);
	if (!members[decision] && !members[base])
		return;
	mark = path_enter(context, members[base] ? "base_delay" : "decision");
	error_add(context, members[base] ? "found \"0s\", expected more unless the decision is "
					   "\"immediate\" or \"none\""
					 : "found a decision that needs a base_delay, expected "
					   "base_delay above \"0s\"");
	path_leave(context, mark);
}

/* ---- the sections ---------------------------------------------------------- */

/* Checks that look at several keys make sense only where each key was fine. */
static bool errors_since(const struct compile_context *context, size_t count)
{
	return context->errors->count != count;
}

static void strategies_compile(struct compile_context *context, const cJSON *strategies,
			       struct policy_settings *settings)
{
	const cJSON *categories[CATEGORY_COUNT], *members[SECTION_KEYS_MAX];

	if (!object_expect(context, strategies))
		return;
	object_members(context, strategies, &category_words, categories);
	for (size_t i = 0; i < CATEGORY_COUNT; i++) {
		size_t errors = context->errors->count, mark;
		struct policy_strategy *strategy = &settings->strategies[i];

		missing_check(context, category_words.list[i], categories[i]);
		if (!categories[i])
			continue;
		mark = path_enter(context, category_words.list[i]);
		section_compile(context, SECTION_STRATEGY, categories[i], strategy, members);
		if (!errors_since(context, errors)) {
			pairs_check(context, SECTION_STRATEGY, members, strategy);
			base_check(context, members, strategy);
		}
		path_leave(context, mark);
	}
}

static void plain_section_compile(struct compile_context *context, const char *name,
				  const cJSON *object, struct policy_settings *settings)
{
	const struct words sections = { section_names, SECTION_COUNT };
	const enum key_section section = (enum key_section)word_find(&sections, name, strlen(name));
	const cJSON *members[SECTION_KEYS_MAX];
	size_t errors = context->errors->count, index;

	section_compile(context, section, object, settings, members);
	if (!errors_since(context, errors))
		pairs_check(context, section, members, settings);
	if (section != SECTION_CONNECT)
		return;
	key_find(section, "attempt_timeout", &index);
	if (members[index] && !context->complete)
		settings->connect.first_attempt_bounded = 1;
}

void settings_compile(struct compile_context *context, const cJSON *const members[],
		      struct policy_settings *settings)
{
	for (size_t i = 0; i < SETTINGS_MEMBERS; i++) {
		size_t mark;

		if (i != MEMBER_CLASSIFY)
			missing_check(context, settings_members[i], members[i]);
		if (!members[i])
			continue;
		mark = path_enter(context, settings_members[i]);
		if (i == MEMBER_STRATEGIES)
			strategies_compile(context, members[i], settings);
		else if (i == MEMBER_CLASSIFY)
			classify_compile(context, members[i], settings);
		else
			plain_section_compile(context, settings_members[i], members[i], settings);
		path_leave(context, mark);
	}
}

void alerts_compile(struct compile_context *context, const cJSON *alerts)
{
	const cJSON *members[SECTION_KEYS_MAX];

	section_compile(context, SECTION_ALERTS, alerts, &context->header, members);
}

void store_compile(struct compile_context *context, const cJSON *store)
{
	const cJSON *members[SECTION_KEYS_MAX];

	section_compile(context, SECTION_STORE, store, &context->header, members);
}
