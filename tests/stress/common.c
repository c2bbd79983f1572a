/* SPDX-License-Identifier: MIT */
#include "common.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

void give_up(const char *what)
{
	fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name, what, strerror(errno));
	exit(2);
}

int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * INT64_C(1000) + now.tv_nsec / 1000000;
}

int fds_open(void)
{
	DIR *names = opendir("/proc/self/fd");
	int count = 0;

	if (!names)
		give_up("/proc/self/fd");
	while (readdir(names))
		count++;
	closedir(names);
	return count;
}

void fds_print(void)
{
	char path[32], target[256];
	ssize_t length;

	for (int fd = 3; fd < 1024; fd++) {
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		length = readlink(path, target, sizeof(target));
		if (length > 0)
			fprintf(stderr, "fd %d is %.*s\n", fd, (int)length, target);
	}
}

unsigned int names_parse(char *list, const char *const *names, unsigned int count)
{
	unsigned int bits = 0;
	char *name;

	while (list && (name = strsep(&list, ","))) {
		unsigned int i = 0;

		while (i < count && strcmp(name, names[i]) != 0)
			i++;
		if (i < count)
			bits |= 1u << i;
		else if (name[0])
			give_up(name);
	}
	return bits;
}
