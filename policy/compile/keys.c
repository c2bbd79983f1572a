/* SPDX-License-Identifier: MIT */
/* The table, and nothing else: one row a key, in the order in which explain shows them. */
#include "keys.h"

#include "policy/limits.h"

const char *const section_names[SECTION_COUNT] = {
	"connect", "resolve", "transfer",   "heartbeat", "breaker",
	"budget",  "share",   "strategies", "alerts",    "store",
};

#define YEAR (double)DURATION_MAX_NS
#define MS (double)MS_NS
#define KIB 1024.0
#define GIB (KIB * KIB * KIB)
#define COUNT_MAX 1000000.0

#define AT(field) offsetof(struct policy_settings, field)
#define OF(field) offsetof(struct policy_strategy, field)
#define IN(field) offsetof(struct policy, field)
#define RANGE(least, most) .low = least, .high = most
#define OFF .can_be_off = true
#define ACTED .acted_on = true

const struct key keys[KEY_ROWS] = {
	{ SECTION_CONNECT, "attempt_timeout", KEY_DURATION, AT(connect.attempt_timeout_ns),
	  RANGE(MS, YEAR), OFF, ACTED },
	{ SECTION_CONNECT, "deadline", KEY_DURATION, AT(connect.deadline_ns), RANGE(0, YEAR), OFF,
	  ACTED },
	{ SECTION_CONNECT, "siblings", KEY_WORD, AT(connect.siblings), .words = &siblings_words,
	  ACTED },

	{ SECTION_RESOLVE, "deadline", KEY_DURATION, AT(resolve.deadline_ns), RANGE(0, YEAR), OFF,
	  ACTED },

	{ SECTION_TRANSFER, "replay", KEY_WORD, AT(transfer.replay), .words = &replay_words,
	  ACTED },
	{ SECTION_TRANSFER, "max_attempts", KEY_COUNT, AT(transfer.max_attempts),
	  RANGE(1, COUNT_MAX), ACTED },
	{ SECTION_TRANSFER, "max_buffer", KEY_SIZE, AT(transfer.max_buffer_bytes), RANGE(0, GIB),
	  ACTED },
	{ SECTION_TRANSFER, "overlap", KEY_SIZE, AT(transfer.overlap_bytes), RANGE(0, GIB), ACTED },
	{ SECTION_TRANSFER, "record", KEY_RECORD, AT(transfer.record_length), RANGE(1, KIB *KIB),
	  ACTED },
	{ SECTION_TRANSFER, "drain", KEY_DURATION, AT(transfer.drain_ns), RANGE(0, YEAR), ACTED },

	{ SECTION_HEARTBEAT, "idle", KEY_DURATION, AT(heartbeat.idle_ns), RANGE(1000 * MS, YEAR),
	  OFF, ACTED },
	{ SECTION_HEARTBEAT, "interval", KEY_DURATION, AT(heartbeat.interval_ns),
	  RANGE(1000 * MS, YEAR), ACTED },
	{ SECTION_HEARTBEAT, "count", KEY_COUNT, AT(heartbeat.count), RANGE(1, 127), ACTED },
	{ SECTION_HEARTBEAT, "user_timeout", KEY_DURATION, AT(heartbeat.user_timeout_ns),
	  RANGE(MS, YEAR), OFF, ACTED },
	{ SECTION_HEARTBEAT, "idle_timeout", KEY_DURATION, AT(heartbeat.idle_timeout_ns),
	  RANGE(MS, YEAR), OFF, ACTED },

	{ SECTION_BREAKER, "consecutive_failures", KEY_COUNT, AT(breaker.consecutive_failures),
	  RANGE(1, COUNT_MAX), OFF },
	{ SECTION_BREAKER, "failure_ratio", KEY_NUMBER, AT(breaker.failure_ratio), RANGE(0, 1) },
	{ SECTION_BREAKER, "min_samples", KEY_COUNT, AT(breaker.min_samples), RANGE(1, COUNT_MAX) },
	{ SECTION_BREAKER, "window", KEY_DURATION, AT(breaker.window_ns), RANGE(MS, YEAR) },
	{ SECTION_BREAKER, "open_for", KEY_DURATION, AT(breaker.open_for_ns), RANGE(MS, YEAR) },
	{ SECTION_BREAKER, "max_open_for", KEY_DURATION, AT(breaker.max_open_for_ns),
	  RANGE(MS, YEAR) },
	{ SECTION_BREAKER, "half_open_permits", KEY_COUNT, AT(breaker.half_open_permits),
	  RANGE(1, COUNT_MAX) },
	{ SECTION_BREAKER, "half_open_lease", KEY_DURATION, AT(breaker.half_open_lease_ns),
	  RANGE(MS, YEAR) },
	{ SECTION_BREAKER, "when_open", KEY_WORD, AT(breaker.when_open),
	  .words = &when_open_words },

	{ SECTION_BUDGET, "ratio", KEY_NUMBER, AT(budget.ratio), RANGE(0, 1000), OFF },
	{ SECTION_BUDGET, "min_per_second", KEY_NUMBER, AT(budget.min_per_second),
	  RANGE(0, COUNT_MAX) },
	{ SECTION_BUDGET, "window", KEY_DURATION, AT(budget.window_ns), RANGE(MS, YEAR) },

	{ SECTION_SHARE, "enabled", KEY_BOOL, AT(share.enabled), RANGE(0, 1) },
	{ SECTION_SHARE, "probe_interval", KEY_DURATION, AT(share.probe_interval_ns),
	  RANGE(MS, YEAR) },
	{ SECTION_SHARE, "resume_window", KEY_DURATION, AT(share.resume_window_ns),
	  RANGE(0, YEAR) },

	{ SECTION_STRATEGY, "decision", KEY_WORD, OF(decision), .words = &decision_words, ACTED },
	{ SECTION_STRATEGY, "max_retries", KEY_RETRIES, OF(max_retries), RANGE(0, MAX_RETRIES_MAX),
	  ACTED },
	{ SECTION_STRATEGY, "base_delay", KEY_DURATION, OF(base_delay_ns), RANGE(0, YEAR), ACTED },
	{ SECTION_STRATEGY, "max_delay", KEY_DURATION, OF(max_delay_ns), RANGE(MS, YEAR), ACTED },
	{ SECTION_STRATEGY, "backoff_factor", KEY_NUMBER, OF(backoff_factor),
	  RANGE(1, BACKOFF_FACTOR_MAX), ACTED },
	{ SECTION_STRATEGY, "jitter", KEY_JITTER, 0, RANGE(0, 1), .words = &ratioless_jitter_words,
	  ACTED },

	{ SECTION_ALERTS, "consecutive_failures", KEY_COUNT, IN(alerts.consecutive_failures),
	  RANGE(1, COUNT_MAX), OFF },
	{ SECTION_ALERTS, "reconnects", KEY_COUNT, IN(alerts.reconnects), RANGE(1, COUNT_MAX),
	  OFF },

	{ SECTION_STORE, "retention", KEY_DURATION, IN(store.retention_ns), RANGE(1000 * MS, YEAR),
	  OFF, ACTED },
	{ SECTION_STORE, "max_size", KEY_SIZE, IN(store.max_size_bytes), RANGE(4 * KIB, 1024 * GIB),
	  ACTED },
};

struct words section_keys(enum key_section section, const char *names[SECTION_KEYS_MAX],
			  const struct key **first)
{
	struct words words = { names, 0 };

	for (size_t i = 0; i < KEY_ROWS; i++) {
		if (keys[i].section != section)
			continue;
		if (words.count == 0)
			*first = &keys[i];
		names[words.count++] = keys[i].name;
	}
	return words;
}
