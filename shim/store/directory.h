/* SPDX-License-Identifier: MIT */
/*
 * Where the state directory is, and opening what lies in it without following
 * links or trusting anybody else's files.  Async-signal-safe; no heap.
 */
#ifndef HOLDFAST_STORE_DIRECTORY_H
#define HOLDFAST_STORE_DIRECTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define STORE_PATH_SIZE 1024

/*
 * $HOLDFAST_STATE_DIR, else for root /var/lib/holdfast, else
 * $XDG_STATE_HOME/holdfast, else $HOME/.local/state/holdfast. Arguments may be
 * NULL or "". False if none can be named or the name is too long.
 */
bool directory_locate(char path[STORE_PATH_SIZE], const char *state_dir, const char *xdg_state_home,
		      const char *home, uid_t uid);

/*
 * Opens the state directory (O_PATH semantics are enough for *at() calls). With
 * create, makes it and its missing parents, 0700. Only a directory owned by the
 * effective user and closed to everybody else is accepted. Returns an fd that
 * is CLOEXEC, or -1 with errno and, in problem, what is wrong in a few words.
 */
int directory_open(const char *path, bool create, const char **problem);

/*
 * Calls visit for every name but "." and "..", in the directory's order, until
 * one returns false. False with errno when the directory cannot be read.
 */
bool directory_each(int directory, bool (*visit)(const char *name, void *data), void *data);

/* The same as directory_open() for a subdirectory, by name. */
int directory_open_sub(int directory, const char *name, bool create, const char **problem);

#endif
