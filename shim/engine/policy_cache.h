/* SPDX-License-Identifier: MIT */
/*
 * Compiled policies in the state directory: STATE/policy/<16 hex digits of
 * source.path_hash>; directory is STATE, open.  Two system calls tell whether a copy is current, so that
 * a process need not parse.  No heap; async-signal-safe; errno is kept.
 */
#ifndef HOLDFAST_ENGINE_POLICY_CACHE_H
#define HOLDFAST_ENGINE_POLICY_CACHE_H

#include <stdbool.h>

#include "policy/policy.h"

/* FNV-1a, 64 bits: of the absolute path of a policy file, or of an inline text. */
uint64_t policy_cache_hash(const char *bytes, size_t length);

/*
 * Maps the copy that was compiled from source, privately and writable, so that
 * overrides can be applied to it. NULL if there is none, or it is of another
 * state of the file, or it is not whole.
 */
struct policy *policy_cache_map(int directory, const struct policy_source *source);

/*
 * Writes a copy; a reader sees the old one or the new one, whole. Does nothing
 * if the copy there is the same. False if it cannot be written, which costs the
 * next process that needs it half a millisecond and nothing else.
 */
bool policy_cache_write(int directory, const struct policy *policy);

#endif
