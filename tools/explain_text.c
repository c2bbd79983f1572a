/* SPDX-License-Identifier: MIT */
#include <libsmartcols/libsmartcols.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>

#include "tools/error_word.h"
#include "tools/explain.h"
#include "tools/state.h"

#define TEXT_COLUMNS 80
#define SHOWN_ATTEMPTS 20

static struct libscols_table *table_new(void)
{
	struct libscols_table *table = scols_new_table();

	if (!table)
		return NULL;
	/* The same width everywhere, so that a file or a pipe reads like the terminal. */
	scols_table_set_termforce(table, SCOLS_TERMFORCE_ALWAYS);
	scols_table_set_termwidth(table, TEXT_COLUMNS);
	scols_table_enable_colors(table, output_is_coloured(stdout));
	scols_table_enable_minout(table, true); /* no spaces at the ends of lines */
	return table;
}

static void table_end(struct libscols_table *table)
{
	scols_print_table(table);
	scols_unref_table(table);
}

/* One line of at most four cells; a cell of NULL stays empty. */
static struct libscols_line *line_add(struct libscols_table *table, const char *const cells[],
				      size_t count)
{
	struct libscols_line *line = scols_table_new_line(table, NULL);

	for (size_t i = 0; line && i < count; i++) {
		if (cells[i])
			scols_line_set_data(line, i, cells[i]);
	}
	return line;
}

static void destination_show(const struct explanation *e)
{
	const struct target *target = &e->target;
	const char *program = e->program ? e->program : "any";

	if (target->kind == ENDPOINT_UNIX)
		printf("destination  unix:%s\n", target->path);
	else
		printf("destination  %s:%s%s%s:%u\n", target->kind == ENDPOINT_UDP ? "udp" : "tcp",
		       target->is_numeric && target->addresses[0].is_ipv6 ? "[" : "", target->host,
		       target->is_numeric && target->addresses[0].is_ipv6 ? "]" : "", target->port);
	if (e->host)
		printf("host         %s\n", e->host);
	if (target->lookup_error)
		printf("addresses    not known: %s\n", gai_strerror(target->lookup_error));
	for (unsigned int i = 0; i < target->address_count && !target->is_numeric; i++)
		printf("%s  %s\n", i ? "           " : "addresses  ", target->addresses[i].text);
	printf("program      %s\n", program);
	printf("policy       %s (profile %s)\n", e->file.origin,
	       policy_string(e->file.policy, e->file.policy->profile));
	for (size_t i = 0; i < e->override_count; i++)
		printf("%s  %s\n", i ? "           " : "environment", e->overrides[i].variable);
}

/* Rules that are in no file of the user's are marked. */
static const char *rule_cell(const struct explanation *e, int rule, char buffer[64])
{
	char number[32];

	if (!policy_rule_is_shipped(e->file.policy, rule))
		return explanation_rule_name(e, rule, buffer);
	snprintf(buffer, 64, "%s (shipped)", explanation_rule_name(e, rule, number));
	return buffer;
}

static void rules_show(const struct explanation *e)
{
	const struct policy *policy = e->file.policy;
	struct libscols_table *table = table_new();
	char buffer[64];

	if (!table)
		return;
	scols_table_new_column(table, "RULE", 0, 0);
	scols_table_new_column(table, "MATCHES", 0, SCOLS_FL_TRUNC);
	for (int rule = 0; rule < (int)policy->rule_count; rule++) {
		enum policy_match match = policy_rule_match(policy, rule, &e->destination);
		const char *words = explanation_match_words(e, match);
		char no[96];
		bool passed = e->rule != RULE_NONE && rule > e->rule;
		struct libscols_line *line;

		snprintf(no, sizeof(no), "no: %s", words ? words : "");
		line = line_add(
			table,
			(const char *const[]){ rule_cell(e, rule, buffer), passed  ? "not asked"
									   : words ? no
										   : "yes" },
			2);
		if (line && rule == e->rule)
			scols_line_set_color(line, "green");
	}
	if (e->rule == RULE_NONE)
		line_add(table, (const char *const[]){ "defaults", "yes" }, 2);
	table_end(table);
}

/* The addresses of one name can fall under different rules. */
static void other_addresses_show(const struct explanation *e)
{
	char buffer[32];

	/* A lookup is asked about before it has any address. */
	if (e->operation == OPERATION_RESOLVE)
		return;
	for (unsigned int i = 1; i < e->target.address_count; i++) {
		struct policy_destination destination = explanation_destination(e, i);
		int rule = policy_rule_find(e->file.policy, &destination);

		if (rule != e->rule)
			printf("%s falls under %s instead.\n", e->target.addresses[i].text,
			       explanation_rule_name(e, rule, buffer));
	}
}

static void pool_show(const struct explanation *e)
{
	const struct policy_pool *pool = explanation_pool(e);
	char text[ENDPOINT_TEXT_SIZE];

	if (!pool)
		return;
	printf("pool         %s, balance %s\n", policy_string(e->file.policy, pool->name),
	       explanation_balance(pool));
	for (uint32_t i = 0; explanation_endpoint(e, pool, i, text); i++)
		printf("%s  %s\n", i ? "           " : "endpoints  ", text);
	putchar('\n');
}

static void key_add(const struct policy_key_value *key, void *data)
{
	struct libscols_line *line;

	line = line_add(data,
			(const char *const[]){ key->key, key->value,
					       explanation_layer_name(key->layer),
					       key->acted_on ? NULL : "nothing acts on it yet" },
			4);
	if (line && !key->acted_on)
		scols_line_set_color(line, "gray");
}

