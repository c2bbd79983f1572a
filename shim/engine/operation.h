/* SPDX-License-Identifier: MIT */
/*
 * An operation's bookkeeping: counters, the slot's state, events, log lines.
 * Nothing here decides or calls into the network.  Async-signal-safe.
 */
#ifndef HOLDFAST_ENGINE_OPERATION_H
#define HOLDFAST_ENGINE_OPERATION_H

#include "connection.h"
#include "policy/policy.h"

/* CLOCK_MONOTONIC */
int64_t clock_ns(void);

void operation_state(struct connection *connection, enum slot_state state);

/*
 * Begins one with its first attempt; one that was left by a jump counts as
 * abandoned. Returns its ticket, by which whoever serves it knows whether it is
 * still that one: another thread may have closed the fd meanwhile, and the
 * connection may serve another socket.
 */
uint32_t operation_begin(struct connection *connection);
/* The ticket of the operation in progress, 0 if there is none. */
uint32_t operation_ticket(const struct connection *connection);

/* What is known of a failed attempt, for the decision, the counters and the event. */
struct operation_failure {
	int error;
	enum policy_category category;
	enum policy_decision decision;
	struct policy_verdict verdict;
	const struct endpoint_record *at; /* where it was made; NULL: at the operation's own */
};

/* Of an error of that category: all but the verdict, which the decision is yet to make. */
static inline void failure_classify(struct operation_failure *failure,
				    const struct policy_settings *settings, int error,
				    enum policy_category category)
{
	*failure = (struct operation_failure){
		.error = error,
		.category = category,
		.decision = settings->strategies[category].decision,
	};
}

void operation_attempt_failed(struct connection *connection, int error);
/* The next attempt waits for verdict.delay_ns from now on. */
void operation_retry(struct connection *connection, const struct operation_failure *failure);
/* It is made. */
void operation_attempt(struct connection *connection);
/* Both, for one that waits for nothing and was no failure's consequence. */
void operation_retry_at_once(struct connection *connection);
/* Time that the caller was really held. */
void operation_waited(struct connection *connection, int64_t ns);

/*
 * Begins one by which a connection that was lost is made anew: as operation_begin(),
 * counted on a record of its own.
 */
uint32_t operation_begin_rebuild(struct connection *connection);
static inline bool operation_is_rebuild(const struct connection *connection)
{
	return connection->record->operation == OPERATION_RECONNECT;
}
/* A connection was lost, and this is what is done about it. detail: what is known of its bytes. */
void operation_lost(struct connection *connection, const struct operation_failure *failure,
		    const char *detail);
/* It was to be made anew, and may not be. */
void operation_rebuild_denied(struct connection *connection,
			      const struct operation_failure *failure);
/* A transfer failed for want of something of this machine's, and is tried again after a delay. */
void operation_transfer_retry(struct connection *connection,
			      const struct operation_failure *failure, uint32_t attempt);

/* Each ends the operation of that ticket, once; false if it had ended already. */
bool operation_succeed(struct connection *connection, uint32_t ticket);
bool operation_fail(struct connection *connection, uint32_t ticket,
		    const struct operation_failure *failure);
/* The program went away first, or its own timer ran out. */
bool operation_abandon(struct connection *connection, uint32_t ticket);

#endif
