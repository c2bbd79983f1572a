/* SPDX-License-Identifier: MIT */
/* The pool that a destination's connects go to instead. */
#include <string.h>

#include "policy/words.h"
#include "tools/explain.h"

const struct policy_pool *explanation_pool(const struct explanation *explanation)
{
	const struct policy *policy = explanation->file.policy;
	const struct policy_rule *rule = policy_rule(policy, explanation->rule);

	/* A lookup has no endpoint, and AF_UNIX and UDP stay where they are. */
	if (!rule || explanation->unmanaged || explanation->target.kind != ENDPOINT_TCP ||
	    explanation->operation != OPERATION_CONNECT)
		return NULL;
	return policy_pool(policy, rule->pool);
}

const char *explanation_balance(const struct policy_pool *pool)
{
	return balance_words.list[pool->balance];
}

bool explanation_endpoint(const struct explanation *explanation, const struct policy_pool *pool,
			  uint32_t index, char text[ENDPOINT_TEXT_SIZE])
{
	const struct policy_pool_endpoint *from;
	struct endpoint endpoint = { .kind = ENDPOINT_TCP };

	if (index >= pool->endpoints.count)
		return false;
	from = policy_pool_endpoint(explanation->file.policy, pool->endpoints.first + index);
	endpoint.is_ipv6 = from->is_ipv6;
	endpoint.port = from->port;
	endpoint.scope_id = from->scope_id;
	endpoint.length = from->is_ipv6 ? 16 : 4;
	memcpy(endpoint.bytes, from->address + 16 - endpoint.length, endpoint.length);
	endpoint_format(&endpoint, text);
	return true;
}
