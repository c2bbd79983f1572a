/* SPDX-License-Identifier: MIT */
/* holdfast events: what happened, oldest first, and as it happens. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "policy/policy.h"
#include "shim/store/reader.h"
#include "shim/sys.h"
#include "tools/event_show.h"
#include "tools/holdfast.h"
#include "tools/state.h"

#define FOLLOW_INTERVAL_MS 100
#define WRITER_INTERVAL_MS 5

struct options {
	bool follow;
	bool json;
	int64_t since_ns; /* CLOCK_REALTIME; 0: all */
	const char *state_dir;
};

static bool since_parse(struct options *options, const char *text)
{
	uint64_t span_ns;
	int64_t now_ns = sys_realtime_ns();

	if (!duration_parse(text, strlen(text), &span_ns)) {
		fprintf(stderr,
			"holdfast events: --since: found \"%s\", expected a duration such as "
			"\"90s\", \"5m\" or \"24h\"\n",
			text);
		return false;
	}
	/* Longer than since 1970 is all. */
	options->since_ns = span_ns < (uint64_t)now_ns ? now_ns - (int64_t)span_ns : 0;
	return true;
}

static bool options_parse(struct options *options, int argc, char *argv[])
{
	enum { OPTION_JSON = 256, OPTION_FOLLOW, OPTION_SINCE, OPTION_STATE_DIR };
	static const struct option known[] = {
		{ "json", no_argument, NULL, OPTION_JSON },
		{ "follow", no_argument, NULL, OPTION_FOLLOW },
		{ "since", required_argument, NULL, OPTION_SINCE },
		{ "state-dir", required_argument, NULL, OPTION_STATE_DIR },
		{ 0 },
	};
	int option;

	*options = (struct options){ .follow = false };
	while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
		switch (option) {
		case OPTION_JSON:
			options->json = true;
			break;
		case OPTION_FOLLOW:
			options->follow = true;
			break;
		case OPTION_SINCE:
			if (!since_parse(options, optarg))
				return false;
			break;
		case OPTION_STATE_DIR:
			options->state_dir = optarg;
			break;
		default:
			return false;
		}
	}
	if (optind < argc)
		fprintf(stderr, "holdfast events: found \"%s\", expected no operand\n",
			argv[optind]);
	return optind == argc;
}

/* ---- reading on -------------------------------------------------------------- */

struct session {
	const struct options *options;
	struct state_directory state;
	struct event_reader reader;
	enum file_fitness reported; /* the file's last condition that was said */
	uint64_t lost_reported;
	bool coloured;
	int code;
};

/* False when standard output takes no more. */
static bool event_show(struct session *session, const struct store_event *event)
{
	if (event->time_ns < session->options->since_ns)
		return true;
	if (session->options->json)
		event_print_json(stdout, event);
	else
		event_print(stdout, event, session->coloured);
	return !session->options->follow || output_flush(&session->code);
}

/* Everything that is there now. False to end. */
static bool events_drain(struct session *session)
{
	struct store_event event;

	while (!output_stopped()) {
		switch (event_reader_next(&session->reader, &event)) {
		case EVENT_READ:
			if (!event_show(session, &event))
				return false;
			break;
		case EVENT_WAIT:
			output_pause(WRITER_INTERVAL_MS);
			break;
		case EVENT_END:
		default:
			return true;
		}
	}
	return false;
}

/* Says what is wrong with the file, once for each change. */
static void condition_note(struct session *session)
{
	enum file_fitness fitness = session->reader.fitness;

	if (session->reader.lost != session->lost_reported) {
		fprintf(stderr, "holdfast: %" PRIu64 " events were lost: overwritten or torn\n",
			session->reader.lost - session->lost_reported);
		session->lost_reported = session->reader.lost;
	}
	if (fitness == session->reported)
		return;
	session->reported = fitness;
	if (fitness == FILE_DAMAGED)
		fprintf(stderr,
			"holdfast: %s/events: damaged or of another version, not shown; the next "
			"program under holdfast sets it aside\n",
			session->state.path);
}

static int events_once(struct session *session)
{
	event_reader_open(&session->reader, session->state.fd);
	if (session->reader.fitness == FILE_ERROR)
		return state_error(&session->state, "events");
	if (session->reader.fitness == FILE_MISSING)
		state_note_empty(&session->state);
	if (events_drain(session))
		output_flush(&session->code);
	condition_note(session);
	return session->code;
}

/* Waits for the directory to be made. False when it never will be usable, or no more is wanted. */
static bool directory_await(struct session *session)
{
	if (session->state.fd < 0)
		state_note_empty(&session->state);
	while (session->state.fd < 0 && !output_stopped() && !output_reader_gone()) {
		output_pause(FOLLOW_INTERVAL_MS);
		state_open(&session->state, session->options->state_dir);
		if (session->state.failed != EX_OK) {
			session->code = session->state.failed;
			return false;
		}
	}
	return session->state.fd >= 0 && !output_stopped();
}

/* True if the directory itself was removed: another one may be made under its name. */
static bool directory_is_gone(const struct session *session)
{
	struct stat status;

	return sys_fstat(session->state.fd, &status) == 0 && status.st_nlink == 0;
}

static bool reader_renew(struct session *session)
{
	if (!directory_is_gone(session)) {
		event_reader_refresh(&session->reader);
		return true;
	}
	event_reader_close(&session->reader);
	close(session->state.fd);
	session->state.fd = -1;
	if (!directory_await(session))
		return false;
	event_reader_open(&session->reader, session->state.fd);
	return true;
}

static int events_follow(struct session *session)
{
	if (!directory_await(session))
		return session->code;
	event_reader_open(&session->reader, session->state.fd);
	while (session->reader.fitness != FILE_ERROR && events_drain(session)) {
		condition_note(session);
		output_pause(FOLLOW_INTERVAL_MS);
		if (output_stopped() || output_reader_gone() || !reader_renew(session))
			break;
	}
	if (session->state.fd >= 0 && session->reader.fitness == FILE_ERROR)
		return state_error(&session->state, "events");
	return session->code;
}

int events_main(int argc, char *argv[])
{
	struct options options;
	struct session session = { .options = &options, .code = EX_OK, .reported = FILE_FIT };

	if (!options_parse(&options, argc, argv))
		return usage_error("events");
	output_catch_signals();
	session.coloured = output_is_coloured(stdout);
	session.reader.fd = -1;
	state_open(&session.state, options.state_dir);
	if (session.state.failed != EX_OK)
		return session.state.failed;
	if (options.follow)
		session.code = events_follow(&session);
	else if (session.state.fd < 0)
		state_note_empty(&session.state);
	else
		session.code = events_once(&session);
	event_reader_close(&session.reader);
	if (session.state.fd >= 0)
		close(session.state.fd);
	return session.code;
}
