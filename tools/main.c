/* SPDX-License-Identifier: MIT */
/* holdfast: one table of subcommands drives dispatch, usage and help. */
#include <bsd/stdlib.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "policy/words.h"
#include "tools/holdfast.h"

static const struct subcommand {
	const char *name;
	int (*main)(int argc, char *argv[]);
	const char *description;
	const char *operands;
	const char *options; /* one a line */
} subcommands[] = {
	{ "run", run_main, "Run a program under holdfast", "[OPTION]... [--] PROGRAM [ARG]...",
	  "  --policy P       a policy file, a shipped profile's name, or the JSON itself\n"
	  "  --state-dir D    where statistics are kept\n"
	  "  -q               say nothing on standard error (HOLDFAST_LOG=off)\n"
	  "  -v               say what is waited for (HOLDFAST_LOG=info)\n" },
	{ "check", check_main, "Check policy files and report every error", "FILE...",
	  "  FILE             a policy file; - is standard input\n" },
	{ "explain", explain_main, "Show what the policy does for a destination",
	  "[OPTION]... DESTINATION [ERROR]",
	  "  --policy P       as for run\n"
	  "  --program PROG   as if PROG were the program that connects\n"
	  "  --host NAME      as if the address had been looked up as NAME\n"
	  "  --json           machine-readable\n"
	  "  DESTINATION      HOST:PORT, [ADDRESS]:PORT, tcp:HOST:PORT, unix:PATH or unix:@NAME\n"
	  "  ERROR            name or number of the error, such as ETIMEDOUT or EAI_AGAIN\n"
	  "                   (default: ECONNREFUSED)\n" },
	{ "stats", stats_main, "Show what was done for programs so far", "[OPTION]...",
	  "  --json           machine-readable\n"
	  "  --prometheus     in Prometheus' text format\n"
	  "  --watch          show again every second\n"
	  "  --state-dir D    where statistics are kept\n" },
	{ "connections", connections_main, "List managed connections", "[OPTION]...",
	  "  --all            ended ones too\n"
	  "  --json           machine-readable\n"
	  "  --state-dir D    where statistics are kept\n" },
	{ "reconnect", reconnect_main, "Have connections dropped and rebuilt", "[OPTION]... ID...",
	  "  --state-dir D    where statistics are kept\n"
	  "  ID               a connection, as `holdfast connections` prints it\n" },
	{ "events", events_main, "Show what happened, oldest first", "[OPTION]...",
	  "  --follow         go on as events happen\n"
	  "  --since D        only those of the last D, such as 5m\n"
	  "  --json           machine-readable, an object a line\n"
	  "  --state-dir D    where statistics are kept\n" },
	{ "doctor", doctor_main, "Tell whether holdfast works in a program", "PROGRAM|PID",
	  "  PROGRAM          looked for in PATH unless it has a slash\n"
	  "  PID              a process that runs already\n" },
};

#define SUBCOMMAND_COUNT (sizeof(subcommands) / sizeof(subcommands[0]))

static const struct subcommand *subcommand_find(const char *name)
{
	for (size_t i = 0; i < SUBCOMMAND_COUNT; i++) {
		if (!strcmp(subcommands[i].name, name))
			return &subcommands[i];
	}
	return NULL;
}

static void usage_show(FILE *to)
{
	fputs("Usage: holdfast SUBCOMMAND [ARG]...\n"
	      "Makes unmodified programs survive transient network failure.\n\n",
	      to);
	for (size_t i = 0; i < SUBCOMMAND_COUNT; i++)
		fprintf(to, "  %-12s  %s\n", subcommands[i].name, subcommands[i].description);
	fputs("\n  holdfast help SUBCOMMAND   its arguments\n"
	      "  holdfast --version\n\n"
	      "See holdfast(1), holdfast-policy(5) and libholdfast(7).\n",
	      to);
}

static int subcommand_help(const struct subcommand *subcommand)
{
	printf("Usage: holdfast %s %s\n%s.\n\n%s", subcommand->name, subcommand->operands,
	       subcommand->description, subcommand->options);
	return EX_OK;
}

static int subcommand_unknown(const char *name)
{
	const char *names[SUBCOMMAND_COUNT];
	const struct words words = { names, SUBCOMMAND_COUNT };
	int nearest;

	for (size_t i = 0; i < SUBCOMMAND_COUNT; i++)
		names[i] = subcommands[i].name;
	nearest = word_nearest(&words, name);
	fprintf(stderr, "holdfast: unknown subcommand \"%s\"", name);
	if (nearest >= 0)
		fprintf(stderr, ", the nearest is \"%s\"", names[nearest]);
	fputs("; see holdfast --help\n", stderr);
	return EX_USAGE;
}

int usage_error(const char *subcommand)
{
	fprintf(stderr, "holdfast: see holdfast help %s\n", subcommand);
	return EX_USAGE;
}

static int help_main(int argc, char *argv[])
{
	const struct subcommand *subcommand;

	if (argc < 2) {
		usage_show(stdout);
		return EX_OK;
	}
	subcommand = subcommand_find(argv[1]);
	return subcommand ? subcommand_help(subcommand) : subcommand_unknown(argv[1]);
}

int main(int argc, char *argv[])
{
	static char full_name[32]; /* getopt_long() puts argv[0] before its messages */
	const struct subcommand *subcommand;

	setprogname("holdfast");
	if (argc < 2) {
		usage_show(stderr);
		return EX_USAGE;
	}
	if (!strcmp(argv[1], "--version")) {
		puts("holdfast " HOLDFAST_VERSION);
		return EX_OK;
	}
	if (!strcmp(argv[1], "help") || !strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))
		return help_main(argc - 1, argv + 1);
	subcommand = subcommand_find(argv[1]);
	if (!subcommand)
		return subcommand_unknown(argv[1]);
	if (argc > 2 && !strcmp(argv[2], "--help"))
		return subcommand_help(subcommand);
	snprintf(full_name, sizeof(full_name), "holdfast %s", subcommand->name);
	argv[1] = full_name;
	return subcommand->main(argc - 1, argv + 1);
}
