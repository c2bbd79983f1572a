/* SPDX-License-Identifier: MIT */
/* One value of the table's types: reading, writing, comparing. */
#include <string.h>

#include "keys.h"
#include "policy/limits.h"

static void *at(const struct key *key, void *base)
{
	return (unsigned char *)base + key->offset;
}

static const void *at_const(const struct key *key, const void *base)
{
	return (const unsigned char *)base + key->offset;
}

static bool is_duration(const struct key *key)
{
	return key->type == KEY_DURATION;
}

static void add_amount(struct text *text, const struct key *key, uint64_t amount)
{
	text_add(text, "\"");
	if (is_duration(key))
		text_add_duration(text, amount);
	else
		text_add_size(text, amount);
	text_add(text, "\"");
}

/* ---- what was expected -------------------------------------------------- */

/* A number given without a unit, or a string of digits: how it should be spelt. */
static bool spelt_with_unit(const struct key *key, const cJSON *item, uint64_t *amount)
{
	double number = item->valuedouble, unit = is_duration(key) ? (double)SECOND_NS : 1;
	uint64_t finest = is_duration(key) ? MS_NS : 1;
	double parsed;

	if (cJSON_IsString(item)) {
		if (!decimal_parse(item->valuestring, strlen(item->valuestring), &parsed))
			return false;
		number = parsed;
	} else if (!cJSON_IsNumber(item)) {
		return false;
	}
	number *= unit;
	/* Out of range, or finer than the units go: an example serves better. */
	if (!(number >= key->low && number <= key->high))
		return false;
	*amount = (uint64_t)number;
	return number == (double)*amount && *amount % finest == 0;
}

static void add_expected_amount(struct text *text, const struct key *key, const cJSON *item,
				bool out_of_range)
{
	uint64_t amount;

	text_add(text, is_duration(key) ? "a duration" : "a size");
	if (out_of_range) {
		text_add(text, " from ");
		add_amount(text, key, (uint64_t)key->low);
		text_add(text, " to ");
		add_amount(text, key, (uint64_t)key->high);
	} else if (spelt_with_unit(key, item, &amount)) {
		text_add(text, " with a unit, such as ");
		add_amount(text, key, amount);
	} else {
		text_add(text, is_duration(key) ? " such as \"250ms\", \"30s\" or \"5m\""
						: " such as \"512B\", \"64KiB\" or \"16MiB\"");
	}
}

static void add_expected_number(struct text *text, const struct key *key)
{
	text_add(text, key->type == KEY_COUNT || key->type == KEY_RETRIES ? "an integer from "
									  : "a number from ");
	text_add_integer(text, (uint64_t)key->low);
	text_add(text, " to ");
	text_add_integer(text, (uint64_t)key->high);
}

static void add_alternatives(struct text *text, const struct key *key)
{
	if (key->type == KEY_RETRIES)
		text_add(text, ", or \"unlimited\"");
	else if (key->type == KEY_RECORD)
		text_add(text, ", or \"newline\"");
	else if (key->type == KEY_JITTER)
		text_add(text, ", or ");
	if (key->type == KEY_JITTER)
		text_add_words(text, key->words);
	if (key->can_be_off)
		text_add(text, ", or \"off\"");
}

static void value_error(struct compile_context *context, const struct key *key, const cJSON *item,
			bool out_of_range)
{
	char expected[256];
	struct text text;

	text_begin(&text, expected, sizeof(expected));
	if (key->type == KEY_DURATION || key->type == KEY_SIZE || key->type == KEY_RECORD)
		add_expected_amount(&text, key, item, out_of_range);
	else if (key->type == KEY_WORD)
		text_add_words(&text, key->words);
	else if (key->type == KEY_BOOL)
		text_add(&text, "true or false");
	else
		add_expected_number(&text, key);
	add_alternatives(&text, key);
	error_expected_word(context, item, expected, key->words);
}

/* ---- reading ------------------------------------------------------------ */

/* Each reader is true if the item fits; *out_of_range says why it does not. */

static bool read_amount(const struct key *key, const cJSON *item, uint64_t *amount,
			bool *out_of_range)
{
	const char *string = item->valuestring;

	if (!cJSON_IsString(item) ||
	    !(is_duration(key) ? duration_parse(string, strlen(string), amount)
			       : size_parse(string, strlen(string), amount)))
		return false;
	*out_of_range = (double)*amount < key->low || (double)*amount > key->high;
	return !*out_of_range;
}

static bool read_number(const struct key *key, const cJSON *item, double *number)
{
	*number = item->valuedouble;
	return cJSON_IsNumber(item) && *number >= key->low && *number <= key->high;
}

static bool read_integer(const struct key *key, const cJSON *item, uint32_t *integer)
{
	double number;

	if (!read_number(key, item, &number) || number != (double)(uint64_t)number)
		return false;
	*integer = (uint32_t)number;
	return true;
}

static bool is_word(const cJSON *item, const char *word)
{
	return cJSON_IsString(item) && !strcmp(item->valuestring, word);
}

static bool read_word(const struct key *key, const cJSON *item, uint8_t *word)
{
	int found = cJSON_IsString(item)
			    ? word_find(key->words, item->valuestring, strlen(item->valuestring))
			    : -1;

	*word = (uint8_t)found;
	return found >= 0;
}

static bool read_jitter(const struct key *key, const cJSON *item, struct policy_strategy *strategy)
{
	double ratio = 0;
	uint8_t word;

	if (read_word(key, item, &word))
		word++; /* the first of the enum is the ratio, which has no word */
	else if (read_number(key, item, &ratio))
		word = JITTER_RATIO;
	else
		return false;
	strategy->jitter = word;
	strategy->jitter_ratio = ratio;
	return true;
}

