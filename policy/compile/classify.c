/* SPDX-License-Identifier: MIT */
/* `classify`: names of errors to categories. */
#include <errno.h>
#include <netdb.h>
#include <string.h>

#include "context.h"

struct name {
	const char *name;
	int number;
};

/* A second name for a number: strerrorname_np() knows only one of the two. */
static const struct name errno_aliases[] = {
	{ "EWOULDBLOCK", EWOULDBLOCK },
	{ "EOPNOTSUPP", EOPNOTSUPP },
	{ "ENOTSUP", ENOTSUP },
	{ "EDEADLOCK", EDEADLOCK },
};

static const struct name eai_names[] = {
	{ "EAI_ADDRFAMILY", EAI_ADDRFAMILY }, { "EAI_AGAIN", EAI_AGAIN },
	{ "EAI_BADFLAGS", EAI_BADFLAGS },     { "EAI_FAIL", EAI_FAIL },
	{ "EAI_FAMILY", EAI_FAMILY },         { "EAI_MEMORY", EAI_MEMORY },
	{ "EAI_NODATA", EAI_NODATA },         { "EAI_NONAME", EAI_NONAME },
	{ "EAI_OVERFLOW", EAI_OVERFLOW },     { "EAI_SERVICE", EAI_SERVICE },
	{ "EAI_SOCKTYPE", EAI_SOCKTYPE },     { "EAI_SYSTEM", EAI_SYSTEM },
};

#define COUNT(list) (sizeof(list) / sizeof((list)[0]))
#define NAMES_MAX (ERRNO_LIMIT + COUNT(errno_aliases) + COUNT(eai_names))

/* No failures, or only a pointer to where the failure is. */
static const int not_classified[] = { EINTR, EINPROGRESS, EALREADY, EISCONN, EAI_SYSTEM };

const char *classify_errno_name(int error)
{
	return error > 0 ? strerrorname_np(error) : NULL;
}

const char *classify_eai_name(int code_negated)
{
	for (size_t i = 0; i < COUNT(eai_names); i++)
		if (eai_names[i].number == -code_negated)
			return eai_names[i].name;
	return NULL;
}

/* All names, with their numbers beside them. Returns how many there are. */
static size_t names_collect(const char *names[NAMES_MAX], int numbers[NAMES_MAX])
{
	size_t count = 0;

	for (int error = 1; error < ERRNO_LIMIT; error++) {
		names[count] = classify_errno_name(error);
		numbers[count] = error;
		count += names[count] != NULL;
	}
	for (size_t i = 0; i < COUNT(errno_aliases); i++) {
		const char *known = classify_errno_name(errno_aliases[i].number);

		names[count] = errno_aliases[i].name;
		numbers[count] = errno_aliases[i].number;
		count += !known || strcmp(known, errno_aliases[i].name) != 0;
	}
	for (size_t i = 0; i < COUNT(eai_names); i++, count++) {
		names[count] = eai_names[i].name;
		numbers[count] = eai_names[i].number;
	}
	return count;
}

static bool can_be_classified(int number)
{
	for (size_t i = 0; i < COUNT(not_classified); i++)
		if (not_classified[i] == number)
			return false;
	return true;
}

/* number is one of the names' own: an errno, or a negative getaddrinfo code. */
static uint8_t *entry_of(struct policy_settings *settings, int number)
{
	size_t at = number > 0 ? offsetof(struct policy_settings, classify_errno) + (size_t)number
			       : offsetof(struct policy_settings, classify_eai) + (size_t)-number;

	return (uint8_t *)settings + at;
}

static void entry_compile(struct compile_context *context, int number, const cJSON *item,
			  struct policy_settings *settings)
{
	char expected[160];
	struct text text;
	int category = cJSON_IsString(item) ? word_find(&category_words, item->valuestring,
							strlen(item->valuestring))
					    : -1;

	if (!can_be_classified(number)) {
		error_add(context,
			  number == EAI_SYSTEM
				  ? "found EAI_SYSTEM, expected the error that errno then has"
				  : "found an error that is no failure, expected one that ends an "
				    "attempt");
		return;
	}
	if (category < 0) {
		text_begin(&text, expected, sizeof(expected));
		text_add_words(&text, &category_words);
		error_expected_word(context, item, expected, &category_words);
		return;
	}
	*entry_of(settings, number) = (uint8_t)(category + 1);
}

void classify_compile(struct compile_context *context, const cJSON *classify,
		      struct policy_settings *settings)
{
	const char *names[NAMES_MAX];
	int numbers[NAMES_MAX];
	const cJSON *members[NAMES_MAX];
	struct words words = { names, names_collect(names, numbers) };
	bool seen[ERRNO_LIMIT] = { false };

	if (!object_expect(context, classify))
		return;
	object_members(context, classify, &words, members);
	for (size_t i = 0; i < words.count; i++) {
		size_t mark;

		if (!members[i])
			continue;
		mark = path_enter(context, names[i]);
		if (numbers[i] > 0 && seen[numbers[i]])
			error_add(context, "found another name of an error that has an entry, "
					   "expected one entry for each error");
		else
			entry_compile(context, numbers[i], members[i], settings);
		if (numbers[i] > 0)
			seen[numbers[i]] = true;
		path_leave(context, mark);
	}
}
