/* SPDX-License-Identifier: MIT */
/* Which rule a destination falls under. */
#include "match.h"

#include <string.h>

#include "policy.h"

static const unsigned char mapped_prefix[12] = { [10] = 0xff, [11] = 0xff };
#define MAPPED_BITS 96

static bool address_is_ipv4(const uint8_t address[16])
{
	return !memcmp(address, mapped_prefix, sizeof(mapped_prefix));
}

static const char *pattern_at(const struct policy *policy, struct policy_span span, uint32_t i)
{
	const unsigned char *strings = (const unsigned char *)policy + policy->string_offset;
	uint32_t offset;

	memcpy(&offset, strings + (size_t)(span.first + i) * sizeof(offset), sizeof(offset));
	return policy_string(policy, offset);
}

/* Whether a program, as one of its paths names it, is meant by the pattern. */
static bool program_matches(const char *pattern, const char *path)
{
	const char *slash;

	if (!path)
		return false;
	slash = strrchr(path, '/');
	if (slash && !strchr(pattern, '/'))
		path = slash + 1;
	return glob_match(pattern, strlen(pattern), path, strlen(path), false);
}

static bool programs_match(const struct policy *policy, struct policy_span span,
			   const struct policy_destination *destination)
{
	for (uint32_t i = 0; i < span.count; i++) {
		const char *pattern = pattern_at(policy, span, i);

		if (program_matches(pattern, destination->exec_path) ||
		    program_matches(pattern, destination->exe_path))
			return true;
	}
	return span.count == 0;
}

/* "name." and "name" are the same host. */
static size_t host_length(const char *host)
{
	size_t length = strlen(host);

	return length > 1 && host[length - 1] == '.' ? length - 1 : length;
}

static bool hosts_match(const struct policy *policy, struct policy_span span, const char *host)
{
	for (uint32_t i = 0; i < span.count; i++) {
		const char *pattern = pattern_at(policy, span, i);

		if (glob_match(pattern, host_length(pattern), host, host_length(host), true))
			return true;
	}
	return false;
}

static bool paths_match(const struct policy *policy, struct policy_span span, const char *path)
{
	for (uint32_t i = 0; i < span.count && path; i++) {
		const char *pattern = pattern_at(policy, span, i);

		if (glob_match(pattern, strlen(pattern), path, strlen(path), false))
			return true;
	}
	return false;
}

static bool prefix_matches(const struct policy_prefix *prefix,
			   const struct policy_destination *destination)
{
	uint32_t bytes = prefix->bits / 8, rest = prefix->bits % 8;
	uint8_t mask = (uint8_t)(0xff00U >> rest);

	/* ::/0 means IPv6: an IPv4 address is v4-mapped only in our notation. */
	if (address_is_ipv4(destination->address) && prefix->bits < MAPPED_BITS)
		return false;
	if (prefix->scope_id && prefix->scope_id != destination->scope_id)
		return false;
	if (memcmp(prefix->address, destination->address, bytes))
		return false;
	return rest == 0 || (prefix->address[bytes] & mask) == (destination->address[bytes] & mask);
}

static bool addresses_match(const struct policy *policy, struct policy_span span,
			    const struct policy_destination *destination)
{
	const unsigned char *prefixes = (const unsigned char *)policy + policy->prefix_offset;
	struct policy_prefix prefix;

	for (uint32_t i = 0; i < span.count; i++) {
		memcpy(&prefix, prefixes + (size_t)(span.first + i) * sizeof(prefix),
		       sizeof(prefix));
		if (!destination->is_unix && prefix_matches(&prefix, destination))
			return true;
	}
	return span.count == 0;
}

static bool ports_match(const struct policy *policy, struct policy_span span,
			const struct policy_destination *destination)
{
	const unsigned char *ranges = (const unsigned char *)policy + policy->ports_offset;
	struct policy_ports range;

	for (uint32_t i = 0; i < span.count; i++) {
		memcpy(&range, ranges + (size_t)(span.first + i) * sizeof(range), sizeof(range));
		if (!destination->is_unix && destination->port >= range.low &&
		    destination->port <= range.high)
			return true;
	}
	return span.count == 0;
}

enum policy_match policy_rule_match(const struct policy *policy, int rule,
				    const struct policy_destination *destination)
{
	const struct policy_rule *r = policy_rule(policy, rule);

	if (destination->is_unix && r->paths.count == 0)
		return MATCH_NO_PATHS;
	if (!programs_match(policy, r->programs, destination))
		return MATCH_PROGRAMS;
	if (r->hosts.count && !destination->host)
		return MATCH_HOST_UNKNOWN;
	if (r->hosts.count && !hosts_match(policy, r->hosts, destination->host))
		return MATCH_HOSTS;
	if (!addresses_match(policy, r->addresses, destination))
		return MATCH_ADDRESSES;
	if (!ports_match(policy, r->ports, destination))
		return MATCH_PORTS;
	if (r->paths.count &&
	    (!destination->is_unix || !paths_match(policy, r->paths, destination->unix_path)))
		return MATCH_PATHS;
	return MATCH_OK;
}

#define MASKED_RULES 64

uint64_t policy_rules_of_others(const struct policy *policy,
				const struct policy_destination *destination)
{
	uint64_t others = 0;

	for (uint32_t i = 0; i < policy->rule_count && i < MASKED_RULES; i++)
		if (!programs_match(policy, policy_rule(policy, (int)i)->programs, destination))
			others |= UINT64_C(1) << i;
	return others;
}

int policy_rule_find(const struct policy *policy, const struct policy_destination *destination)
{
	for (uint32_t i = 0; i < policy->rule_count; i++)
		if (!(i < MASKED_RULES && destination->other_programs >> i & 1) &&
		    policy_rule_match(policy, (int)i, destination) == MATCH_OK)
			return (int)i;
	return RULE_NONE;
}
