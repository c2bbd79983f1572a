/* SPDX-License-Identifier: MIT */
/* What cJSON cannot say by itself: 64-bit numbers, exact seconds, times, null for none. */
#ifndef HOLDFAST_TOOL_JSON_H
#define HOLDFAST_TOOL_JSON_H

#include <cjson/cJSON.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* cJSON's numbers are doubles, exact to 2^53 only. */
void json_add_integer(cJSON *object, const char *key, uint64_t value);
void json_add_seconds(cJSON *object, const char *key, uint64_t ns);
/* RFC 3339 UTC; null for 0. */
void json_add_time(cJSON *object, const char *key, int64_t realtime_ns);
/* The error's name; null for 0. */
void json_add_error(cJSON *object, const char *key, int64_t error);
/* null for NULL. */
void json_add_text(cJSON *object, const char *key, const char *text);
/* Bytes from the store, which need not be terminated nor UTF-8; null if there are none. */
void json_add_bytes(cJSON *object, const char *key, const char *bytes, size_t size);

/* Prints the document and a newline and frees it; exits with EX_OSERR when out of memory. */
void json_print(FILE *to, cJSON *document, int compact);

#endif
