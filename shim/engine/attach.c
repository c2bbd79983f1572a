/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/auxv.h>

#include "connection.h"
#include "drain.h"
#include "engine.h"
#include "policy_source.h"
#include "schedule.h"
#include "shim/config.h"
#include "shim/libc.h"
#include "shim/log.h"
#include "shim/sys.h"

enum attach_state { ATTACH_NONE, ATTACH_BUSY, ATTACH_MANAGED, ATTACH_INERT };

/*
 * Lives in a page that the kernel gives a forked child zeroed (MADV_WIPEONFORK):
 * a forked child finds owner 0, a vfork child finds its parent's pid.  No fork
 * handler is needed, which posix_spawn() and raw clone() would not run anyway.
 */
struct guard {
	_Atomic int32_t maker; /* who made the page */
	_Atomic int32_t owner; /* who attached; 0: nobody */
	_Atomic int32_t state; /* enum attach_state */
};

struct engine engine;
static struct guard *_Atomic guard;

/* Another thread is attaching: policy files are small and disks slow. */
#define ATTACH_WAIT_MS 2000

static struct guard *guard_get(void)
{
	struct guard *page = atomic_load_explicit(&guard, memory_order_acquire);
	struct guard *expected = NULL;
	size_t size = getauxval(AT_PAGESZ);

	if (page)
		return page;
	page = sys_mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (page == MAP_FAILED)
		return NULL;
	atomic_store_explicit(&page->maker, sys_getpid(), memory_order_relaxed);
	if (sys_madvise(page, size, MADV_WIPEONFORK) < 0 ||
	    !atomic_compare_exchange_strong(&guard, &expected, page)) {
		sys_munmap(page, size);
		return expected;
	}
	return page;
}

/* What rules want to know costs as much as a connect's bookkeeping: found out only if one
 * does. The shipped ones name programs by the names that they are started by. */
static void rules_prepare(void)
{
	uint32_t own = engine.policy->rule_count - engine.policy->shipped_rule_count;
	ssize_t length = 0;

	for (uint32_t i = 0; i < own; i++) {
		const struct policy_rule *rule = policy_rule(engine.policy, (int)i);

		if (rule->hosts.count)
			engine.matches_hosts = true;
		if (rule->programs.count && !length)
			length = sys_readlink("/proc/self/exe", engine.exe_path,
					      sizeof(engine.exe_path) - 1);
	}
	engine.exe_path[length > 0 ? length : 0] = '\0';
	engine.other_programs = policy_rules_of_others(
		engine.policy, &(struct policy_destination){
				       .exec_path = engine.exec_path,
				       .exe_path = engine.exe_path[0] ? engine.exe_path : NULL,
			       });
}

/* Once: what was said first caused what would be said next, and a child that is forked
 * afterwards has been spoken for. */
static void problem_say(const char *what, const char *why)
{
	static bool said;
	struct line line;

	if (said)
		return;
	said = true;
	line_begin(&line);
	line_add(&line, what);
	line_add(&line, why);
	log_write(LOG_ERROR, &line);
}

void engine_event(enum store_event_kind kind, enum store_event_level level, const char *detail)
{
	struct store_event event = {
		.kind = (uint8_t)kind,
		.level = (uint8_t)level,
		.slot = SLOT_NONE,
		.category = UINT8_MAX,
		.decision = UINT8_MAX,
		.verdict = UINT8_MAX,
	};

	if (detail)
		memcpy(event.detail, detail, strnlen(detail, sizeof(event.detail) - 1));
	store_event_add(&engine.store, &event);
}

/* The state directory as far as it could be had. */
struct state {
	int directory;       /* -1: none; its path is in engine.store */
	const char *problem; /* with errno's reason in error */
	int error;
};

