/* SPDX-License-Identifier: MIT */
/* What becomes of a failed attempt, for callers that wait and for pending connects alike. */
#include <netinet/in.h>
#include <string.h>

#include "call.h"
#include "engine.h"
#include "hosts.h"
#include "keep.h"
#include "operation.h"
#include "pools.h"
#include "shim/sys.h"
#include "siblings.h"
#include "tcp.h"

int64_t call_elapsed(const struct call *call)
{
	int64_t elapsed = clock_ns() - call->connection->began_ns;

	return elapsed > 0 ? elapsed : 0;
}

uint64_t call_attempt_bound(const struct call *call)
{
	uint32_t attempts = call->connection->attempts;
	struct policy_situation situation = { .elapsed_ns = (uint64_t)call_elapsed(call) };

	if (!call->pooled)
		return policy_attempt_bound(call->settings, attempts, situation.elapsed_ns);
	situation.attempt = call->pool.round;
	situation.other_endpoint = pool_is_left(call);
	return policy_pool_bound(call->settings, &situation, attempts <= 1);
}

uint32_t call_retries(const struct call *call, enum policy_category category)
{
	/* Those of a pool are rounds, and attempts are counted. */
	return call->pooled ? RETRIES_UNLIMITED : call->settings->strategies[category].max_retries;
}

uint16_t call_port(const struct call *call)
{
	struct sockaddr_in peer;

	if (call->peer->sa_family == AF_UNIX)
		return 0;
	/* The port lies at the same place in both families. */
	memcpy(&peer, call->peer, sizeof(peer));
	return peer.sin_port;
}

bool call_is_current(const struct call *call)
{
	return operation_ticket(call->connection) == call->ticket && call->cookie &&
	       socket_cookie(call->fd) == call->cookie;
}

uint64_t random_draw(void)
{
	uint64_t random;

	if (sys_getrandom(&random, sizeof(random)) != sizeof(random))
		random = (uint64_t)clock_ns() * UINT64_C(0x9e3779b97f4a7c15);
	return random;
}

void failure_decide(struct call *call, int error, struct operation_failure *failure)
{
	struct connection *connection = call->connection;
	struct policy_loss loss = { .bytes_moved = 0 };
	struct policy_situation situation = {
		.operation = (uint8_t)connection->record->operation,
		.error = error,
		.attempt = connection->attempts + call->tries_before,
		.previous_delay_ns = call->previous_delay_ns,
		.elapsed_ns = (uint64_t)call_elapsed(call),
		.random = random_draw(),
	};

	failure_classify(failure, call->settings, error,
			 policy_classify(call->settings, call->peer->sa_family, error));
	failure->at = call->pooled ? &engine.store.file->endpoints[call->pool.record] : NULL;
	situation.category = (uint8_t)failure->category;
	if (call->pooled) {
		situation.attempt = call->pool.round + call->tries_before;
		situation.other_endpoint = pool_is_left(call);
	} else if (!call->named && connection->is_stream && connection->attempts == 1 &&
		   !operation_is_rebuild(connection) && failure->decision != DECISION_NONE) {
		struct name_address address;

		if (name_address_from(&address, call->peer, call->length) && hosts_learn(&address))
			siblings_begin(call);
	}
	/* Asked only where the answer can matter. */
	if (call->named && failure->decision != DECISION_NONE)
		situation.sibling = (uint8_t)siblings_ask(call, error, &situation.other_endpoint);
	if (call->resent) {
		keep_describe(connection, call->fd, &loss);
		situation.loss = &loss;
	}
	failure->verdict = policy_decide(engine.policy, connection->rule, &situation);
}

/* Passed on, or given up. */
void failure_end(struct call *call, const struct operation_failure *failure)
{
	if (call->named && failure->verdict.action == VERDICT_GIVE_UP)
		name_walk_spend(&call->name);
	if (call->pooled)
		pool_end(call);
	operation_fail(call->connection, call->ticket, failure);
}

/*
 * Another address has come up while this one was held. A program that knows only
 * this one would fail now, though the server may just be opening its addresses
 * one by one: this one gets a moment and a last attempt.
 */
#define GRACE_NS UINT64_C(50000000)

void failure_grace(struct call *call, struct operation_failure *failure)
{
	if (failure->verdict.cause != CAUSE_FALLBACK || call->graced ||
	    call->connection->attempts == 1)
		return;
	call->graced = true;
	failure->verdict = (struct policy_verdict){ GRACE_NS, VERDICT_RETRY_AFTER, CAUSE_NONE };
}
