/* SPDX-License-Identifier: MIT */
/*
 * Counters and the histogram in Prometheus' text format.  The number of series
 * is bounded: the busiest endpoints, then `other`; every counter of every
 * operation is there from the start, at zero.
 */
#include <inttypes.h>
#include <string.h>

#include "policy/policy.h"
#include "tools/state.h"
#include "tools/summary.h"

#define ENDPOINTS_SHOWN 100
#define NS_PER_MS UINT64_C(1000000)

_Static_assert((int)STORE_OPERATIONS == (int)OPERATION_COUNT, "the store keeps every operation");

static const char *const help[COUNTER_COUNT] = {
	[COUNTER_operations] = "Managed connects, lookups and reconnects begun",
	[COUNTER_succeeded] = "Operations that succeeded",
	[COUNTER_recovered] = "Operations that succeeded after a retry",
	[COUNTER_failures] = "Operations whose failure the program was told",
	[COUNTER_fallbacks] =
		"Failures passed on because another address answers or there is no route",
	[COUNTER_abandoned] = "Operations that the program ended before they were decided",
	[COUNTER_attempts] = "Tries, the first of each operation included",
	[COUNTER_attempt_failures] = "Tries that failed",
	[COUNTER_retries] = "Tries after the first",
	[COUNTER_retries_denied_limit] = "Retries that were not made, by cause",
	[COUNTER_reconnects] = "Connections rebuilt after they were lost",
	[COUNTER_reconnect_failures] = "Lost connections that could not be rebuilt",
	[COUNTER_failovers] = "Moves to another endpoint of the same destination",
	[COUNTER_replayed_bytes] = "Bytes sent again after a reconnect",
	[COUNTER_lost_bytes] = "Bytes whose fate is unknown after a connection was lost",
	[COUNTER_sent_bytes] = "Bytes that programs sent",
	[COUNTER_received_bytes] = "Bytes that programs received",
	[COUNTER_backoff_ns] = "Time spent waiting before retries",
};

struct exposition {
	FILE *to;
	const struct summary *summary;
	struct endpoint_summary other; /* what lies beyond the endpoints shown */
	size_t shown;
};

/* ---- one line ------------------------------------------------------------- */

static void label_print(FILE *to, const char *value)
{
	for (; *value; value++) {
		switch (*value) {
		case '\\':
			fputs("\\\\", to);
			break;
		case '"':
			fputs("\\\"", to);
			break;
		case '\n':
			fputs("\\n", to);
			break;
		default:
			putc(*value, to);
			break;
		}
	}
}

static void series_print(FILE *to, const char *metric, const char *endpoint, uint32_t operation)
{
	fprintf(to, "holdfast_%s{endpoint=\"", metric);
	label_print(to, endpoint);
	fprintf(to, "\",operation=\"%s\"", policy_operation_name((enum policy_operation)operation));
}

static const struct endpoint_summary *endpoint_at(const struct exposition *exposition, size_t i)
{
	return i < exposition->shown ? &exposition->summary->endpoints[i] : &exposition->other;
}

/* ---- counters ---------------------------------------------------------------- */

static void counter_print(const struct exposition *exposition, enum store_counter counter,
			  const char *metric, const char *cause)
{
	char seconds[SECONDS_TEXT_SIZE];

	for (size_t i = 0; i <= exposition->shown; i++) {
		const struct endpoint_summary *endpoint = endpoint_at(exposition, i);

		for (uint32_t k = 0; k < STORE_OPERATIONS; k++) {
			uint64_t count = endpoint->by_operation[k].counters[counter];

			series_print(exposition->to, metric, endpoint->text, k);
			if (cause)
				fprintf(exposition->to, ",cause=\"%s\"", cause);
			if (counter == COUNTER_backoff_ns)
				fprintf(exposition->to, "} %s\n", seconds_format(count, seconds));
			else
				fprintf(exposition->to, "} %" PRIu64 "\n", count);
		}
	}
}

static void counters_print(const struct exposition *exposition)
{
	for (enum store_counter counter = 0; counter < COUNTER_COUNT; counter++) {
		const char *cause = counter_denied_cause(counter);
		const char *name = cause                           ? "retries_denied"
				   : counter == COUNTER_backoff_ns ? "backoff_seconds"
								   : counter_name(counter);
		char metric[64];

		snprintf(metric, sizeof(metric), "%s_total", name);
		if (help[counter])
			fprintf(exposition->to,
				"# HELP holdfast_%s %s.\n# TYPE holdfast_%s counter\n", metric,
				help[counter], metric);
		counter_print(exposition, counter, metric, cause);
	}
}

/* ---- the histogram ------------------------------------------------------------- */

static void histogram_print_one(FILE *to, const struct endpoint_summary *endpoint, uint32_t k)
{
	static const uint64_t bounds_ms[] = RECOVERY_BOUNDS_MS;
	const struct endpoint_record *record = &endpoint->by_operation[k];
	uint64_t count = 0;
	char seconds[SECONDS_TEXT_SIZE];

	_Static_assert(sizeof(bounds_ms) / sizeof(bounds_ms[0]) == RECOVERY_BUCKETS - 1,
		       "one bucket has no bound");
	for (int i = 0; i < RECOVERY_BUCKETS; i++) {
		count += record->recovery[i];
		series_print(to, "time_to_recovery_seconds_bucket", endpoint->text, k);
		fprintf(to, ",le=\"%s\"} %" PRIu64 "\n",
			i == RECOVERY_BUCKETS - 1
				? "+Inf"
				: seconds_format(bounds_ms[i] * NS_PER_MS, seconds),
			count);
	}
	series_print(to, "time_to_recovery_seconds_sum", endpoint->text, k);
	fprintf(to, "} %s\n", seconds_format(record->recovery_sum_ns, seconds));
	series_print(to, "time_to_recovery_seconds_count", endpoint->text, k);
	fprintf(to, "} %" PRIu64 "\n", count);
}

static void histogram_print(const struct exposition *exposition)
{
	fputs("# HELP holdfast_time_to_recovery_seconds Time from an operation's first failure "
	      "to its success.\n"
	      "# TYPE holdfast_time_to_recovery_seconds histogram\n",
	      exposition->to);
	for (size_t i = 0; i <= exposition->shown; i++) {
		for (uint32_t k = 0; k < STORE_OPERATIONS; k++)
			histogram_print_one(exposition->to, endpoint_at(exposition, i), k);
	}
}

void prometheus_print(FILE *to, const struct summary *summary)
{
	struct exposition exposition = {
		.to = to,
		.summary = summary,
		.shown = summary->count < ENDPOINTS_SHOWN ? summary->count : ENDPOINTS_SHOWN,
	};

	memcpy(&exposition.other, &summary->other, sizeof(exposition.other));
	for (size_t i = exposition.shown; i < summary->count; i++) {
		for (int k = 0; k < STORE_OPERATIONS; k++)
			record_merge(&exposition.other.by_operation[k],
				     &summary->endpoints[i].by_operation[k]);
	}
	counters_print(&exposition);
	histogram_print(&exposition);
}