static bool read_record(const struct key *key, const cJSON *item, uint32_t *length,
			bool *out_of_range)
{
	uint64_t amount = 0;

	if (!is_word(item, "newline") && !read_amount(key, item, &amount, out_of_range))
		return false;
	*length = (uint32_t)amount;
	return true;
}

static bool read_off(const struct key *key, const cJSON *item, void *base)
{
	const uint64_t duration = DURATION_OFF;
	const uint32_t count = 0;
	const double number = -1;

	if (!key->can_be_off || !is_word(item, "off"))
		return false;
	if (key->type == KEY_DURATION)
		memcpy(at(key, base), &duration, sizeof(duration));
	else if (key->type == KEY_COUNT)
		memcpy(at(key, base), &count, sizeof(count));
	else
		memcpy(at(key, base), &number, sizeof(number));
	return true;
}

static bool value_read(const struct key *key, const cJSON *item, void *base, bool *out_of_range)
{
	void *value = at(key, base);

	switch (key->type) {
	case KEY_DURATION:
	case KEY_SIZE: {
		uint64_t amount;
		bool fine = read_amount(key, item, &amount, out_of_range);

		if (fine)
			memcpy(value, &amount, sizeof(amount));
		return fine;
	}
	case KEY_RETRIES:
		if (is_word(item, "unlimited")) {
			*(uint32_t *)value = RETRIES_UNLIMITED;
			return true;
		}
		return read_integer(key, item, value);
	case KEY_COUNT:
		return read_integer(key, item, value);
	case KEY_NUMBER:
		return read_number(key, item, value);
	case KEY_JITTER:
		return read_jitter(key, item, base);
	case KEY_WORD:
		return read_word(key, item, value);
	case KEY_BOOL:
		*(uint8_t *)value = cJSON_IsTrue(item);
		return cJSON_IsBool(item);
	case KEY_RECORD:
		return read_record(key, item, value, out_of_range);
	default:
		return false;
	}
}

void value_compile(struct compile_context *context, const struct key *key, const cJSON *item,
		   void *base)
{
	bool out_of_range = false;

	if (!read_off(key, item, base) && !value_read(key, item, base, &out_of_range))
		value_error(context, key, item, out_of_range);
}

/* ---- writing ------------------------------------------------------------- */

/* 0..1000000 to six places, by hand: printf() follows the locale's decimal point. */
static void add_number(struct text *text, double number)
{
	uint64_t millionths = (uint64_t)(number * 1e6 + 0.5);
	char fraction[8] = ".000000";
	size_t length = 7;

	text_add_integer(text, millionths / 1000000);
	millionths %= 1000000;
	for (size_t i = 6; i > 0; i--, millionths /= 10)
		fraction[i] = (char)('0' + millionths % 10);
	while (fraction[length - 1] == '0')
		length--;
	fraction[length == 1 ? 0 : length] = '\0';
	text_add(text, fraction);
}

static void add_word(struct text *text, const char *word)
{
	text_add_quoted(text, word);
}

static void format_duration(const struct key *key, const void *value, struct text *text)
{
	uint64_t ns = *(const uint64_t *)value;

	if (ns == DURATION_OFF)
		add_word(text, "off");
	else
		add_amount(text, key, ns);
}

static void format_count(const struct key *key, const void *value, struct text *text)
{
	uint32_t count = *(const uint32_t *)value;

	if (key->type == KEY_RETRIES && count == RETRIES_UNLIMITED)
		add_word(text, "unlimited");
	else if (key->can_be_off && count == 0)
		add_word(text, "off");
	else
		text_add_integer(text, count);
}

static void format_number(const struct key *key, const void *value, struct text *text)
{
	double number = *(const double *)value;

	if (key->can_be_off && number < 0)
		add_word(text, "off");
	else
		add_number(text, number);
}

static void format_jitter(const struct policy_strategy *strategy, struct text *text)
{
	if (strategy->jitter == JITTER_RATIO)
		add_number(text, strategy->jitter_ratio);
	else
		add_word(text, jitter_words.list[strategy->jitter]);
}

static void format_record(const struct key *key, uint32_t length, struct text *text)
{
	if (length == 0)
		add_word(text, "newline");
	else
		add_amount(text, key, length);
}

void value_format(const struct key *key, const void *base, struct text *text)
{
	const void *value = at_const(key, base);

	switch (key->type) {
	case KEY_DURATION:
		format_duration(key, value, text);
		break;
	case KEY_SIZE:
		add_amount(text, key, *(const uint64_t *)value);
		break;
	case KEY_COUNT:
	case KEY_RETRIES:
		format_count(key, value, text);
		break;
	case KEY_NUMBER:
		format_number(key, value, text);
		break;
	case KEY_JITTER:
		format_jitter(base, text);
		break;
	case KEY_WORD:
		add_word(text, key->words->list[*(const uint8_t *)value]);
		break;
	case KEY_BOOL:
		text_add(text, *(const uint8_t *)value ? "true" : "false");
		break;
	case KEY_RECORD:
		format_record(key, *(const uint32_t *)value, text);
		break;
	default:
		break;
	}
}

bool value_equal(const struct key *key, const void *a, const void *b)
{
	char texts[2][64];
	struct text text;

	/* What reads the same is the same, whichever fields it is made of. */
	text_begin(&text, texts[0], sizeof(texts[0]));
	value_format(key, a, &text);
	text_begin(&text, texts[1], sizeof(texts[1]));
	value_format(key, b, &text);
	return !strcmp(texts[0], texts[1]);
}
