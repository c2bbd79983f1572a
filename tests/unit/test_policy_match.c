/* SPDX-License-Identifier: MIT */
/* Patterns, and which rule a destination falls under. */
#include <arpa/inet.h>

#include "policy/match.h"
#include "policy_test.h"

static void test_globs(void **state)
{
	static const struct {
		const char *pattern, *text;
		bool ignore_case, matches;
	} globs[] = {
		{ "psql", "psql", false, true },
		{ "psql", "psqlx", false, false },
		{ "psql", "psq", false, false },
		{ "", "", false, true },
		{ "", "a", false, false },
		{ "*", "", false, true },
		{ "*", "/any/.thing", false, true },
		{ "a*b*c", "a__b__c", false, true },
		{ "a*b*c", "a__b__", false, false },
		{ "*aab", "aaaaaab", false, true },
		{ "a?c", "abc", false, true },
		{ "a?c", "ac", false, false },
		{ "?", "", false, false },
		{ "**x**", "x", false, true },
		{ "DB.*", "db.internal", true, true },
		{ "DB.*", "db.internal", false, false },
		{ "[a-c]x", "bx", false, true },
		{ "[a-c]x", "dx", false, false },
		{ "[!a-c]x", "dx", false, true },
		{ "[!a-c]x", "ax", false, false },
		{ "[^a]", "b", false, true },
		{ "[]a]", "]", false, true },
		{ "[A-C]", "b", true, true },
		{ "[a-]", "-", false, true },
		{ "[ab", "[ab", false, true },
		{ "[", "[", false, true },
		{ "\\*", "*", false, true },
		{ "\\*", "x", false, false },
		{ "a\\", "a\\", false, true },
		{ "*.internal", ".internal", false, true },
		{ "*.internal", "internal", false, false },
		{ "\xc3\xa4*", "\xc3\xa4x", false, true },
	};

	for (size_t i = 0; i < COUNT(globs); i++)
		assert_row(i,
			   glob_match(globs[i].pattern, strlen(globs[i].pattern), globs[i].text,
				      strlen(globs[i].text), globs[i].ignore_case),
			   globs[i].matches);
}

/* A pattern that is exponential where every star is retried: ends within the test's time. */
static void test_glob_worst_case(void **state)
{
	char pattern[4001], text[20001];

	for (size_t i = 0; i + 1 < sizeof(pattern); i += 2)
		memcpy(pattern + i, "a*", 2);
	pattern[sizeof(pattern) - 1] = 'b';
	memset(text, 'a', sizeof(text));
	assert_false(glob_match(pattern, sizeof(pattern), text, sizeof(text), false));
	text[sizeof(text) - 1] = 'b';
	assert_true(glob_match(pattern, sizeof(pattern), text, sizeof(text), false));
}

/* One rule with this match against one destination. */
static enum policy_match match(const char *json, struct policy_destination destination,
			       const char *address)
{
	char text[512];
	struct policy *policy;
	enum policy_match result;

	if (address && strchr(address, ':')) {
		assert_int_equal(inet_pton(AF_INET6, address, destination.address), 1);
	} else if (address) {
		destination.address[10] = destination.address[11] = 0xff;
		assert_int_equal(inet_pton(AF_INET, address, destination.address + 12), 1);
	}
	snprintf(text, sizeof(text), "{\"version\":1,\"rules\":[{\"match\":{%s}}]}", json);
	policy = compile_right(text);
	result = policy_rule_match(policy, 0, &destination);
	assert_int_equal(policy_rule_find(policy, &destination),
			 result == MATCH_OK ? 0 : RULE_NONE);
	free(policy);
	return result;
}

#define TO(...)                     \
	(struct policy_destination) \
	{                           \
		__VA_ARGS__         \
	}

