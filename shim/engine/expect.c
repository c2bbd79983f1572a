/* SPDX-License-Identifier: MIT */
#include "expect.h"

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

void expect_look(struct expect *expect, const struct iovec *vector, int count, size_t size)
{
	for (int i = 0; i < count && size; i++) {
		size_t piece = vector[i].iov_len < size ? vector[i].iov_len : size;

		for (size_t j = 0; j < piece && expect->looked < EXPECT_WITHIN; j++)
			if (!byte_look(expect, ((const uint8_t *)vector[i].iov_base)[j]))
				expect->looked = EXPECT_WITHIN;
		size -= piece;
	}
}
