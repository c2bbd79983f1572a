/* SPDX-License-Identifier: MIT */
#include "tools/event_show.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>

#include "policy/policy.h"
#include "tools/json.h"
#include "tools/state.h"

#define NO_WORD 0xff
#define NO_SLOT UINT32_MAX
#define LINE_SIZE 512

static const char *const kinds[EVENT_KIND_COUNT] = {
	[EVENT_CONNECT_RETRY] = "connect_retry",
	[EVENT_CONNECT_RECOVERED] = "connect_recovered",
	[EVENT_CONNECT_FAILED] = "connect_failed",
	[EVENT_RESOLVE_RETRY] = "resolve_retry",
	[EVENT_RESOLVE_RECOVERED] = "resolve_recovered",
	[EVENT_RESOLVE_FAILED] = "resolve_failed",
	[EVENT_FALLBACK] = "fallback",
	[EVENT_ABANDONED] = "abandoned",
	[EVENT_CONNECTION_LOST] = "connection_lost",
	[EVENT_RECONNECT_ATTEMPT] = "reconnect_attempt",
	[EVENT_RECONNECT_SUCCESS] = "reconnect_success",
	[EVENT_RECONNECT_FAILURE] = "reconnect_failure",
	[EVENT_MAX_RETRIES_EXCEEDED] = "max_retries_exceeded",
	[EVENT_POLICY_LOADED] = "policy_loaded",
	[EVENT_POLICY_ERROR] = "policy_error",
	[EVENT_STORE_ERROR] = "store_error",
	[EVENT_TRANSFER_RETRY] = "transfer_retry",
};

static const struct {
	const char *name;
	const char *colour;
} levels[] = {
	[LEVEL_INFO] = { "info", "" },
	[LEVEL_WARNING] = { "warning", "\033[33m" },
	[LEVEL_CRITICAL] = { "critical", "\033[31m" },
};

#define LEVEL_COUNT (sizeof(levels) / sizeof(levels[0]))

const char *event_kind_name(unsigned int kind)
{
	return kind < EVENT_KIND_COUNT && kinds[kind] ? kinds[kind] : "unknown";
}

const char *event_level_name(unsigned int level)
{
	return level < LEVEL_COUNT ? levels[level].name : "unknown";
}

/* Words are single bytes in the store; 0xff says that there is none. */
static const char *category_word(const struct store_event *event)
{
	return event->category == NO_WORD
		       ? NULL
		       : policy_category_name((enum policy_category)event->category);
}

static const char *decision_word(const struct store_event *event)
{
	return event->decision == NO_WORD
		       ? NULL
		       : policy_decision_name((enum policy_decision)event->decision);
}

static const char *verdict_word(const struct store_event *event)
{
	return event->verdict == NO_WORD
		       ? NULL
		       : policy_verdict_name((enum policy_action_taken)event->verdict);
}

static const char *cause_word(const struct store_event *event)
{
	return event->cause == CAUSE_NONE ? NULL
					  : policy_cause_name((enum policy_cause)event->cause);
}

static bool delay_is_meant(const struct store_event *event)
{
	return event->verdict == VERDICT_RETRY_AFTER || event->delay_ns;
}

/* Events about a policy or the store belong to no operation. */
static bool operation_is_meant(const struct store_event *event)
{
	return event->has_endpoint || event->slot != NO_SLOT || event->attempt;
}

static const char *endpoint_text(const struct store_event *event, char text[ENDPOINT_TEXT_SIZE])
{
	if (!event->has_endpoint)
		return NULL;
	endpoint_format(&event->endpoint, text);
	return text;
}

/* ---- for programs --------------------------------------------------------- */

