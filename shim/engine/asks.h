/* SPDX-License-Identifier: MIT */
/*
 * Questions to addresses whose answer nobody may be kept waiting for: asked now,
 * looked at again at the next deadline. Each keeps a socket of ours open for
 * ASK_NS at most, above the numbers that programs use. Under the schedule's lock.
 */
#ifndef HOLDFAST_ENGINE_ASKS_H
#define HOLDFAST_ENGINE_ASKS_H

#include "probe.h"

/*
 * Longer than nearly every round trip, shorter than the first delay. It is spent
 * only where an address does not answer at all, and there the caller is held anyway.
 */
#define ASK_NS INT64_C(300000000)

enum ask_answer { ASK_UP, ASK_DOWN, ASK_SILENT, ASK_OPEN /* ask again soon */ };

/* Begins to ask, or looks for the answer. */
enum ask_answer ask_address(const struct sockaddr_storage *address, socklen_t length);

#endif
