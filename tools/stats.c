/* SPDX-License-Identifier: MIT */
/* holdfast stats: what was done for all programs so far. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "tools/holdfast.h"
#include "tools/state.h"
#include "tools/summary.h"

#define WATCH_INTERVAL_MS 1000

enum format { FORMAT_TABLE, FORMAT_JSON, FORMAT_PROMETHEUS };

struct options {
	enum format format;
	bool watch;
	const char *state_dir;
};

static bool options_parse(struct options *options, int argc, char *argv[])
{
	enum { OPTION_JSON = 256, OPTION_PROMETHEUS, OPTION_WATCH, OPTION_STATE_DIR };
	static const struct option known[] = {
		{ "json", no_argument, NULL, OPTION_JSON },
		{ "prometheus", no_argument, NULL, OPTION_PROMETHEUS },
		{ "watch", no_argument, NULL, OPTION_WATCH },
		{ "state-dir", required_argument, NULL, OPTION_STATE_DIR },
		{ 0 },
	};
	int option;
	unsigned int formats = 0;

	*options = (struct options){ .format = FORMAT_TABLE };
	while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
		switch (option) {
		case OPTION_JSON:
			options->format = FORMAT_JSON;
			formats |= 1U << FORMAT_JSON;
			break;
		case OPTION_PROMETHEUS:
			options->format = FORMAT_PROMETHEUS;
			formats |= 1U << FORMAT_PROMETHEUS;
			break;
		case OPTION_WATCH:
			options->watch = true;
			break;
		case OPTION_STATE_DIR:
			options->state_dir = optarg;
			break;
		default:
			return false;
		}
	}
	if (formats & (formats - 1)) {
		fputs("holdfast stats: found --json and --prometheus, expected one of them\n",
		      stderr);
		return false;
	}
	if (optind < argc)
		fprintf(stderr, "holdfast stats: found \"%s\", expected no operand\n",
			argv[optind]);
	return optind == argc;
}

static void stats_print(const struct options *options, const struct snapshot *snapshot)
{
	struct summary summary;

	summary_make(&summary, snapshot);
	switch (options->format) {
	case FORMAT_JSON:
		stats_json_print(stdout, snapshot, &summary, options->watch);
		break;
	case FORMAT_PROMETHEUS:
		prometheus_print(stdout, &summary);
		break;
	case FORMAT_TABLE:
	default:
		stats_table_print(stdout, snapshot, &summary);
		break;
	}
	summary_free(&summary);
}

/* What of the store was not believed. Once, also when watching. */
static void damage_note(const struct state_directory *state, const struct snapshot *snapshot)
{
	if (snapshot->totals_damaged)
		fprintf(stderr,
			"holdfast: %s/totals: damaged or of another version, not counted; "
			"the next fold sets it aside as totals.bad-TIME\n",
			state->path);
	if (snapshot->files_damaged)
		fprintf(stderr,
			"holdfast: %s/process: %zu files damaged or of another version, not "
			"counted\n",
			state->path, snapshot->files_damaged);
	if (snapshot->files_unread)
		fprintf(stderr, "holdfast: %s/process: %zu files cannot be read, not counted\n",
			state->path, snapshot->files_unread);
}

static int stats_once(const struct options *options, bool first)
{
	struct state_directory state;
	struct snapshot snapshot = { .process_count = 0 };
	int code = EX_OK;

	state_open(&state, options->state_dir);
	if (state.failed != EX_OK)
		return state.failed;
	if (state.fd >= 0 && !snapshot_read(&snapshot, state.fd)) {
		code = state_error(&state, NULL);
	} else {
		if (first)
			damage_note(&state, &snapshot);
		if (first && !snapshot.process_count && !snapshot.processes_folded)
			state_note_empty(&state);
		stats_print(options, &snapshot);
	}
	snapshot_free(&snapshot);
	if (state.fd >= 0)
		close(state.fd);
	return code;
}

int stats_main(int argc, char *argv[])
{
	struct options options;
	int code = EX_OK;
	bool terminal = isatty(STDOUT_FILENO);

	if (!options_parse(&options, argc, argv))
		return usage_error("stats");
	setlocale(LC_CTYPE, "");
	output_catch_signals();
	for (bool first = true; !output_stopped(); first = false) {
		if (options.watch && options.format == FORMAT_TABLE)
			fputs(terminal ? "\033[H\033[2J" : first ? "" : "\n", stdout);
		code = stats_once(&options, first);
		if (code != EX_OK || !output_flush(&code) || !options.watch)
			break;
		output_pause(WATCH_INTERVAL_MS);
	}
	return code;
}
