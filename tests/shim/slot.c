/* SPDX-License-Identifier: MIT */
/*
 * slot FILE INDEX WORD [VALUE]: prints a word of a connection slot of a process file,
 * for scripts, or stores VALUE there; `slot offset INDEX WORD` prints where it lies.
 * reconnects_wanted is the file's own, whatever the INDEX.
 * For what a real process cannot be made to do when a test wants it.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shim/store/layout.h"

#define WORD(name)                                            \
	{                                                     \
#name, offsetof(struct connection_slot, name) \
	}

static const struct word {
	const char *name;
	size_t offset;
} words[] = {
	WORD(state), WORD(endpoint), WORD(generation), WORD(reconnect_wanted), WORD(in_use),
};

/* Where it lies in the file; -1 if there is no such word. */
static off_t word_offset(const char *index, const char *name)
{
	if (!strcmp(name, "reconnects_wanted"))
		return offsetof(struct process_file, reconnects_wanted);
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (!strcmp(words[i].name, name))
			return (off_t)(offsetof(struct process_file, slots) +
				       strtoul(index, NULL, 10) * sizeof(struct connection_slot) +
				       words[i].offset);
	}
	return -1;
}

int main(int argc, char **argv)
{
	off_t offset = argc == 4 || argc == 5 ? word_offset(argv[2], argv[3]) : -1;
	uint32_t value;
	int fd;

	if (offset < 0)
		return 64;
	if (!strcmp(argv[1], "offset"))
		return printf("%jd\n", (intmax_t)offset) < 0;
	fd = open(argv[1], argc == 5 ? O_WRONLY : O_RDONLY);
	if (argc == 5) {
		value = (uint32_t)strtoul(argv[4], NULL, 10);
		return pwrite(fd, &value, sizeof(value), offset) != sizeof(value);
	}
	if (pread(fd, &value, sizeof(value), offset) != sizeof(value))
		return 1;
	return printf("%" PRIu32 "\n", value) < 0;
}
