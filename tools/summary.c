/* SPDX-License-Identifier: MIT */
#include "tools/summary.h"

#include <err.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#define DENIED_PREFIX "retries_denied_"
#define OTHER "other"

const char *counter_name(enum store_counter counter)
{
	static const char *const names[] = {
#define COUNTER_TEXT(name) [COUNTER_##name] = #name,
		STORE_COUNTERS(COUNTER_TEXT)
#undef COUNTER_TEXT
	};

	return names[counter];
}

const char *counter_denied_cause(enum store_counter counter)
{
	const char *name = counter_name(counter);
	size_t length = strlen(DENIED_PREFIX);

	return strncmp(name, DENIED_PREFIX, length) == 0 ? name + length : NULL;
}

const char *reader_state_name(enum reader_state state)
{
	static const char *const names[] = {
		[READER_RUNNING] = "running",
		[READER_EXITED] = "exited",
		[READER_VANISHED] = "vanished",
		[READER_UNKNOWN] = "unknown",
	};

	return names[state];
}

/* ---- gathering ------------------------------------------------------------ */

/* Two endpoints can have the same text where a long path was cut: one series, one row. */
static int text_order(const void *a, const void *b)
{
	return strcmp(((const struct endpoint_summary *)a)->text,
		      ((const struct endpoint_summary *)b)->text);
}

static int busiest_first(const void *a, const void *b)
{
	const struct endpoint_summary *x = a, *y = b;

	if (x->operations != y->operations)
		return x->operations > y->operations ? -1 : 1;
	return strcmp(x->text, y->text);
}

static void endpoint_merge(struct endpoint_summary *into, const struct endpoint_summary *from)
{
	into->operations += from->operations;
	for (int i = 0; i < STORE_OPERATIONS; i++)
		record_merge(&into->by_operation[i], &from->by_operation[i]);
}

static void endpoint_fill(struct endpoint_summary *endpoint, const struct endpoint_record *record)
{
	memset(endpoint, 0, sizeof(*endpoint));
	endpoint_format(&record->endpoint, endpoint->text);
	endpoint->operations = record->counters[COUNTER_operations];
	memcpy(&endpoint->by_operation[record->operation], record, sizeof(*record));
}

void summary_make(struct summary *summary, const struct snapshot *snapshot)
{
	struct endpoint_summary *list = calloc(snapshot->endpoint_count + 1, sizeof(*list));
	size_t count = 0, kept = 0;

	if (!list)
		err(EX_OSERR, "statistics");
	memset(summary, 0, sizeof(*summary));
	memcpy(summary->other.text, OTHER, sizeof(OTHER));
	for (size_t i = 0; i < snapshot->endpoint_count; i++) {
		endpoint_fill(&list[count], &snapshot->endpoints[i]);
		if (snapshot->endpoints[i].endpoint.kind == ENDPOINT_OTHER)
			endpoint_merge(&summary->other, &list[count]);
		else
			count++;
	}
	qsort(list, count, sizeof(*list), text_order);
	for (size_t i = 0; i < count; i++) {
		if (kept && !strcmp(list[kept - 1].text, list[i].text))
			endpoint_merge(&list[kept - 1], &list[i]);
		else if (kept++ != i)
			memcpy(&list[kept - 1], &list[i], sizeof(*list));
	}
	qsort(list, kept, sizeof(*list), busiest_first);
	summary->endpoints = list;
	summary->count = kept;
}

void summary_free(struct summary *summary)
{
	free(summary->endpoints);
	memset(summary, 0, sizeof(*summary));
}

void summary_total(const struct endpoint_summary *endpoint, struct endpoint_record *total)
{
	memset(total, 0, sizeof(*total));
	for (int i = 0; i < STORE_OPERATIONS; i++)
		record_merge(total, &endpoint->by_operation[i]);
}

bool summary_used(const struct endpoint_summary *endpoint)
{
	for (int i = 0; i < STORE_OPERATIONS; i++) {
		if (record_used(&endpoint->by_operation[i]))
			return true;
	}
	return false;
}
