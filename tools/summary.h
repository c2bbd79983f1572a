/* SPDX-License-Identifier: MIT */
/* A snapshot's endpoints as `stats` shows them: by their text, busiest first. */
#ifndef HOLDFAST_TOOL_SUMMARY_H
#define HOLDFAST_TOOL_SUMMARY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "shim/store/reader.h"

struct endpoint_summary {
	char text[ENDPOINT_TEXT_SIZE];
	uint64_t operations;                                   /* over all kinds of operation */
	struct endpoint_record by_operation[STORE_OPERATIONS]; /* zero where nothing happened */
};

struct summary {
	struct endpoint_summary *endpoints; /* most operations first, `other` not among them */
	size_t count;
	struct endpoint_summary other;
};

/* Exits with EX_OSERR when out of memory. */
void summary_make(struct summary *summary, const struct snapshot *snapshot);
void summary_free(struct summary *summary);

/* One record over all kinds of operation. */
void summary_total(const struct endpoint_summary *endpoint, struct endpoint_record *total);

/* True if anything was counted. */
bool summary_used(const struct endpoint_summary *endpoint);

/* ---- the ways to show it ---------------------------------------------------- */

/* The name of a counter as stored, such as "retries_denied_limit". */
const char *counter_name(enum store_counter counter);
/* If a counter is a cause of retries_denied, the cause, else NULL. */
const char *counter_denied_cause(enum store_counter counter);

/* The text exposition format of Prometheus, version 0.0.4. */
void prometheus_print(FILE *to, const struct summary *summary);
/* One JSON document, indented unless compact, and a newline. */
void stats_json_print(FILE *to, const struct snapshot *snapshot, const struct summary *summary,
		      int compact);
void stats_table_print(FILE *to, const struct snapshot *snapshot, const struct summary *summary);

/* running, exited, vanished, unknown. */
const char *reader_state_name(enum reader_state state);

#endif
