/* SPDX-License-Identifier: MIT */
/* The ring of what was sent, by offsets in the stream, and the records in it. Under the entry's lock. */
#ifndef HOLDFAST_ENGINE_KEEP_RING_H
#define HOLDFAST_ENGINE_KEEP_RING_H

#include <stddef.h>

#include "keep.h"

/* The longest piece at an offset that lies in one part. */
size_t ring_piece(const struct keep *keep, uint64_t from, uint64_t to);
/* Adds bytes at the end, over the oldest. */
void ring_put(struct keep *keep, const uint8_t *bytes, size_t size);
/* The same from where the program's own pointer leads: how much could be read. */
size_t ring_take(struct keep *keep, const uint8_t *bytes, size_t size);
/* The offset up to which the peer's kernel has everything. acknowledged: on this TCP connection. */
uint64_t ring_acknowledged(const struct keep *keep, uint64_t acknowledged);
/*
 * One way: something was not kept whole. If its record has come to its end, and the peer has all up
 * to `has`, beyond that, everything is kept again.
 */
void ring_recover(struct keep *keep, const struct policy_transfer *transfer, uint64_t has);
/* The first offset whose byte is there still. */
uint64_t ring_oldest(const struct keep *keep);

/* Where the record begins that the byte at an offset belongs to; false: in what is kept no more. */
bool record_begin(const struct keep *keep, const struct policy_transfer *transfer, uint64_t oldest,
		  uint64_t *offset);
/* The first record that is kept whole, from an offset on. */
uint64_t record_next(const struct keep *keep, const struct policy_transfer *transfer,
		     uint64_t offset);

#endif
