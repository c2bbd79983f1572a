/* SPDX-License-Identifier: MIT */
#include "tools/library.h"

#include <bsd/string.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PRELOAD_SEPARATORS ": \t\n"

/* Cuts the last component off; "" for the root directory. */
static void path_parent(char *path)
{
	char *slash = strrchr(path, '/');

	if (slash)
		*slash = '\0';
}

bool library_locate(char path[PATH_MAX])
{
	char directory[PATH_MAX];
	ssize_t length = readlink("/proc/self/exe", directory, sizeof(directory) - 1);

	if (length < 0)
		return false;
	directory[length] = '\0';
	path_parent(directory);
	if ((size_t)snprintf(path, PATH_MAX, "%s/" LIBRARY_NAME, directory) < PATH_MAX &&
	    !access(path, R_OK))
		return true;
	path_parent(directory);
	return (size_t)snprintf(path, PATH_MAX, "%s/lib/" LIBRARY_NAME, directory) < PATH_MAX &&
	       !access(path, R_OK);
}

bool library_can_be_preloaded(const char *path)
{
	return !strpbrk(path, PRELOAD_SEPARATORS);
}

static bool entry_is_holdfast(const char *entry)
{
	const char *slash = strrchr(entry, '/');

	return !strcmp(slash ? slash + 1 : entry, LIBRARY_NAME);
}

char *library_preload_value(const char *path, const char *before)
{
	size_t size = strlen(path) + 1 + (before ? strlen(before) + 1 : 0);
	char *rest = before ? strdup(before) : NULL, *at = rest, *entry;
	char *value = malloc(size);

	if (value && (rest || !before)) {
		strlcpy(value, path, size);
		while ((entry = strsep(&at, PRELOAD_SEPARATORS))) {
			if (!*entry || entry_is_holdfast(entry))
				continue;
			strlcat(value, ":", size);
			strlcat(value, entry, size);
		}
	} else {
		free(value);
		value = NULL;
	}
	free(rest);
	return value;
}
