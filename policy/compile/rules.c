/* SPDX-License-Identifier: MIT */
/* `rules`: what they match, what they do, and their settings. */
#include <string.h>

#include "address.h"
#include "context.h"

#define RULES_MAX 4096

_Static_assert(sizeof(struct policy_rule) <= UINT16_MAX, "it is part of the layout word");

enum {
	RULE_NAME,
	RULE_MATCH,
	RULE_ACTION,
	RULE_SHIPPED_KEYS,
	RULE_POOL = RULE_SHIPPED_KEYS,
	RULE_OWN_KEYS
};
#define RULE_KEYS (RULE_OWN_KEYS + SETTINGS_MEMBERS)

static const char *const own_keys[RULE_OWN_KEYS] = { "name", "match", "action", "pool" };
static const char *const match_keys[] = { "programs", "hosts", "paths", "addresses", "ports" };
enum {
	MATCH_KEY_PROGRAMS,
	MATCH_KEY_HOSTS,
	MATCH_KEY_PATHS,
	MATCH_KEY_ADDRESSES,
	MATCH_KEY_PORTS,
	MATCH_KEYS
};

/* ---- match ------------------------------------------------------------------ */

/* One element of a list: checks it and appends it to the list's array. */

static void pattern_compile(struct compile_context *context, const cJSON *item,
			    const char *expected)
{
	uint32_t offset;

	if (!cJSON_IsString(item) || item->valuestring[0] == '\0') {
		error_expected(context, item, expected);
		return;
	}
	offset = string_append(context, item->valuestring);
	array_append(context, &context->string_offsets, &offset, sizeof(offset));
}

static void program_compile(struct compile_context *context, const cJSON *item)
{
	pattern_compile(context, item, "a program such as \"psql\" or \"/opt/app/*\"");
}

static void host_compile(struct compile_context *context, const cJSON *item)
{
	pattern_compile(context, item, "a host name such as \"db.internal\" or \"*.internal\"");
}

/* Relative paths would mean another socket in every directory. */
static void path_compile(struct compile_context *context, const cJSON *item)
{
	static const char expected[] = "a path that begins with \"/\", \"@\" or \"*\"";

	if (cJSON_IsString(item) && item->valuestring[0] && !strchr("/@*", item->valuestring[0]))
		error_expected(context, item, expected);
	else
		pattern_compile(context, item, expected);
}

static void address_compile(struct compile_context *context, const cJSON *item)
{
	struct policy_prefix prefix = { .bits = 0 };
	char expected[ADDRESS_MESSAGE_SIZE];

	if (!cJSON_IsString(item))
		error_expected(context, item,
			       "an address or network such as \"10.0.0.0/8\" or \"::1\"");
	else if (!prefix_parse(item->valuestring, &prefix, expected))
		error_expected(context, item, expected);
	else
		array_append(context, &context->prefixes, &prefix, sizeof(prefix));
}

static void port_compile(struct compile_context *context, const cJSON *item)
{
	struct policy_ports ports;
	char expected[ADDRESS_MESSAGE_SIZE] = "ports from 1 to 65535 such as 5432 or \"6000-6010\"";
	bool fine;

	if (cJSON_IsNumber(item)) {
		fine = item->valuedouble >= 1 && item->valuedouble <= 65535 &&
		       item->valuedouble == (double)(uint16_t)item->valuedouble;
		ports.low = ports.high = fine ? (uint16_t)item->valuedouble : 0;
	} else {
		fine = cJSON_IsString(item) && ports_parse(item->valuestring, &ports, expected);
	}
	if (fine)
		array_append(context, &context->ports, &ports, sizeof(ports));
	else
		error_expected(context, item, expected);
}

struct match_list {
	void (*element_compile)(struct compile_context *context, const cJSON *item);
	size_t array_at; /* in struct compile_context */
	size_t element_size;
	size_t span_at; /* in struct policy_rule */
	const char *expected;
};

#define LIST(function, array, type, span, expected)                              \
	{                                                                        \
		function, offsetof(struct compile_context, array), sizeof(type), \
			offsetof(struct policy_rule, span), expected             \
	}
