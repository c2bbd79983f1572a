/* SPDX-License-Identifier: MIT */
/* Objects with known keys, and lists. */
#include <string.h>

#include "context.h"

bool object_expect(struct compile_context *context, const cJSON *item)
{
	if (!cJSON_IsObject(item))
		error_expected(context, item, "an object");
	return cJSON_IsObject(item);
}

bool list_expect(struct compile_context *context, const cJSON *item, const char *of_what)
{
	if (!cJSON_IsArray(item) || !item->child) {
		error_expected(context, item, of_what);
		return false;
	}
	return true;
}

static void unknown_key(struct compile_context *context, const char *key, const struct words *keys)
{
	char message[1024];
	struct text text;
	int nearest;

	/* Guessing costs more than reading does. */
	if (errors_are_enough(context))
		return;
	nearest = word_nearest(keys, key);
	text_begin(&text, message, sizeof(message));
	text_add(&text, "found an unknown key, expected ");
	/* Error names are too many to list. */
	if (keys->count > 32)
		text_add(&text, "the name of an error such as \"ECONNREFUSED\" or \"EAI_AGAIN\"");
	else
		text_add_words(&text, keys);
	if (nearest >= 0) {
		text_add(&text, "; did you mean ");
		text_add_quoted(&text, keys->list[nearest]);
		text_add(&text, "?");
	}
	error_add(context, message);
}

void object_members(struct compile_context *context, const cJSON *object, const struct words *keys,
		    const cJSON *members[])
{
	const cJSON *item;

	for (size_t i = 0; i < keys->count; i++)
		members[i] = NULL;
	cJSON_ArrayForEach(item, object)
	{
		size_t mark = path_enter(context, item->string);
		int i = word_find(keys, item->string, strlen(item->string));

		if (i < 0)
			unknown_key(context, item->string, keys);
		else if (members[i])
			error_add(context, "found the key a second time, expected it once");
		else
			members[i] = item;
		path_leave(context, mark);
	}
}
