/* SPDX-License-Identifier: MIT */
#include "expect.h"

#include <string.h>

/* Its first byte is in it once only. */
static const char word[] = "\nexpect:";
#define WORD_LENGTH (sizeof(word) - 1)

void expect_begin(struct expect *expect)
{
	*expect = (struct expect){ 0 };
}

bool expect_told(const struct expect *expect)
{
	return expect->found == WORD_LENGTH;
}

/* False at the end of the head. */
static bool byte_look(struct expect *expect, uint8_t byte)
{
	if (byte == '\n' && expect->is_line_empty)
		return false;
	if (byte != '\r')
		expect->is_line_empty = byte == '\n';
	if (byte >= 'A' && byte <= 'Z')
		byte = (uint8_t)(byte - 'A' + 'a');
	if (byte == (uint8_t)word[expect->found])
		expect->found++;
	else
		expect->found = byte == (uint8_t)word[0];
	return ++expect->looked < EXPECT_WITHIN && !expect_told(expect);
}

/* How many bytes can say nothing: none of them begins a line. */
static size_t bytes_skip(const struct expect *expect, const uint8_t *bytes, size_t size)
{
	const uint8_t *line;

	if (expect->found || expect->is_line_empty)
		return 0;
	line = memchr(bytes, '\n', size);
	return line ? (size_t)(line - bytes) : size;
}

static void piece_look(struct expect *expect, const uint8_t *bytes, size_t size)
{
	size_t left = EXPECT_WITHIN - expect->looked, at, skipped;

	if (size > left)
		size = left;
	for (at = 0; at < size; at++) {
		skipped = bytes_skip(expect, bytes + at, size - at);
		expect->looked += (uint32_t)skipped;
		at += skipped;
		if (at < size && !byte_look(expect, bytes[at])) {
			expect->looked = EXPECT_WITHIN;
			return;
		}
	}
}

void expect_look(struct expect *expect, const struct iovec *vector, int count)
{
	for (int i = 0; i < count; i++)
		piece_look(expect, vector[i].iov_base, vector[i].iov_len);
}
