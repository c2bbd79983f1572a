/* SPDX-License-Identifier: MIT */
/* `pools`: names for lists of endpoints. */
#include <string.h>

#include "address.h"
#include "context.h"

#define POOLS_MAX 1024

static const char *const pool_keys[] = { "endpoints", "balance" };
enum { POOL_ENDPOINTS, POOL_BALANCE, POOL_KEYS };

static void endpoint_compile(struct compile_context *context, const cJSON *item)
{
	struct policy_pool_endpoint endpoint = { 0 };
	char expected[ADDRESS_MESSAGE_SIZE];

	if (!cJSON_IsString(item))
		error_expected(context, item,
			       "ADDRESS:PORT such as \"10.0.0.5:8080\" or \"[::1]:80\"");
	else if (!pool_endpoint_parse(item->valuestring, &endpoint, expected))
		error_expected(context, item, expected);
	else
		array_append(context, &context->pool_endpoints, &endpoint, sizeof(endpoint));
}

static struct policy_span endpoints_compile(struct compile_context *context, const cJSON *list)
{
	size_t mark = path_enter(context, "endpoints"), index = 0;
	struct policy_span span = {
		(uint32_t)(context->pool_endpoints.used / sizeof(struct policy_pool_endpoint)), 0
	};
	const cJSON *item;

	if (list_expect(context, list, "a list of at least one ADDRESS:PORT")) {
		cJSON_ArrayForEach(item, list)
		{
			size_t inner = path_enter_index(context, index++);

			endpoint_compile(context, item);
			path_leave(context, inner);
		}
	}
	path_leave(context, mark);
	span.count = (uint32_t)index;
	return span;
}

static uint32_t balance_compile(struct compile_context *context, const cJSON *item)
{
	int balance = cJSON_IsString(item) ? word_find(&balance_words, item->valuestring,
						       strlen(item->valuestring))
					   : -1;
	size_t mark;
	char expected[128];
	struct text text;

	if (balance >= 0)
		return (uint32_t)balance;
	mark = path_enter(context, "balance");
	text_begin(&text, expected, sizeof(expected));
	text_add_words(&text, &balance_words);
	error_expected_word(context, item, expected, &balance_words);
	path_leave(context, mark);
	return 0;
}

static void pool_compile(struct compile_context *context, const cJSON *pool)
{
	const struct words words = { pool_keys, POOL_KEYS };
	const cJSON *members[POOL_KEYS];
	struct policy_pool compiled = { .balance = BALANCE_FIRST };

	if (pool->string[0] == '\0')
		error_add(context, "found an empty name, expected the name of a pool");
	if (!object_expect(context, pool))
		return;
	object_members(context, pool, &words, members);
	if (!members[POOL_ENDPOINTS])
		error_add(context, "found no key \"endpoints\", expected a list of at least one "
				   "ADDRESS:PORT");
	else
		compiled.endpoints = endpoints_compile(context, members[POOL_ENDPOINTS]);
	if (members[POOL_BALANCE])
		compiled.balance = balance_compile(context, members[POOL_BALANCE]);
	compiled.name = string_append(context, pool->string);
	array_append(context, &context->pools, &compiled, sizeof(compiled));
}

static bool is_repeated(const cJSON *pools, const cJSON *pool)
{
	for (const cJSON *item = pools->child; item != pool; item = item->next)
		if (!strcmp(item->string, pool->string))
			return true;
	return false;
}

void pools_compile(struct compile_context *context, const cJSON *pools)
{
	size_t count = 0;
	const cJSON *pool;

	if (!object_expect(context, pools))
		return;
	cJSON_ArrayForEach(pool, pools)
	{
		size_t mark;

		if (++count > POOLS_MAX) {
			error_add(context, "found more pools, expected at most 1024");
			return;
		}
		mark = path_enter(context, pool->string);
		if (is_repeated(pools, pool))
			error_add(context, "found the key a second time, expected it once");
		else
			pool_compile(context, pool);
		path_leave(context, mark);
	}
}
