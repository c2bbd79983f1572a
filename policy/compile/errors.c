/* SPDX-License-Identifier: MIT */
/* Where an error is, and what it says. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "context.h"

/* What is appended belongs to the list, of which gcc's analyzer loses sight at realloc(). */
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wanalyzer-malloc-leak"
#endif

/* A file of nothing but mistakes must not eat the memory. */
#define ERRORS_MAX 1000
#define MESSAGE_SIZE 1024

static bool is_plain(const char *key)
{
	size_t length = strspn(key, "abcdefghijklmnopqrstuvwxyz0123456789_-"
				    "ABCDEFGHIJKLMNOPQRSTUVWXYZ");

	return length > 0 && key[length] == '\0';
}

size_t path_enter(struct compile_context *context, const char *key)
{
	size_t mark = context->path_length;
	struct text text;

	text_begin(&text, context->path + mark, sizeof(context->path) - mark);
	if (is_plain(key)) {
		text_add(&text, ".");
		text_add(&text, key);
	} else {
		text_add(&text, "[");
		text_add_quoted(&text, key);
		text_add(&text, "]");
	}
	context->path_length += text.length;
	return mark;
}

size_t path_enter_index(struct compile_context *context, size_t index)
{
	size_t mark = context->path_length;
	struct text text;

	text_begin(&text, context->path + mark, sizeof(context->path) - mark);
	text_add(&text, "[");
	text_add_integer(&text, index);
	text_add(&text, "]");
	context->path_length += text.length;
	return mark;
}

void path_leave(struct compile_context *context, size_t mark)
{
	context->path_length = mark;
	context->path[mark] = '\0';
}

bool errors_are_enough(const struct compile_context *context)
{
	return context->errors->count > ERRORS_MAX;
}

static void append(struct compile_context *context, const char *path, unsigned int line,
		   unsigned int column, const char *message)
{
	struct policy_errors *errors = context->errors;
	struct policy_error *list;
	struct policy_error error = { .line = line, .column = column };

	if (errors_are_enough(context))
		return;
	if (errors->count == ERRORS_MAX) {
		path = "";
		message = "more errors follow, the first 1000 are shown";
	}
	list = realloc(errors->list, (errors->count + 1) * sizeof(*list));
	if (list)
		errors->list = list;
	error.path = strdup(path);
	error.message = strdup(message);
	if (!list || !error.path || !error.message) {
		free(error.path);
		free(error.message);
		context->out_of_memory = true;
		return;
	}
	errors->list[errors->count++] = error;
}

void error_add(struct compile_context *context, const char *message)
{
	append(context, context->path, 0, 0, message);
}

void error_add_at(struct compile_context *context, unsigned int line, unsigned int column,
		  const char *message)
{
	append(context, "", line, column, message);
}

void text_add_item(struct text *text, const cJSON *item)
{
	char *number;

	if (cJSON_IsString(item)) {
		text_add_quoted(text, item->valuestring);
	} else if (cJSON_IsNumber(item)) {
		/* cJSON prints '.' in every locale, and an infinity as null. */
		number = isfinite(item->valuedouble) ? cJSON_PrintUnformatted(item) : NULL;
		text_add(text, number ? number : "a number beyond all bounds");
		cJSON_free(number);
	} else if (cJSON_IsObject(item)) {
		text_add(text, item->child ? "an object" : "an empty object");
	} else if (cJSON_IsArray(item)) {
		text_add(text, item->child ? "a list" : "an empty list");
	} else if (cJSON_IsBool(item)) {
		text_add(text, cJSON_IsTrue(item) ? "true" : "false");
	} else {
		text_add(text, "null");
	}
}

void error_expected_word(struct compile_context *context, const cJSON *item, const char *expected,
			 const struct words *words)
{
	char message[MESSAGE_SIZE];
	struct text text;
	int nearest;

	if (errors_are_enough(context))
		return;
	nearest = words && cJSON_IsString(item) ? word_nearest(words, item->valuestring) : -1;
	text_begin(&text, message, sizeof(message));
	text_add(&text, "found ");
	text_add_item(&text, item);
	text_add(&text, ", expected ");
	text_add(&text, expected);
	if (nearest >= 0) {
		text_add(&text, "; did you mean ");
		text_add_quoted(&text, words->list[nearest]);
		text_add(&text, "?");
	}
	error_add(context, message);
}

void error_expected(struct compile_context *context, const cJSON *item, const char *expected)
{
	error_expected_word(context, item, expected, NULL);
}

void policy_errors_free(struct policy_errors *errors)
{
	for (size_t i = 0; i < errors->count; i++) {
		free(errors->list[i].path);
		free(errors->list[i].message);
	}
	free(errors->list);
	*errors = (struct policy_errors){ 0 };
}

int policy_error_format(const struct policy_error *error, const char *file, char *line, size_t size)
{
	if (error->line)
		return snprintf(line, size, "%s:%u:%u: %s", file, error->line, error->column,
				error->message);
	if (error->path[0])
		return snprintf(line, size, "%s: %s: %s", file, error->path, error->message);
	return snprintf(line, size, "%s: %s", file, error->message);
}
