/* SPDX-License-Identifier: MIT */
/* From growing arrays to one block. */
#include <stdlib.h>
#include <string.h>

#include "context.h"

void array_append(struct compile_context *context, struct array *array, const void *element,
		  size_t size)
{
	size_t capacity = array->capacity;
	unsigned char *data;

	context->total += size;
	if (context->total > POLICY_SIZE_MAX) {
		context->too_large = true;
		return;
	}
	while (array->used + size > capacity)
		capacity = capacity ? 2 * capacity : 1024;
	if (capacity != array->capacity) {
		data = realloc(array->data, capacity);
		if (!data) {
			context->out_of_memory = true;
			return;
		}
		array->data = data;
		array->capacity = capacity;
	}
	memcpy(array->data + array->used, element, size);
	array->used += size;
}

/* The strings come right behind the header, so that their offsets are known at once. */
uint32_t string_append(struct compile_context *context, const char *text)
{
	size_t offset = sizeof(struct policy) + context->strings.used;

	array_append(context, &context->strings, text, strlen(text) + 1);
	return (uint32_t)offset;
}

static size_t aligned(size_t size)
{
	return (size + 7) & ~(size_t)7;
}

/* Copies an array to *at; its count and offset go to the two words at fields. */
static void array_place(struct policy *policy, size_t *at, const struct array *array,
			size_t element_size, uint32_t *count, uint32_t *offset)
{
	*count = (uint32_t)(array->used / element_size);
	*offset = (uint32_t)*at;
	if (array->used)
		memcpy((unsigned char *)policy + *at, array->data, array->used);
	*at += aligned(array->used);
}

struct policy *policy_build(struct compile_context *context, const char *origin,
			    const char *profile, const struct policy_source *source)
{
	struct policy *header = &context->header, *policy;
	size_t at = sizeof(*policy), size;

	header->origin = string_append(context, origin);
	header->profile = string_append(context, profile);
	if (context->out_of_memory || context->too_large)
		return NULL;
	/* The last word stays zero: it ends every string, even in a damaged copy. */
	size = sizeof(*policy) + aligned(context->strings.used) + aligned(context->rules.used) +
	       aligned(context->pools.used) + aligned(context->pool_endpoints.used) +
	       aligned(context->prefixes.used) + aligned(context->ports.used) +
	       aligned(context->string_offsets.used) + 8;
	if (size > POLICY_SIZE_MAX) {
		context->too_large = true;
		return NULL;
	}
	policy = calloc(1, size);
	if (!policy) {
		context->out_of_memory = true;
		return NULL;
	}
	memcpy(policy, header, sizeof(*policy));
	memcpy((unsigned char *)policy + at, context->strings.data, context->strings.used);
	at += aligned(context->strings.used);
#define PLACE(array, name, type)                                                       \
	array_place(policy, &at, &context->array, sizeof(type), &policy->name##_count, \
		    &policy->name##_offset)
	PLACE(rules, rule, struct policy_rule);
	PLACE(pools, pool, struct policy_pool);
	PLACE(pool_endpoints, pool_endpoint, struct policy_pool_endpoint);
	PLACE(prefixes, prefix, struct policy_prefix);
	PLACE(ports, ports, struct policy_ports);
	PLACE(string_offsets, string, uint32_t);
#undef PLACE
	policy->magic = POLICY_MAGIC;
	policy->layout = POLICY_LAYOUT | (uint32_t)sizeof(struct policy_rule) << 16;
	policy->size = (uint32_t)size;
	if (source)
		policy->source = *source;
	policy->checksum = policy_checksum(policy);
	return policy;
}

void context_free(struct compile_context *context)
{
	free(context->strings.data);
	free(context->rules.data);
	free(context->pools.data);
	free(context->pool_endpoints.data);
	free(context->prefixes.data);
	free(context->ports.data);
	free(context->string_offsets.data);
}
