/* SPDX-License-Identifier: MIT */
/* holdfast connections: every managed connection, those in use by default. */
#include <getopt.h>
#include <inttypes.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "shim/store/reader.h"
#include "shim/sys.h"
#include "tools/holdfast.h"
#include "tools/json.h"
#include "tools/state.h"
#include "tools/summary.h"

struct options {
	bool json;
	bool all;
	const char *state_dir;
};

/* A slot of a snapshot, in words. */
struct connection {
	char id[CONNECTION_ID_SIZE];
	char endpoint[ENDPOINT_TEXT_SIZE];
	char connected_to[ENDPOINT_TEXT_SIZE]; /* the same, unless it is_moved */
	bool is_moved;
	const struct process_identity *process;
	const char *state;
	enum reader_state process_state;
	const struct connection_slot *slot;
	uint64_t sent_bytes;
	uint64_t received_bytes;
	uint64_t uptime_ns; /* of the connection as it stands or stood last; 0: never connected */
	uint64_t age_ns;    /* since connect() was called */
	uint64_t idle_ns;   /* since the state last changed */
};

static bool options_parse(struct options *options, int argc, char *argv[])
{
	enum { OPTION_JSON = 256, OPTION_ALL, OPTION_STATE_DIR };
	static const struct option known[] = {
		{ "json", no_argument, NULL, OPTION_JSON },
		{ "all", no_argument, NULL, OPTION_ALL },
		{ "state-dir", required_argument, NULL, OPTION_STATE_DIR },
		{ 0 },
	};
	int option;

	*options = (struct options){ .json = false };
	while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
		switch (option) {
		case OPTION_JSON:
			options->json = true;
			break;
		case OPTION_ALL:
			options->all = true;
			break;
		case OPTION_STATE_DIR:
			options->state_dir = optarg;
			break;
		default:
			return false;
		}
	}
	if (optind < argc)
		fprintf(stderr, "holdfast connections: found \"%s\", expected no operand\n",
			argv[optind]);
	return optind == argc;
}

/* ---- what a slot says ------------------------------------------------------- */

static uint64_t since(int64_t start_ns, int64_t end_ns)
{
	return start_ns > 0 && end_ns > start_ns ? (uint64_t)(end_ns - start_ns) : 0;
}

static uint64_t beyond(uint64_t count, uint64_t base)
{
	return count > base ? count - base : 0;
}

static bool is_in_use(const struct reader_process *process, const struct connection_slot *slot)
{
	return process->state == READER_RUNNING && slot->state != SLOT_DISCONNECTED &&
	       slot->state != SLOT_FAILED;
}

/* How far the clock of a connection runs: to now, its end, or its process's end. */
static int64_t connection_end_ns(const struct reader_process *process,
				 const struct connection_slot *slot, int64_t now_ns)
{
	if (slot->state == SLOT_DISCONNECTED || slot->state == SLOT_FAILED)
		return slot->changed_at_ns;
	if (process->state == READER_RUNNING || process->state == READER_UNKNOWN)
		return now_ns;
	return process->ended_at_ns > process->updated_at_ns ? process->ended_at_ns
							     : process->updated_at_ns;
}

static void connection_describe(struct connection *connection, const struct reader_process *process,
				const struct reader_connection *from, int64_t now_ns)
{
	const struct connection_slot *slot = &from->slot;
	int64_t end_ns = connection_end_ns(process, slot, now_ns);

	*connection = (struct connection){
		.process = &process->identity,
		.state = slot_state_name(slot->state),
		.process_state = process->state,
		.slot = slot,
		.is_moved = !endpoint_equal(&from->endpoint, &from->connected_to),
		.sent_bytes = beyond(slot->sent_bytes, slot->sent_base),
		.received_bytes = beyond(slot->received_bytes, slot->received_base),
		.uptime_ns = since(slot->connected_at_ns, end_ns),
		.age_ns = since(slot->opened_at_ns, now_ns),
		.idle_ns = since(slot->changed_at_ns, now_ns),
	};
	connection_id_format(process->identity.pid, process->identity.nonce, from->index,
			     slot->generation, connection->id);
	endpoint_format(&from->endpoint, connection->endpoint);
	endpoint_format(&from->connected_to, connection->connected_to);
}

/* ---- for programs ------------------------------------------------------------- */

static void seconds_or_null(cJSON *object, const char *key, uint64_t ns)
{
	if (ns)
		json_add_seconds(object, key, ns);
	else
		cJSON_AddNullToObject(object, key);
}

