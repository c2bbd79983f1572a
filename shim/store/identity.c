/* SPDX-License-Identifier: MIT */
#include "identity.h"

#include <string.h>

#include "clock.h"
#include "shim/sys.h"

char *decimal_write(char *at, uint32_t number)
{
	char digits[10];
	int count = 0;

	do
		digits[count++] = (char)('0' + number % 10);
	while (number /= 10);
	while (count)
		*at++ = digits[--count];
	return at;
}

void process_file_name(char name[PROCESS_NAME_SIZE], int32_t pid, uint32_t nonce)
{
	char *at = decimal_write(name, (uint32_t)pid);

	*at++ = '-';
	for (int shift = 28; shift >= 0; shift -= 4)
		*at++ = "0123456789abcdef"[nonce >> shift & 15];
	*at = '\0';
}

ssize_t file_text(const char *path, char *text, size_t size)
{
	int fd = sys_openat(AT_FDCWD, path, O_RDONLY, 0);

	if (fd < 0)
		return -1;
	ssize_t n = sys_pread_full(fd, text, size - 1, 0);
	int error = errno;
	sys_close(fd);
	errno = error;
	text[n > 0 ? n : 0] = '\0';
	return n;
}

uint64_t identity_proc_device(void)
{
	char own[PID_SIZE], self[PID_SIZE];
	struct stat status;
	ssize_t length = sys_readlink("/proc/self", self, sizeof(self) - 1);

	if (length <= 0)
		return 0;
	self[length] = '\0';
	*decimal_write(own, (uint32_t)sys_getpid()) = '\0';
	if (strcmp(own, self) != 0 || sys_fstatat(AT_FDCWD, "/proc", &status, 0) < 0)
		return 0;
	return status.st_dev;
}

int64_t identity_boottime_ns(void)
{
	return clock_kernel_ns(CLOCK_BOOTTIME);
}
