/* SPDX-License-Identifier: MIT */
#include "tools/policy_file.h"

#include <bsd/string.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "policy/words.h"
#include "shim/engine/policy_cache.h"

char *path_absolute(const char *path)
{
	char *cwd, *absolute = NULL;

	if (path[0] == '/')
		return strdup(path);
	while (path[0] == '.' && path[1] == '/') {
		path += 2;
		path += strspn(path, "/");
	}
	cwd = getcwd(NULL, 0);
	if (!cwd)
		return NULL;
	if (asprintf(&absolute, "%s/%s", strcmp(cwd, "/") ? cwd : "", path) < 0)
		absolute = NULL;
	free(cwd);
	return absolute;
}

/* For what is wrong with the file itself, in the form of the compiler's own errors. */
static void __attribute__((format(printf, 2, 3)))
errors_add(struct policy_errors *errors, const char *format, ...)
{
	struct policy_error *list = reallocarray(errors->list, errors->count + 1, sizeof(*list));
	va_list arguments;

	if (!list)
		return;
	errors->list = list;
	list[errors->count] = (struct policy_error){ .path = strdup("") };
	va_start(arguments, format);
	if (vasprintf(&list[errors->count].message, format, arguments) < 0)
		list[errors->count].message = strdup("out of memory");
	va_end(arguments);
	errors->count++;
}

static int64_t time_ns(const struct timespec *time)
{
	return (int64_t)time->tv_sec * 1000000000 + time->tv_nsec;
}

static bool descriptor_read(struct policy_file *file, int fd, struct policy_errors *errors)
{
	size_t size = 0;
	ssize_t n;

	for (;;) {
		if (file->length == size) {
			char *text = realloc(file->text, size += 16384);

			if (!text) {
				errors_add(errors, "%s", strerror(ENOMEM));
				return false;
			}
			file->text = text;
		}
		n = read(fd, file->text + file->length, size - file->length);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		file->length += (size_t)n;
		if (file->length > POLICY_TEXT_LIMIT) {
			errors_add(errors, "is longer than %d bytes", POLICY_TEXT_LIMIT);
			return false;
		}
	}
	if (n < 0)
		errors_add(errors, "cannot be read: %s", strerror(errno));
	return n == 0;
}

static enum policy_file_result text_compile(struct policy_file *file, struct policy_errors *errors)
{
	file->policy = policy_compile(file->text, file->length, file->origin, &file->source,
				      errors);
	return file->policy ? POLICY_FILE_OK : POLICY_FILE_BAD;
}

static enum policy_file_result descriptor_compile(struct policy_file *file, int fd,
						  struct policy_errors *errors)
{
	struct stat status;

	if (fstat(fd, &status)) {
		errors_add(errors, "%s", strerror(errno));
		return POLICY_FILE_MISSING;
	}
	if (S_ISDIR(status.st_mode)) {
		errors_add(errors, "is a directory, expected a policy file");
		return POLICY_FILE_MISSING;
	}
	file->is_file = S_ISREG(status.st_mode);
	file->source = (struct policy_source){
		.device = status.st_dev,
		.inode = status.st_ino,
		.size = (uint64_t)status.st_size,
		.mtime_ns = time_ns(&status.st_mtim),
		.ctime_ns = time_ns(&status.st_ctim),
		.path_hash = policy_cache_hash(file->origin, strlen(file->origin)),
	};
	if (!descriptor_read(file, fd, errors))
		return POLICY_FILE_MISSING;
	return text_compile(file, errors);
}

enum policy_file_result policy_file_read_path(struct policy_file *file, const char *path,
					      struct policy_errors *errors)
{
	enum policy_file_result result;
	int fd;

	*file = (struct policy_file){ 0 };
	*errors = (struct policy_errors){ 0 };
	if (!strcmp(path, "-")) {
		file->origin = strdup("-");
		return descriptor_compile(file, STDIN_FILENO, errors);
	}
	file->origin = path_absolute(path);
	file->value = file->origin ? strdup(file->origin) : NULL;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (!file->value || fd < 0) {
		errors_add(errors, "%s", strerror(errno));
		result = POLICY_FILE_MISSING;
	} else {
		result = descriptor_compile(file, fd, errors);
	}
	if (fd >= 0)
		close(fd);
	return result;
}

static enum policy_file_result profile_copy(struct policy_file *file, const char *name,
					    const struct policy *profile)
{
	file->origin = strdup(name);
	file->value = strdup(name);
	file->policy = malloc(profile->size);
	if (!file->origin || !file->value || !file->policy)
		return POLICY_FILE_MISSING;
	memcpy(file->policy, profile, profile->size);
	return POLICY_FILE_OK;
}

static enum policy_file_result inline_compile(struct policy_file *file, const char *text,
					      struct policy_errors *errors)
{
	file->origin = strdup("HOLDFAST_POLICY");
	file->value = strdup(text);
	file->text = strdup(text);
	file->length = strlen(text);
	file->source = (struct policy_source){
		.size = file->length,
		.path_hash = policy_cache_hash(text, file->length),
	};
	return text_compile(file, errors);
}

#define PROFILES_LIMIT 32

static enum policy_file_result name_unknown(struct policy_file *file, const char *name,
					    struct policy_errors *errors)
{
	const char *names[PROFILES_LIMIT], *profile;
	struct words words = { names, 0 };
	int nearest;

	while (words.count < PROFILES_LIMIT &&
	       (profile = policy_profile_name((unsigned int)words.count)))
		names[words.count++] = profile;
	nearest = word_nearest(&words, name);
	file->origin = strdup(name);
	if (nearest >= 0)
		errors_add(errors, "no such file and no shipped profile, the nearest is \"%s\"",
			   names[nearest]);
	else
		errors_add(errors, "no such file and no shipped profile");
	return POLICY_FILE_MISSING;
}

enum policy_file_result policy_file_read(struct policy_file *file, const char *given,
					 struct policy_errors *errors)
{
	const char *name = given && *given ? given : "standard";
	const struct policy *profile;

	*file = (struct policy_file){ 0 };
	*errors = (struct policy_errors){ 0 };
	if (name[0] == '{')
		return inline_compile(file, name, errors);
	profile = policy_profile(name);
	if (profile)
		return profile_copy(file, name, profile);
	if (!strchr(name, '/') && access(name, F_OK))
		return name_unknown(file, name, errors);
	return policy_file_read_path(file, name, errors);
}

void policy_file_free(struct policy_file *file)
{
	free(file->origin);
	free(file->value);
	free(file->text);
	free(file->policy);
	*file = (struct policy_file){ 0 };
}

bool policy_file_override(struct policy *policy, char *line, size_t size,
			  void (*visit)(const char *name, const char *value, void *data),
			  void *data)
{
	for (char **variable = environ; *variable; variable++) {
		const char *value = strchr(*variable, '=');
		uint64_t before;
		char name[64], error[POLICY_LINE_SIZE - sizeof(name)];

		if (strncmp(*variable, "HOLDFAST_", strlen("HOLDFAST_")) || !value)
			continue;
		snprintf(name, sizeof(name), "%.*s", (int)(value - *variable), *variable);
		value++;
		before = policy_checksum(policy);
		if (!policy_override(policy, name, value, error, sizeof(error))) {
			snprintf(line, size, "%s: %s", name, error);
			return false;
		}
		if (visit && policy_checksum(policy) != before)
			visit(name, value, data);
	}
	return true;
}
