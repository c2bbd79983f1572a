/* SPDX-License-Identifier: MIT */
/*
 * Noticing that a peer is gone: TCP's own keepalive and user timeout as the policy
 * says. (An end to silence that the kernel takes for health: silence.h.)
 */
#ifndef HOLDFAST_ENGINE_HEARTBEAT_H
#define HOLDFAST_ENGINE_HEARTBEAT_H

#include <stdbool.h>

#include "policy/policy.h"

/* Whether there is anything to set. */
static inline bool heartbeat_beats(const struct policy_heartbeat *heartbeat)
{
	return heartbeat->idle_ns != DURATION_OFF || heartbeat->user_timeout_ns != DURATION_OFF;
}

/*
 * fd has just been connected. Keepalive is switched on unless the program did that
 * itself, and the user timeout set unless it has one. errno is kept.
 */
void heartbeat_begin(int fd, const struct policy_heartbeat *heartbeat);

#endif