static void keys_show(const struct explanation *e)
{
	struct libscols_table *table = table_new();

	if (!table)
		return;
	scols_table_new_column(table, "KEY", 0, 0);
	scols_table_new_column(table, "VALUE", 0, SCOLS_FL_TRUNC);
	scols_table_new_column(table, "FROM", 0, 0);
	scols_table_new_column(table, "", 0, 0);
	policy_explain(e->file.policy, e->rule, e->file.text, e->file.length, key_add, table);
	table_end(table);
}

/* "1.00s", or "0.90s..1.10s". */
static const char *range_show(char text[2 * DURATION_TEXT_SIZE + 2],
			      const uint64_t ns[EXTREME_COUNT], const bool made[EXTREME_COUNT])
{
	char shortest[DURATION_TEXT_SIZE], longest[DURATION_TEXT_SIZE];

	duration_show(shortest, ns[made[SHORTEST] ? SHORTEST : LONGEST]);
	duration_show(longest, ns[made[LONGEST] ? LONGEST : SHORTEST]);
	if (ns[SHORTEST] == ns[LONGEST] || !made[SHORTEST] || !made[LONGEST])
		snprintf(text, 2 * DURATION_TEXT_SIZE + 2, "%s", longest);
	else
		snprintf(text, 2 * DURATION_TEXT_SIZE + 2, "%s..%s", shortest, longest);
	return text;
}

static void attempt_add(struct libscols_table *table, const struct schedule_row *row)
{
	char number[16], delay[2 * DURATION_TEXT_SIZE + 2], at[2 * DURATION_TEXT_SIZE + 2];

	snprintf(number, sizeof(number), "%u", row->attempt);
	line_add(table,
		 (const char *const[]){
			 number,
			 row->attempt > 1 ? range_show(delay, row->delay_ns, row->made) : "at once",
			 range_show(at, row->at_ns, row->made),
			 row->made[SHORTEST] && row->made[LONGEST] ? NULL
								   : "only if delays are short" },
		 4);
}

static void attempts_show(const struct schedule *schedule)
{
	struct libscols_table *table = table_new();
	uint32_t shown = schedule->row_count;

	if (!table)
		return;
	if (shown > SHOWN_ATTEMPTS)
		shown = SHOWN_ATTEMPTS - 1;
	scols_table_new_column(table, "ATTEMPT", 0, SCOLS_FL_RIGHT);
	scols_table_new_column(table, "AFTER A DELAY OF", 0, SCOLS_FL_RIGHT);
	scols_table_new_column(table, "SINCE THE START", 0, SCOLS_FL_RIGHT);
	scols_table_new_column(table, "", 0, 0);
	for (uint32_t i = 0; i < shown; i++)
		attempt_add(table, &schedule->rows[i]);
	if (shown < schedule->row_count) {
		line_add(table, (const char *const[]){ "...", "...", "..." }, 3);
		attempt_add(table, &schedule->rows[schedule->row_count - 1]);
	}
	table_end(table);
}

/* How it ends: always the same, or depending on how the delays turn out. */
static void end_show(const struct explanation *e, enum schedule_extreme from,
		     enum schedule_extreme to, const char *condition)
{
	const struct schedule_end *end = &e->schedule.end[to];
	const uint64_t at[EXTREME_COUNT] = { e->schedule.end[from].at_ns, end->at_ns };
	const bool made[EXTREME_COUNT] = { true, true };
	char text[2 * DURATION_TEXT_SIZE + 2];

	printf("%s", condition);
	if (e->schedule.beyond[to])
		printf("goes on beyond attempt %d\n", SCHEDULE_ROWS);
	else
		printf("after attempt %u, at %s: %s\n", end->attempts, range_show(text, at, made),
		       explanation_cause_words(end->cause));
}

static bool ends_differ(const struct schedule *schedule)
{
	const struct schedule_end *a = &schedule->end[SHORTEST], *b = &schedule->end[LONGEST];

	return schedule->beyond[SHORTEST] != schedule->beyond[LONGEST] ||
	       a->attempts != b->attempts || a->cause != b->cause;
}

static void schedule_show(const struct explanation *e)
{
	char number[ERROR_NAME_SIZE];
	const char *word = error_name(e->error, number);

	printf("error        %s, %s\n", word, error_word_message(e->error));
	printf("operation    %s\n", policy_operation_name(e->operation));
	printf("category     %s, decision %s\n\n", policy_category_name(e->category),
	       policy_decision_name(e->decision));
	attempts_show(&e->schedule);
	putchar('\n');
	if (ends_differ(&e->schedule)) {
		end_show(e, SHORTEST, SHORTEST, "ends with short delays ");
		end_show(e, LONGEST, LONGEST, "ends with long delays  ");
	} else {
		end_show(e, SHORTEST, LONGEST, "ends         ");
	}
	if (!e->schedule.beyond[SHORTEST] || !e->schedule.beyond[LONGEST])
		printf("program gets %s\n", word);
	if (e->schedule.row_count > 1)
		puts("Attempts are taken as failing at once; the time they take comes on top.");
	if (explanation_pool(e))
		puts("Each of them is a round over the pool's endpoints, one right after the "
		     "other.");
}

void explanation_show_text(const struct explanation *e)
{
	destination_show(e);
	putchar('\n');
	rules_show(e);
	other_addresses_show(e);
	putchar('\n');
	if (e->unmanaged) {
		printf("Not managed: %s.\n", e->unmanaged);
		return;
	}
	pool_show(e);
	keys_show(e);
	putchar('\n');
	schedule_show(e);
}
