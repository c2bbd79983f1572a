/* SPDX-License-Identifier: MIT */
#include "tools/program.h"

#include <bsd/string.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#define SCRIPT_LINE_SIZE 256         /* the kernel reads as much of a #! line */
#define DEFAULT_PATH "/bin:/usr/bin" /* what execvp() uses without PATH */

static const char *path_base(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* 0, or an obstacle; path gets the file. A file that may not be executed is the second choice. */
static unsigned int program_search(const char *name, char path[PATH_MAX])
{
	const char *search = getenv("PATH");
	unsigned int result = OBSTACLE_NOT_FOUND;
	char candidate[PATH_MAX];
	struct stat status;

	strlcpy(path, name, PATH_MAX);
	if (strchr(name, '/'))
		return 0;
	for (const char *at = search ? search : DEFAULT_PATH;; at++) {
		size_t length = strcspn(at, ":");

		snprintf(candidate, sizeof(candidate), "%.*s%s%s", (int)length, at,
			 length ? "/" : "", name);
		if (!stat(candidate, &status) && !S_ISDIR(status.st_mode)) {
			if (result == OBSTACLE_NOT_FOUND)
				strlcpy(path, candidate, PATH_MAX);
			if (!access(candidate, X_OK)) {
				strlcpy(path, candidate, PATH_MAX);
				return 0;
			}
			result = OBSTACLE_NOT_EXECUTABLE;
		}
		at += length;
		if (!*at)
			return result;
	}
}

/* The interpreter of a script; false if the file is no script. No #! at all is /bin/sh's. */
static bool script_interpreter(int fd, char interpreter[PATH_MAX])
{
	char line[SCRIPT_LINE_SIZE + 1];
	ssize_t length = pread(fd, line, SCRIPT_LINE_SIZE, 0);
	char *start;

	/* An ELF file that was cut short is nobody's script. */
	if (length < 0 || (length >= SELFMAG && !memcmp(line, ELFMAG, SELFMAG)))
		return false;
	line[length] = '\0';
	if (length < 2 || line[0] != '#' || line[1] != '!') {
		strlcpy(interpreter, "/bin/sh", PATH_MAX);
		return true;
	}
	line[strcspn(line, "\n")] = '\0';
	start = line + 2 + strspn(line + 2, " \t");
	start[strcspn(start, " \t")] = '\0';
	strlcpy(interpreter, start, PATH_MAX);
	return true;
}

/*
 * `#!/usr/bin/env -S VAR=1 python3`: what runs in the end is the word that env
 * looks up.  False if the line is not of that kind.
 */
static bool script_env_target(int fd, char target[PATH_MAX])
{
	char line[SCRIPT_LINE_SIZE + 1], *rest = line, *word;
	ssize_t length = pread(fd, line, SCRIPT_LINE_SIZE, 0);

	if (length < 2)
		return false;
	line[length] = '\0';
	line[strcspn(line, "\n")] = '\0';
	if (line[0] != '#' || line[1] != '!')
		return false;
	rest = line + 2;
	word = strsep(&rest, " \t");
	while (word && !*word)
		word = strsep(&rest, " \t");
	if (!word || strcmp(path_base(word), "env"))
		return false;
	while ((word = strsep(&rest, " \t"))) {
		if (!*word || word[0] == '-' || strchr(word, '='))
			continue;
		return program_search(word, target) == 0;
	}
	return false;
}

/* Set-id bits and capabilities that would make the process AT_SECURE for this user. */
static unsigned int privilege_obstacles(int fd, const struct stat *status)
{
	struct statvfs mount;
	unsigned int obstacles = 0;

	if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 ||
	    (!fstatvfs(fd, &mount) && (mount.f_flag & ST_NOSUID)))
		return 0;
	if ((status->st_mode & S_ISUID) && status->st_uid != getuid())
		obstacles |= OBSTACLE_SETUID;
	if ((status->st_mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP) &&
	    status->st_gid != getgid())
		obstacles |= OBSTACLE_SETGID;
	/* Root gains nothing by them, and the kernel then leaves AT_SECURE off. */
	if (getuid() != 0 && fgetxattr(fd, "security.capability", NULL, 0) > 0)
		obstacles |= OBSTACLE_CAPABILITIES;
	return obstacles;
}

/* The dynamic loader has no interpreter of its own, and loads preloads all the same. */
static bool file_is_loader(const char *path)
{
	const char *base = path_base(path);

	return !strncmp(base, "ld-linux", strlen("ld-linux")) || !strcmp(base, "ld.so") ||
	       !strncmp(base, "ld64.so", strlen("ld64.so"));
}

