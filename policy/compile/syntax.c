/* SPDX-License-Identifier: MIT */
/*
 * A strict look at the text before cJSON builds the tree: cJSON takes 01, raw
 * control characters and broken UTF-8, ends strings at \u0000, and says of an
 * error at best where it is.
 */
#include "syntax.h"

#include <stdint.h>
#include <string.h>

#include "policy/words.h"

#define NESTING_MAX 32

struct scan {
	const char *text, *at, *end;
	unsigned int depth;
	const char *expected; /* what should have been at `at`; NULL: nothing wrong */
	const char *found;    /* instead of a description of the character there */
};

static bool value_scan(struct scan *scan);

static bool fail(struct scan *scan, const char *expected)
{
	scan->expected = expected;
	return false;
}

static bool fail_with(struct scan *scan, const char *found, const char *expected)
{
	scan->found = found;
	return fail(scan, expected);
}

static void space_skip(struct scan *scan)
{
	while (scan->at < scan->end && memchr(" \t\r\n", *scan->at, 4))
		scan->at++;
}

static bool is_at(const struct scan *scan, char c)
{
	return scan->at < scan->end && *scan->at == c;
}

static bool take(struct scan *scan, char c)
{
	bool there = is_at(scan, c);

	scan->at += there;
	return there;
}

static bool is_digit(const struct scan *scan)
{
	return scan->at < scan->end && *scan->at >= '0' && *scan->at <= '9';
}

