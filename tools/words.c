/* SPDX-License-Identifier: MIT */
/* Numbers as words. */
#include <inttypes.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tools/state.h"

#define NS_PER_SECOND UINT64_C(1000000000)

static const struct {
	int code;
	const char *name;
} lookup_errors[] = {
	{ EAI_BADFLAGS, "EAI_BADFLAGS" },
	{ EAI_NONAME, "EAI_NONAME" },
	{ EAI_AGAIN, "EAI_AGAIN" },
	{ EAI_FAIL, "EAI_FAIL" },
	{ EAI_NODATA, "EAI_NODATA" },
	{ EAI_FAMILY, "EAI_FAMILY" },
	{ EAI_SOCKTYPE, "EAI_SOCKTYPE" },
	{ EAI_SERVICE, "EAI_SERVICE" },
	{ EAI_ADDRFAMILY, "EAI_ADDRFAMILY" },
	{ EAI_MEMORY, "EAI_MEMORY" },
	{ EAI_SYSTEM, "EAI_SYSTEM" },
	{ EAI_OVERFLOW, "EAI_OVERFLOW" },
	{ EAI_INPROGRESS, "EAI_INPROGRESS" },
	{ EAI_CANCELED, "EAI_CANCELED" },
	{ EAI_INTR, "EAI_INTR" },
	{ EAI_IDN_ENCODE, "EAI_IDN_ENCODE" },
};

const char *error_name(int64_t error, char text[ERROR_NAME_SIZE])
{
	const char *name = NULL;

	if (!error)
		return NULL;
	for (size_t i = 0; error < 0 && i < sizeof(lookup_errors) / sizeof(lookup_errors[0]); i++) {
		if (lookup_errors[i].code == error)
			return lookup_errors[i].name;
	}
	if (error > 0 && error <= INT32_MAX)
		name = strerrorname_np((int)error);
	if (name)
		return name;
	snprintf(text, ERROR_NAME_SIZE, "%" PRId64, error);
	return text;
}

const char *time_format(int64_t realtime_ns, char text[TIME_TEXT_SIZE])
{
	time_t seconds = realtime_ns / (int64_t)NS_PER_SECOND;
	struct tm tm;
	size_t length;

	if (realtime_ns <= 0 || !gmtime_r(&seconds, &tm))
		return NULL;
	length = strftime(text, TIME_TEXT_SIZE, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(text + length, TIME_TEXT_SIZE - length, ".%03dZ",
		 (int)(realtime_ns % (int64_t)NS_PER_SECOND / 1000000));
	return text;
}

const char *seconds_format(uint64_t ns, char text[SECONDS_TEXT_SIZE])
{
	int length = snprintf(text, SECONDS_TEXT_SIZE, "%" PRIu64 ".%09" PRIu64, ns / NS_PER_SECOND,
			      ns % NS_PER_SECOND);

	while (text[length - 1] == '0')
		text[--length] = '\0';
	if (text[length - 1] == '.')
		text[--length] = '\0';
	return text;
}

const char *span_format(uint64_t ns, char text[SPAN_TEXT_SIZE])
{
	uint64_t seconds = ns / NS_PER_SECOND;

	if (seconds < 1)
		snprintf(text, SPAN_TEXT_SIZE, "%" PRIu64 "ms", ns / 1000000);
	else if (seconds < 60)
		snprintf(text, SPAN_TEXT_SIZE, "%" PRIu64 ".%" PRIu64 "s", seconds,
			 ns / (NS_PER_SECOND / 10) % 10);
	else if (seconds < 3600)
		snprintf(text, SPAN_TEXT_SIZE, "%" PRIu64 "m%02" PRIu64 "s", seconds / 60,
			 seconds % 60);
	else if (seconds < 86400)
		snprintf(text, SPAN_TEXT_SIZE, "%" PRIu64 "h%02" PRIu64 "m", seconds / 3600,
			 seconds / 60 % 60);
	else
		snprintf(text, SPAN_TEXT_SIZE, "%" PRIu64 "d%02" PRIu64 "h", seconds / 86400,
			 seconds / 3600 % 24);
	return text;
}

const char *bytes_format(uint64_t bytes, char text[BYTES_TEXT_SIZE])
{
	static const char units[] = "KMGTPE";
	uint64_t scale = 1024;
	int unit = 0;

	if (bytes < 1024) {
		snprintf(text, BYTES_TEXT_SIZE, "%" PRIu64 " B", bytes);
		return text;
	}
	while (units[unit + 1] && bytes / scale >= 1024) {
		scale *= 1024;
		unit++;
	}
	snprintf(text, BYTES_TEXT_SIZE, "%" PRIu64 ".%" PRIu64 " %ciB", bytes / scale,
		 bytes % scale * 10 / scale, units[unit]);
	return text;
}

const char *process_id_format(int32_t pid, uint32_t nonce, char text[PROCESS_ID_SIZE])
{
	snprintf(text, PROCESS_ID_SIZE, "%" PRId32 "-%08" PRIx32, pid, nonce);
	return text;
}

const char *connection_id_format(int32_t pid, uint32_t nonce, uint32_t slot, uint32_t generation,
				 char text[CONNECTION_ID_SIZE])
{
	snprintf(text, CONNECTION_ID_SIZE, "%" PRId32 "-%08" PRIx32 ".%" PRIu32 ".%" PRIu32, pid,
		 nonce, slot, generation);
	return text;
}

/* A number and the character behind it. */
static bool number_take(const char **at, int base, char end, uint32_t *number)
{
	char *rest;
	unsigned long value = strtoul(*at, &rest, base);

	if (*rest != end || value > UINT32_MAX)
		return false;
	*number = (uint32_t)value;
	*at = rest + 1;
	return true;
}

bool connection_id_parse(const char *text, struct connection_id *id)
{
	char canonical[CONNECTION_ID_SIZE];
	const char *at = text;
	uint32_t pid;

	if (!number_take(&at, 10, '-', &pid) || !number_take(&at, 16, '.', &id->nonce) ||
	    !number_take(&at, 10, '.', &id->slot) || !number_take(&at, 10, '\0', &id->generation) ||
	    pid == 0 || pid > INT32_MAX || id->generation == 0)
		return false;
	id->pid = (int32_t)pid;
	/* Signs, spaces, leading zeros and what else strtoul() lets pass. */
	return !strcmp(
		connection_id_format(id->pid, id->nonce, id->slot, id->generation, canonical),
		text);
}

const char *slot_state_name(uint32_t state)
{
	static const char *const names[] = {
		[SLOT_FREE] = "free",
		[SLOT_CONNECTING] = "connecting",
		[SLOT_CONNECTED] = "connected",
		[SLOT_RECONNECTING] = "reconnecting",
		[SLOT_DISCONNECTED] = "disconnected",
		[SLOT_FAILED] = "failed",
	};

	return names[state];
}
