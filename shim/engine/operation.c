/* SPDX-License-Identifier: MIT */
#include "operation.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "engine.h"
#include "shim/log.h"
#include "shim/store/clock.h"
#include "shim/sys.h"

int64_t clock_ns(void)
{
	return clock_kernel_ns(CLOCK_MONOTONIC);
}

static void state_set(struct connection *connection, enum slot_state state, int64_t now_ns)
{
	atomic_store_explicit(&connection->slot->changed_at_ns, now_ns, memory_order_relaxed);
	atomic_store_explicit(&connection->slot->state, state, memory_order_release);
}

void operation_state(struct connection *connection, enum slot_state state)
{
	state_set(connection, state, store_now_ns());
}

/* Turns an odd ticket even; true for the one caller that did it. */
static bool ticket_end(struct connection *connection, uint32_t ticket)
{
	return ticket % 2 == 1 &&
	       atomic_compare_exchange_strong(&connection->operation, &ticket, ticket + 1);
}

uint32_t operation_ticket(const struct connection *connection)
{
	uint32_t ticket = atomic_load_explicit(&connection->operation, memory_order_acquire);

	return ticket % 2 ? ticket : 0;
}

static uint32_t operation_open(struct connection *connection, enum slot_state state, int64_t now)
{
	STORE(connection->began_ns, clock_ns());
	STORE(connection->attempts, 1);
	STORE(connection->slot->attempts, 1);
	state_set(connection, state, now);
	store_count(connection->record, COUNTER_operations, 1);
	return atomic_fetch_add_explicit(&connection->operation, 1, memory_order_release) + 1;
}

uint32_t operation_begin(struct connection *connection)
{
	struct connection_slot *slot = connection->slot;
	int64_t now = store_now_ns();

	if (ticket_end(connection, operation_ticket(connection)))
		store_count(connection->record, COUNTER_abandoned, 1);
	atomic_store_explicit(&slot->opened_at_ns, now, memory_order_relaxed);
	atomic_store_explicit(&slot->connected_at_ns, 0, memory_order_relaxed);
	atomic_store_explicit(&slot->last_error, 0, memory_order_relaxed);
	return operation_open(connection, SLOT_CONNECTING, now);
}

uint32_t operation_begin_rebuild(struct connection *connection)
{
	const struct endpoint *endpoint = &connection->record->endpoint;
	uint32_t index = store_record(&engine.store, endpoint, OPERATION_RECONNECT);

	connection->record = &engine.store.file->endpoints[index];
	return operation_open(connection, SLOT_RECONNECTING, store_now_ns());
}

/* What follows is counted where connects are. */
static void operation_close(struct connection *connection)
{
	if (operation_is_rebuild(connection))
		connection->record = connection_record(connection);
}

/* ---- events and lines ---------------------------------------------------------- */

static const char *rule_name(const struct connection *connection)
{
	if (connection->rule == RULE_NONE)
		return "";
	return policy_string(engine.policy, policy_rule(engine.policy, connection->rule)->name);
}

static void event_add_detail(struct connection *connection, enum store_event_kind kind,
			     enum store_event_level level, const struct operation_failure *failure,
			     const char *detail)
{
	const char *rule = rule_name(connection);
	struct store_event event = {
		.kind = (uint8_t)kind,
		.level = (uint8_t)level,
		.operation = (uint8_t)connection->record->operation,
		.slot = connection->spare ? SLOT_NONE : connection->slot_index,
		.generation = connection->generation,
		.attempt = connection->attempts,
		.category = UINT8_MAX,
		.decision = UINT8_MAX,
		.verdict = UINT8_MAX,
		.has_endpoint = 1,
		.endpoint = connection->record->endpoint,
	};

	if (failure) {
		event.error = failure->error;
		event.category = (uint8_t)failure->category;
		event.decision = (uint8_t)failure->decision;
		event.verdict = failure->verdict.action;
		event.cause = failure->verdict.cause;
		event.delay_ns = failure->verdict.delay_ns;
	}
	/* An attempt is told of where it was made, what all came to of the operation's endpoint. */
	if (failure && failure->at && kind == EVENT_CONNECT_RETRY)
		event.endpoint = failure->at->endpoint;
	memcpy(event.rule, rule, strnlen(rule, sizeof(event.rule) - 1));
	memcpy(event.detail, detail, strnlen(detail, sizeof(event.detail) - 1));
	store_event_add(&engine.store, &event);
}

static void event_add(struct connection *connection, enum store_event_kind kind,
		      enum store_event_level level, const struct operation_failure *failure)
{
	event_add_detail(connection, kind, level, failure, "");
}

enum outcome { OUTCOME_RETRY, OUTCOME_RECOVERED, OUTCOME_FAILED, OUTCOME_COUNT };

