/* SPDX-License-Identifier: MIT */
/* What a policy has done for connections that are there. */
#ifndef HOLDFAST_ENGINE_TENDED_H
#define HOLDFAST_ENGINE_TENDED_H

#include "connection.h"
#include "engine.h"
#include "heartbeat.h"
#include "keep.h"
#include "silence.h"

static inline bool settings_tend(const struct policy_settings *settings)
{
	return settings->transfer.replay >= REPLAY_UNANSWERED ||
	       settings->heartbeat.idle_ns != DURATION_OFF ||
	       settings->heartbeat.idle_timeout_ns != DURATION_OFF;
}

/* Whether there is anything to do for it at all. */
static inline bool connection_is_tended(const struct connection *connection)
{
	return connection->is_stream &&
	       settings_tend(policy_settings(engine.policy, connection->rule));
}

/* fd has been connected, and the program does not know yet. No system call unless it is tended. */
static inline void connection_made(struct connection *connection, int fd)
{
	const struct policy_settings *settings = policy_settings(engine.policy, connection->rule);

	if (__builtin_expect(!connection->is_stream || !settings_tend(settings), 1))
		return;
	heartbeat_begin(fd, &settings->heartbeat);
	silence_begin(connection, &settings->heartbeat);
	keep_begin(connection, fd, settings);
}

#endif
