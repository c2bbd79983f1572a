/* SPDX-License-Identifier: MIT */
/* Where libholdfast.so is, and LD_PRELOAD with it. */
#ifndef HOLDFAST_TOOL_LIBRARY_H
#define HOLDFAST_TOOL_LIBRARY_H

#include <limits.h>
#include <stdbool.h>

#define LIBRARY_NAME "libholdfast.so"

/* Beside this program (a build tree) or in ../lib (installed). False if in neither. */
bool library_locate(char path[PATH_MAX]);

/* LD_PRELOAD is split at these, and nothing quotes them. */
bool library_can_be_preloaded(const char *path);

/*
 * A malloc()ed value for LD_PRELOAD: path, then what `before` has but for any
 * libholdfast.so. before may be NULL. NULL when out of memory.
 */
char *library_preload_value(const char *path, const char *before);

#endif