static enum store_event_kind event_kind(const struct connection *connection, enum outcome outcome)
{
	static const uint8_t kinds[OPERATION_COUNT][OUTCOME_COUNT] = {
		[OPERATION_CONNECT] = { EVENT_CONNECT_RETRY, EVENT_CONNECT_RECOVERED,
					EVENT_CONNECT_FAILED },
		[OPERATION_RESOLVE] = { EVENT_RESOLVE_RETRY, EVENT_RESOLVE_RECOVERED,
					EVENT_RESOLVE_FAILED },
		[OPERATION_RECONNECT] = { EVENT_RECONNECT_ATTEMPT, EVENT_RECONNECT_SUCCESS,
					  EVENT_RECONNECT_FAILURE },
	};

	return (enum store_event_kind)kinds[connection->record->operation][outcome];
}

static void line_open_at(struct line *line, const struct endpoint_record *record, const char *what)
{
	line_begin(line);
	line_add_endpoint(line, &record->endpoint);
	line_add(line, ": ");
	line_add(line, what);
}

static void line_open(struct line *line, const struct connection *connection, const char *what)
{
	line_open_at(line, connection->record, what);
}

static void line_attempt(struct line *line, const struct connection *connection)
{
	line_add(line, " at attempt ");
	line_add_number(line, connection->attempts);
	line_add(line, " after ");
	line_add_wait(line, (uint64_t)(clock_ns() - connection->began_ns));
}

/* ---- outcomes -------------------------------------------------------------------- */

void operation_attempt_failed(struct connection *connection, int error)
{
	struct endpoint_record *record = connection->record;

	store_count(record, COUNTER_attempt_failures, 1);
	atomic_store_explicit(&record->last_error, error, memory_order_relaxed);
	atomic_store_explicit(&record->last_error_at_ns, store_now_ns(), memory_order_relaxed);
	atomic_store_explicit(&connection->slot->last_error, error, memory_order_relaxed);
	atomic_fetch_add_explicit(&connection->slot->consecutive_failures, 1, memory_order_relaxed);
}

static void attempt_next(struct connection *connection)
{
	connection->attempts++;
	atomic_store_explicit(&connection->slot->attempts, connection->attempts,
			      memory_order_relaxed);
}

void operation_retry(struct connection *connection, const struct operation_failure *failure)
{
	struct line line;

	event_add(connection, event_kind(connection, OUTCOME_RETRY), LEVEL_WARNING, failure);
	if (log_wanted(LOG_INFO)) {
		line_open_at(&line, failure->at ? failure->at : connection->record, "");
		line_add_error(&line, failure->error);
		line_attempt(&line, connection);
		line_add(&line, ", next in ");
		line_add_wait(&line, failure->verdict.delay_ns);
		log_write(LOG_INFO, &line);
	}
	attempt_next(connection);
}

void operation_attempt(struct connection *connection)
{
	store_count(connection->record, COUNTER_retries, 1);
}

void operation_retry_at_once(struct connection *connection)
{
	attempt_next(connection);
	operation_attempt(connection);
}

void operation_waited(struct connection *connection, int64_t ns)
{
	if (ns > 0)
		store_count(connection->record, COUNTER_backoff_ns, (uint64_t)ns);
}

static void recovery_record(struct endpoint_record *record, uint64_t took_ns)
{
	static const uint32_t bounds_ms[] = RECOVERY_BOUNDS_MS;
	unsigned int bucket = 0;

	while (bucket < RECOVERY_BUCKETS - 1 && took_ns > bounds_ms[bucket] * UINT64_C(1000000))
		bucket++;
	atomic_fetch_add_explicit(&record->recovery[bucket], 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&record->recovery_sum_ns, took_ns, memory_order_relaxed);
}

static void recovered(struct connection *connection)
{
	struct line line;

	if (connection->attempts > 1)
		store_count(connection->record, COUNTER_recovered, 1);
	recovery_record(connection->record, (uint64_t)(clock_ns() - connection->began_ns));
	event_add(connection, event_kind(connection, OUTCOME_RECOVERED), LEVEL_INFO, NULL);
	if (log_wanted(LOG_INFO)) {
		line_open(&line, connection,
			  operation_is_rebuild(connection) ? "reconnected" : "connected");
		line_attempt(&line, connection);
		log_write(LOG_INFO, &line);
	}
}

static void rebuilt(struct connection *connection)
{
	struct connection_slot *slot = connection->slot;

	store_count(connection->record, COUNTER_reconnects, 1);
	atomic_fetch_add_explicit(&slot->reconnects, 1, memory_order_relaxed);
	atomic_store_explicit(&slot->reconnect_latency_ns, clock_ns() - connection->began_ns,
			      memory_order_relaxed);
}

bool operation_succeed(struct connection *connection, uint32_t ticket)
{
	struct connection_slot *slot = connection->slot;
	int64_t now;

	if (!ticket_end(connection, ticket))
		return false;
	now = store_now_ns();
	store_count(connection->record, COUNTER_succeeded, 1);
	atomic_store_explicit(&connection->record->last_success_at_ns, now, memory_order_relaxed);
	atomic_store_explicit(&slot->connected_at_ns, now, memory_order_relaxed);
	atomic_store_explicit(&slot->consecutive_failures, 0, memory_order_relaxed);
	state_set(connection, SLOT_CONNECTED, now);
	if (operation_is_rebuild(connection))
		rebuilt(connection);
	if (connection->attempts > 1 || operation_is_rebuild(connection))
		recovered(connection);
	operation_close(connection);
	return true;
}

