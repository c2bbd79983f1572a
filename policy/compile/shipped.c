/* SPDX-License-Identifier: MIT */
/*
 * The rules that `standard` ships: every compiled policy ends with them, so that a
 * policy's own rules are asked first and keep their numbers.
 */
#include <string.h>

#include "context.h"

static const unsigned char *element_at(const struct policy *base, uint32_t offset, size_t size,
				       uint32_t index)
{
	return (const unsigned char *)base + offset + index * size;
}

static struct policy_span strings_copy(struct compile_context *context, const struct policy *base,
				       struct policy_span from)
{
	struct array *offsets = &context->string_offsets;
	struct policy_span span = { (uint32_t)(offsets->used / sizeof(uint32_t)), from.count };
	uint32_t offset;

	for (uint32_t i = 0; i < from.count; i++) {
		memcpy(&offset,
		       element_at(base, base->string_offset, sizeof(offset), from.first + i),
		       sizeof(offset));
		offset = string_append(context, policy_string(base, offset));
		array_append(context, offsets, &offset, sizeof(offset));
	}
	return span;
}

static struct policy_span elements_copy(struct compile_context *context, struct array *array,
					const struct policy *base, uint32_t offset, size_t size,
					struct policy_span from)
{
	struct policy_span span = { (uint32_t)(array->used / size), from.count };

	if (from.count)
		array_append(context, array, element_at(base, offset, size, from.first),
			     from.count * size);
	return span;
}

static void rule_copy(struct compile_context *context, const struct policy *base,
		      const struct policy_rule *from)
{
	/* Only name, match and action are shipped: the settings are those of this policy. */
	const struct policy_rule rule = {
		.name = string_append(context, policy_string(base, from->name)),
		.pool = -1,
		.action = from->action,
		.programs = strings_copy(context, base, from->programs),
		.hosts = strings_copy(context, base, from->hosts),
		.paths = strings_copy(context, base, from->paths),
		.addresses = elements_copy(context, &context->prefixes, base, base->prefix_offset,
					   sizeof(struct policy_prefix), from->addresses),
		.ports = elements_copy(context, &context->ports, base, base->ports_offset,
				       sizeof(struct policy_ports), from->ports),
		.settings = context->header.defaults,
	};

	array_append(context, &context->rules, &rule, sizeof(rule));
}

void shipped_rules_append(struct compile_context *context, const struct policy *base)
{
	/* `standard` itself: its rules are in place already. */
	if (!base) {
		context->header.shipped_rule_count = (uint32_t)(context->rules.used /
								sizeof(struct policy_rule));
		return;
	}
	context->header.shipped_rule_count = base->shipped_rule_count;
	for (uint32_t i = base->rule_count - base->shipped_rule_count; i < base->rule_count; i++)
		rule_copy(context, base, policy_rule(base, (int)i));
}
