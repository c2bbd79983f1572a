/* SPDX-License-Identifier: MIT */
/* What is kept, when the connection is lost: what it says to the decision, and what is sent again. */
#include <string.h>

#include "keep_inside.h"
#include "keep_ring.h"
#include "tcp.h"

static bool head_is(const struct keep *keep, const char *bytes, uint8_t length)
{
	return keep->head_length >= length && memcmp(keep->head, bytes, length) == 0;
}

/* By a server that speaks first, perhaps to somebody who reads past the hooks. */
static bool is_greeted(const struct keep *keep, int fd)
{
	return keep->is_greeted || (!keep->head_length && tcp_has_received(fd));
}

/* More than the hooks have seen, by stdio, io_uring or whoever has the number, too. */
static bool is_sent_unseen(const struct connection *connection, const struct keep *keep, int fd)
{
	uint64_t written;

	return tcp_bytes_written(fd, &written) &&
	       written > keep->given - keep->base + keep->unkept + connection->is_half_closed;
}

void keep_describe(struct connection *connection, int fd, struct policy_loss *loss)
{
	struct keep *keep = connection_kept(connection);
	uint64_t signals, acknowledged;

	/* There was no memory for it, or `max_buffer` is 0: what was sent cannot be sent again. */
	if (!keep || !(connection->attention & ATTENTION_KEPT)) {
		loss->is_overflowed = loss->bytes_moved > 0;
		return;
	}
	keep_lock(keep, &signals);
	loss->is_session = ((keep->is_headless || head_is(keep, "\x16\x03", 2) ||
			     head_is(keep, "SSH-", 4)) &&
			    keep->any_answer) ||
			   (is_greeted(keep, fd) && !is_one_way(connection));
	if (is_one_way(connection) && tcp_bytes_acknowledged(fd, &acknowledged))
		ring_recover(keep, transfer_of(connection), ring_acknowledged(keep, acknowledged));
	/* Between two exchanges nothing has to be sent again: what comes is another one. */
	if (is_one_way(connection) || !keep->is_answered) {
		loss->is_overflowed = keep->is_overflowed;
		loss->exchanges = keep->exchanges;
	}
	if (is_sent_unseen(connection, keep, fd))
		loss->is_overflowed = true;
	keep_unlock(keep, &signals);
}

/* What is skipped since its record's beginning is kept no more is lost, and counted. */
static uint64_t one_way_rewind(struct connection *connection, struct keep *keep,
			       const struct policy_transfer *transfer, uint64_t acknowledged)
{
	uint64_t has = ring_acknowledged(keep, acknowledged);
	uint64_t from = has > transfer->overlap_bytes ? has - transfer->overlap_bytes : 0;
	uint64_t oldest = ring_oldest(keep);

	if (from < oldest)
		from = oldest;
	if (record_begin(keep, transfer, oldest, &from))
		return from;
	from = record_next(keep, transfer, oldest);
	if (from > has)
		store_count(connection->record, COUNTER_lost_bytes, from - has);
	return from;
}

void keep_rewind(struct connection *connection, uint64_t acknowledged,
		 const struct policy_transfer *transfer)
{
	struct keep *keep = connection_kept(connection);
	uint64_t signals, from;

	keep_lock(keep, &signals);
	from = keep->is_answered ? keep->end : keep->start;
	if (transfer->replay == REPLAY_ONE_WAY)
		from = one_way_rewind(connection, keep, transfer, acknowledged);
	else if (keep->end > from)
		keep->exchanges++;
	if (keep->given > from)
		store_count(connection->record, COUNTER_replayed_bytes, keep->given - from);
	keep->given = keep->base = from;
	keep->unkept = 0;
	keep->is_rewound = true;
	if (keep->start > from)
		keep->start = from;
	keep_unlock(keep, &signals);
}

bool keep_is_given(const struct connection *connection)
{
	const struct keep *keep = connection_kept(connection);

	return keep->given > keep->base;
}

uint64_t keep_left(struct connection *connection, int fd)
{
	struct keep *keep = connection_kept(connection);
	uint64_t acknowledged, signals, left, given;

	keep_lock(keep, &signals);
	given = keep->given - keep->base;
	/* Closed unseen, it is the kernel that hands over what it was given; and before the first
	 * attempt to make it anew the socket still speaks of the connection that was lost. */
	if (!tcp_bytes_acknowledged(fd, &acknowledged) || acknowledged > given)
		acknowledged = given;
	left = keep->end - keep->base - acknowledged;
	keep_unlock(keep, &signals);
	return left;
}