/* Length of the valid UTF-8 sequence at the start of the text, 0 if there is none. */
static size_t utf8_length(const unsigned char *text, size_t available)
{
	static const uint32_t smallest[] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t length = text[0] < 0x80                      ? 1
			: text[0] >= 0xc2 && text[0] < 0xe0 ? 2
			: text[0] >= 0xe0 && text[0] < 0xf0 ? 3
			: text[0] >= 0xf0 && text[0] < 0xf5 ? 4
							    : 0;
	uint32_t code;

	if (length == 1)
		return 1;
	if (length == 0 || length > available)
		return 0;
	code = text[0] & (0x7fU >> length);
	for (size_t i = 1; i < length; i++) {
		if ((text[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (text[i] & 0x3f);
	}
	if (code < smallest[length] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000))
		return 0;
	return length;
}

/* Four hexadecimal digits behind \u. */
static bool hex_scan(struct scan *scan, uint32_t *code)
{
	static const char digits[] = "0123456789abcdef0123456789ABCDEF";

	*code = 0;
	for (int i = 0; i < 4; i++, scan->at++) {
		const char *digit = scan->at < scan->end
					    ? memchr(digits, *scan->at, sizeof(digits) - 1)
					    : NULL;

		if (!digit)
			return fail(scan, "four hexadecimal digits after \\u");
		*code = *code << 4 | (uint32_t)((digit - digits) & 15);
	}
	return true;
}

/* What follows \u: a character, or a pair of surrogates that makes one. */
static bool unicode_escape_scan(struct scan *scan)
{
	uint32_t high, low;

	if (!hex_scan(scan, &high))
		return false;
	if (high == 0)
		return fail_with(scan, "\\u0000", "text without NUL characters");
	if (high >= 0xdc00 && high < 0xe000)
		return fail_with(scan, "the second half of a surrogate pair", "a character");
	if (high < 0xd800 || high >= 0xe000)
		return true;
	if (!take(scan, '\\') || !take(scan, 'u'))
		return fail(scan, "\\u and the second half of a surrogate pair");
	if (!hex_scan(scan, &low))
		return false;
	if (low < 0xdc00 || low >= 0xe000)
		return fail_with(scan, "another character", "the second half of a surrogate pair");
	return true;
}

static bool escape_scan(struct scan *scan)
{
	if (take(scan, 'u'))
		return unicode_escape_scan(scan);
	if (scan->at < scan->end && memchr("\"\\/bfnrt", *scan->at, 8)) {
		scan->at++;
		return true;
	}
	return fail(scan, "one of \" \\ / b f n r t u after a backslash");
}

static bool string_scan(struct scan *scan)
{
	size_t length;

	scan->at++;
	while (scan->at < scan->end && *scan->at != '"') {
		if ((unsigned char)*scan->at < 0x20)
			return fail(scan, "'\"' before the end of the line, or an escape");
		if (take(scan, '\\')) {
			if (!escape_scan(scan))
				return false;
			continue;
		}
		length = utf8_length((const unsigned char *)scan->at,
				     (size_t)(scan->end - scan->at));
		if (!length)
			return fail(scan, "UTF-8");
		scan->at += length;
	}
	return take(scan, '"') || fail(scan, "'\"' at the end of a string");
}

static bool digits_scan(struct scan *scan)
{
	if (!is_digit(scan))
		return fail(scan, "a digit");
	while (is_digit(scan))
		scan->at++;
	return true;
}

static bool number_scan(struct scan *scan)
{
	take(scan, '-');
	if (take(scan, '0')) {
		if (is_digit(scan))
			return fail(scan, "no digit after a leading 0");
	} else if (!digits_scan(scan)) {
		return false;
	}
	if (take(scan, '.') && !digits_scan(scan))
		return false;
	if (take(scan, 'e') || take(scan, 'E')) {
		if (!take(scan, '-'))
			take(scan, '+');
		return digits_scan(scan);
	}
	return true;
}

static bool word_scan(struct scan *scan)
{
	static const char *const words[] = { "true", "false", "null" };

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		size_t length = strlen(words[i]);

		if ((size_t)(scan->end - scan->at) >= length &&
		    !memcmp(scan->at, words[i], length)) {
			scan->at += length;
			return true;
		}
	}
	return fail(scan, "a value");
}

static bool member_scan(struct scan *scan)
{
	if (!is_at(scan, '"'))
		return fail(scan, "a key in '\"'");
	if (!string_scan(scan))
		return false;
	space_skip(scan);
	if (!take(scan, ':'))
		return fail(scan, "':'");
	return value_scan(scan);
}

/* The inside of an object or a list, behind its bracket. */
static bool elements_scan(struct scan *scan, char close, const char *expected,
			  bool (*element_scan)(struct scan *))
{
	bool more;

	if (++scan->depth > NESTING_MAX) {
		scan->at--;
		return fail_with(scan, "brackets nested deeper than 32",
				 "a policy, which needs 6 at most");
	}
	space_skip(scan);
	more = !take(scan, close);
	while (more) {
		space_skip(scan);
		if (!element_scan(scan))
			return false;
		space_skip(scan);
		more = take(scan, ',');
		if (!more && !take(scan, close))
			return fail(scan, expected);
	}
	scan->depth--;
	return true;
}

static bool value_scan(struct scan *scan)
{
	space_skip(scan);
	if (take(scan, '{'))
		return elements_scan(scan, '}', "',' or '}'", member_scan);
	if (take(scan, '['))
		return elements_scan(scan, ']', "',' or ']'", value_scan);
	if (is_at(scan, '"'))
		return string_scan(scan);
	if (is_at(scan, '-') || is_digit(scan))
		return number_scan(scan);
	return word_scan(scan);
}

static void add_found(struct text *text, const struct scan *scan)
{
	static const char digits[] = "0123456789abcdef";
	unsigned char byte = scan->at < scan->end ? (unsigned char)*scan->at : 0;
	char shown[] = { '\'', (char)byte, '\'', '\0' };
	char hex[] = { '0', 'x', digits[byte >> 4], digits[byte & 15], '\0' };

	if (scan->found) {
		text_add(text, scan->found);
	} else if (scan->at == scan->end) {
		text_add(text, "the end of the text");
	} else if (byte == '\n') {
		text_add(text, "the end of the line");
	} else if (byte < 0x20 || byte >= 0x7f) {
		text_add(text, "the byte ");
		text_add(text, hex);
	} else {
		text_add(text, shown);
	}
}

static void error_locate(const struct scan *scan, struct syntax_error *error)
{
	struct text text;

	error->line = error->column = 1;
	for (const char *at = scan->text; at < scan->at; at++) {
		if (*at == '\n') {
			error->line++;
			error->column = 1;
		} else if (((unsigned char)*at & 0xc0) != 0x80) {
			error->column++;
		}
	}
	text_begin(&text, error->message, sizeof(error->message));
	text_add(&text, "found ");
	add_found(&text, scan);
	text_add(&text, ", expected ");
	text_add(&text, scan->expected);
}

bool syntax_check(const char *text, size_t length, struct syntax_error *error)
{
	struct scan scan = { .text = text, .at = text, .end = text + length };
	bool fine;

	if (length >= 3 && !memcmp(text, "\xef\xbb\xbf", 3)) {
		fine = fail_with(&scan, "a byte order mark", "'{'");
	} else {
		fine = value_scan(&scan);
		if (fine)
			space_skip(&scan);
		if (fine && scan.at < scan.end)
			fine = fail(&scan, "the end of the text");
	}
	if (!fine)
		error_locate(&scan, error);
	return fine;
}
