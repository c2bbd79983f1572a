/* SPDX-License-Identifier: MIT */
/* Errors by name, both ways: errno values are positive, getaddrinfo codes negative. */
#ifndef HOLDFAST_TOOL_ERROR_WORD_H
#define HOLDFAST_TOOL_ERROR_WORD_H

#include <stdbool.h>

/* "ECONNREFUSED", "EAI_AGAIN"; NULL for a number that has no name. */
const char *error_word(int error);

/* A name in any case, or a number, which need not have a name; false for anything else. */
bool error_word_parse(const char *word, int *error);

/* What strerror() or gai_strerror() says. */
const char *error_word_message(int error);

#endif
