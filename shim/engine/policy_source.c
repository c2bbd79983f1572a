/* SPDX-License-Identifier: MIT */
#include "policy_source.h"

#include <dlfcn.h>
#include <errno.h>
#include <string.h>

#include "policy_cache.h"
#include "shim/libc.h"
#include "shim/sys.h"

#define COMPILED_MAX (4u << 20)
#define TEXT_MAX (1u << 20)
#define PARSER "libholdfast-policy.so"

/* holdfast_policy_compile() of policy/compile.h */
typedef size_t compile_function(const char *text, size_t length, const char *origin,
				const struct policy_source *source, void *buffer, size_t size,
				char *message, size_t message_size);

static void *memory_map(size_t size)
{
	void *memory = sys_mmap(NULL, size, PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return memory == MAP_FAILED ? NULL : memory;
}

/* The parser lies beside us; if we were named relatively, the loader must find it. */
static void parser_path(char path[STORE_PATH_SIZE])
{
	Dl_info own;
	const char *slash;

	strcpy(path, PARSER);
	if (!dladdr((void *)policy_source_load, &own) || own.dli_fname[0] != '/')
		return;
	slash = strrchr(own.dli_fname, '/');
	if ((size_t)(slash + 1 - own.dli_fname) + sizeof(PARSER) > STORE_PATH_SIZE)
		return;
	memcpy(path, own.dli_fname, (size_t)(slash + 1 - own.dli_fname));
	strcpy(path + (slash + 1 - own.dli_fname), PARSER);
}

/*
 * Opened with RTLD_DEEPBIND, since a program that carries its own cJSON (iperf3)
 * would otherwise be asked to parse; and not by our own dlopen(), which takes that
 * flag away.  The sanitizers' runtimes abort at it; a program that is built with
 * one gets the plain order.
 */
static void *parser_open(struct line *problem)
{
	int sanitized = dlsym(RTLD_DEFAULT, "__asan_init") || dlsym(RTLD_DEFAULT, "__tsan_init");
	char path[STORE_PATH_SIZE];
	void *parser;

	parser_path(path);
	parser = LIBC(dlopen)(path, RTLD_NOW | RTLD_LOCAL | (sanitized ? 0 : RTLD_DEEPBIND));
	if (!parser) {
		line_add(problem, "the policy cannot be parsed: ");
		line_add(problem, dlerror());
	}
	return parser;
}

static struct policy *policy_parse(const char *text, size_t length, const char *origin,
				   const struct policy_source *source, struct line *problem)
{
	void *parser = parser_open(problem);
	struct policy *policy = NULL;
	char message[LINE_SIZE] = "";
	compile_function *compile;
	size_t size = 0;

	if (!parser)
		return NULL;
	compile = (compile_function *)dlsym(parser, "holdfast_policy_compile");
	if (compile)
		policy = memory_map(COMPILED_MAX);
	if (policy)
		size = compile(text, length, origin, source, policy, COMPILED_MAX, message,
			       sizeof(message));
	dlclose(parser);
	if (!size) {
		line_add(problem, policy ? message : "the policy cannot be parsed: no memory");
		if (policy)
			sys_munmap(policy, COMPILED_MAX);
		return NULL;
	}
	size = (size + 4095) & ~(size_t)4095;
	sys_munmap((char *)policy + size, COMPILED_MAX - size);
	return policy;
}

/* What was parsed here, as it was before overrides. */
static const struct policy *fresh;

static void problem_file(struct line *problem, const char *path, const char *what)
{
	line_add(problem, path);
	line_add(problem, ": ");
	line_add(problem, what);
}

static void source_fill(struct policy_source *source, const struct stat *status)
{
	source->device = status->st_dev;
	source->inode = status->st_ino;
	source->size = (uint64_t)status->st_size;
	source->mtime_ns = status->st_mtim.tv_sec * 1000000000 + status->st_mtim.tv_nsec;
	source->ctime_ns = status->st_ctim.tv_sec * 1000000000 + status->st_ctim.tv_nsec;
}

static struct policy *file_parse(int fd, const char *path, const struct policy_source *source,
				 struct line *problem)
{
	struct policy *policy = NULL;
	ssize_t length;
	char *text;

	if (source->size > TEXT_MAX) {
		problem_file(problem, path, "larger than 1 MiB, which no policy is");
		return NULL;
	}
	text = memory_map(TEXT_MAX);
	if (!text) {
		problem_file(problem, path, "no memory to read it");
		return NULL;
	}
	length = sys_pread_full(fd, text, TEXT_MAX, 0);
	if (length < 0)
		problem_file(problem, path, strerrordesc_np(errno));
	else
		policy = policy_parse(text, (size_t)length, path, source, problem);
	sys_munmap(text, TEXT_MAX);
	return policy;
}

static struct policy *file_load(const char *path, int directory, struct line *problem)
{
	struct policy_source source = { .path_hash = policy_cache_hash(path, strlen(path)) };
	struct policy *policy = NULL;
	struct stat status;
	int fd;

	if (sys_fstatat(AT_FDCWD, path, &status, 0) == 0 && S_ISREG(status.st_mode) &&
	    directory >= 0) {
		source_fill(&source, &status);
		policy = policy_cache_map(directory, &source);
		if (policy)
			return policy;
	}
	fd = sys_openat(AT_FDCWD, path, O_RDONLY | O_NONBLOCK, 0);
	if (fd < 0 || sys_fstat(fd, &status) < 0) {
		problem_file(problem, path, strerrordesc_np(errno));
	} else if (!S_ISREG(status.st_mode)) {
		problem_file(problem, path, "not a regular file");
	} else {
		source_fill(&source, &status);
		policy = file_parse(fd, path, &source, problem);
	}
	if (fd >= 0)
		sys_close(fd);
	fresh = policy;
	return policy;
}

static struct policy *inline_load(const char *text, int directory, struct line *problem)
{
	size_t length = strlen(text);
	struct policy_source source = {
		.size = length,
		.path_hash = policy_cache_hash(text, length),
	};
	struct policy *policy = NULL;

	if (directory >= 0)
		policy = policy_cache_map(directory, &source);
	if (policy)
		return policy;
	policy = policy_parse(text, length, "HOLDFAST_POLICY", &source, problem);
	fresh = policy;
	return policy;
}

/* Overrides change a copy: a shipped profile lies in read-only memory. */
static struct policy *policy_writable(const struct policy *policy)
{
	struct policy *copy = memory_map(policy->size);

	return copy ? memcpy(copy, policy, policy->size) : NULL;
}

static bool overrides_apply(const struct config *config, struct policy *policy,
			    struct line *problem)
{
	char message[LINE_SIZE];

	for (unsigned int i = 0; i < config->override_count; i++) {
		if (policy_override(policy, config->override_names[i], config->override_values[i],
				    message, sizeof(message)))
			continue;
		line_add(problem, config->override_names[i]);
		line_add(problem, ": ");
		line_add(problem, message);
		return false;
	}
	return true;
}

const struct policy *policy_source_load(const struct config *config, int directory,
					struct line *problem)
{
	const char *value = config->policy ? config->policy : "standard";
	const struct policy *profile = policy_profile(value);
	struct policy *policy = NULL;

	if (profile && config->override_count == 0)
		return profile;
	if (profile)
		policy = policy_writable(profile);
	else if (value[0] == '{')
		policy = inline_load(value, directory, problem);
	else
		policy = file_load(value, directory, problem);
	if (policy && policy == fresh && config->override_count)
		policy = policy_writable(policy);
	if (policy && !overrides_apply(config, policy, problem))
		policy = NULL;
	return policy;
}

void policy_source_keep(int directory)
{
	if (fresh)
		policy_cache_write(directory, fresh);
	fresh = NULL;
}
