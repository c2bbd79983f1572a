/* SPDX-License-Identifier: MIT */
#include "policy_cache.h"

#include <errno.h>
#include <string.h>

#include "shim/store/directory.h"
#include "shim/sys.h"

#define NAME_SIZE 17
#define TEMPORARY_SIZE (NAME_SIZE + 10)

uint64_t policy_cache_hash(const char *bytes, size_t length)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < length; i++)
		hash = (hash ^ (uint8_t)bytes[i]) * UINT64_C(0x100000001b3);
	return hash;
}

static char *hex_write(char *text, uint64_t number, int digits)
{
	for (int shift = 4 * (digits - 1); shift >= 0; shift -= 4)
		*text++ = "0123456789abcdef"[number >> shift & 15];
	*text = '\0';
	return text;
}

static struct policy *copy_map(int policies, const struct policy_source *source)
{
	struct policy *policy = NULL;
	struct stat status;
	char name[NAME_SIZE];
	void *block;
	size_t size;
	int fd;

	hex_write(name, source->path_hash, 16);
	fd = sys_openat(policies, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
	if (fd < 0)
		return NULL;
	if (sys_fstat(fd, &status) == 0 && S_ISREG(status.st_mode) &&
	    status.st_uid == sys_geteuid() && status.st_size > 0) {
		size = (size_t)status.st_size;
		block = sys_mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
		if (block != MAP_FAILED) {
			policy = block;
			if (!policy_valid(block, size) ||
			    memcmp(&policy->source, source, sizeof(*source)) != 0) {
				sys_munmap(block, size);
				policy = NULL;
			}
		}
	}
	sys_close(fd);
	return policy;
}

struct policy *policy_cache_map(int directory, const struct policy_source *source)
{
	int saved_errno = errno;
	const char *problem;
	int policies = directory_open_sub(directory, "policy", false, &problem);
	struct policy *policy = NULL;

	if (policies >= 0) {
		policy = copy_map(policies, source);
		sys_close(policies);
	}
	errno = saved_errno;
	return policy;
}

static bool copy_write(int policies, const struct policy *policy)
{
	char name[NAME_SIZE], temporary[TEMPORARY_SIZE];
	bool written;
	int fd;

	hex_write(name, policy->source.path_hash, 16);
	temporary[0] = '.';
	hex_write(stpcpy(temporary + 1, name), (uint64_t)sys_getpid(), 8);
	/* Left by a process that had our number and was killed. */
	sys_unlinkat(policies, temporary, 0);
	fd = sys_openat(policies, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
	if (fd < 0)
		return false;
	written = sys_write_full(fd, policy, policy->size) &&
		  sys_renameat(policies, temporary, policies, name) == 0;
	if (!written)
		sys_unlinkat(policies, temporary, 0);
	sys_close(fd);
	return written;
}

bool policy_cache_write(int directory, const struct policy *policy)
{
	struct policy *current = policy_cache_map(directory, &policy->source);
	int saved_errno = errno;
	const char *problem;
	bool done = false;
	int policies;

	if (current) {
		done = current->size == policy->size && memcmp(current, policy, policy->size) == 0;
		sys_munmap(current, current->size);
	}
	if (!done) {
		policies = directory_open_sub(directory, "policy", true, &problem);
		if (policies >= 0) {
			done = copy_write(policies, policy);
			sys_close(policies);
		}
	}
	errno = saved_errno;
	return done;
}
