/* SPDX-License-Identifier: MIT */
/* What a policy has done for connections that are there: heartbeat, silence, what is kept. */
#ifndef HOLDFAST_ENGINE_TENDED_H
#define HOLDFAST_ENGINE_TENDED_H

#include "connection.h"
#include "engine.h"
#include "heartbeat.h"

static inline bool settings_tend(const struct policy_settings *settings)
{
	return settings->transfer.replay >= REPLAY_UNANSWERED ||
	       heartbeat_beats(&settings->heartbeat) ||
	       settings->heartbeat.idle_timeout_ns != DURATION_OFF;
}

/* Whether there is anything to do for it at all. */
static inline bool connection_is_tended(const struct connection *connection)
{
	return connection->is_stream && settings_tend(connection_settings(connection));
}

/* Both under the schedule's lock; errno is kept. */
void tending_begin_locked(struct connection *connection, int fd);
void tending_begin(struct connection *connection, int fd, uint32_t generation);
void tending_end(struct connection *connection);

/*
 * fd has been connected, and the program does not know yet. No system call unless it is
 * tended. generation: the connection's when the caller saw that; another thread may have
 * closed fd since, and the connection may be another one.
 */
static inline void connection_made(struct connection *connection, int fd, uint32_t generation)
{
	if (__builtin_expect(connection_is_tended(connection), 0))
		tending_begin(connection, fd, generation);
}

#endif
