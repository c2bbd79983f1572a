/* SPDX-License-Identifier: MIT */
/* Durations, sizes, numbers and words as text. */
#include "policy/words.h"
#include "policy_test.h"

#define BAD UINT64_MAX /* no amount: durations end below DURATION_OFF */

struct amount {
	const char *text;
	uint64_t amount;
};

static const struct amount durations[] = {
	{ "250ms", 250 * MS },
	{ "1s", 1 * S },
	{ "5m", 5 * M },
	{ "24h", 24 * H },
	{ "0s", 0 },
	{ "0ms", 0 },
	{ "007s", 7 * S },
	{ "18446744073s", UINT64_C(18446744073000000000) },
	{ "", BAD },
	{ "s", BAD },
	{ "1", BAD },
	{ "1 s", BAD },
	{ " 1s", BAD },
	{ "1s ", BAD },
	{ "-1s", BAD },
	{ "+1s", BAD },
	{ "1.5s", BAD },
	{ "1,5s", BAD },
	{ "1S", BAD },
	{ "1sec", BAD },
	{ "1d", BAD },
	{ "1us", BAD },
	{ "0x1s", BAD },
	{ "1e3s", BAD },
	{ "18446744074s", BAD },
	{ "18446744073709551616ms", BAD },
	{ "99999999999999999999h", BAD },
	{ "off", BAD },
	{ "1h30m", BAD },
};

static const struct amount sizes[] = {
	{ "0B", 0 },
	{ "64KiB", 65536 },
	{ "16MiB", 16777216 },
	{ "2GiB", UINT64_C(2147483648) },
	{ "512B", 512 },
	{ "17179869183GiB", UINT64_C(18446744072635809792) },
	{ "", BAD },
	{ "1", BAD },
	{ "1K", BAD },
	{ "1KB", BAD },
	{ "1kib", BAD },
	{ "KiB", BAD },
	{ "1.5MiB", BAD },
	{ "-1B", BAD },
	{ "17179869184GiB", BAD },
	{ "1 KiB", BAD },
};

static void amounts_check(const struct amount *amounts, size_t count,
			  bool (*parse)(const char *, size_t, uint64_t *))
{
	for (size_t i = 0; i < count; i++) {
		uint64_t amount = 42;
		bool fine = parse(amounts[i].text, strlen(amounts[i].text), &amount);

		assert_row(i, fine, amounts[i].amount != BAD);
		/* What is no amount changes nothing. */
		assert_row(i, amount, fine ? amounts[i].amount : 42);
	}
}

static void test_durations(void **state)
{
	uint64_t ns;

	amounts_check(durations, COUNT(durations), duration_parse);
	/* Only length bytes are looked at. */
	assert_true(duration_parse("5ms", 2, &ns));
	assert_int_equal(ns, 5 * M);
}

static void test_sizes(void **state)
{
	amounts_check(sizes, COUNT(sizes), size_parse);
}

static void test_decimals(void **state)
{
	static const struct {
		const char *text;
		double number; /* -1: none */
	} decimals[] = {
		{ "0", 0 },
		{ "2", 2 },
		{ "2.0", 2 },
		{ "0.1", 0.1 },
		{ "0.25", 0.25 },
		{ "1.000000000000000000000001", 1 },
		{ "123.456", 123.456 },
		{ "0.3333333333333333", 0.33333333333333 },
		{ "", -1 },
		{ ".", -1 },
		{ ".5", -1 },
		{ "5.", -1 },
		{ "-1", -1 },
		{ "1e3", -1 },
		{ "0,1", -1 },
		{ "nan", -1 },
		{ "inf", -1 },
		{ "1.2.3", -1 },
		{ " 1", -1 },
		{ "99999999999", -1 },
	};

	for (size_t i = 0; i < COUNT(decimals); i++) {
		double number = -1;

		decimal_parse(decimals[i].text, strlen(decimals[i].text), &number);
		if (number != decimals[i].number)
			fail_msg("row %zu: %s is %.17g", i, decimals[i].text, number);
	}
}

