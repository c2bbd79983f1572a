/* SPDX-License-Identifier: MIT */
#include "tools/process_view.h"

#include <bsd/string.h>
#include <elf.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "policy/policy.h"
#include "tools/library.h"

static FILE *process_open(long pid, const char *name)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%ld/%s", pid, name);
	return fopen(path, "re");
}

static bool exe_read(struct process_view *view, long pid)
{
	char path[64];
	ssize_t length;

	snprintf(path, sizeof(path), "/proc/%ld/exe", pid);
	length = readlink(path, view->exe, sizeof(view->exe) - 1);
	if (length < 0)
		return false;
	view->exe[length] = '\0';
	return true;
}

static bool maps_read(struct process_view *view, long pid)
{
	FILE *maps = process_open(pid, "maps");
	char *line = NULL;
	size_t size = 0;

	if (!maps)
		return false;
	while (!view->library_mapped && getline(&line, &size, maps) > 0) {
		const char *path = strchr(line, '/');
		const char *name = path ? strstr(path, "/" LIBRARY_NAME) : NULL;

		/* Followed by the line's end, or by " (deleted)" after an update. */
		if (!name || !strchr("\n ", name[1 + strlen(LIBRARY_NAME)]))
			continue;
		line[strcspn(line, "\n")] = '\0';
		strlcpy(view->library, path, sizeof(view->library));
		view->library_mapped = true;
	}
	free(line);
	fclose(maps);
	return true;
}

static void auxv_read(struct process_view *view, long pid)
{
	FILE *auxv = process_open(pid, "auxv");
	ElfW(auxv_t) entry;

	while (auxv && fread(&entry, sizeof(entry), 1, auxv) == 1 && entry.a_type != AT_NULL) {
		if (entry.a_type == AT_SECURE)
			view->secure = entry.a_un.a_val != 0;
	}
	if (auxv)
		fclose(auxv);
}

static void environment_read(struct process_view *view, long pid)
{
	FILE *environment = process_open(pid, "environ");
	char *variable = NULL;
	size_t size = 0;

	view->environment_known = environment;
	while (environment && getdelim(&variable, &size, '\0', environment) > 0) {
		if (!strncmp(variable, "LD_PRELOAD=", strlen("LD_PRELOAD=")))
			view->preload_named = strstr(variable, LIBRARY_NAME);
	}
	free(variable);
	if (environment)
		fclose(environment);
}

static bool variable_is_ours(const char *variable)
{
	return !strncmp(variable, "HOLDFAST_", strlen("HOLDFAST_")) && strchr(variable, '=');
}

static void own_settings_clear(void)
{
	char name[256];

	for (char **at = environ; *at;) {
		snprintf(name, sizeof(name), "%.*s", (int)strcspn(*at, "="), *at);
		/* Unsetting closes the gap: the next one has come to where we are. */
		if (!variable_is_ours(*at) || unsetenv(name) || getenv(name))
			at++;
	}
}

static bool policy_is_relative(const char *value)
{
	return value && value[0] && value[0] != '/' && value[0] != '{' && !policy_profile(value);
}

bool process_settings_adopt(long pid)
{
	FILE *environment = process_open(pid, "environ");
	char *variable = NULL;
	size_t size = 0;

	if (!environment)
		return false;
	own_settings_clear();
	while (getdelim(&variable, &size, '\0', environment) > 0) {
		char *equals = strchr(variable, '=');

		if (!equals || !variable_is_ours(variable))
			continue;
		*equals = '\0';
		setenv(variable, equals + 1, 1);
	}
	free(variable);
	fclose(environment);
	return !policy_is_relative(getenv("HOLDFAST_POLICY"));
}

bool process_view_read(struct process_view *view, long pid)
{
	*view = (struct process_view){ .pid = pid };
	if (!exe_read(view, pid) || !maps_read(view, pid))
		return false;
	auxv_read(view, pid);
	environment_read(view, pid);
	return true;
}