static const struct match_list match_lists[MATCH_KEYS] = {
	[MATCH_KEY_PROGRAMS] = LIST(program_compile, string_offsets, uint32_t, programs,
				    "a list of at least one program"),
	[MATCH_KEY_HOSTS] = LIST(host_compile, string_offsets, uint32_t, hosts,
				 "a list of at least one host name"),
	[MATCH_KEY_PATHS] = LIST(path_compile, string_offsets, uint32_t, paths,
				 "a list of at least one path"),
	[MATCH_KEY_ADDRESSES] = LIST(address_compile, prefixes, struct policy_prefix, addresses,
				     "a list of at least one address"),
	[MATCH_KEY_PORTS] = LIST(port_compile, ports, struct policy_ports, ports,
				 "a list of at least one port"),
};
#undef LIST

static void match_list_compile(struct compile_context *context, const struct match_list *list,
			       const cJSON *items, struct policy_rule *rule)
{
	const struct array *array = (const struct array *)(const void *)((char *)context +
									 list->array_at);
	struct policy_span span = { (uint32_t)(array->used / list->element_size), 0 };
	const cJSON *item;
	size_t index = 0;

	if (!list_expect(context, items, list->expected))
		return;
	cJSON_ArrayForEach(item, items)
	{
		size_t mark = path_enter_index(context, index++);

		list->element_compile(context, item);
		path_leave(context, mark);
	}
	span.count = (uint32_t)index;
	memcpy((char *)rule + list->span_at, &span, sizeof(span));
}

static void match_compile(struct compile_context *context, const cJSON *match,
			  struct policy_rule *rule)
{
	const struct words words = { match_keys, MATCH_KEYS };
	const cJSON *members[MATCH_KEYS];

	if (!object_expect(context, match))
		return;
	object_members(context, match, &words, members);
	for (size_t i = 0; i < MATCH_KEYS; i++) {
		size_t mark;

		if (!members[i])
			continue;
		mark = path_enter(context, match_keys[i]);
		match_list_compile(context, &match_lists[i], members[i], rule);
		path_leave(context, mark);
	}
	if (members[MATCH_KEY_PATHS] &&
	    (members[MATCH_KEY_HOSTS] || members[MATCH_KEY_ADDRESSES] || members[MATCH_KEY_PORTS]))
		error_add(context, "found paths together with hosts, addresses or ports, expected "
				   "one kind: no destination has both");
}

/* ---- the rule ---------------------------------------------------------------- */

static void name_compile(struct compile_context *context, const cJSON *name, size_t index,
			 struct policy_rule *rule)
{
	char generated[32];
	struct text text;

	if (name && (!cJSON_IsString(name) || name->valuestring[0] == '\0')) {
		error_expected(context, name, "the name of the rule");
		return;
	}
	text_begin(&text, generated, sizeof(generated));
	text_add(&text, "rules[");
	text_add_integer(&text, index);
	text_add(&text, "]");
	rule->name = string_append(context, name ? name->valuestring : generated);
}

static void action_compile(struct compile_context *context, const cJSON *action,
			   struct policy_rule *rule)
{
	int found = cJSON_IsString(action) ? word_find(&action_words, action->valuestring,
						       strlen(action->valuestring))
					   : -1;

	if (found < 0)
		error_expected_word(context, action, "\"manage\" or \"bypass\"", &action_words);
	else
		rule->action = (uint32_t)found;
}

static const char *pool_name(const struct compile_context *context, size_t index)
{
	struct policy_pool pool;

	memcpy(&pool, context->pools.data + index * sizeof(pool), sizeof(pool));
	return (const char *)context->strings.data + (pool.name - sizeof(struct policy));
}

static void pool_compile(struct compile_context *context, const cJSON *pool,
			 struct policy_rule *rule)
{
	size_t count = context->pools.used / sizeof(struct policy_pool);
	const char *nearest = NULL;
	char expected[160];
	struct text text;