static void test_programs(void **state)
{
	const struct policy_destination psql = TO(
			.exec_path = "/usr/bin/psql",
			.exe_path = "/usr/lib/postgresql/15/bin/psql.real");
	const struct policy_destination relative = TO(.exec_path = "./tool", .exe_path = NULL);

	assert_int_equal(match("\"programs\":[\"psql\"]", psql, "1.2.3.4"), MATCH_OK);
	assert_int_equal(match("\"programs\":[\"psql.real\"]", psql, "1.2.3.4"), MATCH_OK);
	assert_int_equal(match("\"programs\":[\"x\",\"ps*\"]", psql, "1.2.3.4"), MATCH_OK);
	assert_int_equal(match("\"programs\":[\"sql\"]", psql, "1.2.3.4"), MATCH_PROGRAMS);
	assert_int_equal(match("\"programs\":[\"PSQL\"]", psql, "1.2.3.4"), MATCH_PROGRAMS);
	assert_int_equal(match("\"programs\":[\"/usr/bin/*\"]", psql, "1.2.3.4"), MATCH_OK);
	assert_int_equal(match("\"programs\":[\"/usr/lib/*/psql.real\"]", psql, "1.2.3.4"),
			 MATCH_OK);
	assert_int_equal(match("\"programs\":[\"bin/psql\"]", psql, "1.2.3.4"), MATCH_PROGRAMS);
	assert_int_equal(match("\"programs\":[\"tool\"]", relative, "1.2.3.4"), MATCH_OK);
	assert_int_equal(match("\"programs\":[\"*\"]", TO(.port = 1), "1.2.3.4"), MATCH_PROGRAMS);
}

static void test_hosts(void **state)
{
	assert_int_equal(match("\"hosts\":[\"db.internal\"]", TO(.host = "DB.Internal"), "::1"),
			 MATCH_OK);
	assert_int_equal(match("\"hosts\":[\"DB.internal.\"]", TO(.host = "db.internal"), "::1"),
			 MATCH_OK);
	assert_int_equal(match("\"hosts\":[\"*.internal\"]", TO(.host = "a.b.internal."), "::1"),
			 MATCH_OK);
	assert_int_equal(match("\"hosts\":[\"*.internal\"]", TO(.host = "internal"), "::1"),
			 MATCH_HOSTS);
	assert_int_equal(match("\"hosts\":[\"*\"]", TO(.port = 1), "::1"), MATCH_HOST_UNKNOWN);
}

static void test_addresses(void **state)
{
	static const struct {
		const char *list, *address;
		uint32_t scope_id;
		bool matches;
	} addresses[] = {
		{ "\"10.0.0.0/8\"", "10.255.0.1", 0, true },
		{ "\"10.0.0.0/8\"", "11.0.0.1", 0, false },
		{ "\"10.0.0.0/8\"", "::ffff:10.1.1.1", 0, true },
		{ "\"::ffff:10.0.0.0/104\"", "10.1.1.1", 0, true },
		{ "\"10.1.2.128/25\"", "10.1.2.127", 0, false },
		{ "\"10.1.2.128/25\"", "10.1.2.200", 0, true },
		{ "\"10.1.2.3\"", "10.1.2.3", 0, true },
		{ "\"10.1.2.3\"", "10.1.2.2", 0, false },
		{ "\"0.0.0.0/0\"", "9.9.9.9", 0, true },
		{ "\"0.0.0.0/0\"", "2001:db8::1", 0, false },
		{ "\"::/0\"", "2001:db8::1", 0, true },
		{ "\"::/0\"", "9.9.9.9", 0, false },
		{ "\"::1\"", "::1", 0, true },
		{ "\"::1\"", "127.0.0.1", 0, false },
		{ "\"2001:db8::/33\"", "2001:db8:7fff::1", 0, true },
		{ "\"2001:db8::/33\"", "2001:db8:8000::1", 0, false },
		{ "\"fe80::%2/10\"", "fe80::1", 2, true },
		{ "\"fe80::%2/10\"", "fe80::1", 3, false },
		{ "\"fe80::/10\"", "fe80::1", 3, true },
		{ "\"1.1.1.1\",\"::2\"", "::2", 0, true },
	};

	for (size_t i = 0; i < COUNT(addresses); i++) {
		char json[128];

		snprintf(json, sizeof(json), "\"addresses\":[%s]", addresses[i].list);
		assert_row(i,
			   match(json, TO(.scope_id = addresses[i].scope_id), addresses[i].address),
			   addresses[i].matches ? MATCH_OK : MATCH_ADDRESSES);
	}
}

