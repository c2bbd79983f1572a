/* SPDX-License-Identifier: MIT */
/* What the tests of the policy share. */
#ifndef HOLDFAST_TEST_POLICY_H
#define HOLDFAST_TEST_POLICY_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "policy/compile.h"

#define MS UINT64_C(1000000)
#define S (1000 * MS)
#define M (60 * S)
#define H (60 * M)
#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

/* Compiles JSON that has to be right; free() the result. */
static inline struct policy *compile_right(const char *json)
{
	struct policy_errors errors;
	struct policy *policy = policy_compile(json, strlen(json), "test", NULL, &errors);

	for (size_t i = 0; i < errors.count; i++)
		print_error("%s: %s\n", errors.list[i].path, errors.list[i].message);
	policy_errors_free(&errors);
	assert_non_null(policy);
	assert_true(policy_valid(policy, policy->size));
	return policy;
}

/* splitmix64: the same numbers in every run. */
static inline uint64_t random_next(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

/* Fails with the index of the row that it was for. */
#define assert_row(row, actual, expected)                                                      \
	do {                                                                                   \
		unsigned long long got_ = (unsigned long long)(actual);                        \
		unsigned long long want_ = (unsigned long long)(expected);                     \
		if (got_ != want_)                                                             \
			fail_msg("row %zu: " #actual " is %llu, expected %llu", (size_t)(row), \
				 got_, want_);                                                 \
	} while (0)

#endif
