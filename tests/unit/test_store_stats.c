/* SPDX-License-Identifier: MIT */
/*
 * Proves that the Prometheus exposition is well formed (checked by a parser of
 * the format written for this test), complete from the start and bounded, and that
 * the JSON keeps every integer exact.  The tool's own sources are included, since
 * unit tests are linked without tools/.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <ctype.h>
#include <inttypes.h>

#include "store_files.h"

/* NOLINTBEGIN(bugprone-suspicious-include) */
#include "tools/json.c"
#include "tools/prometheus.c"
#include "tools/stats_json.c"
#include "tools/summary.c"
#include "tools/words.c"
/* NOLINTEND(bugprone-suspicious-include) */

/* ---- a parser of the text format ------------------------------------------- */

#define SERIES_MAX 40000
#define LABELS_SIZE 512

struct series {
	char metric[96];
	char labels[LABELS_SIZE]; /* as written */
	char endpoint[256];       /* unescaped */
	char operation[16];
	char cause[16];
	char le[16];
	double value;
	char value_text[40];
};

static struct series *all;
static size_t all_count;

static void label_store(struct series *series, const char *name, const char *value)
{
	if (!strcmp(name, "endpoint"))
		strcpy(series->endpoint, value);
	else if (!strcmp(name, "operation"))
		strcpy(series->operation, value);
	else if (!strcmp(name, "cause"))
		strcpy(series->cause, value);
	else if (!strcmp(name, "le"))
		strcpy(series->le, value);
	else
		fail_msg("unexpected label %s", name);
}

/* [a-zA-Z_:][a-zA-Z0-9_:]* */
static const char *name_parse(const char *at, char *name, size_t size)
{
	size_t length = 0;

	assert_true(isalpha((unsigned char)*at) || *at == '_' || *at == ':');
	while (isalnum((unsigned char)*at) || *at == '_' || *at == ':') {
		assert_true(length + 1 < size);
		name[length++] = *at++;
	}
	name[length] = '\0';
	return at;
}

/* A quoted value, in which only \\, \" and \n are escapes. */
static const char *value_parse(const char *at, char *value, size_t size)
{
	size_t length = 0;

	assert_int_equal(*at++, '"');
	while (*at != '"') {
		assert_true(*at && length + 1 < size);
		if (*at == '\\') {
			at++;
			assert_true(*at == '\\' || *at == '"' || *at == 'n');
			value[length++] = *at == 'n' ? '\n' : *at;
			at++;
		} else {
			value[length++] = *at++;
		}
	}
	value[length] = '\0';
	return at + 1;
}

static void series_parse(const char *line, struct series *series)
{
	const char *at = name_parse(line, series->metric, sizeof(series->metric)), *labels = at;
	char *end;

	assert_int_equal(*at, '{');
	do {
		char name[32], value[256];

		at = name_parse(at + 1, name, sizeof(name));
		assert_int_equal(*at, '=');
		at = value_parse(at + 1, value, sizeof(value));
		label_store(series, name, value);
	} while (*at == ',');
	assert_int_equal(*at++, '}');
	assert_true((size_t)(at - labels) < sizeof(series->labels));
	memcpy(series->labels, labels, (size_t)(at - labels));
	assert_int_equal(*at++, ' ');
	assert_true(strlen(at) < sizeof(series->value_text));
	strcpy(series->value_text, at);
	series->value = strtod(at, &end);
	assert_true(end > at && *end == '\0');
}

/* The metric's family: what HELP and TYPE name. */
static void family_of(const struct series *series, const char *type, char *family)
{
	static const char *const suffixes[] = { "_bucket", "_sum", "_count" };

	strcpy(family, series->metric);
	for (size_t i = 0; !strcmp(type, "histogram") && i < 3; i++) {
		char *at = strstr(family, suffixes[i]);

		if (at && !at[strlen(suffixes[i])])
			*at = '\0';
	}
}