static void test_ports(void **state)
{
	static const char list[] = "\"ports\":[53,\"6000-6010\",\"80\",\"65535\"]";
	static const struct {
		uint16_t port;
		bool matches;
	} ports[] = {
		{ 53, true },   { 52, false },   { 54, false },  { 5999, false },
		{ 6000, true }, { 6005, true },  { 6010, true }, { 6011, false },
		{ 80, true },   { 65535, true }, { 0, false },
	};

	for (size_t i = 0; i < COUNT(ports); i++)
		assert_row(i, match(list, TO(.port = ports[i].port), "1.2.3.4"),
			   ports[i].matches ? MATCH_OK : MATCH_PORTS);
}

static void test_unix(void **state)
{
	const struct policy_destination path = TO(.is_unix = true, .unix_path = "/run/db/.s.1");
	const struct policy_destination name = TO(.is_unix = true, .unix_path = "@bus");
	const struct policy_destination unnamed = TO(.is_unix = true);

	assert_int_equal(match("\"paths\":[\"/run/*\"]", path, NULL), MATCH_OK);
	assert_int_equal(match("\"paths\":[\"/run/x\"]", path, NULL), MATCH_PATHS);
	assert_int_equal(match("\"paths\":[\"@b*\"]", name, NULL), MATCH_OK);
	assert_int_equal(match("\"paths\":[\"*\"]", unnamed, NULL), MATCH_PATHS);
	/* A refusal may be the answer: only a rule that names paths is meant. */
	assert_int_equal(match("\"programs\":[\"*\"]", path, NULL), MATCH_NO_PATHS);
	assert_int_equal(match("", path, NULL), MATCH_NO_PATHS);
	assert_int_equal(match("\"addresses\":[\"::/0\"]", path, NULL), MATCH_NO_PATHS);
	/* And that rule is not meant for the network. */
	assert_int_equal(match("\"paths\":[\"*\"]", TO(.port = 1), "1.2.3.4"), MATCH_PATHS);
	assert_int_equal(match("", TO(.port = 1), "1.2.3.4"), MATCH_OK);
}

/* Fields are ANDed; the first rule that matches is taken. */
static void test_first_rule(void **state)
{
	struct policy *policy = compile_right(
		"{\"version\":1,\"rules\":["
		"{\"name\":\"both\",\"match\":{\"hosts\":[\"db\"],\"ports\":[1]}},"
		"{\"name\":\"port\",\"match\":{\"ports\":[1,2]}},"
		"{\"name\":\"late\",\"match\":{\"ports\":[2,3]}}]}");
	struct policy_destination destination = TO(.host = "db", .port = 1);

	assert_int_equal(policy_rule_find(policy, &destination), 0);
	destination.host = "other";
	assert_int_equal(policy_rule_find(policy, &destination), 1);
	destination.port = 2;
	assert_int_equal(policy_rule_find(policy, &destination), 1);
	destination.port = 3;
	assert_int_equal(policy_rule_find(policy, &destination), 2);
	destination.port = 4;
	assert_int_equal(policy_rule_find(policy, &destination), RULE_NONE);
	assert_ptr_equal(policy_settings(policy, RULE_NONE), &policy->defaults);
	assert_null(policy_rule(policy, (int)policy->rule_count));
	assert_string_equal(policy_string(policy, policy_rule(policy, 2)->name), "late");
	free(policy);
}

/* Which action a program meets under a policy; manage where no rule matches. */
static enum policy_action action_for(const struct policy *policy, const char *program)
{
	const struct policy_destination destination = { .exec_path = program,
							.address = { [15] = 1 },
							.port = 22 };
	int rule = policy_rule_find(policy, &destination);

