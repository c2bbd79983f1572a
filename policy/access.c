/* SPDX-License-Identifier: MIT */
/*
 * Reading a compiled policy.  policy_valid() looks at everything that a reader
 * later follows without a check, so that not even a crafted copy leads outside.
 */
#include <string.h>

#include "limits.h"
#include "policy.h"

/* One array behind the header: where its count and offset are, and its elements' size. */
struct section {
	size_t count_at;
	size_t element_size;
};

#define SECTION(name, type)                                         \
	{                                                           \
		offsetof(struct policy, name##_count), sizeof(type) \
	}
static const struct section sections[] = {
	SECTION(rule, struct policy_rule),
	SECTION(pool, struct policy_pool),
	SECTION(pool_endpoint, struct policy_pool_endpoint),
	SECTION(prefix, struct policy_prefix),
	SECTION(ports, struct policy_ports),
	SECTION(string, uint32_t),
};
#undef SECTION
#define SECTION_COUNT (sizeof(sections) / sizeof(sections[0]))

static const void *at_offset(const struct policy *policy, size_t offset)
{
	return (const unsigned char *)policy + offset;
}

uint64_t policy_checksum(const struct policy *policy)
{
	/* FNV-1a over words: each step is a bijection, so any one changed word shows. */
	size_t from = offsetof(struct policy, checksum) + sizeof(policy->checksum);
	uint64_t hash = UINT64_C(0xcbf29ce484222325);
	uint64_t word;

	for (size_t at = from; at + sizeof(word) <= policy->size; at += sizeof(word)) {
		memcpy(&word, at_offset(policy, at), sizeof(word));
		hash = (hash ^ word) * UINT64_C(0x100000001b3);
	}
	return hash;
}

static bool sections_valid(const struct policy *policy)
{
	uint32_t fields[2]; /* count and offset lie side by side */

	for (size_t i = 0; i < SECTION_COUNT; i++) {
		memcpy(fields, at_offset(policy, sections[i].count_at), sizeof(fields));
		if (fields[1] % 8 || fields[1] < sizeof(*policy) || fields[1] > policy->size ||
		    fields[0] > (policy->size - fields[1]) / sections[i].element_size)
			return false;
	}
	return true;
}

/* The block ends in a NUL, so a string ends inside wherever it begins. */
static bool string_valid(const struct policy *policy, uint32_t offset)
{
	return offset >= sizeof(*policy) && offset < policy->size;
}

static bool span_valid(struct policy_span span, uint32_t count)
{
	return span.first <= count && span.count <= count - span.first;
}

/* Written so that NaN is outside of every range. */
static bool within(double value, double low, double high)
{
	return value >= low && value <= high;
}

static bool strategy_valid(const struct policy_strategy *strategy)
{
	return strategy->base_delay_ns <= DURATION_MAX_NS &&
	       strategy->max_delay_ns <= DURATION_MAX_NS &&
	       within(strategy->backoff_factor, 1, BACKOFF_FACTOR_MAX) &&
	       within(strategy->jitter_ratio, 0, 1) && strategy->decision < DECISION_COUNT &&
	       strategy->jitter <= JITTER_DECORRELATED;
}

static bool classes_valid(const uint8_t *classes, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (classes[i] > CATEGORY_COUNT)
			return false;
	return true;
}

static bool settings_valid(const struct policy_settings *settings)
{
	for (size_t i = 0; i < CATEGORY_COUNT; i++)
		if (!strategy_valid(&settings->strategies[i]))
			return false;
	return classes_valid(settings->classify_errno, ERRNO_LIMIT) &&
	       classes_valid(settings->classify_eai, EAI_LIMIT) &&
	       settings->connect.siblings <= SIBLINGS_WALK &&
	       settings->connect.first_attempt_bounded <= 1 &&
	       settings->transfer.replay <= REPLAY_ONE_WAY &&
	       settings->breaker.when_open <= WHEN_OPEN_FAIL && settings->share.enabled <= 1 &&
	       within(settings->breaker.failure_ratio, 0, 1) &&
	       within(settings->budget.ratio, -1, 1e9) &&
	       within(settings->budget.min_per_second, 0, 1e9);
}

static bool rule_valid(const struct policy *policy, const struct policy_rule *rule)
{
	return string_valid(policy, rule->name) && rule->action <= ACTION_BYPASS &&
	       rule->pool >= -1 && rule->pool < (int64_t)policy->pool_count &&
	       span_valid(rule->programs, policy->string_count) &&
	       span_valid(rule->hosts, policy->string_count) &&
	       span_valid(rule->paths, policy->string_count) &&
	       span_valid(rule->addresses, policy->prefix_count) &&
	       span_valid(rule->ports, policy->ports_count) && settings_valid(&rule->settings);
}

static bool pool_valid(const struct policy *policy, const struct policy_pool *pool)
{
	return pool && string_valid(policy, pool->name) && pool->balance <= BALANCE_STICKY &&
	       pool->endpoints.count > 0 &&
	       span_valid(pool->endpoints, policy->pool_endpoint_count);
}

static bool elements_valid(const struct policy *policy)
{
	const struct policy_prefix *prefixes = at_offset(policy, policy->prefix_offset);
	const uint32_t *strings = at_offset(policy, policy->string_offset);

	for (uint32_t i = 0; i < policy->prefix_count; i++)
		if (prefixes[i].bits > 128)
			return false;
	for (uint32_t i = 0; i < policy->string_count; i++)
		if (!string_valid(policy, strings[i]))
			return false;
	for (uint32_t i = 0; i < policy->pool_count; i++)
		if (!pool_valid(policy, policy_pool(policy, (int)i)))
			return false;
	for (uint32_t i = 0; i < policy->rule_count; i++)
		if (!rule_valid(policy, policy_rule(policy, (int)i)))
			return false;
	return true;
}

bool policy_valid(const void *block, size_t size)
{
	const struct policy *policy = block;
	const uint32_t layout = POLICY_LAYOUT | (uint32_t)sizeof(struct policy_rule) << 16;

	if (!block || (uintptr_t)block % _Alignof(struct policy) || size < sizeof(*policy) ||
	    size % 8)
		return false;
	if (policy->magic != POLICY_MAGIC || policy->layout != layout || policy->size != size ||
	    policy->checksum != policy_checksum(policy))
		return false;
	return ((const char *)block)[size - 1] == '\0' && sections_valid(policy) &&
	       policy->shipped_rule_count <= policy->rule_count &&
	       string_valid(policy, policy->profile) && string_valid(policy, policy->origin) &&
	       settings_valid(&policy->defaults) && elements_valid(policy);
}

const char *policy_string(const struct policy *policy, uint32_t offset)
{
	return at_offset(policy, offset);
}

const struct policy_rule *policy_rule(const struct policy *policy, int rule)
{
	if (rule < 0 || (uint32_t)rule >= policy->rule_count)
		return NULL;
	return (const struct policy_rule *)at_offset(policy, policy->rule_offset) + rule;
}

bool policy_rule_is_shipped(const struct policy *policy, int rule)
{
	return rule >= 0 && (uint32_t)rule < policy->rule_count &&
	       (uint32_t)rule >= policy->rule_count - policy->shipped_rule_count;
}

const struct policy_pool *policy_pool(const struct policy *policy, int pool)
{
	if (pool < 0 || (uint32_t)pool >= policy->pool_count)
		return NULL;
	return (const struct policy_pool *)at_offset(policy, policy->pool_offset) + pool;
}

const struct policy_pool_endpoint *policy_pool_endpoint(const struct policy *policy, uint32_t index)
{
	const struct policy_pool_endpoint *endpoints = at_offset(policy,
								 policy->pool_endpoint_offset);

	return index < policy->pool_endpoint_count ? endpoints + index : NULL;
}

const struct policy_settings *policy_settings(const struct policy *policy, int rule)
{
	const struct policy_rule *found = policy_rule(policy, rule);

	return found ? &found->settings : &policy->defaults;
}