static void denial_count(struct endpoint_record *record, enum policy_cause cause)
{
	static const uint8_t counters[CAUSE_COUNT] = {
		[CAUSE_LIMIT] = COUNTER_retries_denied_limit,
		[CAUSE_DEADLINE] = COUNTER_retries_denied_deadline,
		[CAUSE_BUDGET] = COUNTER_retries_denied_budget,
		[CAUSE_BREAKER] = COUNTER_retries_denied_breaker,
		[CAUSE_UNSAFE] = COUNTER_retries_denied_unsafe,
		[CAUSE_BUFFER] = COUNTER_retries_denied_buffer,
	};

	if (counters[cause])
		store_count(record, counters[cause], 1);
}

/* The program goes on to another address: no failure, as far as it is concerned. */
static void fell_back(struct connection *connection, const struct operation_failure *failure)
{
	store_count(connection->record, COUNTER_fallbacks, 1);
	operation_state(connection, SLOT_DISCONNECTED);
	event_add(connection, EVENT_FALLBACK, LEVEL_INFO, failure);
}

bool operation_fail(struct connection *connection, uint32_t ticket,
		    const struct operation_failure *failure)
{
	struct line line;

	if (!ticket_end(connection, ticket))
		return false;
	if (failure->verdict.cause == CAUSE_FALLBACK) {
		fell_back(connection, failure);
		return true;
	}
	store_count(connection->record, COUNTER_failures, 1);
	if (operation_is_rebuild(connection))
		store_count(connection->record, COUNTER_reconnect_failures, 1);
	denial_count(connection->record, failure->verdict.cause);
	operation_state(connection, SLOT_FAILED);
	event_add(connection, event_kind(connection, OUTCOME_FAILED), LEVEL_WARNING, failure);
	if (failure->verdict.cause == CAUSE_LIMIT && connection->attempts > 1)
		event_add(connection, EVENT_MAX_RETRIES_EXCEEDED, LEVEL_CRITICAL, failure);
	if (log_wanted(LOG_INFO)) {
		line_open(&line, connection, "gave up, ");
		line_add_error(&line, failure->error);
		line_attempt(&line, connection);
		log_write(LOG_INFO, &line);
	}
	operation_close(connection);
	return true;
}

bool operation_abandon(struct connection *connection, uint32_t ticket)
{
	if (!ticket_end(connection, ticket))
		return false;
	store_count(connection->record, COUNTER_abandoned, 1);
	event_add(connection, EVENT_ABANDONED, LEVEL_INFO, NULL);
	operation_close(connection);
	return true;
}

/* ---- losses and transfers ------------------------------------------------------------ */

void operation_lost(struct connection *connection, const struct operation_failure *failure,
		    const char *detail)
{
	struct endpoint_record *record = connection->record;
	struct line line;

	atomic_store_explicit(&record->last_error, failure->error, memory_order_relaxed);
	atomic_store_explicit(&record->last_error_at_ns, store_now_ns(), memory_order_relaxed);
	atomic_store_explicit(&connection->slot->last_error, failure->error, memory_order_relaxed);
	operation_state(connection, SLOT_DISCONNECTED);
	if (failure->verdict.action == VERDICT_PASS_ON ||
	    failure->verdict.action == VERDICT_GIVE_UP)
		denial_count(record, failure->verdict.cause);
	event_add_detail(connection, EVENT_CONNECTION_LOST, LEVEL_WARNING, failure, detail);
	if (log_wanted(LOG_INFO)) {
		line_open(&line, connection, "connection lost, ");
		line_add_error(&line, failure->error);
		line_add(&line, ": ");
		line_add(&line, detail);
		log_write(LOG_INFO, &line);
	}
}

void operation_rebuild_denied(struct connection *connection,
			      const struct operation_failure *failure)
{
	denial_count(connection->record, failure->verdict.cause);
	event_add(connection, EVENT_RECONNECT_FAILURE, LEVEL_WARNING, failure);
}

void operation_transfer_retry(struct connection *connection,
			      const struct operation_failure *failure, uint32_t attempt)
{
	struct endpoint_record *record = connection->record;

	store_count(record, COUNTER_attempt_failures, 1);
	store_count(record, COUNTER_retries, 1);
	atomic_store_explicit(&record->last_error, failure->error, memory_order_relaxed);
	atomic_store_explicit(&record->last_error_at_ns, store_now_ns(), memory_order_relaxed);
	if (attempt == 1)
		event_add(connection, EVENT_TRANSFER_RETRY, LEVEL_WARNING, failure);
}
