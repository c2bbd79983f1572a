/* SPDX-License-Identifier: MIT */
/* Error numbers to categories, against the list in the design; overrides. */
#include <errno.h>
#include <netdb.h>
#include <sys/socket.h>

#include "policy_test.h"

struct class
{
	int error;
	enum policy_category inet, local; /* local: AF_UNIX */
};

#define BOTH(category) CATEGORY_##category, CATEGORY_##category

static const struct class classes[] = {
	{ ECONNREFUSED, CATEGORY_NETWORK, CATEGORY_TEMPORARY },
	{ ETIMEDOUT, BOTH(NETWORK) },
	{ EHOSTUNREACH, BOTH(NETWORK) },
	{ ENETUNREACH, BOTH(NETWORK) },
	{ ENETDOWN, BOTH(NETWORK) },
	{ EHOSTDOWN, BOTH(NETWORK) },
	{ ECONNRESET, BOTH(NETWORK) },
	{ ECONNABORTED, BOTH(NETWORK) },
	{ EPIPE, BOTH(NETWORK) },
	{ EAGAIN, CATEGORY_PERMANENT, CATEGORY_TEMPORARY },
	{ ENOENT, CATEGORY_PERMANENT, CATEGORY_TEMPORARY },
	{ ENOBUFS, BOTH(SYSTEM) },
	{ ENOMEM, BOTH(SYSTEM) },
	{ EADDRNOTAVAIL, BOTH(SYSTEM) },
	{ EACCES, BOTH(AUTH) },
	{ EPERM, BOTH(AUTH) },
	{ EBADF, BOTH(PERMANENT) },
	{ EFAULT, BOTH(PERMANENT) },
	{ ENOTSOCK, BOTH(PERMANENT) },
	{ EAFNOSUPPORT, BOTH(PERMANENT) },
	{ EPROTOTYPE, BOTH(PERMANENT) },
	{ EADDRINUSE, BOTH(PERMANENT) },
	{ EINVAL, BOTH(PERMANENT) },
	{ ENOTCONN, BOTH(PERMANENT) },
	{ EMSGSIZE, BOTH(PERMANENT) },
	{ EOPNOTSUPP, BOTH(PERMANENT) },
	/* No errors: never retried, should one get here. */
	{ EINTR, BOTH(UNKNOWN) },
	{ EINPROGRESS, BOTH(UNKNOWN) },
	{ EALREADY, BOTH(UNKNOWN) },
	{ EISCONN, BOTH(UNKNOWN) },
	{ EXDEV, BOTH(UNKNOWN) },
	{ EHWPOISON, BOTH(UNKNOWN) },
	{ 0, BOTH(UNKNOWN) },
	{ -1, BOTH(UNKNOWN) },
	{ ERRNO_LIMIT - 1, BOTH(UNKNOWN) },
	{ ERRNO_LIMIT, BOTH(UNKNOWN) },
	{ 4095, BOTH(UNKNOWN) },
	{ INT32_MIN, BOTH(UNKNOWN) },
	{ INT32_MAX, BOTH(UNKNOWN) },
};

static void test_errno(void **state)
{
	const struct policy_settings settings = { .connect.deadline_ns = 0 };

	for (size_t i = 0; i < COUNT(classes); i++) {
		const struct class *c = &classes[i];

		assert_row(i, policy_classify(&settings, AF_INET, c->error), c->inet);
		assert_row(i, policy_classify(&settings, AF_INET6, c->error), c->inet);
		assert_row(i, policy_classify(&settings, AF_UNIX, c->error), c->local);
	}
}