static int series_order(const void *a, const void *b)
{
	const struct series *x = a, *y = b;
	int order = strcmp(x->metric, y->metric);

	return order ? order : strcmp(x->labels, y->labels);
}

/*
 * Parses a whole exposition: each family has its HELP, then its TYPE, once, and
 * all its series directly after them; no series occurs twice.
 */
static void exposition_parse(char *text)
{
	char family[96] = "", type[16] = "", seen[64][96], name[96];
	size_t families = 0;

	assert_true(text[0] && text[strlen(text) - 1] == '\n');
	all_count = 0;
	for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
		if (!strncmp(line, "# HELP ", 7)) {
			assert_true(strlen(name_parse(line + 7, family, sizeof(family))) > 2);
			for (size_t i = 0; i < families; i++)
				assert_string_not_equal(seen[i], family);
			strcpy(seen[families++], family);
			type[0] = '\0';
		} else if (!strncmp(line, "# TYPE ", 7)) {
			const char *at = name_parse(line + 7, name, sizeof(name));

			assert_string_equal(name, family);
			assert_true(!strcmp(at, " counter") || !strcmp(at, " histogram"));
			strcpy(type, at + 1);
		} else {
			assert_true(all_count < SERIES_MAX);
			struct series *series = &all[all_count++];

			memset(series, 0, sizeof(*series));
			series_parse(line, series);
			assert_true(type[0] != '\0');
			family_of(series, type, name);
			assert_string_equal(name, family);
			if (!strcmp(type, "counter")) {
				assert_string_equal(name + strlen(name) - 6, "_total");
				assert_string_equal(series->le, "");
			}
		}
	}
	qsort(all, all_count, sizeof(*all), series_order);
	for (size_t i = 1; i < all_count; i++)
		assert_true(series_order(&all[i - 1], &all[i]) != 0);
}

static const struct series *series_find(const char *metric, const char *endpoint,
					const char *operation, const char *extra)
{
	for (size_t i = 0; i < all_count; i++) {
		if (!strcmp(all[i].metric, metric) && !strcmp(all[i].endpoint, endpoint) &&
		    !strcmp(all[i].operation, operation) &&
		    (!strcmp(all[i].cause, extra) && !all[i].le[0]
			     ? true
			     : !strcmp(all[i].le, extra) && !all[i].cause[0]))
			return &all[i];
	}
	return NULL;
}

static void assert_series(const char *metric, const char *endpoint, const char *operation,
			  const char *extra, const char *expected)
{
	const struct series *series = series_find(metric, endpoint, operation, extra);

	if (!series)
		fail_msg("no %s{%s,%s,%s}", metric, endpoint, operation, extra);
	else
		assert_string_equal(series->value_text, expected);
}

/* ---- making output ------------------------------------------------------------- */

enum what { PROMETHEUS, JSON };

static char *output_of(const struct test_store *store, enum what what)
{
	struct snapshot snapshot;
	struct summary summary;
	char *text = NULL;
	size_t size;
	FILE *to = open_memstream(&text, &size);

	assert_true(snapshot_read(&snapshot, store->directory));
	summary_make(&summary, &snapshot);
	if (what == PROMETHEUS)
		prometheus_print(to, &summary);
	else
		stats_json_print(to, &snapshot, &summary, 0);
	summary_free(&summary);
	snapshot_free(&snapshot);
	fclose(to);
	return text;
}

static void exposition_read(const struct test_store *store)
{
	char *text = output_of(store, PROMETHEUS);

	exposition_parse(text);
	free(text);
}

/* ---- the tests ---------------------------------------------------------------------- */

