/* SPDX-License-Identifier: MIT */
#include "tools/error_word.h"

#include <bsd/stdlib.h>
#include <netdb.h>
#include <stddef.h>
#include <string.h>

#define ERRNO_MAX 4095 /* the kernel's own limit */
#define LOOKUP_CODE_MIN (-200)

static const struct {
	int code;
	const char *word;
} lookup_errors[] = {
	{ EAI_BADFLAGS, "EAI_BADFLAGS" },
	{ EAI_NONAME, "EAI_NONAME" },
	{ EAI_AGAIN, "EAI_AGAIN" },
	{ EAI_FAIL, "EAI_FAIL" },
	{ EAI_NODATA, "EAI_NODATA" },
	{ EAI_FAMILY, "EAI_FAMILY" },
	{ EAI_SOCKTYPE, "EAI_SOCKTYPE" },
	{ EAI_SERVICE, "EAI_SERVICE" },
	{ EAI_ADDRFAMILY, "EAI_ADDRFAMILY" },
	{ EAI_MEMORY, "EAI_MEMORY" },
	{ EAI_SYSTEM, "EAI_SYSTEM" },
	{ EAI_OVERFLOW, "EAI_OVERFLOW" },
	{ EAI_INPROGRESS, "EAI_INPROGRESS" },
	{ EAI_CANCELED, "EAI_CANCELED" },
	{ EAI_INTR, "EAI_INTR" },
	{ EAI_IDN_ENCODE, "EAI_IDN_ENCODE" },
};

const char *error_word(int error)
{
	if (error > 0)
		return strerrorname_np(error);
	for (size_t i = 0; i < sizeof(lookup_errors) / sizeof(lookup_errors[0]); i++) {
		if (lookup_errors[i].code == error)
			return lookup_errors[i].word;
	}
	return NULL;
}

bool error_word_parse(const char *word, int *error)
{
	const char *wrong;

	for (int code = LOOKUP_CODE_MIN; code <= ERRNO_MAX; code++) {
		const char *name = code ? error_word(code) : NULL;

		if (name && !strcasecmp(name, word)) {
			*error = code;
			return true;
		}
	}
	*error = (int)strtonum(word, LOOKUP_CODE_MIN, ERRNO_MAX, &wrong);
	return !wrong && *error;
}

const char *error_word_message(int error)
{
	return error > 0 ? strerror(error) : gai_strerror(error);
}
