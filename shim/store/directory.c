/* SPDX-License-Identifier: MIT */
#include "directory.h"

#include <string.h>

#include "shim/sys.h"

/* ---- naming it ---------------------------------------------------------- */

static bool path_join(char path[STORE_PATH_SIZE], const char *base, const char *rest)
{
	size_t base_length = strlen(base), rest_length = strlen(rest);

	if (base_length + rest_length >= STORE_PATH_SIZE)
		return false;
	memcpy(path, base, base_length);
	memcpy(path + base_length, rest, rest_length + 1);
	return true;
}

static bool is_set(const char *value)
{
	return value && value[0];
}

bool directory_locate(char path[STORE_PATH_SIZE], const char *state_dir, const char *xdg_state_home,
		      const char *home, uid_t uid)
{
	path[0] = '\0';
	if (is_set(state_dir))
		return path_join(path, state_dir, "");
	if (uid == 0)
		return path_join(path, "/var/lib/holdfast", "");
	/* The XDG specification: a relative path is to be ignored. */
	if (is_set(xdg_state_home) && xdg_state_home[0] == '/')
		return path_join(path, xdg_state_home, "/holdfast");
	if (is_set(home) && home[0] == '/')
		return path_join(path, home, "/.local/state/holdfast");
	return false;
}

/* ---- opening it ----------------------------------------------------------- */

static const char *problem_of_errno(int error)
{
	static const struct {
		int error;
		const char *problem;
	} problems[] = {
		{ ENOENT, "does not exist" },         { EACCES, "permission denied" },
		{ EPERM, "operation not permitted" }, { ELOOP, "is a symbolic link" },
		{ ENOTDIR, "is not a directory" },    { EROFS, "is on a read-only file system" },
		{ ENOSPC, "no space left" },          { EDQUOT, "disk quota exceeded" },
		{ ENAMETOOLONG, "name is too long" }, { EMFILE, "too many open files" },
	};

	for (size_t i = 0; i < sizeof(problems) / sizeof(problems[0]); i++) {
		if (problems[i].error == error)
			return problems[i].problem;
	}
	return "cannot be opened";
}

/* Ours and closed to everybody else, or why not. */
static const char *directory_check(int fd)
{
	struct stat status;

	if (sys_fstat(fd, &status) < 0)
		return "cannot be examined";
	if (status.st_uid != sys_geteuid())
		return "belongs to another user";
	if (status.st_mode & 077)
		return "is open to other users, expected mode 0700";
	return NULL;
}

/* O_NOFOLLOW with O_DIRECTORY says ENOTDIR for a link: say what it is. */
static int link_or_not(int at, const char *name)
{
	struct stat status;

	if (sys_fstatat(at, name, &status, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(status.st_mode))
		return ELOOP;
	return ENOTDIR;
}

static int open_checked(int at, const char *name, const char **problem)
{
	int fd = sys_openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);

	if (fd < 0) {
		if (errno == ENOTDIR)
			errno = link_or_not(at, name);
		*problem = problem_of_errno(errno);
		return -1;
	}
	*problem = directory_check(fd);
	if (*problem) {
		sys_close(fd);
		errno = EPERM;
		return -1;
	}
	return fd;
}

static int make_and_open(int at, const char *name, const char **problem)
{
	if (mkdirat(at, name, 0700) < 0 && errno != EEXIST) {
		*problem = problem_of_errno(errno);
		return -1;
	}
	return open_checked(at, name, problem);
}

/*
 * Makes what is missing above the last component. A parent that exists is left
 * as it is, whoever owns it, and links in it are followed.
 */
static bool make_parents(char *path)
{
	for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		bool made = mkdirat(AT_FDCWD, path, 0700) == 0 || errno == EEXIST;
		/* A parent on a read-only or foreign file system may exist all the same. */
		int error = errno;
		bool exists = made || faccessat(AT_FDCWD, path, F_OK, 0) == 0;
		*slash = '/';
		if (!exists) {
			errno = error;
			return false;
		}
	}
	return true;
}

int directory_open(const char *path, bool create, const char **problem)
{
	char copy[STORE_PATH_SIZE];
	size_t length = strlen(path);
	const char *unused;
	int fd;

	problem = problem ? problem : &unused;
	if (!length || length >= sizeof(copy)) {
		errno = length ? ENAMETOOLONG : ENOENT;
		*problem = problem_of_errno(errno);
		return -1;
	}
	memcpy(copy, path, length + 1);
	/* With a slash behind it a link in the last component would be followed. */
	while (length > 1 && copy[length - 1] == '/')
		copy[--length] = '\0';
	fd = open_checked(AT_FDCWD, copy, problem);
	if (fd >= 0 || errno != ENOENT || !create)
		return fd;
	if (!make_parents(copy)) {
		*problem = problem_of_errno(errno);
		return -1;
	}
	return make_and_open(AT_FDCWD, copy, problem);
}

int directory_open_sub(int directory, const char *name, bool create, const char **problem)
{
	const char *unused;
	int fd;

	problem = problem ? problem : &unused;
	fd = open_checked(directory, name, problem);
	if (fd >= 0 || errno != ENOENT || !create)
		return fd;
	return make_and_open(directory, name, problem);
}

/* ---- listing it ---------------------------------------------------------------- */

struct directory_entry { /* as getdents64() writes it */
	uint64_t inode;
	int64_t offset;
	uint16_t length;
	uint8_t type;
	char name[];
};

/* False once visit wants no more. */
static bool entries_visit(const char *buffer, size_t size,
			  bool (*visit)(const char *name, void *data), void *data)
{
	for (size_t at = 0; at < size;) {
		uint16_t length;

		memcpy(&length, buffer + at + offsetof(struct directory_entry, length),
		       sizeof(length));
		const char *name = buffer + at + offsetof(struct directory_entry, name);
		at += length;
		if (strcmp(name, ".") != 0 && strcmp(name, "..") != 0 && !visit(name, data))
			return false;
	}
	return true;
}

bool directory_each(int directory, bool (*visit)(const char *name, void *data), void *data)
{
	_Alignas(8) char buffer[2048];
	ssize_t n;
	int fd = sys_openat(directory, ".", O_RDONLY | O_DIRECTORY, 0);

	if (fd < 0)
		return false;
	while ((n = sys_getdents(fd, buffer, sizeof(buffer))) > 0) {
		if (!entries_visit(buffer, (size_t)n, visit, data))
			break;
	}
	int error = errno;
	sys_close(fd);
	errno = error;
	return n >= 0;
}