static void test_network_is_complete(void **state)
{
	const struct policy_settings settings = { .connect.deadline_ns = 0 };
	unsigned int counts[CATEGORY_COUNT] = { 0 };

	for (int error = 0; error < 4096; error++)
		counts[policy_classify(&settings, AF_INET, error)]++;
	/* As many as the design names; data and rate_limit come from protocols. */
	assert_int_equal(counts[CATEGORY_NETWORK], 9);
	assert_int_equal(counts[CATEGORY_SYSTEM], 3);
	assert_int_equal(counts[CATEGORY_AUTH], 2);
	assert_int_equal(counts[CATEGORY_TEMPORARY], 0);
	assert_int_equal(counts[CATEGORY_DATA], 0);
	assert_int_equal(counts[CATEGORY_RATE_LIMIT], 0);
}

static void test_eai(void **state)
{
	static const struct {
		int code;
		enum policy_category category;
	} codes[] = {
		{ EAI_AGAIN, CATEGORY_TEMPORARY },
		{ EAI_NONAME, CATEGORY_PERMANENT },
		{ EAI_FAIL, CATEGORY_PERMANENT },
		{ EAI_FAMILY, CATEGORY_PERMANENT },
		{ EAI_SERVICE, CATEGORY_PERMANENT },
		{ EAI_SOCKTYPE, CATEGORY_PERMANENT },
		{ EAI_BADFLAGS, CATEGORY_PERMANENT },
		{ EAI_MEMORY, CATEGORY_PERMANENT },
		{ EAI_NODATA, CATEGORY_PERMANENT },
		{ EAI_ADDRFAMILY, CATEGORY_PERMANENT },
		{ EAI_OVERFLOW, CATEGORY_PERMANENT },
		{ EAI_SYSTEM, CATEGORY_UNKNOWN },
		{ -100, CATEGORY_PERMANENT },
		{ INT32_MIN, CATEGORY_PERMANENT },
		{ -15, CATEGORY_UNKNOWN },
		{ 0, CATEGORY_UNKNOWN },
		{ 5, CATEGORY_UNKNOWN },
	};
	const struct policy_settings settings = { .connect.deadline_ns = 0 };

	for (size_t i = 0; i < COUNT(codes); i++)
		assert_row(i, policy_classify_eai(&settings, codes[i].code), codes[i].category);
}

static void test_overrides(void **state)
{
	struct policy *policy = compile_right(
		"{\"version\":1,\"defaults\":{\"classify\":{\"ECONNREFUSED\":\"permanent\","
		"\"EWOULDBLOCK\":\"network\",\"EAI_NONAME\":\"temporary\",\"EXDEV\":\"data\"}},"
		"\"rules\":[{\"classify\":{\"ECONNREFUSED\":\"rate_limit\"}}]}");
	const struct policy_settings *defaults = policy_settings(policy, RULE_NONE);
	const struct policy_settings *rule = policy_settings(policy, 0);

	assert_int_equal(policy_classify(defaults, AF_INET, ECONNREFUSED), CATEGORY_PERMANENT);
	/* A choice of the user's holds for every family. */
	assert_int_equal(policy_classify(defaults, AF_UNIX, ECONNREFUSED), CATEGORY_PERMANENT);
	assert_int_equal(policy_classify(defaults, AF_UNIX, EAGAIN), CATEGORY_NETWORK);
	assert_int_equal(policy_classify(defaults, AF_UNIX, ENOENT), CATEGORY_TEMPORARY);
	assert_int_equal(policy_classify(defaults, AF_INET, EXDEV), CATEGORY_DATA);
	assert_int_equal(policy_classify_eai(defaults, EAI_NONAME), CATEGORY_TEMPORARY);
	assert_int_equal(policy_classify_eai(defaults, EAI_AGAIN), CATEGORY_TEMPORARY);
	/* The rule's object is merged into that of the defaults. */
	assert_int_equal(policy_classify(rule, AF_INET, ECONNREFUSED), CATEGORY_RATE_LIMIT);
	assert_int_equal(policy_classify(rule, AF_INET, EXDEV), CATEGORY_DATA);
	free(policy);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_errno),
		cmocka_unit_test(test_network_is_complete),
		cmocka_unit_test(test_eai),
		cmocka_unit_test(test_overrides),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
