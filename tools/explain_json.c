/* SPDX-License-Identifier: MIT */
#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>

#include "tools/explain.h"
#include "tools/state.h"

/* Durations are seconds; "off" has no number. */
static void seconds_add(cJSON *object, const char *key, uint64_t ns)
{
	if (ns == DURATION_OFF)
		cJSON_AddNullToObject(object, key);
	else
		cJSON_AddNumberToObject(object, key, (double)ns / 1e9);
}

static void string_or_null_add(cJSON *object, const char *key, const char *text)
{
	if (text)
		cJSON_AddStringToObject(object, key, text);
	else
		cJSON_AddNullToObject(object, key);
}

static void destination_add(cJSON *root, const struct explanation *e)
{
	static const char *const kinds[] = {
		[ENDPOINT_TCP] = "tcp",
		[ENDPOINT_UDP] = "udp",
		[ENDPOINT_UNIX] = "unix",
	};
	cJSON *object = cJSON_AddObjectToObject(root, "destination");
	cJSON *list;

	cJSON_AddStringToObject(object, "kind", kinds[e->target.kind]);
	string_or_null_add(object, "host", e->host);
	if (e->target.kind == ENDPOINT_UNIX) {
		cJSON_AddStringToObject(object, "path", e->target.path);
		return;
	}
	cJSON_AddNumberToObject(object, "port", e->target.port);
	list = cJSON_AddArrayToObject(object, "addresses");
	for (unsigned int i = 0; i < e->target.address_count; i++) {
		struct policy_destination destination = explanation_destination(e, i);
		cJSON *address = cJSON_CreateObject();
		int rule = policy_rule_find(e->file.policy, &destination);
		char buffer[32];

		cJSON_AddItemToArray(list, address);
		cJSON_AddStringToObject(address, "address", e->target.addresses[i].text);
		string_or_null_add(address, "rule",
				   rule == RULE_NONE ? NULL
						     : explanation_rule_name(e, rule, buffer));
	}
}

static void policy_add(cJSON *root, const struct explanation *e)
{
	cJSON *object = cJSON_AddObjectToObject(root, "policy"), *list;

	cJSON_AddStringToObject(object, "origin", e->file.origin);
	cJSON_AddStringToObject(object, "profile",
				policy_string(e->file.policy, e->file.policy->profile));
	list = cJSON_AddObjectToObject(root, "environment");
	for (size_t i = 0; i < e->override_count; i++) {
		int length = (int)(e->overrides[i].value - e->overrides[i].variable - 1);
		char name[64];

		snprintf(name, sizeof(name), "%.*s", length, e->overrides[i].variable);
		cJSON_AddStringToObject(list, name, e->overrides[i].value);
	}
}

static void rules_add(cJSON *root, const struct explanation *e)
{
	cJSON *list = cJSON_AddArrayToObject(root, "rules");
	int last = e->rule == RULE_NONE ? (int)e->file.policy->rule_count - 1 : e->rule;
	char buffer[32];

	for (int rule = 0; rule <= last; rule++) {
		enum policy_match match = policy_rule_match(e->file.policy, rule, &e->destination);
		cJSON *object = cJSON_CreateObject();

		cJSON_AddItemToArray(list, object);
		cJSON_AddStringToObject(object, "name", explanation_rule_name(e, rule, buffer));
		cJSON_AddBoolToObject(object, "shipped",
				      policy_rule_is_shipped(e->file.policy, rule));
		cJSON_AddBoolToObject(object, "matches", match == MATCH_OK);
		string_or_null_add(object, "reason", explanation_match_words(e, match));
	}
	string_or_null_add(root, "rule",
			   e->rule == RULE_NONE ? NULL : explanation_rule_name(e, e->rule, buffer));
}

static void pool_add(cJSON *root, const struct explanation *e)
{
	const struct policy_pool *pool = explanation_pool(e);
	char text[ENDPOINT_TEXT_SIZE];
	cJSON *object, *list;

	if (!pool) {
		cJSON_AddNullToObject(root, "pool");
		return;
	}
	object = cJSON_AddObjectToObject(root, "pool");
	cJSON_AddStringToObject(object, "name", policy_string(e->file.policy, pool->name));
	cJSON_AddStringToObject(object, "balance", explanation_balance(pool));
	list = cJSON_AddArrayToObject(object, "endpoints");
	for (uint32_t i = 0; explanation_endpoint(e, pool, i, text); i++)
		cJSON_AddItemToArray(list, cJSON_CreateString(text));
}

