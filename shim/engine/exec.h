/* SPDX-License-Identifier: MIT */
/*
 * Before exec: what is kept of one-way output is handed over, as long as `drain` says, if the image
 * is there. Nothing ends by that, since exec can fail. errno is kept. Async-signal-safe.
 */
#ifndef HOLDFAST_ENGINE_EXEC_H
#define HOLDFAST_ENGINE_EXEC_H

#include <stdbool.h>

/* The image at path, from a directory or AT_FDCWD on; false: it is not there. */
bool exec_begins(int directory, const char *path);
/* The one that execvp() finds by this name. */
void exec_begins_named(const char *name);
/* The one that is open as fd. */
void exec_begins_of(int fd);

#endif
