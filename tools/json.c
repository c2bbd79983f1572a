/* SPDX-License-Identifier: MIT */
#include "tools/json.h"

#include <err.h>
#include <inttypes.h>
#include <string.h>
#include <sysexits.h>

#include "tools/state.h"

/* The longest text that the store holds, every byte of it escaped. */
#define ESCAPED_SIZE (4 * sizeof(((struct store_event *)0)->detail) + 1)

void json_add_integer(cJSON *object, const char *key, uint64_t value)
{
	char text[24];

	snprintf(text, sizeof(text), "%" PRIu64, value);
	cJSON_AddRawToObject(object, key, text);
}

void json_add_seconds(cJSON *object, const char *key, uint64_t ns)
{
	char text[SECONDS_TEXT_SIZE];

	cJSON_AddRawToObject(object, key, seconds_format(ns, text));
}

void json_add_text(cJSON *object, const char *key, const char *text)
{
	if (text)
		cJSON_AddStringToObject(object, key, text);
	else
		cJSON_AddNullToObject(object, key);
}

void json_add_time(cJSON *object, const char *key, int64_t realtime_ns)
{
	char text[TIME_TEXT_SIZE];

	json_add_text(object, key, time_format(realtime_ns, text));
}

void json_add_error(cJSON *object, const char *key, int64_t error)
{
	char text[ERROR_NAME_SIZE];

	json_add_text(object, key, error_name(error, text));
}

void json_add_bytes(cJSON *object, const char *key, const char *bytes, size_t size)
{
	char text[ESCAPED_SIZE];

	text_escape(text, sizeof(text), bytes, strnlen(bytes, size), false);
	json_add_text(object, key, text[0] ? text : NULL);
}

void json_print(FILE *to, cJSON *document, int compact)
{
	char *text = compact ? cJSON_PrintUnformatted(document) : cJSON_Print(document);

	if (!text)
		err(EX_OSERR, "JSON output");
	fprintf(to, "%s\n", text);
	cJSON_free(text);
	cJSON_Delete(document);
}
