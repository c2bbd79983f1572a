/* SPDX-License-Identifier: MIT */
/* Messages without stdio: appending to a buffer of fixed size. */
#include <string.h>

#include "limits.h"
#include "policy.h"
#include "words.h"

#define QUOTED_MAX 48

void text_begin(struct text *text, char *buffer, size_t size)
{
	*text = (struct text){ buffer, size, 0 };
	if (size)
		buffer[0] = '\0';
}

static void add_bytes(struct text *text, const char *bytes, size_t length)
{
	size_t room = text->size ? text->size - 1 - text->length : 0;

	if (length > room)
		length = room;
	if (!length)
		return;
	memcpy(text->buffer + text->length, bytes, length);
	text->length += length;
	text->buffer[text->length] = '\0';
}

void text_add(struct text *text, const char *words)
{
	add_bytes(text, words, strlen(words));
}

static bool is_control(const char *at)
{
	unsigned char byte = (unsigned char)at[0];

	/* U+0080 to U+009F are control characters to a terminal, too. */
	return byte < 0x20 || byte == 0x7f ||
	       (byte == 0xc2 && (unsigned char)at[1] >= 0x80 && (unsigned char)at[1] < 0xa0);
}

void text_add_quoted(struct text *text, const char *words)
{
	static const char digits[] = "0123456789abcdef";
	const char *at = words;

	text_add(text, "\"");
	/* Never cut inside a UTF-8 sequence. */
	for (; *at && (at - words < QUOTED_MAX || ((unsigned char)*at & 0xc0) == 0x80); at++) {
		unsigned char byte = (unsigned char)*at;
		char escaped[4] = { '\\', 'x', digits[byte >> 4], digits[byte & 15] };

		if (is_control(at))
			add_bytes(text, escaped, sizeof(escaped));
		else
			add_bytes(text, at, 1);
	}
	text_add(text, *at ? "...\"" : "\"");
}

void text_add_integer(struct text *text, uint64_t number)
{
	char digits[20];
	size_t at = sizeof(digits);

	do
		digits[--at] = (char)('0' + number % 10);
	while (number /= 10);
	add_bytes(text, digits + at, sizeof(digits) - at);
}

void text_add_words(struct text *text, const struct words *words)
{
	for (size_t i = 0; i < words->count; i++) {
		if (i)
			text_add(text, i + 1 < words->count ? ", " : " or ");
		text_add_quoted(text, words->list[i]);
	}
}

struct unit {
	const char *name;
	uint64_t factor;
};

/* The largest unit of which number is a multiple; the last one is the smallest. */
static void add_with_unit(struct text *text, uint64_t number, const struct unit *units,
			  size_t count)
{
	size_t i = 0;

	while (i + 1 < count && (!number || number % units[i].factor))
		i++;
	text_add_integer(text, number / units[i].factor);
	text_add(text, units[i].name);
}

void text_add_duration(struct text *text, uint64_t ns)
{
	static const struct unit units[] = {
		{ "h", HOUR_NS }, { "m", 60 * SECOND_NS }, { "s", SECOND_NS }, { "ms", MS_NS }
	};

	if (ns == 0)
		text_add(text, "0s");
	else
		add_with_unit(text, ns, units, sizeof(units) / sizeof(units[0]));
}

void text_add_size(struct text *text, uint64_t bytes)
{
	static const struct unit units[] = {
		{ "GiB", 1U << 30 }, { "MiB", 1U << 20 }, { "KiB", 1U << 10 }, { "B", 1 }
	};

	add_with_unit(text, bytes, units, sizeof(units) / sizeof(units[0]));
}
