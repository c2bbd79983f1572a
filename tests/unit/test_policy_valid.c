/* SPDX-License-Identifier: MIT */
/*
 * Compiled copies: whatever is damaged, cut or crafted is refused, and the entry
 * of libholdfast-policy.so reports what is wrong in one line.
 */
#include "policy_test.h"

static const char json[] =
	"{\"version\":1,\"pools\":{\"p\":{\"endpoints\":[\"10.0.0.5:80\",\"[::1]:81\"]}},"
	"\"rules\":[{\"name\":\"r\",\"pool\":\"p\",\"match\":{\"programs\":[\"psql\"],"
	"\"addresses\":[\"10.0.0.0/8\"],\"ports\":[1,\"2-3\"],\"hosts\":[\"db\"]}}]}";

static void test_every_byte(void **state)
{
	struct policy *policy = compile_right(json);
	unsigned char *bytes = (unsigned char *)policy;
	size_t size = policy->size;

	for (size_t i = 0; i < size; i++) {
		for (unsigned int bit = 0; bit < 8; bit++) {
			bytes[i] ^= (unsigned char)(1U << bit);
			if (policy_valid(policy, size))
				fail_msg("byte %zu, bit %u was not missed", i, bit);
			bytes[i] ^= (unsigned char)(1U << bit);
		}
	}
	assert_true(policy_valid(policy, size));
	free(policy);
}

static void test_every_length(void **state)
{
	struct policy *policy = compile_right(json);
	size_t size = policy->size;

	for (size_t cut = 0; cut < size; cut++) {
		/* Exactly as long as it claims to be, for the sanitizers. */
		void *copy = malloc(cut ? cut : 1);

		memcpy(copy, policy, cut);
		assert_false(policy_valid(copy, cut));
		free(copy);
	}
	policy = realloc(policy, size + 8);
	memset((char *)policy + size, 0, 8);
	assert_false(policy_valid(policy, size + 8));
	assert_true(policy_valid(policy, size));
	assert_false(policy_valid((char *)policy + 4, size - 4));
	assert_false(policy_valid(NULL, size));
	free(policy);
}

/* Every 32-bit word set to values that lead far away, with the checksum made right again. */
static void test_crafted(void **state)
{
	static const uint32_t words[] = { 0, 1, 0x7fffffff, 0x80000000, 0xffffffff, 0xfffffff8 };
	struct policy *policy = compile_right(json);
	const struct policy_destination destination = {
		.exec_path = "/usr/bin/psql",
		.host = "db",
		.address = { [10] = 0xff, [11] = 0xff, 10, 0, 0, 1 },
		.port = 2
	};
	size_t size = policy->size, refused = 0;

	for (size_t at = offsetof(struct policy, checksum) + 8; at < size; at += 4) {
		for (size_t i = 0; i < COUNT(words); i++) {
			struct policy *copy = malloc(size);

			memcpy(copy, policy, size);
			memcpy((char *)copy + at, &words[i], 4);
			if (copy->size == size)
				copy->checksum = policy_checksum(copy);
			/* Accepted ones are read all over; the sanitizers watch. */
			if (policy_valid(copy, size)) {
				policy_rule_find(copy, &destination);
				for (int rule = -1; rule < (int)copy->rule_count; rule++)
					policy_settings(copy, rule);
				for (uint32_t p = 0; p < copy->pool_count; p++)
					policy_string(copy, policy_pool(copy, (int)p)->name);
				assert_true(strlen(policy_string(copy, copy->profile)) < size);
			} else {
				refused++;
			}
			free(copy);
		}
	}
	assert_true(refused > 100);
	free(policy);
}

/* A reader subtracts one count from the other. */
static void test_shipped_count(void **state)
{
	struct policy *policy = compile_right(json);

	policy->shipped_rule_count = policy->rule_count;
	policy->checksum = policy_checksum(policy);
	assert_true(policy_valid(policy, policy->size));
	policy->shipped_rule_count++;
	policy->checksum = policy_checksum(policy);
	assert_false(policy_valid(policy, policy->size));
	free(policy);
}

