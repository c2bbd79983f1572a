/* SPDX-License-Identifier: MIT */
/*
 * The process as the engine sees it: which policy holds, which store is written,
 * and whether this memory is its own.  Attached at the first network use.
 */
#ifndef HOLDFAST_ENGINE_ENGINE_H
#define HOLDFAST_ENGINE_ENGINE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "policy/policy.h"
#include "shim/store/store.h"

struct engine {
	const struct policy *policy; /* never changes once it is set */
	struct store store;
	const char *exec_path;   /* for rules that match programs */
	bool matches_hosts;      /* some rule does */
	uint64_t other_programs; /* rules that are not for this one: policy_rules_of_others() */
	char exe_path[256];      /* what /proc/self/exe names; "" if unknown */
};

extern struct engine engine;

/*
 * True if calls are to be managed. The first call in a process, and in a forked
 * child, attaches: policy first, then, when needed, the store. Other threads wait
 * for it; a call out of a signal handler never does. errno is kept.
 */
bool engine_ready(void);

/* The process has made a TCP or UDP socket: it is one of those that engine_prepare() serves. */
void engine_network_seen(void);
/* Root is about to be given up: attaches while the state directory can be opened. errno is kept. */
void engine_prepare(void);

/* Whose tables these are. */
enum engine_memory {
	MEMORY_OWN,
	MEMORY_INHERITED, /* a forked child's copy, and the child has not attached yet */
	MEMORY_BORROWED   /* a vfork child: the tables are its parent's, in use there */
};

/* At most one system call. owner: the pid that owns MEMORY_OWN tables, may be NULL. */
enum engine_memory engine_memory(int32_t *owner);
/* Whether it is MEMORY_BORROWED. No system call before a child may live in our memory. */
bool engine_memory_is_borrowed(void);
/* A child is about to be made that may live in our memory: from now on that is asked for. */
void engine_memory_lend(void);

/* The pid that attached, 0 in a forked child that has not yet. No system call. */
int32_t engine_owner(void);
/* Whether this is memory of the process pid, or of its vfork child. No system call. */
bool engine_is_owner(int32_t pid);

/* Hands over what is kept of one-way output, as long as `drain` says. Nothing ends by that. */
void engine_drain(void);
/* Leaves in order: the process ends now. Does nothing in a child that never attached. */
void engine_leave(void);

/* An event about the process itself; detail may be NULL. */
void engine_event(enum store_event_kind kind, enum store_event_level level, const char *detail);

#endif
