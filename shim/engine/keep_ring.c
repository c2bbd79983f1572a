/* SPDX-License-Identifier: MIT */
#include "keep_ring.h"

#include <errno.h>
#include <string.h>
#include <sys/uio.h>

#include "shim/sys.h"

size_t ring_piece(const struct keep *keep, uint64_t from, uint64_t to)
{
	uint64_t at = from % keep->size;

	return (size_t)(to - from < keep->size - at ? to - from : keep->size - at);
}

void ring_put(struct keep *keep, const uint8_t *bytes, size_t size)
{
	while (size) {
		size_t piece = ring_piece(keep, keep->end, keep->end + size);

		memcpy(keep->bytes + keep->end % keep->size, bytes, piece);
		keep->end += piece;
		bytes += piece;
		size -= piece;
	}
}

size_t ring_take(struct keep *keep, const uint8_t *bytes, size_t size)
{
	size_t taken = 0;

	while (taken < size) {
		size_t piece = ring_piece(keep, keep->end, keep->end + size - taken);
		struct iovec to = { keep->bytes + keep->end % keep->size, piece };
		struct iovec from = { (void *)(uintptr_t)(bytes + taken), piece };
		long copied = SYS(SYS_process_vm_readv, sys_getpid(), &to, 1, &from, 1, 0);

		if (copied < 0 && errno != EFAULT) { /* a sandbox does not know it */
			memcpy(to.iov_base, from.iov_base, piece);
			copied = (long)piece;
		}
		if (copied <= 0)
			break;
		keep->end += (uint64_t)copied;
		taken += (size_t)copied;
	}
	return taken;
}

static uint8_t ring_at(const struct keep *keep, uint64_t offset)
{
	return keep->bytes[offset % keep->size];
}

/* Behind the last newline before an offset, or the oldest byte if there is none. */
static uint64_t newline_before(const struct keep *keep, uint64_t oldest, uint64_t at)
{
	while (at > oldest) {
		uint64_t part = (at - 1) % keep->size + 1;
		size_t size = (size_t)(part < at - oldest ? part : at - oldest);
		const uint8_t *piece = keep->bytes + part - size;
		const uint8_t *found = memrchr(piece, '\n', size);

		if (found)
			return at - size + (uint64_t)(found - piece) + 1;
		at -= size;
	}
	return at;
}

bool record_begin(const struct keep *keep, const struct policy_transfer *transfer, uint64_t oldest,
		  uint64_t *offset)
{
	uint64_t at = *offset;

	if (transfer->record_length) {
		at -= at % transfer->record_length;
		*offset = at;
		return at >= oldest;
	}
	at = newline_before(keep, oldest, at);
	*offset = at;
	/* What is kept begins with a record, and may be the oldest that is there. */
	return at == 0 || at == keep->start || (at > oldest && ring_at(keep, at - 1) == '\n');
}

uint64_t record_next(const struct keep *keep, const struct policy_transfer *transfer,
		     uint64_t offset)
{
	uint32_t length = transfer->record_length;

	if (length)
		return (offset + length - 1) / length * length;
	while (offset < keep->end && ring_at(keep, offset) != '\n')
		offset++;
	return offset < keep->end ? offset + 1 : offset;
}

uint64_t ring_acknowledged(const struct keep *keep, uint64_t acknowledged)
{
	uint64_t has = keep->base + acknowledged;

	return has < keep->given ? has : keep->given;
}

uint64_t ring_oldest(const struct keep *keep)
{
	uint64_t oldest = keep->end > keep->size ? keep->end - keep->size : 0;

	return oldest > keep->floor ? oldest : keep->floor;
}

void ring_recover(struct keep *keep, const struct policy_transfer *transfer, uint64_t has)
{
	uint64_t next;

	if (!keep->is_overflowed)
		return;
	next = record_next(keep, transfer, keep->start);
	if (next <= has && record_begin(keep, transfer, keep->start, &next) && next > keep->start) {
		keep->start = next;
		keep->is_overflowed = false;
	}
}