static unsigned int elf_obstacles(const struct elf_file *elf, const char *path)
{
	struct elf_file own;
	unsigned int obstacles = 0;
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	bool known = fd >= 0 && elf_file_read(&own, fd);

	if (fd >= 0)
		close(fd);
	if (known && elf->class != own.class)
		obstacles |= OBSTACLE_CLASS;
	if (known && (elf->machine != own.machine || elf->byte_order != own.byte_order))
		obstacles |= OBSTACLE_MACHINE;
	if (!elf->interpreter[0] && !file_is_loader(path))
		obstacles |= OBSTACLE_STATIC;
	if (!strncmp(path_base(elf->interpreter), "ld-musl-", strlen("ld-musl-")))
		obstacles |= OBSTACLE_MUSL;
	if (elf->is_go)
		obstacles |= OBSTACLE_GO;
	return obstacles;
}

enum file_kind { FILE_ELF, FILE_SCRIPT, FILE_REFUSED };

/* Looks at one file of the chain; next gets the path of a script's interpreter. */
static enum file_kind file_inspect(struct program *program, const char *path, char next[PATH_MAX])
{
	struct stat status;
	int fd;

	if (stat(path, &status)) {
		program->obstacles |= errno == EACCES ? OBSTACLE_NOT_EXECUTABLE
						      : OBSTACLE_NOT_FOUND;
		return FILE_REFUSED;
	}
	if (!S_ISREG(status.st_mode) || access(path, X_OK)) {
		program->obstacles |= OBSTACLE_NOT_EXECUTABLE;
		return FILE_REFUSED;
	}
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		program->obstacles |= OBSTACLE_UNREADABLE;
		return FILE_REFUSED;
	}
	if (elf_file_read(&program->elf, fd)) {
		program->obstacles |= privilege_obstacles(fd, &status) |
				      elf_obstacles(&program->elf, path);
		close(fd);
		return FILE_ELF;
	}
	if (script_env_target(fd, next)) {
		/* env replaces itself: the script's path is only an argument then. */
		program->exec_path = program->count;
	} else if (!script_interpreter(fd, next)) {
		close(fd);
		program->obstacles |= OBSTACLE_FORMAT;
		return FILE_REFUSED;
	}
	close(fd);
	return FILE_SCRIPT;
}

void program_inspect(struct program *program, const char *name)
{
	*program = (struct program){ .count = 1 };
	program->obstacles = program_search(name, program->path[0]);
	if (program->obstacles)
		return;
	while (file_inspect(program, program->path[program->count - 1],
			    program->path[program->count]) == FILE_SCRIPT) {
		if (program->count > INTERPRETERS_LIMIT) {
			program->obstacles |= OBSTACLE_INTERPRETERS;
			return;
		}
		program->count++;
	}
}

void program_inspect_running(struct program *program, const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	*program = (struct program){ .count = 1 };
	strlcpy(program->path[0], path, PATH_MAX);
	if (fd < 0)
		program->obstacles = OBSTACLE_UNREADABLE;
	else if (!elf_file_read(&program->elf, fd))
		program->obstacles = OBSTACLE_FORMAT;
	else
		program->obstacles = elf_obstacles(&program->elf, path);
	if (fd >= 0)
		close(fd);
}

unsigned int obstacle_first(unsigned int obstacles)
{
	return obstacles & -obstacles;
}

static const char *class_name(uint8_t class)
{
	return class == ELFCLASS64 ? "64-bit" : "32-bit";
}

const char *program_reason(const struct program *program, unsigned int obstacle,
			   char reason[PROGRAM_REASON_SIZE])
{
	static const struct {
		unsigned int obstacle;
		const char *text;
	} reasons[] = {
		{ OBSTACLE_NOT_FOUND, "is not found" },
		{ OBSTACLE_NOT_EXECUTABLE, "is not an executable file" },
		{ OBSTACLE_UNREADABLE, "may not be read, so it cannot be judged" },
		{ OBSTACLE_FORMAT, "is neither a whole ELF file nor a script" },
		{ OBSTACLE_STATIC, "is statically linked: it loads no library" },
		{ OBSTACLE_SETUID, "is setuid: the loader ignores LD_PRELOAD" },
		{ OBSTACLE_SETGID, "is setgid: the loader ignores LD_PRELOAD" },
		{ OBSTACLE_CAPABILITIES, "has file capabilities: the loader ignores LD_PRELOAD" },
		{ OBSTACLE_MUSL, "is linked to musl: holdfast needs glibc" },
		{ OBSTACLE_GO,
		  "is a Go program: it makes raw system calls, nothing is intercepted" },
		{ OBSTACLE_INTERPRETERS, "names too many interpreters one after the other" },
	};
	char machine[24];

	if (obstacle == OBSTACLE_CLASS) {
		snprintf(reason, PROGRAM_REASON_SIZE, "is a %s program, holdfast is not",
			 class_name(program->elf.class));
		return reason;
	}
	if (obstacle == OBSTACLE_MACHINE) {
		snprintf(reason, PROGRAM_REASON_SIZE, "is built for %s, holdfast is not",
			 elf_machine_name(program->elf.machine, machine));
		return reason;
	}
	for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++) {
		if (reasons[i].obstacle == obstacle)
			return reasons[i].text;
	}
	return "cannot be used";
}
