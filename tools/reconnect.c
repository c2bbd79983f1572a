/* SPDX-License-Identifier: MIT */
/* holdfast reconnect: asks processes to drop and rebuild connections at their next call on them. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "shim/store/reader.h"
#include "tools/holdfast.h"
#include "tools/state.h"
#include "tools/summary.h"

static bool options_parse(const char **state_dir, int argc, char *argv[])
{
	enum { OPTION_STATE_DIR = 256 };
	static const struct option known[] = {
		{ "state-dir", required_argument, NULL, OPTION_STATE_DIR },
		{ 0 },
	};
	int option;

	*state_dir = NULL;
	while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
		if (option != OPTION_STATE_DIR)
			return false;
		*state_dir = optarg;
	}
	if (optind == argc)
		fputs("holdfast reconnect: no connection given\n", stderr);
	return optind < argc;
}

/* ---- exit codes ------------------------------------------------------------- */

/* Of two codes the one that is of more weight, from what may pass to what never will. */
static int worse_of(int a, int b)
{
	static const int ascending[] = {
		EX_OK, EX_TEMPFAIL, EX_UNAVAILABLE, EX_NOINPUT, EX_DATAERR, EX_NOPERM, EX_USAGE,
	};
	size_t i = sizeof(ascending) / sizeof(ascending[0]) - 1;

	while (i && ascending[i] != a && ascending[i] != b)
		i--;
	return ascending[i];
}

/* ---- in words ------------------------------------------------------------------ */

/* What follows the ID, or from RECONNECT_DAMAGED on the file's name; a detail follows it. */
static const struct {
	int code;
	const char *text;
} refusals[] = {
	[RECONNECT_EARLY] = { EX_TEMPFAIL, "nothing is connected yet, still connecting to " },
	[RECONNECT_ENDED] = { EX_UNAVAILABLE, "is not connected: " },
	[RECONNECT_CLOSED] = { EX_UNAVAILABLE, "was closed meanwhile: its slot is at generation " },
	[RECONNECT_IMMOVABLE] = { EX_UNAVAILABLE,
				  "only TCP connections are made anew, this one is to " },
	[RECONNECT_NO_CONNECTION] = { EX_NOINPUT, "the process has no such connection" },
	[RECONNECT_PROCESS_GONE] = { EX_UNAVAILABLE, "the process has " },
	[RECONNECT_NO_PROCESS] = { EX_NOINPUT, "there is no such process in " },
	[RECONNECT_DAMAGED] = { EX_DATAERR, "damaged or of another version, not written to" },
	[RECONNECT_UNWRITABLE] = { EX_NOPERM, "cannot be written: " },
};

/* errno is that of the answer. */
static const char *detail_of(enum reconnect_answer answer, const struct reconnect_found *found,
			     const struct state_directory *state, char text[ENDPOINT_TEXT_SIZE])
{
	switch (answer) {
	case RECONNECT_EARLY:
	case RECONNECT_IMMOVABLE:
		endpoint_format(&found->connected_to, text);
		return text;
	case RECONNECT_ENDED:
		return slot_state_name(found->state);
	case RECONNECT_CLOSED:
		snprintf(text, ENDPOINT_TEXT_SIZE, "%" PRIu32, found->generation);
		return text;
	case RECONNECT_PROCESS_GONE:
		return reader_state_name(found->process);
	case RECONNECT_NO_PROCESS:
		return state->path;
	case RECONNECT_UNWRITABLE:
		return strerror(errno);
	case RECONNECT_ASKED:
	case RECONNECT_NO_CONNECTION:
	case RECONNECT_DAMAGED:
	case RECONNECT_UNREADABLE:
	default:
		return "";
	}
}

/* Says why nothing was asked. Returns the exit code. */
static int refusal_print(const struct state_directory *state, const char *text,
			 enum reconnect_answer answer, const struct reconnect_found *found)
{
	char detail[ENDPOINT_TEXT_SIZE], name[sizeof("process/") + CONNECTION_ID_SIZE];
	const char *said = detail_of(answer, found, state, detail);

	/* The file is named by the ID up to its slot. */
	snprintf(name, sizeof(name), "process/%.*s", (int)strcspn(text, "."), text);
	if (answer == RECONNECT_UNREADABLE)
		return state_error(state, name);
	if (answer >= RECONNECT_DAMAGED)
		fprintf(stderr, "holdfast: %s/%s: ", state->path, name);
	else
		fprintf(stderr, "holdfast: %s: ", text);
	fprintf(stderr, "%s%s\n", refusals[answer].text, said);
	return refusals[answer].code;
}

static void asked_print(const char *id, const struct reconnect_found *found)
{
	char endpoint[ENDPOINT_TEXT_SIZE];

	endpoint_format(&found->connected_to, endpoint);
	printf("%s: asked (%s)\n", id, endpoint);
	if (found->process == READER_UNKNOWN)
		fprintf(stderr,
			"holdfast: %s: whether the process still runs cannot be told from here, "
			"it is of another pid namespace\n",
			id);
}

/* ---- one connection -------------------------------------------------------------- */

static int connection_ask(const struct state_directory *state, const char *text)
{
	struct reconnect_found found;
	struct connection_id id;
	enum reconnect_answer answer = RECONNECT_NO_PROCESS;

	if (!connection_id_parse(text, &id)) {
		fprintf(stderr,
			"holdfast reconnect: found \"%s\", expected PID-NONCE.SLOT.GENERATION as "
			"holdfast connections prints it\n",
			text);
		return EX_USAGE;
	}
	if (state->fd >= 0)
		answer = reconnect_ask(state->fd, &id, &found);
	if (answer != RECONNECT_ASKED)
		return refusal_print(state, text, answer, &found);
	asked_print(text, &found);
	return EX_OK;
}

int reconnect_main(int argc, char *argv[])
{
	struct state_directory state;
	const char *state_dir;
	int code = EX_OK, output = EX_OK;

	if (!options_parse(&state_dir, argc, argv))
		return usage_error("reconnect");
	output_catch_signals();
	state_open(&state, state_dir);
	if (state.failed != EX_OK)
		return state.failed;
	if (state.fd < 0)
		state_note_empty(&state);
	for (int i = optind; i < argc; i++)
		code = worse_of(code, connection_ask(&state, argv[i]));
	if (code == EX_USAGE)
		usage_error("reconnect");
	if (state.fd >= 0)
		close(state.fd);
	/* What was asked stays asked, and what failed has been said. */
	return output_flush(&output) || code != EX_OK ? code : output;
}
