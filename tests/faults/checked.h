/* SPDX-License-Identifier: MIT */
/*
 * The protocol of checked_client and checked_server. On a connection comes first
 *
 *	LOGIN secret-of-SEED SEED\n		WELCOME CONNECTION\n
 *
 * and then requests and answers: a header, and as many bytes as it says.
 *
 *	REQ ID LENGTH CHECKSUM\n payload	ANS ID LENGTH CHECKSUM\n answer
 *
 * with 8 hexadecimal digits each. The answer is a function of the payload, so that neither the one
 * of another request nor half a one passes for it.
 */
#ifndef TESTS_FAULTS_CHECKED_H
#define TESTS_FAULTS_CHECKED_H

#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define PAYLOAD_MAX 8000
#define LOGIN_MAX 64
#define WORD_LENGTH 4 /* of a header, with its space */
#define HEADER_LENGTH 31

struct header {
	uint32_t id;
	uint32_t length;
	uint32_t checksum;
};

/* FNV-1a */
static inline uint32_t checksum(const unsigned char *data, size_t length)
{
	uint32_t sum = UINT32_C(2166136261);

	for (size_t i = 0; i < length; i++)
		sum = (sum ^ data[i]) * UINT32_C(16777619);
	return sum;
}

static inline void answer_make(uint32_t id, const unsigned char *payload, size_t length,
			       unsigned char *answer)
{
	for (size_t i = 0; i < length; i++)
		answer[i] = (unsigned char)(payload[length - 1 - i] + id + i);
}

/* The text has room for HEADER_LENGTH + 1. */
static inline void header_write(char *text, const char *word, const struct header *header)
{
	snprintf(text, HEADER_LENGTH + 1, "%s %08" PRIx32 " %08" PRIx32 " %08" PRIx32 "\n", word,
		 header->id, header->length, header->checksum);
}

/* Only what header_write() writes is one. */
static inline bool header_read(const char *text, const char *word, struct header *header)
{
	char copy[HEADER_LENGTH + 1], again[HEADER_LENGTH + 1];

	memcpy(copy, text, HEADER_LENGTH);
	copy[HEADER_LENGTH] = '\0';
	if (sscanf(copy + WORD_LENGTH, "%8" SCNx32 " %8" SCNx32 " %8" SCNx32, &header->id,
		   &header->length, &header->checksum) != 3)
		return false;
	header_write(again, word, header);
	return memcmp(copy, again, HEADER_LENGTH) == 0 && header->length <= PAYLOAD_MAX;
}

static inline void login_write(char *text, uint64_t seed)
{
	snprintf(text, LOGIN_MAX, "LOGIN secret-of-%" PRIu64 " %" PRIu64 "\n", seed, seed);
}

#endif
