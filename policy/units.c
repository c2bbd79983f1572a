/* SPDX-License-Identifier: MIT */
/* Durations, sizes and numbers as text.  Own parsers: strtod() depends on the locale. */
#include <string.h>

#include "limits.h"
#include "policy.h"
#include "words.h"

struct unit {
	const char *name;
	uint64_t factor;
};

static const struct unit duration_units[] = {
	{ "ms", MS_NS }, { "s", SECOND_NS }, { "m", 60 * SECOND_NS }, { "h", HOUR_NS }
};
static const struct unit size_units[] = {
	{ "B", 1 }, { "KiB", 1U << 10 }, { "MiB", 1U << 20 }, { "GiB", 1U << 30 }
};

/* Length of the digits at the start of the text. */
static size_t digits_length(const char *text, size_t length)
{
	size_t i = 0;

	while (i < length && text[i] >= '0' && text[i] <= '9')
		i++;
	return i;
}

bool integer_parse(const char *text, size_t length, uint64_t max, uint64_t *number)
{
	uint64_t value = 0;

	if (length == 0 || digits_length(text, length) != length)
		return false;
	for (size_t i = 0; i < length; i++) {
		uint64_t digit = (uint64_t)(text[i] - '0');

		if (value > (max - digit) / 10 || digit > max)
			return false;
		value = value * 10 + digit;
	}
	*number = value;
	return true;
}

static bool unit_parse(const char *text, size_t length, const struct unit *units, size_t count,
		       uint64_t *number)
{
	size_t digits = digits_length(text, length);
	uint64_t value;

	for (size_t i = 0; i < count; i++) {
		const char *name = units[i].name;

		if (strlen(name) != length - digits || memcmp(name, text + digits, length - digits))
			continue;
		/* UINT64_MAX itself is DURATION_OFF. */
		if (!integer_parse(text, digits, (UINT64_MAX - 1) / units[i].factor, &value))
			return false;
		*number = value * units[i].factor;
		return true;
	}
	return false;
}

bool duration_parse(const char *text, size_t length, uint64_t *ns)
{
	return unit_parse(text, length, duration_units,
			  sizeof(duration_units) / sizeof(duration_units[0]), ns);
}

bool size_parse(const char *text, size_t length, uint64_t *bytes)
{
	return unit_parse(text, length, size_units, sizeof(size_units) / sizeof(size_units[0]),
			  bytes);
}

bool decimal_parse(const char *text, size_t length, double *number)
{
	size_t whole = digits_length(text, length);
	uint64_t digits, scale = 1;

	if (!integer_parse(text, whole, 1000000000, &digits))
		return false;
	if (whole < length) {
		size_t fraction = digits_length(text + whole + 1, length - whole - 1);

		if (text[whole] != '.' || fraction == 0 || whole + 1 + fraction != length)
			return false;
		/* Up to 15 digits both sides of the division are exact: rounded once. */
		for (size_t i = 0; i < fraction && digits < UINT64_C(100000000000000) &&
				   scale < UINT64_C(100000000000000);
		     i++) {
			digits = digits * 10 + (uint64_t)(text[whole + 1 + i] - '0');
			scale *= 10;
		}
	}
	*number = (double)digits / (double)scale;
	return true;
}