static void everything_is_there_at_zero(void **state)
{
	static const char *const metrics[] = {
		"operations",      "succeeded",  "recovered",          "failures",
		"fallbacks",       "abandoned",  "attempts",           "attempt_failures",
		"retries",         "reconnects", "reconnect_failures", "failovers",
		"replayed_bytes",  "lost_bytes", "sent_bytes",         "received_bytes",
		"backoff_seconds",
	};
	static const char *const causes[] = { "limit",   "deadline", "budget",
					      "breaker", "unsafe",   "buffer" };
	static const char *const operations[] = { "connect", "resolve", "reconnect" };
	static const char *const bounds[] = { "0.01", "0.05", "0.1", "0.5", "1",   "2",   "5",
					      "10",   "30",   "60",  "300", "900", "+Inf" };
	char name[96];

	exposition_read(*state);
	for (size_t k = 0; k < 3; k++) {
		for (size_t i = 0; i < sizeof(metrics) / sizeof(metrics[0]); i++) {
			snprintf(name, sizeof(name), "holdfast_%s_total", metrics[i]);
			assert_series(name, "other", operations[k], "", "0");
		}
		for (size_t i = 0; i < 6; i++)
			assert_series("holdfast_retries_denied_total", "other", operations[k],
				      causes[i], "0");
		for (size_t i = 0; i < 13; i++)
			assert_series("holdfast_time_to_recovery_seconds_bucket", "other",
				      operations[k], bounds[i], "0");
		assert_series("holdfast_time_to_recovery_seconds_sum", "other", operations[k], "",
			      "0");
		assert_series("holdfast_time_to_recovery_seconds_count", "other", operations[k], "",
			      "0");
	}
	assert_int_equal(all_count, 3 * (17 + 6 + 13 + 2));
}

static void values_are_exact_and_cumulative(void **state)
{
	struct test_store *store = *state;
	struct process_file *file = process_new(5, 5);
	struct endpoint_record *record = record_fill(file, 1, 2, endpoint_tcp(0x7f000001, 80));

	record->counters[COUNTER_operations] = UINT64_MAX - 1;
	record->counters[COUNTER_succeeded] = UINT64_MAX - 1;
	record->counters[COUNTER_backoff_ns] = UINT64_C(9007199254740993);
	record->counters[COUNTER_retries_denied_budget] = 3;
	record->recovery[0] = 1;
	record->recovery[4] = 2;
	record->recovery[RECOVERY_BUCKETS - 1] = 4;
	record->recovery_sum_ns = 1500000000;
	process_write(store, file);
	free(file);
	exposition_read(store);
	const char *endpoint = "tcp:127.0.0.1:80";
	assert_series("holdfast_operations_total", endpoint, "reconnect", "",
		      "18446744073709551614");
	assert_series("holdfast_operations_total", endpoint, "connect", "", "0");
	assert_series("holdfast_backoff_seconds_total", endpoint, "reconnect", "",
		      "9007199.254740993");
	assert_series("holdfast_retries_denied_total", endpoint, "reconnect", "budget", "3");
	const char *histogram = "holdfast_time_to_recovery_seconds_bucket";
	assert_series(histogram, endpoint, "reconnect", "0.01", "1");
	assert_series(histogram, endpoint, "reconnect", "0.5", "1");
	assert_series(histogram, endpoint, "reconnect", "1", "3");
	assert_series(histogram, endpoint, "reconnect", "900", "3");
	assert_series(histogram, endpoint, "reconnect", "+Inf", "7");
	assert_series("holdfast_time_to_recovery_seconds_count", endpoint, "reconnect", "", "7");
	assert_series("holdfast_time_to_recovery_seconds_sum", endpoint, "reconnect", "", "1.5");
}

static void labels_are_escaped(void **state)
{
	struct test_store *store = *state;
	struct process_file *file = process_new(5, 5);
	struct endpoint endpoint = { .kind = ENDPOINT_UNIX, .length = 6 };

	memcpy(endpoint.bytes, "/\"a\\\nb", 6);
	record_fill(file, 1, 0, endpoint)->counters[COUNTER_operations] = 1;
	process_write(store, file);
	free(file);
	exposition_read(store);
	/* A backslash of the path is doubled by the endpoint's text, and that again by the label. */
	assert_series("holdfast_operations_total", "unix:/\"a\\\\\\x0ab", "connect", "", "1");
}

