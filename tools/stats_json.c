/* SPDX-License-Identifier: MIT */
#include <inttypes.h>

#include "tools/json.h"
#include "tools/state.h"
#include "tools/summary.h"

static cJSON *counters_json(const uint64_t counters[COUNTER_COUNT])
{
	cJSON *object = cJSON_CreateObject(), *denied = NULL;

	for (enum store_counter counter = 0; counter < COUNTER_COUNT; counter++) {
		const char *cause = counter_denied_cause(counter);

		if (cause) {
			if (!denied)
				denied = cJSON_AddObjectToObject(object, "retries_denied");
			json_add_integer(denied, cause, counters[counter]);
		} else if (counter == COUNTER_backoff_ns) {
			json_add_seconds(object, "backoff_seconds", counters[counter]);
		} else {
			json_add_integer(object, counter_name(counter), counters[counter]);
		}
	}
	return object;
}

static cJSON *process_json(const struct reader_process *process)
{
	cJSON *object = cJSON_CreateObject();
	char nonce[16];

	snprintf(nonce, sizeof(nonce), "%08" PRIx32, process->identity.nonce);
	cJSON_AddNumberToObject(object, "pid", process->identity.pid);
	cJSON_AddStringToObject(object, "nonce", nonce);
	json_add_bytes(object, "program", process->identity.program, PROGRAM_NAME_SIZE);
	cJSON_AddStringToObject(object, "state", reader_state_name(process->state));
	json_add_time(object, "started", process->identity.started_at_ns);
	cJSON_AddItemToObject(object, "counters", counters_json(process->counters));
	return object;
}

static cJSON *endpoint_json(const struct endpoint_summary *endpoint)
{
	cJSON *object = cJSON_CreateObject();
	struct endpoint_record total;
	uint64_t counters[COUNTER_COUNT];

	summary_total(endpoint, &total);
	for (int i = 0; i < COUNTER_COUNT; i++)
		counters[i] = total.counters[i];
	cJSON_AddStringToObject(object, "endpoint", endpoint->text);
	json_add_error(object, "last_error", total.last_error);
	json_add_time(object, "last_error_at", total.last_error_at_ns);
	json_add_time(object, "last_success_at", total.last_success_at_ns);
	cJSON_AddItemToObject(object, "counters", counters_json(counters));
	return object;
}

void stats_json_print(FILE *to, const struct snapshot *snapshot, const struct summary *summary,
		      int compact)
{
	cJSON *document = cJSON_CreateObject(), *list;

	cJSON_AddNumberToObject(document, "version", 1);
	cJSON_AddItemToObject(document, "totals", counters_json(snapshot->totals));
	list = cJSON_AddArrayToObject(document, "processes");
	for (size_t i = 0; i < snapshot->process_count; i++)
		cJSON_AddItemToArray(list, process_json(&snapshot->processes[i]));
	list = cJSON_AddArrayToObject(document, "endpoints");
	for (size_t i = 0; i < summary->count; i++)
		cJSON_AddItemToArray(list, endpoint_json(&summary->endpoints[i]));
	if (summary_used(&summary->other))
		cJSON_AddItemToArray(list, endpoint_json(&summary->other));
	json_print(to, document, compact);
}