	/* Strings of a policy that got too large are not all there. */
	if (context->too_large || context->out_of_memory)
		return;
	if (!cJSON_IsString(pool)) {
		error_expected(context, pool, "the name of a pool");
		return;
	}
	for (size_t i = 0; i < count; i++) {
		const char *name = pool_name(context, i);

		if (!strcmp(name, pool->valuestring)) {
			rule->pool = (int32_t)i;
			return;
		}
		if (edit_distance(name, pool->valuestring, 3) < 3)
			nearest = name;
	}
	text_begin(&text, expected, sizeof(expected));
	text_add(&text, count ? "the name of a pool" : "the name of a pool, and there are none");
	if (nearest) {
		text_add(&text, "; did you mean ");
		text_add_quoted(&text, nearest);
		text_add(&text, "?");
	}
	error_expected(context, pool, expected);
}

static void own_keys_compile(struct compile_context *context, const cJSON *const members[],
			     size_t index, struct policy_rule *rule)
{
	for (size_t i = 0; i < RULE_OWN_KEYS; i++) {
		size_t mark = path_enter(context, own_keys[i]);

		if (i == RULE_NAME)
			name_compile(context, members[i], index, rule);
		else if (i == RULE_MATCH && members[i])
			match_compile(context, members[i], rule);
		else if (i == RULE_ACTION && members[i])
			action_compile(context, members[i], rule);
		else if (i == RULE_POOL && members[i])
			pool_compile(context, members[i], rule);
		path_leave(context, mark);
	}
}

static void rule_compile(struct compile_context *context, const cJSON *item, size_t index)
{
	const char *names[RULE_KEYS];
	/* A shipped rule goes to policies with pools and settings of their own: it has neither. */
	const struct words words = { names, context->is_profile ? RULE_SHIPPED_KEYS : RULE_KEYS };
	const cJSON *members[RULE_KEYS] = { NULL };
	struct policy_rule rule = { .pool = -1, .settings = context->header.defaults };

	memcpy(names, own_keys, sizeof(own_keys));
	memcpy(names + RULE_OWN_KEYS, settings_members, sizeof(settings_members));
	if (!object_expect(context, item))
		return;
	object_members(context, item, &words, members);
	own_keys_compile(context, members, index, &rule);
	if (!context->is_profile)
		settings_compile(context, members + RULE_OWN_KEYS, &rule.settings);
	array_append(context, &context->rules, &rule, sizeof(rule));
}

static const char *name_of(const cJSON *rule)
{
	const cJSON *name = cJSON_GetObjectItemCaseSensitive(rule, "name");

	return cJSON_IsString(name) ? name->valuestring : NULL;
}

/* Events and explain tell rules by their names. */
static void name_check(struct compile_context *context, const cJSON *rules, const cJSON *rule)
{
	const char *name = name_of(rule), *other;
	char expected[64];
	struct text text;
	size_t index = 0;

	if (!name)
		return;
	for (const cJSON *item = rules->child; item != rule; item = item->next, index++) {
		size_t mark;

		other = name_of(item);
		if (!other || strcmp(other, name))
			continue;
		text_begin(&text, expected, sizeof(expected));
		text_add(&text, "another name than that of rules[");
		text_add_integer(&text, index);
		text_add(&text, "]");
		mark = path_enter(context, "name");
		error_expected(context, cJSON_GetObjectItemCaseSensitive(rule, "name"), expected);
		path_leave(context, mark);
		return;
	}
}

void rules_compile(struct compile_context *context, const cJSON *rules)
{
	size_t index = 0;
	const cJSON *rule;

	if (!cJSON_IsArray(rules)) {
		error_expected(context, rules, "a list of rules");
		return;
	}
	cJSON_ArrayForEach(rule, rules)
	{
		size_t mark;

		if (index == RULES_MAX) {
			error_add(context, "found more rules, expected at most 4096");
			return;
		}
		mark = path_enter_index(context, index);
		rule_compile(context, rule, index);
		name_check(context, rules, rule);
		path_leave(context, mark);
		index++;
	}
}
