/* SPDX-License-Identifier: MIT */
#include "config.h"

#include <stdatomic.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "policy/policy.h"
#include "sys.h"

enum load_state { LOAD_NONE, LOAD_BUSY, LOAD_DONE };

static struct config config;
static const struct config disabled;
static _Atomic int load_state;

/* Strings are copied here; a policy given inline can need more than this. */
static char small_arena[2048];
static struct {
	char *next;
	size_t left;
} arena = { small_arena, sizeof(small_arena) };

static char *arena_take(size_t size)
{
	char *taken;

	if (size > arena.left) {
		size_t length = size + 65536;
		void *more = sys_mmap(NULL, length, PROT_READ | PROT_WRITE,
				      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (more == MAP_FAILED)
			return NULL;
		arena.next = more;
		arena.left = length;
	}
	taken = arena.next;
	arena.next += size;
	arena.left -= size;
	return taken;
}

static const char *arena_copy(const char *text)
{
	size_t size = strlen(text) + 1;
	char *copy = arena_take(size);

	return copy ? memcpy(copy, text, size) : NULL;
}

/* A relative path means the working directory of now, which the program may leave. */
static const char *path_absolute(const char *path)
{
	char *copy;
	size_t length;

	if (path[0] == '/')
		return arena_copy(path);
	copy = arena_take(STORE_PATH_SIZE + strlen(path) + 2);
	if (!copy || !getcwd(copy, STORE_PATH_SIZE))
		return arena_copy(path);
	length = strlen(copy);
	copy[length] = '/';
	strcpy(copy + length + 1, path);
	return copy;
}

static const char *policy_absolute(const char *value)
{
	if (value[0] == '\0')
		return NULL;
	if (value[0] == '{' || policy_profile(value))
		return arena_copy(value);
	return path_absolute(value);
}

static void override_add(const char *name, size_t name_length, const char *value)
{
	char *copy;

	if (config.override_count == CONFIG_OVERRIDES)
		return;
	copy = arena_take(name_length + 1);
	if (!copy)
		return;
	memcpy(copy, name, name_length);
	copy[name_length] = '\0';
	config.override_names[config.override_count] = copy;
	config.override_values[config.override_count] = arena_copy(value);
	if (config.override_values[config.override_count])
		config.override_count++;
}

/* An illegal value is kept with the overrides, whose check makes it a bad policy. */
static void log_take(const char *name, size_t name_length, const char *value)
{
	static const char *const names[] = { "off", "error", "info", "debug" };

	for (unsigned int i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(value, names[i]) == 0) {
			config.log = (enum config_log)i;
			return;
		}
	override_add(name, name_length, value);
}

static void enabled_take(const char *name, size_t name_length, const char *value)
{
	config.enabled = strcmp(value, "0") != 0;
	if (config.enabled && strcmp(value, "1") != 0)
		override_add(name, name_length, value);
}

static void variable_take(const char *variable)
{
	const char *equals = strchr(variable, '=');
	const char *value;
	size_t length;

	if (!equals)
		return;
	length = (size_t)(equals - variable);
	value = equals + 1;
#define NAMED(text) (length == sizeof(text) - 1 && memcmp(variable, text, length) == 0)
	if (NAMED("HOLDFAST_POLICY"))
		config.policy = policy_absolute(value);
	else if (NAMED("HOLDFAST_STATE_DIR"))
		config.state_dir = value[0] ? path_absolute(value) : NULL;
	else if (NAMED("HOLDFAST_LOG"))
		log_take(variable, length, value);
	else if (NAMED("HOLDFAST_ENABLED"))
		enabled_take(variable, length, value);
	else if (NAMED("HOLDFAST_RUN"))
		config.notice = value[0] == '1';
	else
		override_add(variable, length, value);
#undef NAMED
}

/* prefix is a literal; compared by hand, since at load every libc name costs a lookup. */
static bool begins_with(const char *text, const char *prefix)
{
	while (*prefix)
		if (*text++ != *prefix++)
			return false;
	return true;
}

static void environment_take(char **variables)
{
	for (; variables && *variables; variables++) {
		const char *text = *variables;

		/* Two letters rule out nearly every variable. */
		if (text[0] == 'H' && text[1] == 'O') {
			if (begins_with(text, "HOLDFAST_"))
				variable_take(text);
			else if (begins_with(text, "HOME="))
				config.home = arena_copy(text + 5);
		} else if (text[0] == 'X' && begins_with(text, "XDG_STATE_HOME=")) {
			config.xdg_state_home = arena_copy(text + 15);
		}
	}
}

static void config_load(void)
{
	const char *exec_path = (const char *)getauxval(AT_EXECFN);
	struct stat status;

	config.log = LOG_ERROR;
	config.enabled = true;
	environment_take(environ);
	if (getauxval(AT_SECURE))
		config.enabled = false;
	config.exec_path = exec_path ? arena_copy(exec_path) : NULL;
	if (!config.exec_path)
		config.exec_path = "";
	if (sys_fstat(STDERR_FILENO, &status) == 0) {
		config.stderr_device = status.st_dev;
		config.stderr_inode = status.st_ino;
	}
}

const struct config *config_get(void)
{
	int state = atomic_load_explicit(&load_state, memory_order_acquire);

	if (state == LOAD_DONE)
		return &config;
	if (state == LOAD_BUSY || !atomic_compare_exchange_strong(&load_state, &state, LOAD_BUSY))
		return &disabled;
	config_load();
	atomic_store_explicit(&load_state, LOAD_DONE, memory_order_release);
	return &config;
}

__attribute__((constructor)) static void config_construct(void)
{
	config_get();
}