static void test_contents(void **state)
{
	static const struct policy_source source = { 1, 2, 3, 4, 5, 6 };
	struct policy_errors errors;
	struct policy *policy = policy_compile(json, strlen(json), "/etc/p.json", &source, &errors);
	const struct policy_pool *pool;
	const struct policy_pool_endpoint *endpoint;

	assert_non_null(policy);
	assert_memory_equal(&policy->source, &source, sizeof(source));
	assert_string_equal(policy_string(policy, policy->origin), "/etc/p.json");
	assert_string_equal(policy_string(policy, policy->profile), "standard");
	pool = policy_pool(policy, policy_rule(policy, 0)->pool);
	assert_string_equal(policy_string(policy, pool->name), "p");
	assert_int_equal(pool->endpoints.count, 2);
	endpoint = policy_pool_endpoint(policy, pool->endpoints.first);
	assert_memory_equal(endpoint->address, "\0\0\0\0\0\0\0\0\0\0\xff\xff\x0a\0\0\x05", 16);
	assert_int_equal(endpoint->port, 80);
	assert_false(endpoint->is_ipv6);
	endpoint = policy_pool_endpoint(policy, pool->endpoints.first + 1);
	assert_int_equal(endpoint->port, 81);
	assert_true(endpoint->is_ipv6);
	assert_null(policy_pool_endpoint(policy, 2));
	assert_null(policy_pool(policy, 1));
	assert_null(policy_pool(policy, -1));
	free(policy);
}

static size_t entry(const char *text, void *buffer, size_t size, char *message)
{
	return holdfast_policy_compile(text, strlen(text), "/p.json", NULL, buffer, size, message,
				       256);
}

static void test_entry(void **state)
{
	uint64_t buffer[4096];
	char message[256] = "";
	size_t size = entry(json, buffer, sizeof(buffer), message);

	assert_true(size > sizeof(struct policy));
	assert_true(policy_valid(buffer, size));
	assert_int_equal(entry(json, buffer, size - 1, message), 0);
	assert_non_null(strstr(message, "/p.json: found a policy of "));
	assert_int_equal(entry("{\"version\":2}", buffer, sizeof(buffer), message), 0);
	assert_string_equal(message, "/p.json: $.version: found 2, expected 1");
	assert_int_equal(entry("{\"version\":2,\"rules\":1}", buffer, sizeof(buffer), message), 0);
	assert_string_equal(message, "/p.json: $.version: found 2, expected 1 (and 1 more)");
	assert_int_equal(entry("{\"version\":1\n,}", buffer, sizeof(buffer), message), 0);
	assert_string_equal(message, "/p.json:2:2: found '}', expected a key in '\"'");
}

/* Limits: a compiled policy, its rules, and the errors that are kept. */
static void test_limits(void **state)
{
	enum { SIZE = 3 << 20 };
	char *text = malloc(SIZE);
	struct policy_errors errors;
	size_t length = (size_t)snprintf(text, SIZE, "{\"version\":1,\"rules\":[");

	for (int i = 0; i < 4097; i++)
		length += (size_t)snprintf(text + length, SIZE - length, "%s{}", i ? "," : "");
	snprintf(text + length, SIZE - length, "]}");
	assert_null(policy_compile(text, strlen(text), "", NULL, &errors));
	assert_int_equal(errors.count, 1);
	assert_string_equal(errors.list[0].path, "$.rules");
	assert_string_equal(errors.list[0].message, "found more rules, expected at most 4096");
	policy_errors_free(&errors);

	/* 4096 rules with names of 300 bytes: more than 4 MiB with the settings. */
	length = (size_t)snprintf(text, SIZE, "{\"version\":1,\"rules\":[");
	for (int i = 0; i < 4096; i++)
		length += (size_t)snprintf(text + length, SIZE - length, "%s{\"name\":\"%0300d\"}",
					   i ? "," : "", i);
	snprintf(text + length, SIZE - length, "]}");
	assert_null(policy_compile(text, strlen(text), "", NULL, &errors));
	assert_int_equal(errors.count, 1);
	assert_string_equal(errors.list[0].path, "");
	assert_string_equal(errors.list[0].message,
			    "found a policy that is larger than 4 MiB when compiled, expected "
			    "fewer rules");
	policy_errors_free(&errors);

	length = (size_t)snprintf(text, SIZE, "{\"version\":1,\"rules\":[1");
	for (int i = 0; i < 2000; i++)
		length += (size_t)snprintf(text + length, SIZE - length, ",1");
	snprintf(text + length, SIZE - length, "]}");
	assert_null(policy_compile(text, strlen(text), "", NULL, &errors));
	assert_int_equal(errors.count, 1001);
	assert_string_equal(errors.list[1000].message,
			    "more errors follow, the first 1000 are shown");
	policy_errors_free(&errors);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_byte), cmocka_unit_test(test_every_length),
		cmocka_unit_test(test_crafted),    cmocka_unit_test(test_shipped_count),
		cmocka_unit_test(test_contents),   cmocka_unit_test(test_entry),
		cmocka_unit_test(test_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
