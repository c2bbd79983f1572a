/* SPDX-License-Identifier: MIT */
/* Where this process's policy comes from: HOLDFAST_POLICY and the overrides. */
#ifndef HOLDFAST_ENGINE_POLICY_SOURCE_H
#define HOLDFAST_ENGINE_POLICY_SOURCE_H

#include "policy/policy.h"
#include "shim/config.h"
#include "shim/log.h"

/*
 * The policy that the configuration asks for, overrides applied; it stays mapped
 * for ever. directory: the open state directory, where compiled copies are kept; -1: nowhere.
 * NULL if it is bad, with the reason in problem.
 *
 * Async-signal-safe for a shipped profile and for a file whose compiled copy is
 * current. Otherwise the file is parsed, once, in a second object that is
 * opened for the purpose: that allocates.
 */
const struct policy *policy_source_load(const struct config *config, int directory,
					struct line *problem);

/*
 * Leaves what this process had to parse, compiled, for the next one. At its end,
 * since writing a file takes as long as parsing. directory: as above.
 */
void policy_source_keep(int directory);

#endif
