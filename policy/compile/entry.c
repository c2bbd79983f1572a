/* SPDX-License-Identifier: MIT */
/* The one symbol of libholdfast-policy.so. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/compile.h"

static void errors_describe(const struct policy_errors *errors, const char *origin, char *message,
			    size_t size)
{
	int length;

	if (errors->count == 0) {
		snprintf(message, size, "%s: out of memory", origin);
		return;
	}
	length = policy_error_format(&errors->list[0], origin, message, size);
	if (errors->count > 1 && length >= 0 && (size_t)length < size)
		snprintf(message + length, size - (size_t)length, " (and %zu more)",
			 errors->count - 1);
}

__attribute__((visibility("default"))) size_t holdfast_policy_compile(
	const char *text, size_t length, const char *origin, const struct policy_source *source,
	void *buffer, size_t size, char *message, size_t message_size)
{
	struct policy_errors errors;
	struct policy *policy = policy_compile(text, length, origin, source, &errors);
	size_t needed = policy ? policy->size : 0;

	if (!policy) {
		errors_describe(&errors, origin, message, message_size);
	} else if (needed > size) {
		snprintf(message, message_size,
			 "%s: found a policy of %zu bytes when compiled, expected at most %zu",
			 origin, needed, size);
		needed = 0;
	} else {
		memcpy(buffer, policy, needed);
	}
	free(policy);
	policy_errors_free(&errors);
	return needed;
}
