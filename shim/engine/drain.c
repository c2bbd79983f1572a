/* SPDX-License-Identifier: MIT */
#include "drain.h"

#include <errno.h>

#include "call.h"
#include "engine.h"
#include "keep.h"
#include "loss.h"
#include "operation.h"
#include "pending_state.h"
#include "shim/sys.h"
#include "tcp.h"

/* How often it is looked whether the peer has it all: sooner at first. */
#define FIRST_LOOK_NS INT64_C(100000)
#define LAST_LOOK_NS INT64_C(5000000)

static bool is_drained(const struct connection *connection)
{
	const struct policy_transfer *transfer = &connection_settings(connection)->transfer;

	return connection->attention & ATTENTION_KEPT && transfer->replay == REPLAY_ONE_WAY &&
	       connection_owned(connection);
}

/* False if no more of it can be handed over. */
static bool drain_step(struct connection *connection, int fd, int64_t until_ns)
{
	int error;

	if (connection->attention & ATTENTION_CONNECT) {
		pending_run();
		if (pending_outlook(connection) == OUTLOOK_HELD)
			return pending_wait(connection, until_ns) != EAGAIN;
		return pending_outlook(connection) != OUTLOOK_FAILED;
	}
	if (connection->loss == LOSS_TOLD)
		return false;
	error = keep_flush(connection, fd);
	if ((!error || error == EAGAIN) && tcp_is_lost(fd))
		error = ECONNRESET;
	return !error || error == EAGAIN ||
	       loss_serve(connection, fd, error, LOSS_BY_SEND, connection->operation);
}

/* ends: whatever is left then is lost. */
static void drain(struct connection *connection, int fd, int64_t began_ns, bool ends)
{
	int64_t pause = FIRST_LOOK_NS, until;
	int saved_errno = errno;
	struct timespec time;
	uint64_t left;

	until = began_ns + (int64_t)connection_settings(connection)->transfer.drain_ns;
	while (drain_step(connection, fd, until)) {
		if (connection->attention & ATTENTION_CONNECT)
			continue;
		if (!keep_left(connection, fd) || clock_ns() >= until)
			break;
		time = (struct timespec){ 0, pause };
		SYS(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &time, NULL);
		pause = pause < LAST_LOOK_NS ? 2 * pause : pause;
	}
	left = ends ? keep_left(connection, fd) : 0;
	if (left)
		store_count(connection_record(connection), COUNTER_lost_bytes, left);
	if (ends)
		keep_end(connection);
	errno = saved_errno;
}

void drain_output(struct connection *connection, int fd)
{
	if (is_drained(connection) && connection->fds == 1)
		drain(connection, fd, clock_ns(), true);
}

/* By whatever number stands for it still. */
static void drain_those(bool are_away, int64_t began_ns, bool ends)
{
	struct connection *connection;

	for (uint32_t i = 0; (connection = connection_at(i)); i++) {
		int fd;

		/* A child that goes on with its parent's file has fewer than the file has slots. */
		if (!is_drained(connection) ||
		    (!are_away && connection->attention & ATTENTION_CONNECT))
			continue;
		fd = connection_fd(connection);
		if (fd >= 0)
			drain(connection, fd, began_ns, ends);
	}
}

/* `drain` is for all of them together; those that only have to be heard of come first. */
void drain_all(bool ends)
{
	int64_t began = clock_ns();

	drain_those(false, began, ends);
	drain_those(true, began, ends);
}