static void test_formats(void **state)
{
	static const struct {
		uint64_t ns;
		const char *text;
	} formats[] = {
		{ 0, "0s" },
		{ 250 * MS, "250ms" },
		{ 90 * S, "90s" },
		{ 5 * M, "5m" },
		{ 60 * S, "1m" },
		{ 24 * H, "24h" },
		{ 1500 * MS, "1500ms" },
		{ 8760 * H, "8760h" },
	};

	for (size_t i = 0; i < COUNT(formats); i++) {
		char buffer[32];
		struct text text;

		text_begin(&text, buffer, sizeof(buffer));
		text_add_duration(&text, formats[i].ns);
		assert_string_equal(buffer, formats[i].text);
	}
}

/* Cut, terminated, and harmless on a terminal. */
static void test_text(void **state)
{
	char buffer[200];
	struct text text;

	text_begin(&text, buffer, 8);
	text_add(&text, "12345");
	text_add(&text, "6789");
	assert_string_equal(buffer, "1234567");
	text_begin(&text, buffer, 0);
	text_add(&text, "x");
	text_begin(&text, buffer, sizeof(buffer));
	text_add_quoted(&text, "a\x1b[2Jb\xc2\x9bm\xc3\xa4");
	assert_string_equal(buffer, "\"a\\x1b[2Jb\\xc2\x9bm\xc3\xa4\"");
	text_begin(&text, buffer, sizeof(buffer));
	text_add_quoted(&text, "0123456789012345678901234567890123456789012345678901234567890123");
	assert_string_equal(buffer, "\"012345678901234567890123456789012345678901234567...\"");
	text_begin(&text, buffer, sizeof(buffer));
	text_add_words(&text, &decision_words);
	assert_string_equal(buffer, "\"none\", \"immediate\", \"delay\" or \"backoff\"");
}

static void test_words(void **state)
{
	assert_int_equal(edit_distance("deadline", "deadline", 9), 0);
	assert_int_equal(edit_distance("deadlin", "deadline", 9), 1);
	assert_int_equal(edit_distance("dealdine", "deadline", 9), 1);
	assert_int_equal(edit_distance("", "abc", 9), 3);
	assert_int_equal(edit_distance("kitten", "sitting", 9), 3);
	assert_int_equal(edit_distance("kitten", "sitting", 2), 2);
	assert_int_equal(word_nearest(&category_words, "netwrok"), CATEGORY_NETWORK);
	assert_int_equal(word_nearest(&category_words, "rate-limit"), CATEGORY_RATE_LIMIT);
	assert_int_equal(word_nearest(&category_words, "zebra"), -1);
	assert_int_equal(word_find(&category_words, "auth", 4), CATEGORY_AUTH);
	assert_int_equal(word_find(&category_words, "authx", 4), CATEGORY_AUTH);
	assert_int_equal(word_find(&category_words, "aut", 3), -1);
}

static void test_names(void **state)
{
	assert_string_equal(policy_operation_name(OPERATION_RECONNECT), "reconnect");
	assert_string_equal(policy_category_name(CATEGORY_RATE_LIMIT), "rate_limit");
	assert_string_equal(policy_decision_name(DECISION_BACKOFF), "backoff");
	assert_string_equal(policy_verdict_name(VERDICT_NEXT_ENDPOINT), "next_endpoint");
	assert_string_equal(policy_cause_name(CAUSE_BUFFER), "buffer");
	assert_string_equal(policy_cause_name(CAUSE_FALLBACK), "fallback");
	/* What a damaged event may hold. */
	assert_string_equal(policy_verdict_name((enum policy_action_taken)255), "?");
	assert_string_equal(policy_category_name((enum policy_category)255), "?");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_durations), cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_decimals),  cmocka_unit_test(test_formats),
		cmocka_unit_test(test_text),      cmocka_unit_test(test_words),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