	return rule == RULE_NONE ? ACTION_MANAGE
				 : (enum policy_action)policy_rule(policy, rule)->action;
}

static const char *const scanners[] = { "nmap",   "nping",  "masscan",   "zmap",
					"tcping", "hping3", "pg_isready" };

/* Programs to which a refusal is the answer, in every policy, shipped or a file's. */
static void test_shipped(void **state)
{
	const char *name;
	char path[64], json[96];

	for (unsigned int i = 0; (name = policy_profile_name(i)); i++) {
		const struct policy *profile = policy_profile(name);
		struct policy *policy;

		snprintf(json, sizeof(json),
			 "{\"version\":1,\"profile\":\"%s\",\"rules\":[{\"match\":{\"ports\":[1]}}]"
			 "}",
			 name);
		policy = compile_right(json);
		for (size_t p = 0; p < COUNT(scanners); p++) {
			snprintf(path, sizeof(path), "/usr/bin/%s", scanners[p]);
			assert_row(p, action_for(profile, path), ACTION_BYPASS);
			assert_row(p, action_for(policy, path), ACTION_BYPASS);
		}
		assert_int_equal(action_for(profile, "/usr/bin/curl"), ACTION_MANAGE);
		assert_int_equal(action_for(policy, "/usr/bin/curl"), ACTION_MANAGE);
		assert_int_equal(action_for(policy, "/usr/bin/psql"), ACTION_MANAGE);
		assert_int_equal(profile->shipped_rule_count, 1);
		assert_int_equal(profile->rule_count, 1);
		assert_int_equal(policy->shipped_rule_count, 1);
		assert_int_equal(policy->rule_count, 2);
		assert_string_equal(policy_string(policy, policy_rule(policy, 1)->name),
				    "scanners");
		assert_int_equal(policy_rule(policy, 1)->pool, -1);
		assert_false(policy_rule_is_shipped(policy, RULE_NONE));
		assert_false(policy_rule_is_shipped(policy, 0));
		assert_true(policy_rule_is_shipped(policy, 1));
		assert_false(policy_rule_is_shipped(policy, 2));
		free(policy);
	}
}

/* A policy's own rules are asked first, under the numbers that they have in the file. */
static void test_shipped_last(void **state)
{
	struct policy *policy = compile_right(
		"{\"version\":1,\"defaults\":{\"connect\":{\"deadline\":\"7m\"}},"
		"\"pools\":{\"p\":{\"endpoints\":[\"10.0.0.5:80\"]}},\"rules\":["
		"{\"name\":\"psql\",\"match\":{\"programs\":[\"psql\"]},\"pool\":\"p\"},"
		"{\"name\":\"mine\",\"match\":{\"programs\":[\"nmap\"]},\"action\":\"manage\"}]}");

	assert_int_equal(action_for(policy, "/usr/bin/nmap"), ACTION_MANAGE);
	assert_int_equal(action_for(policy, "/usr/bin/nping"), ACTION_BYPASS);
	assert_int_equal(policy->rule_count, 3);
	assert_string_equal(policy_string(policy, policy_rule(policy, 0)->name), "psql");
	assert_string_equal(policy_string(policy, policy_rule(policy, 1)->name), "mine");
	assert_true(policy_rule_is_shipped(policy, 2));
	/* With the settings of the policy that it is in. */
	assert_int_equal(policy_settings(policy, 2)->connect.deadline_ns, 7 * M);
	free(policy);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_globs),     cmocka_unit_test(test_glob_worst_case),
		cmocka_unit_test(test_programs),  cmocka_unit_test(test_hosts),
		cmocka_unit_test(test_addresses), cmocka_unit_test(test_ports),
		cmocka_unit_test(test_unix),      cmocka_unit_test(test_first_rule),
		cmocka_unit_test(test_shipped),   cmocka_unit_test(test_shipped_last),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