static void state_open(struct state *state, const struct config *config)
{
	state->directory = -1;
	state->problem = "no directory can be named for it";
	state->error = 0;
	if (!directory_locate(engine.store.directory, config->state_dir, config->xdg_state_home,
			      config->home, sys_geteuid()))
		return;
	state->directory = directory_open(engine.store.directory, true, &state->problem);
	state->error = errno;
}

/* The lines are large and the stack may be a small one for signals: only whoever has
 * something to say holds one. */
static __attribute__((noinline)) void store_problem_say(const struct state *state)
{
	struct line why;

	line_begin(&why);
	line_add(&why, engine.store.directory);
	line_add(&why, engine.store.directory[0] ? ": " : "");
	line_add(&why, state->problem);
	if (state->error) {
		line_add(&why, ": ");
		line_add(&why, strerrordesc_np(state->error));
	}
	problem_say("nothing is stored, the policy applies: ", why.bytes);
}

/* The store of this process; a forked child that may not have one goes on with its parent's. */
static bool store_attach(struct state *state)
{
	struct process_file *inherited = engine.store.file;
	bool inherited_on_disk = engine.store.on_disk;
	uint32_t parent = inherited ? inherited->identity.nonce : 0;

	if (store_open(&engine.store, state->directory, engine.exec_path, parent, &state->problem))
		return true;
	if (state->directory >= 0)
		state->error = errno;
	if (inherited_on_disk) {
		sys_munmap(engine.store.file, sizeof(*engine.store.file));
		engine.store.file = inherited;
		engine.store.on_disk = true;
		return true;
	}
	store_problem_say(state);
	return engine.store.file != NULL;
}

static __attribute__((noinline)) bool policy_attach(const struct config *config,
						    struct state *state)
{
	/* One thread attaches at a time; on a small stack for signals there is no room for it. */
	static struct line problem;
	static bool bad;

	if (engine.policy || bad)
		return engine.policy != NULL;
	engine.exec_path = config->exec_path;
	line_begin(&problem);
	engine.policy = policy_source_load(config, state->directory, &problem);
	if (engine.policy) {
		rules_prepare();
		return true;
	}
	/* Said once: a child that was forked afterwards stays silent. */
	bad = true;
	problem_say(problem.bytes, "; running unprotected");
	if (store_attach(state) && engine.store.on_disk) {
		engine_event(EVENT_POLICY_ERROR, LEVEL_CRITICAL, problem.bytes);
		store_leave(&engine.store);
	}
	return false;
}

static enum attach_state attach(void)
{
	const struct config *config = config_get();
	enum attach_state result = ATTACH_INERT;
	struct state state;

	if (!config->enabled)
		return ATTACH_INERT;
	state_open(&state, config);
	if (policy_attach(config, &state) && store_attach(&state) && connections_attach())
		result = ATTACH_MANAGED;
	if (state.directory >= 0)
		sys_close(state.directory);
	if (result == ATTACH_MANAGED && log_wanted(LOG_DEBUG))
		engine_event(EVENT_POLICY_LOADED, LEVEL_INFO,
			     policy_string(engine.policy, engine.policy->profile));
	return result;
}

/* With all signals blocked nothing can enter again, jump out or be cancelled half-way. */
static bool attach_once(struct guard *page)
{
	int32_t state = ATTACH_NONE;
	uint64_t signals;

	sys_signals_block(&signals);
	if (atomic_compare_exchange_strong(&page->state, &state, ATTACH_BUSY)) {
		state = attach();
		atomic_store(&page->owner, sys_getpid());
		atomic_store_explicit(&page->state, state, memory_order_release);
	}
	sys_signals_restore(&signals);
	return state == ATTACH_MANAGED;
}

static bool attach_wait(struct guard *page)
{
	const struct timespec pause = { 0, 1000000 };

	for (int i = 0; i < ATTACH_WAIT_MS; i++) {
		int32_t state = atomic_load_explicit(&page->state, memory_order_acquire);

		if (state != ATTACH_BUSY)
			return state == ATTACH_MANAGED;
		SYS(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &pause, NULL);
	}
	return false;
}

