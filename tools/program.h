/* SPDX-License-Identifier: MIT */
/* Whether libholdfast.so can do its work in a program, told from the program's file. */
#ifndef HOLDFAST_TOOL_PROGRAM_H
#define HOLDFAST_TOOL_PROGRAM_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

#include "tools/elf_file.h"

#define INTERPRETERS_LIMIT 4 /* of scripts that name scripts; the kernel follows as many */
#define PROGRAM_REASON_SIZE (PATH_MAX + 256)

enum program_obstacle {
	OBSTACLE_NOT_FOUND = 1U << 0,
	OBSTACLE_NOT_EXECUTABLE = 1U << 1,
	OBSTACLE_UNREADABLE = 1U << 2, /* cannot be judged */
	OBSTACLE_FORMAT = 1U << 3,     /* neither a whole ELF file nor a script */
	OBSTACLE_STATIC = 1U << 4,
	OBSTACLE_SETUID = 1U << 5,
	OBSTACLE_SETGID = 1U << 6,
	OBSTACLE_CAPABILITIES = 1U << 7,
	OBSTACLE_CLASS = 1U << 8,
	OBSTACLE_MACHINE = 1U << 9,
	OBSTACLE_MUSL = 1U << 10,
	OBSTACLE_GO = 1U << 11,
	OBSTACLE_INTERPRETERS = 1U << 12 /* more than INTERPRETERS_LIMIT */
};

/* With these the loader complains about the library, or refuses to start the program. */
#define OBSTACLES_HARMFUL (OBSTACLE_CLASS | OBSTACLE_MACHINE | OBSTACLE_MUSL)
/* These are for exec itself to report. */
#define OBSTACLES_EXEC \
	(OBSTACLE_NOT_FOUND | OBSTACLE_NOT_EXECUTABLE | OBSTACLE_FORMAT | OBSTACLE_INTERPRETERS)

struct program {
	/* What is started, then the interpreter that it names, and so on. */
	char path[INTERPRETERS_LIMIT + 2][PATH_MAX];
	unsigned int count;
	unsigned int exec_path; /* index of what the last exec names: AT_EXECFN */
	unsigned int obstacles; /* of the last one; enum program_obstacle */
	struct elf_file elf;    /* of the last one, if it is an ELF file */
};

/* name as a shell would look for it: in PATH unless it has a slash. */
void program_inspect(struct program *program, const char *name);

/* The same for a file that is running: only what the file itself is, no rights. */
void program_inspect_running(struct program *program, const char *path);

/*
 * Why obstacle keeps the library out, as the end of the sentence "PATH ...".
 * Exactly one bit must be set.
 */
const char *program_reason(const struct program *program, unsigned int obstacle,
			   char reason[PROGRAM_REASON_SIZE]);

/* The lowest bit of obstacles. */
unsigned int obstacle_first(unsigned int obstacles);

#endif