static cJSON *connection_json(const struct connection *connection)
{
	const struct connection_slot *slot = connection->slot;
	cJSON *object = cJSON_CreateObject();
	int64_t latency = slot->reconnect_latency_ns;

	cJSON_AddStringToObject(object, "id", connection->id);
	json_add_bytes(object, "program", connection->process->program, PROGRAM_NAME_SIZE);
	cJSON_AddStringToObject(object, "endpoint", connection->endpoint);
	if (connection->is_moved)
		cJSON_AddStringToObject(object, "connected_to", connection->connected_to);
	cJSON_AddStringToObject(object, "state", connection->state);
	cJSON_AddStringToObject(object, "process_state",
				reader_state_name(connection->process_state));
	json_add_integer(object, "attempts", slot->attempts);
	json_add_integer(object, "reconnects", slot->reconnects);
	json_add_integer(object, "consecutive_failures", slot->consecutive_failures);
	json_add_integer(object, "sent_bytes", connection->sent_bytes);
	json_add_integer(object, "received_bytes", connection->received_bytes);
	json_add_time(object, "opened", slot->opened_at_ns);
	json_add_time(object, "changed", slot->changed_at_ns);
	seconds_or_null(object, "uptime", connection->uptime_ns);
	seconds_or_null(object, "age", connection->age_ns);
	json_add_error(object, "last_error", slot->last_error);
	seconds_or_null(object, "last_reconnect_latency", latency > 0 ? (uint64_t)latency : 0);
	return object;
}

/* ---- for people ------------------------------------------------------------------ */

static void connection_print(const struct connection *connection)
{
	const struct connection_slot *slot = connection->slot;
	char program[PROGRAM_NAME_SIZE], error[ERROR_NAME_SIZE], span[SPAN_TEXT_SIZE];
	char sent[BYTES_TEXT_SIZE], received[BYTES_TEXT_SIZE];
	bool trouble = slot->state == SLOT_RECONNECTING || slot->state == SLOT_FAILED ||
		       slot->consecutive_failures;
	bool colour = trouble && output_is_coloured(stdout);

	text_escape(program, sizeof(program), connection->process->program,
		    strnlen(connection->process->program, PROGRAM_NAME_SIZE), false);
	printf("%s%s  %.12s  %s", colour ? "\033[31m" : "", connection->id, program,
	       connection->state);
	if (connection->process_state != READER_RUNNING)
		printf(" (process %s)", reader_state_name(connection->process_state));
	printf("%s\n", colour ? "\033[0m" : "");
	printf("    %.76s\n", connection->connected_to);
	printf("    attempts %" PRIu32 ", reconnects %" PRIu32 ", failures in a row %" PRIu32
	       ", sent %s,\n",
	       slot->attempts, slot->reconnects, slot->consecutive_failures,
	       bytes_format(connection->sent_bytes, sent));
	printf("    received %s", bytes_format(connection->received_bytes, received));
	if (connection->uptime_ns)
		printf(", up %s", span_format(connection->uptime_ns, span));
	printf(", age %s, %s for %s\n", span_format(connection->age_ns, sent), connection->state,
	       span_format(connection->idle_ns, span));
	if (slot->last_error)
		printf("    last error %s\n", error_name(slot->last_error, error));
	if (slot->reconnect_latency_ns > 0)
		printf("    last reconnect took %s\n",
		       span_format((uint64_t)slot->reconnect_latency_ns, span));
}

/* ---- the list ---------------------------------------------------------------------- */

static size_t connections_print(const struct options *options, const struct snapshot *snapshot)
{
	cJSON *document = options->json ? cJSON_CreateObject() : NULL, *list = NULL;
	int64_t now_ns = sys_realtime_ns();
	size_t count = 0;

	if (options->json) {
		cJSON_AddNumberToObject(document, "version", 1);
		list = cJSON_AddArrayToObject(document, "connections");
	}
	for (size_t i = 0; i < snapshot->process_count; i++) {
		const struct reader_process *process = &snapshot->processes[i];

		for (size_t k = 0; k < process->connection_count; k++) {
			struct connection connection;

			if (!options->all && !is_in_use(process, &process->connections[k].slot))
				continue;
			connection_describe(&connection, process, &process->connections[k], now_ns);
			count++;
			if (options->json)
				cJSON_AddItemToArray(list, connection_json(&connection));
			else
				connection_print(&connection);
		}
	}
	if (options->json)
		json_print(stdout, document, 0);
	return count;
}

int connections_main(int argc, char *argv[])
{
	struct options options;
	struct state_directory state;
	struct snapshot snapshot = { .process_count = 0 };
	int code = EX_OK;

	if (!options_parse(&options, argc, argv))
		return usage_error("connections");
	output_catch_signals();
	state_open(&state, options.state_dir);
	if (state.failed != EX_OK)
		return state.failed;
	if (state.fd >= 0 && !snapshot_read(&snapshot, state.fd)) {
		code = state_error(&state, NULL);
	} else {
		if (!snapshot.process_count && !snapshot.processes_folded)
			state_note_empty(&state);
		else if (!connections_print(&options, &snapshot) && !options.json)
			fprintf(stderr, "holdfast: no connection is %s\n",
				options.all ? "recorded" : "in use; --all shows the others");
		if (!snapshot.process_count && !snapshot.processes_folded && options.json)
			connections_print(&options, &snapshot);
		output_flush(&code);
	}
	snapshot_free(&snapshot);
	if (state.fd >= 0)
		close(state.fd);
	return code;
}