static void key_add(const struct policy_key_value *key, void *data)
{
	cJSON *object = cJSON_CreateObject();

	cJSON_AddItemToArray(data, object);
	cJSON_AddStringToObject(object, "key", key->key);
	cJSON_AddStringToObject(object, "value", key->value);
	cJSON_AddStringToObject(object, "from", explanation_layer_name(key->layer));
	cJSON_AddBoolToObject(object, "acted_on", key->acted_on);
}

static void end_add(cJSON *object, const char *key, const struct schedule *schedule,
		    enum schedule_extreme extreme)
{
	const struct schedule_end *end = &schedule->end[extreme];
	cJSON *found;

	if (schedule->beyond[extreme]) {
		cJSON_AddNullToObject(object, key);
		return;
	}
	found = cJSON_AddObjectToObject(object, key);
	cJSON_AddNumberToObject(found, "attempts", end->attempts);
	seconds_add(found, "elapsed", end->at_ns);
	cJSON_AddStringToObject(found, "verdict", policy_verdict_name(end->action));
	cJSON_AddStringToObject(found, "cause", policy_cause_name(end->cause));
}

/* NULL where only the other extreme gets as far as this attempt. */
static void range_add(cJSON *object, const char *shortest, const char *longest,
		      const uint64_t ns[EXTREME_COUNT], const bool made[EXTREME_COUNT])
{
	seconds_add(object, shortest, made[SHORTEST] ? ns[SHORTEST] : DURATION_OFF);
	seconds_add(object, longest, made[LONGEST] ? ns[LONGEST] : DURATION_OFF);
}

static void schedule_add(cJSON *root, const struct explanation *e)
{
	char number[ERROR_NAME_SIZE];
	cJSON *object = cJSON_AddObjectToObject(root, "schedule"), *list;

	cJSON_AddStringToObject(object, "error", error_name(e->error, number));
	cJSON_AddNumberToObject(object, "code", e->error);
	cJSON_AddStringToObject(object, "operation", policy_operation_name(e->operation));
	cJSON_AddStringToObject(object, "category", policy_category_name(e->category));
	cJSON_AddStringToObject(object, "decision", policy_decision_name(e->decision));
	list = cJSON_AddArrayToObject(object, "attempts");
	for (uint32_t i = 0; i < e->schedule.row_count; i++) {
		const struct schedule_row *row = &e->schedule.rows[i];
		cJSON *attempt = cJSON_CreateObject();

		cJSON_AddItemToArray(list, attempt);
		cJSON_AddNumberToObject(attempt, "attempt", row->attempt);
		range_add(attempt, "delay_min", "delay_max", row->delay_ns, row->made);
		range_add(attempt, "elapsed_min", "elapsed_max", row->at_ns, row->made);
	}
	end_add(object, "end_min", &e->schedule, SHORTEST);
	end_add(object, "end_max", &e->schedule, LONGEST);
}

bool explanation_show_json(const struct explanation *e)
{
	cJSON *root = cJSON_CreateObject();
	char *text;

	if (!root)
		return false;
	cJSON_AddNumberToObject(root, "version", 1);
	destination_add(root, e);
	string_or_null_add(root, "program", e->program);
	policy_add(root, e);
	rules_add(root, e);
	cJSON_AddBoolToObject(root, "managed", !e->unmanaged);
	string_or_null_add(root, "unmanaged_reason", e->unmanaged);
	pool_add(root, e);
	policy_explain(e->file.policy, e->rule, e->file.text, e->file.length, key_add,
		       cJSON_AddArrayToObject(root, "keys"));
	if (!e->unmanaged)
		schedule_add(root, e);
	text = cJSON_Print(root);
	cJSON_Delete(root);
	if (!text)
		return false;
	puts(text);
	free(text);
	return true;
}
