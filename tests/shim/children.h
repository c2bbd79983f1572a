/* SPDX-License-Identifier: MIT */
/* What is looked at after a child has done something to what it inherited. */
#ifndef HOLDFAST_TEST_CHILDREN_H
#define HOLDFAST_TEST_CHILDREN_H

#include "net.h"
#include "peek.h"

static inline void expect_alive(const struct pair *pair, int64_t sent_before)
{
	char byte;

	EXPECT_IS(send(pair->client, "x", 1, MSG_NOSIGNAL), 1);
	EXPECT_IS(recv(pair->peer, &byte, 1, 0), 1);
	EXPECT_COUNT(sent_bytes, sent_before + 1);
	EXPECT_SLOT(pair->client, state, SLOT_CONNECTED);
}

static inline void expect_state(pid_t pid, unsigned int state)
{
	const struct process_file *file = preloaded() ? peek_process(pid) : NULL;

	if (preloaded() && EXPECT(file != NULL))
		EXPECT_IS(file->state, state);
}

#define CASE(name, run)                                           \
	{                                                         \
		name, run, POLICY_PATIENT, NULL, CHECK_ALSO_PLAIN \
	}

#endif