/*
 * A vfork child, which must not attach in its parent's memory: the parent made the
 * page and waits. (Whoever else made it is a vfork child of ours that is gone.)
 */
static bool is_vfork_child(const struct guard *page)
{
	int32_t maker = atomic_load_explicit(&page->maker, memory_order_relaxed);

	return maker && maker != sys_getpid() && maker == (int32_t)SYS(SYS_getppid);
}

bool engine_ready(void)
{
	struct guard *page = atomic_load_explicit(&guard, memory_order_acquire);
	int saved_errno;
	bool managed;
	int32_t state;

	state = page ? atomic_load_explicit(&page->state, memory_order_acquire) : ATTACH_NONE;
	if (state >= ATTACH_MANAGED)
		return state == ATTACH_MANAGED;
	saved_errno = errno;
	page = guard_get();
	if (page && is_vfork_child(page))
		page = NULL;
	managed = page && state == ATTACH_NONE && attach_once(page);
	if (page && !managed)
		managed = attach_wait(page);
	errno = saved_errno;
	return managed;
}

void engine_network_seen(void)
{
	int saved_errno = errno;

	guard_get();
	errno = saved_errno;
}

void engine_prepare(void)
{
	if (atomic_load_explicit(&guard, memory_order_relaxed) && sys_geteuid() == 0)
		engine_ready();
}

#ifdef HOLDFAST_SEES_VFORK
static _Atomic bool memory_is_lent;
#else
static const bool memory_is_lent = true;
#endif

void engine_memory_lend(void)
{
#ifdef HOLDFAST_SEES_VFORK
	memory_is_lent = true;
#endif
}

enum engine_memory engine_memory(int32_t *owner)
{
	struct guard *page = atomic_load_explicit(&guard, memory_order_acquire);
	int32_t attached = page ? atomic_load_explicit(&page->owner, memory_order_relaxed) : 0;
	int32_t pid = attached && !memory_is_lent ? attached : sys_getpid();

	if (owner)
		*owner = pid;
	if (attached == pid)
		return MEMORY_OWN;
	return attached ? MEMORY_BORROWED : MEMORY_INHERITED;
}

bool engine_memory_is_borrowed(void)
{
#ifdef HOLDFAST_SEES_VFORK
	if (!memory_is_lent)
		return false;
#endif
	return engine_memory(NULL) == MEMORY_BORROWED;
}

int32_t engine_owner(void)
{
	struct guard *page = atomic_load_explicit(&guard, memory_order_acquire);

	return page ? atomic_load_explicit(&page->owner, memory_order_relaxed) : 0;
}

bool engine_is_owner(int32_t pid)
{
	return engine_owner() == pid;
}

static void leave(void)
{
	const char *problem;
	int32_t pid;
	int directory;

	if (!engine.store.file || !engine.policy || engine_memory(&pid) != MEMORY_OWN ||
	    engine.store.file->identity.pid != pid || engine.store.file->state == PROCESS_EXITED)
		return;
	store_leave(&engine.store);
	if (!engine.store.on_disk)
		return;
	directory = directory_open(engine.store.directory, false, &problem);
	if (directory < 0)
		return;
	store_spare(directory);
	policy_source_keep(directory);
	store_tidy(&engine.store, directory, engine.policy->store.retention_ns,
		   engine.policy->store.max_size_bytes);
	sys_close(directory);
}

static void drain_own(bool ends)
{
	if (engine.policy && engine_memory(NULL) == MEMORY_OWN)
		drain_all(ends);
}

void engine_drain(void)
{
	drain_own(false);
}

void engine_leave(void)
{
	int saved_errno = errno;

	drain_own(true);
	leave();
	errno = saved_errno;
}

__attribute__((destructor)) static void engine_destruct(void)
{
	engine_leave();
}
