/* SPDX-License-Identifier: MIT */
/* What /proc tells about a running process and the library in it. */
#ifndef HOLDFAST_TOOL_PROCESS_VIEW_H
#define HOLDFAST_TOOL_PROCESS_VIEW_H

#include <limits.h>
#include <stdbool.h>

struct process_view {
	long pid;
	char exe[PATH_MAX];
	char library[PATH_MAX]; /* libholdfast.so as it is mapped, "" if it is not */
	bool library_mapped;
	bool secure; /* AT_SECURE */
	bool environment_known;
	/* Of the environment that it was started with; a program may overwrite the block. */
	bool preload_named; /* LD_PRELOAD has libholdfast.so */
};

/* False with errno if there is no such process or it may not be looked into. */
bool process_view_read(struct process_view *view, long pid);

/*
 * Makes the HOLDFAST_* variables that the process was started with our own. False if they
 * cannot be read, or would not show what it sees: a policy that it named relative to a directory
 * which it may have left.
 */
bool process_settings_adopt(long pid);

#endif