static void series_are_bounded_and_nothing_is_left_out(void **state)
{
	struct test_store *store = *state;
	uint64_t sum = 0;

	for (uint32_t n = 0; n < 3; n++) {
		struct process_file *file = process_new((int32_t)n + 1, n);

		for (uint32_t i = 1; i < ENDPOINTS_PER_PROCESS; i++)
			record_fill(file, i, 0, endpoint_tcp(n << 16 | i, 80))
				->counters[COUNTER_operations] = n * 1000 + i;
		file->endpoints[0].counters[COUNTER_operations] = 7;
		process_write(store, file);
		free(file);
	}
	exposition_read(store);
	assert_int_equal(all_count, 101 * 3 * (17 + 6 + 13 + 2));
	for (size_t i = 0; i < all_count; i++) {
		if (!strcmp(all[i].metric, "holdfast_operations_total"))
			sum += (uint64_t)all[i].value;
	}
	/* 99 endpoints of each process n: n * 1000 + 1..99, and 7 of `other`. */
	assert_int_equal(sum, 99 * 3000 + 3 * 4950 + 3 * 7);
	/* The busiest are the third's 99 and the last of the second; 311871 less those. */
	assert_non_null(series_find("holdfast_operations_total", "tcp:0.2.0.1:80", "connect", ""));
	assert_non_null(series_find("holdfast_operations_total", "tcp:0.1.0.99:80", "connect", ""));
	assert_null(series_find("holdfast_operations_total", "tcp:0.1.0.98:80", "connect", ""));
	assert_series("holdfast_operations_total", "other", "connect", "", "107822");
}

/* ---- JSON ------------------------------------------------------------------------------ */

static const char *const counter_keys[] = {
	"operations", "succeeded",          "recovered",        "failures",       "fallbacks",
	"abandoned",  "attempts",           "attempt_failures", "retries",        "retries_denied",
	"reconnects", "reconnect_failures", "failovers",        "replayed_bytes", "lost_bytes",
	"sent_bytes", "received_bytes",     "backoff_seconds",
};

static void assert_counters(const cJSON *counters)
{
	const cJSON *member = counters->child;

	for (size_t i = 0; i < sizeof(counter_keys) / sizeof(counter_keys[0]); i++) {
		assert_non_null(member);
		assert_string_equal(member->string, counter_keys[i]);
		assert_true(i == 9 ? cJSON_IsObject(member) : cJSON_IsNumber(member));
		member = member->next;
	}
	assert_null(member);
}

