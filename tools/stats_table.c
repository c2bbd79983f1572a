/* SPDX-License-Identifier: MIT */
/* Statistics for people: two lines of totals, a table of endpoints, one of processes. */
#include <err.h>
#include <inttypes.h>
#include <libsmartcols/libsmartcols.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>

#include "tools/state.h"
#include "tools/summary.h"

#define CELL_SIZE ENDPOINT_TEXT_SIZE

struct column {
	const char *title;
	double width_hint; /* columns, or a share of the width if below 1 */
	int flags;
};

static struct libscols_table *table_new(FILE *to, const struct column *columns, size_t count)
{
	struct libscols_table *table = scols_new_table();

	if (!table)
		err(EX_OSERR, "table");
	scols_table_set_stream(table, to);
	scols_table_enable_colors(table, output_is_coloured(to));
	/* Our text is printable already; encoding it again would double its backslashes. */
	scols_table_enable_noencoding(table, 1);
	scols_table_set_termforce(table, SCOLS_TERMFORCE_ALWAYS);
	scols_table_set_termwidth(table, output_width(to));
	for (size_t i = 0; i < count; i++) {
		if (!scols_table_new_column(table, columns[i].title, columns[i].width_hint,
					    columns[i].flags))
			err(EX_OSERR, "table");
	}
	return table;
}

static struct libscols_line *line_new(struct libscols_table *table, const char *colour)
{
	struct libscols_line *line = scols_table_new_line(table, NULL);

	if (!line)
		err(EX_OSERR, "table");
	if (colour)
		scols_line_set_color(line, colour);
	return line;
}

static void cell_text(struct libscols_line *line, size_t column, const char *text)
{
	if (scols_line_set_data(line, column, text))
		err(EX_OSERR, "table");
}

static void cell_number(struct libscols_line *line, size_t column, uint64_t number)
{
	char text[24];

	snprintf(text, sizeof(text), "%" PRIu64, number);
	cell_text(line, column, text);
}

static void table_print(FILE *to, struct libscols_table *table)
{
	fputc('\n', to);
	scols_print_table(table);
	scols_unref_table(table);
}

/* ---- the parts ------------------------------------------------------------ */

static void totals_print(FILE *to, const struct snapshot *snapshot)
{
	const uint64_t *counters = snapshot->totals;
	char backoff[SPAN_TEXT_SIZE], sent[BYTES_TEXT_SIZE], received[BYTES_TEXT_SIZE];
	uint64_t done = counters[COUNTER_succeeded] + counters[COUNTER_failures] +
			counters[COUNTER_fallbacks] + counters[COUNTER_abandoned];
	uint64_t begun = counters[COUNTER_operations];

	fprintf(to,
		"operations %" PRIu64 ": %" PRIu64 " succeeded, %" PRIu64 " of them recovered\n"
		"  %" PRIu64 " failed, %" PRIu64 " fell back, %" PRIu64 " abandoned, %" PRIu64
		" in progress\n",
		begun, counters[COUNTER_succeeded], counters[COUNTER_recovered],
		counters[COUNTER_failures], counters[COUNTER_fallbacks],
		counters[COUNTER_abandoned], begun > done ? begun - done : 0);
	fprintf(to, "  %" PRIu64 " retries after %s of waiting; sent %s, received %s\n",
		counters[COUNTER_retries], span_format(counters[COUNTER_backoff_ns], backoff),
		bytes_format(counters[COUNTER_sent_bytes], sent),
		bytes_format(counters[COUNTER_received_bytes], received));
}

static void endpoint_line(struct libscols_table *table, const struct endpoint_summary *endpoint)
{
	static const enum store_counter shown[] = { COUNTER_operations, COUNTER_recovered,
						    COUNTER_failures, COUNTER_retries };
	struct endpoint_record total;
	char name[ERROR_NAME_SIZE];
	const char *error;

	summary_total(endpoint, &total);
	struct libscols_line *line = line_new(table, total.counters[COUNTER_failures]    ? "red"
						     : total.counters[COUNTER_recovered] ? "yellow"
											 : NULL);
	cell_text(line, 0, endpoint->text);
	for (size_t i = 0; i < sizeof(shown) / sizeof(shown[0]); i++)
		cell_number(line, 1 + i, total.counters[shown[i]]);
	error = error_name(total.last_error, name);
	cell_text(line, 5, error ? error : "");
}

static void endpoints_print(FILE *to, const struct summary *summary)
{
	static const struct column columns[] = {
		{ "ENDPOINT", 0.4, SCOLS_FL_TRUNC }, { "OPS", 3, SCOLS_FL_RIGHT },
		{ "RECOVERED", 9, SCOLS_FL_RIGHT },  { "FAILED", 6, SCOLS_FL_RIGHT },
		{ "RETRIES", 7, SCOLS_FL_RIGHT },    { "LAST ERROR", 10, SCOLS_FL_TRUNC },
	};
	struct libscols_table *table = table_new(to, columns, sizeof(columns) / sizeof(columns[0]));

	for (size_t i = 0; i < summary->count; i++)
		endpoint_line(table, &summary->endpoints[i]);
	if (summary_used(&summary->other))
		endpoint_line(table, &summary->other);
	table_print(to, table);
}

static void process_line(struct libscols_table *table, const struct reader_process *process)
{
	char text[CELL_SIZE];
	time_t started = process->identity.started_at_ns / 1000000000;
	struct tm tm;
	struct libscols_line *line = line_new(table,
					      process->state == READER_VANISHED ? "red" : NULL);

	cell_text(line, 0, process_id_format(process->identity.pid, process->identity.nonce, text));
	text_escape(text, sizeof(text), process->identity.program,
		    strnlen(process->identity.program, PROGRAM_NAME_SIZE), false);
	cell_text(line, 1, text);
	cell_text(line, 2, reader_state_name(process->state));
	text[0] = '\0';
	if (localtime_r(&started, &tm))
		strftime(text, sizeof(text), "%m-%d %H:%M:%S", &tm);
	cell_text(line, 3, text);
	cell_number(line, 4, process->counters[COUNTER_operations]);
	cell_number(line, 5, process->counters[COUNTER_recovered]);
	cell_number(line, 6, process->counters[COUNTER_failures]);
}

static void processes_print(FILE *to, const struct snapshot *snapshot)
{
	static const struct column columns[] = {
		{ "PROCESS", 16, 0 },
		{ "PROGRAM", 0.2, SCOLS_FL_TRUNC },
		{ "STATE", 8, 0 },
		{ "STARTED", 14, 0 },
		{ "OPS", 3, SCOLS_FL_RIGHT },
		{ "RECOVERED", 9, SCOLS_FL_RIGHT },
		{ "FAILED", 6, SCOLS_FL_RIGHT },
	};
	struct libscols_table *table = table_new(to, columns, sizeof(columns) / sizeof(columns[0]));

	for (size_t i = 0; i < snapshot->process_count; i++)
		process_line(table, &snapshot->processes[i]);
	table_print(to, table);
}

void stats_table_print(FILE *to, const struct snapshot *snapshot, const struct summary *summary)
{
	totals_print(to, snapshot);
	if (summary->count || summary_used(&summary->other))
		endpoints_print(to, summary);
	if (snapshot->process_count)
		processes_print(to, snapshot);
}