void event_print_json(FILE *to, const struct store_event *event)
{
	cJSON *object = cJSON_CreateObject();
	char process[PROCESS_ID_SIZE], connection[CONNECTION_ID_SIZE], text[ENDPOINT_TEXT_SIZE];

	json_add_time(object, "time", event->time_ns);
	json_add_text(object, "process", process_id_format(event->pid, event->nonce, process));
	json_add_bytes(object, "program", event->program, sizeof(event->program));
	json_add_text(object, "connection",
		      event->slot == NO_SLOT
			      ? NULL
			      : connection_id_format(event->pid, event->nonce, event->slot,
						     event->generation, connection));
	json_add_text(object, "endpoint", endpoint_text(event, text));
	json_add_text(object, "event", event_kind_name(event->kind));
	json_add_text(object, "level", event_level_name(event->level));
	json_add_text(object, "operation",
		      operation_is_meant(event)
			      ? policy_operation_name((enum policy_operation)event->operation)
			      : NULL);
	json_add_error(object, "error", event->error);
	json_add_text(object, "category", category_word(event));
	if (event->attempt)
		json_add_integer(object, "attempt", event->attempt);
	else
		cJSON_AddNullToObject(object, "attempt");
	json_add_text(object, "decision", decision_word(event));
	json_add_text(object, "verdict", verdict_word(event));
	json_add_text(object, "cause", cause_word(event));
	if (delay_is_meant(event))
		json_add_seconds(object, "delay", event->delay_ns);
	else
		cJSON_AddNullToObject(object, "delay");
	json_add_bytes(object, "rule", event->rule, sizeof(event->rule));
	if (event->detail[0])
		json_add_bytes(object, "detail", event->detail, sizeof(event->detail));
	json_print(to, object, 1);
}

/* ---- for people -------------------------------------------------------------- */

static void word_add(char line[LINE_SIZE], const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static void word_add(char line[LINE_SIZE], const char *format, ...)
{
	size_t length = strlen(line);
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(line + length, LINE_SIZE - length, format, arguments);
	va_end(arguments);
}

/* The date only where it is not today's: it costs six columns. */
static void time_add(char line[LINE_SIZE], int64_t time_ns)
{
	time_t seconds = time_ns / 1000000000, now_seconds = time(NULL);
	char text[TIME_TEXT_SIZE] = "";
	struct tm tm, today;

	if (time_ns > 0 && localtime_r(&seconds, &tm) && localtime_r(&now_seconds, &today))
		strftime(text, sizeof(text),
			 tm.tm_year == today.tm_year && tm.tm_yday == today.tm_yday
				 ? "%H:%M:%S"
				 : "%Y-%m-%d %H:%M:%S",
			 &tm);
	word_add(line, "%s ", text);
}

static void text_add(char line[LINE_SIZE], const char *bytes, size_t size)
{
	char text[LINE_SIZE];

	text_escape(text, sizeof(text), bytes, strnlen(bytes, size), false);
	word_add(line, "%s", text);
}

void event_print(FILE *to, const struct store_event *event, bool colour)
{
	char line[LINE_SIZE] = "", endpoint[ENDPOINT_TEXT_SIZE], error[ERROR_NAME_SIZE];
	char span[SPAN_TEXT_SIZE];
	const char *paint = colour && event->level < LEVEL_COUNT ? levels[event->level].colour : "";

	time_add(line, event->time_ns);
	word_add(line, "%s", event_kind_name(event->kind));
	if (event->has_endpoint)
		word_add(line, " %s", endpoint_text(event, endpoint));
	if (event->error)
		word_add(line, " %s", error_name(event->error, error));
	if (event->attempt)
		word_add(line, " #%" PRIu32, event->attempt);
	if (cause_word(event))
		word_add(line, " (%s)", cause_word(event));
	if (delay_is_meant(event))
		word_add(line, " +%s", span_format(event->delay_ns, span));
	word_add(line, " ");
	text_add(line, event->program, sizeof(event->program));
	word_add(line, "[%" PRId32 "]", event->pid);
	if (event->detail[0]) {
		word_add(line, ": ");
		text_add(line, event->detail, sizeof(event->detail));
	}
	fprintf(to, "%s%s%s\n", paint, line, paint[0] ? "\033[0m" : "");
}