static void json_has_the_documented_shape(void **state)
{
	struct test_store *store = *state;
	struct process_file *file = process_new(4321, 0xbeef);
	struct endpoint_record *record = record_fill(file, 1, 0, endpoint_tcp(0x0a000005, 5432));
	char *text;
	cJSON *document, *item;

	record->counters[COUNTER_operations] = 2;
	record->counters[COUNTER_succeeded] = UINT64_C(9007199254740993);
	record->counters[COUNTER_backoff_ns] = 1500000001;
	record->last_error = ECONNREFUSED;
	record->last_error_at_ns = INT64_C(1700000000123456789);
	/* A getaddrinfo code; and text that is no UTF-8. */
	strcpy(file->identity.program, "pro\xff\n\"g");
	file->identity.started_at_ns = INT64_C(1700000000999999999);
	process_write(store, file);
	free(file);
	text = output_of(store, JSON);
	assert_non_null(strstr(text, "9007199254740993,"));
	assert_non_null(strstr(text, "1.500000001"));
	document = cJSON_Parse(text);
	assert_non_null(document);
	assert_int_equal(cJSON_GetObjectItem(document, "version")->valueint, 1);
	assert_counters(cJSON_GetObjectItem(document, "totals"));
	item = cJSON_GetObjectItem(document, "processes");
	assert_int_equal(cJSON_GetArraySize(item), 1);
	item = cJSON_GetArrayItem(item, 0);
	assert_int_equal(cJSON_GetObjectItem(item, "pid")->valueint, 4321);
	assert_string_equal(cJSON_GetObjectItem(item, "nonce")->valuestring, "0000beef");
	assert_string_equal(cJSON_GetObjectItem(item, "program")->valuestring, "pro\\xff\\x0a\"g");
	assert_string_equal(cJSON_GetObjectItem(item, "state")->valuestring, "exited");
	assert_string_equal(cJSON_GetObjectItem(item, "started")->valuestring,
			    "2023-11-14T22:13:20.999Z");
	assert_counters(cJSON_GetObjectItem(item, "counters"));
	item = cJSON_GetArrayItem(cJSON_GetObjectItem(document, "endpoints"), 0);
	assert_string_equal(cJSON_GetObjectItem(item, "endpoint")->valuestring,
			    "tcp:10.0.0.5:5432");
	assert_string_equal(cJSON_GetObjectItem(item, "last_error")->valuestring, "ECONNREFUSED");
	assert_string_equal(cJSON_GetObjectItem(item, "last_error_at")->valuestring,
			    "2023-11-14T22:13:20.123Z");
	assert_true(cJSON_IsNull(cJSON_GetObjectItem(item, "last_success_at")));
	assert_counters(cJSON_GetObjectItem(item, "counters"));
	cJSON_Delete(document);
	free(text);
}

static void errors_have_names(void **state)
{
	char text[ERROR_NAME_SIZE];

	assert_null(error_name(0, text));
	assert_string_equal(error_name(110, text), "ETIMEDOUT");
	assert_string_equal(error_name(-3, text), "EAI_AGAIN");
	assert_string_equal(error_name(4000, text), "4000");
	assert_string_equal(error_name(INT64_MIN, text), "-9223372036854775808");
}

static void seconds_and_spans(void **state)
{
	char text[SECONDS_TEXT_SIZE], span[SPAN_TEXT_SIZE], bytes[BYTES_TEXT_SIZE];

	assert_string_equal(seconds_format(0, text), "0");
	assert_string_equal(seconds_format(1, text), "0.000000001");
	assert_string_equal(seconds_format(10000000000, text), "10");
	assert_string_equal(seconds_format(UINT64_MAX, text), "18446744073.709551615");
	assert_string_equal(span_format(999999999, span), "999ms");
	assert_string_equal(span_format(1990000000, span), "1.9s");
	assert_string_equal(span_format(UINT64_C(185) * 1000000000, span), "3m05s");
	assert_string_equal(span_format(UINT64_C(7800) * 1000000000, span), "2h10m");
	assert_string_equal(span_format(UINT64_C(273600) * 1000000000, span), "3d04h");
	assert_string_equal(bytes_format(1023, bytes), "1023 B");
	assert_string_equal(bytes_format(1536, bytes), "1.5 KiB");
	assert_string_equal(bytes_format(1048575, bytes), "1023.9 KiB");
	assert_string_equal(bytes_format(1048576, bytes), "1.0 MiB");
	assert_string_equal(bytes_format(UINT64_MAX, bytes), "15.9 EiB");
}

static int setup(void **state)
{
	static struct test_store store;

	store_make(&store);
	*state = &store;
	return 0;
}

static int teardown(void **state)
{
	store_remove(*state);
	return 0;
}

#define STORE_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		STORE_TEST(everything_is_there_at_zero),
		STORE_TEST(values_are_exact_and_cumulative),
		STORE_TEST(labels_are_escaped),
		STORE_TEST(series_are_bounded_and_nothing_is_left_out),
		STORE_TEST(json_has_the_documented_shape),
		cmocka_unit_test(errors_have_names),
		cmocka_unit_test(seconds_and_spans),
	};
	int failed;

	all = calloc(SERIES_MAX, sizeof(*all));
	assert_non_null(all);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	free(all);
	return failed;
}
