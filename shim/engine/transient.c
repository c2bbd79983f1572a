/* SPDX-License-Identifier: MIT */
#include "transient.h"

#include <errno.h>

#include "call.h"
#include "datagram.h"
#include "engine.h"
#include "hold.h"
#include "keep.h"
#include "operation.h"
#include "transfer.h"

/* The kernel reports an earlier datagram, and has not sent this one. */
static bool datagram_serve(struct connection *connection, int error, bool sends)
{
	if (error != ECONNREFUSED || !sends || connection->attention & ATTENTION_RETRIED ||
	    connection_settings(connection)->transfer.replay < REPLAY_UNANSWERED) {
		transient_end(connection);
		return false;
	}
	attention_set(connection, ATTENTION_RETRIED);
	return true;
}

static void failure_find(struct connection *connection, const struct keep *keep, int error,
			 struct operation_failure *failure)
{
	const struct policy_settings *settings = connection_settings(connection);
	const struct policy_situation situation = {
		.operation = OPERATION_CONNECT,
		.category = (uint8_t)policy_classify(settings, AF_INET, error),
		.error = error,
		.attempt = keep->waits,
		.elapsed_ns = (uint64_t)(clock_ns() - keep->waiting_since_ns),
		.random = random_draw(),
	};

	failure_classify(failure, settings, error, situation.category);
	failure->verdict = policy_decide(engine.policy, connection->rule, &situation);
}

static bool local_serve(struct connection *connection, int error, int64_t until_ns)
{
	struct keep *keep = connection_keep(connection);
	struct operation_failure failure;
	int64_t until;

	if (!keep || !until_ns)
		return false;
	if (!(connection->attention & ATTENTION_RETRIED)) {
		keep->waits = 0;
		keep->waiting_since_ns = clock_ns();
	} else if (until_ns != INT64_MAX) {
		/* The limit is that of the program's call, not of each of ours. */
		until_ns -= clock_ns() - keep->waiting_since_ns;
	}
	keep->waits++;
	failure_find(connection, keep, error, &failure);
	until = clock_ns() + (int64_t)failure.verdict.delay_ns;
	if (verdict_is_retry(&failure.verdict) && until <= until_ns) {
		attention_set(connection, ATTENTION_RETRIED);
		operation_transfer_retry(connection, &failure, keep->waits);
		if (hold_until(until) != EINTR)
			return true;
	}
	transient_end(connection);
	return false;
}

/* Of this machine's own; what the network says is no reason to send the same bytes again. */
static bool error_is_local(const struct connection *connection, int error)
{
	return policy_classify(connection_settings(connection), AF_INET, error) == CATEGORY_SYSTEM;
}

bool transient_serve(struct connection *connection, int fd, int flags, int error, bool sends)
{
	int saved_errno = errno;
	bool again = false;

	if (!connection->is_stream)
		datagram_failed(connection, error);
	if (!connection_owned(connection))
		return false;
	if (error_is_local(connection, error))
		again = local_serve(connection, error, transfer_until(fd, flags, sends));
	else if (!connection->is_stream)
		again = datagram_serve(connection, error, sends);
	errno = saved_errno;
	return again;
}

void transient_end(struct connection *connection)
{
	attention_clear(connection, ATTENTION_RETRIED);
}
