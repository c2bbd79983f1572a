/* SPDX-License-Identifier: MIT */
/* Another image takes this one's place: what is kept of one-way output is handed over before. */
#include "exec.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine.h"
#include "schedule.h"
#include "shim/sys.h"

/* What libc's search begins with where the environment has no PATH. */
#define DEFAULT_PATH "/bin:/usr/bin"

static bool is_executable(int directory, const char *path)
{
	return SYS(SYS_faccessat, directory, path, X_OK) == 0;
}

/* In a directory of PATH, whose first `length` bytes are its name; none is the present one. */
static bool is_found_in(const char *directory, size_t length, const char *name)
{
	char candidate[PATH_MAX];
	size_t size = strlen(name) + 1;

	if (length + 1 + size > sizeof(candidate))
		return false;
	memcpy(candidate, directory, length);
	if (length)
		candidate[length++] = '/';
	memcpy(candidate + length, name, size);
	return is_executable(AT_FDCWD, candidate);
}

static bool is_found(const char *name)
{
	const char *search = getenv("PATH");

	if (strchr(name, '/') || !*name)
		return is_executable(AT_FDCWD, name);
	for (const char *at = search ? search : DEFAULT_PATH;; at++) {
		size_t length = strcspn(at, ":");

		if (is_found_in(at, length, name))
			return true;
		at += length;
		if (!*at)
			return false;
	}
}

bool exec_begins(int directory, const char *path)
{
	int saved_errno = errno;
	/* Mostly nothing is kept; and many a program tries one place after the other. */
	bool begins = pending_any() && is_executable(directory, path);

	if (begins)
		engine_drain();
	errno = saved_errno;
	return begins;
}

void exec_begins_named(const char *name)
{
	int saved_errno = errno;

	if (pending_any() && is_found(name))
		engine_drain();
	errno = saved_errno;
}

void exec_begins_of(int fd)
{
	int saved_errno = errno;

	if (pending_any() && sys_fcntl(fd, F_GETFD, 0) >= 0)
		engine_drain();
	errno = saved_errno;
}
