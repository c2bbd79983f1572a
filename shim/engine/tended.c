/* SPDX-License-Identifier: MIT */
#include "tended.h"

#include <errno.h>

#include "keep.h"
#include "schedule.h"
#include "silence.h"

void tending_begin_locked(struct connection *connection, int fd)
{
	const struct policy_settings *settings = connection_settings(connection);
	int saved_errno = errno;

	if (!connection_is_tended(connection))
		return;
	heartbeat_begin(fd, &settings->heartbeat);
	silence_begin(connection, &settings->heartbeat);
	keep_begin(connection, fd, settings);
	errno = saved_errno;
}

void tending_begin(struct connection *connection, int fd, uint32_t generation)
{
	uint64_t signals;

	if (!schedule_make())
		return;
	schedule_lock(&signals);
	/* Who closes it waits for the lock before another can have the connection. */
	if (connection->generation == generation && connection_of(fd) == connection)
		tending_begin_locked(connection, fd);
	schedule_unlock(&signals);
}

void tending_end(struct connection *connection)
{
	uint64_t signals;

	if (!connection_is_tended(connection) || !schedule_make())
		return;
	schedule_lock(&signals);
	silence_end(connection);
	keep_end(connection);
	schedule_unlock(&signals);
}
