/* SPDX-License-Identifier: MIT */
/*
 * Whether a request's head says that its body waits for a word of the server's (RFC 9110, 10.1.1:
 * "Expect: 100-continue"). What is sent after that word is the body, and no request.
 *
 * Whatever else is sent is looked at as if it was a head, up to an empty line or EXPECT_WITHIN.
 */
#ifndef HOLDFAST_ENGINE_EXPECT_H
#define HOLDFAST_ENGINE_EXPECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#define EXPECT_WITHIN 16384

struct expect {
	uint32_t looked; /* bytes of the head, EXPECT_WITHIN at its end */
	uint8_t found;   /* of the word */
	bool is_line_empty;
};

/* An exchange begins. */
void expect_begin(struct expect *expect);
/* The vector was sent. */
void expect_look(struct expect *expect, const struct iovec *vector, int count);
/* Its body waits. */
bool expect_told(const struct expect *expect);

#endif
