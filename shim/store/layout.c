/* SPDX-License-Identifier: MIT */
#include "layout.h"

#include <string.h>

#define FNV_BASIS UINT64_C(0xcbf29ce484222325)
#define FNV_PRIME UINT64_C(0x100000001b3)

_Static_assert(sizeof(struct endpoint) == 120, "no padding: endpoints are compared bytewise");
_Static_assert(sizeof(struct store_event) % 8 == 0, "summed in whole words");
_Static_assert(offsetof(struct totals_file, checksum) % 8 == 0, "summed in whole words");
_Static_assert(sizeof(struct endpoint_record) % 8 == 0, "summed in whole words");
_Static_assert(offsetof(struct totals_file, endpoints) ==
		       offsetof(struct totals_file, checksum) + sizeof(uint64_t),
	       "nothing lies between the checksum and the records");

static uint64_t fnv_words(uint64_t sum, const void *bytes, size_t size)
{
	for (size_t i = 0; i < size; i += sizeof(uint64_t)) {
		uint64_t word;

		memcpy(&word, (const char *)bytes + i, sizeof(word));
		sum = (sum ^ word) * FNV_PRIME;
	}
	return sum;
}

uint64_t event_checksum(const struct store_event *event, uint64_t ticket)
{
	return fnv_words(fnv_words(FNV_BASIS, &ticket, sizeof(ticket)), event, sizeof(*event));
}

uint64_t totals_checksum(const struct totals_file *totals)
{
	uint64_t sum = fnv_words(FNV_BASIS, totals, offsetof(struct totals_file, checksum));

	return fnv_words(sum, totals->endpoints,
			 (size_t)totals->endpoint_count * sizeof(struct endpoint_record));
}
