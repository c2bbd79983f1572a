/* SPDX-License-Identifier: MIT */
/*
 * Events out of a ring that others write to.  A slot is copied, and the copy
 * believed only if its ticket is the one expected, its checksum is right, and
 * the slot still had the same ticket afterwards.
 */
#include <string.h>

#include "reader.h"
#include "shim/sys.h"
#include "shim/words.h"

/* A writer that has not finished after this long has died. */
#define WRITER_PATIENCE_NS (INT64_C(500) * 1000000)

/* A ring without its slots. */
struct ring_head {
	uint64_t magic;
	uint32_t version;
	uint32_t size;
	uint32_t event_size;
	uint32_t capacity;
	uint64_t next;
};
_Static_assert(sizeof(struct ring_head) == offsetof(struct event_file, slots) &&
		       offsetof(struct ring_head, next) == offsetof(struct event_file, next),
	       "as struct event_file begins");

static int64_t monotonic_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static bool ring_head_read(int fd, struct ring_head *head)
{
	return sys_pread_full(fd, head, sizeof(*head), 0) == (ssize_t)sizeof(*head);
}

static bool ring_valid(int fd)
{
	struct ring_head head;

	return ring_head_read(fd, &head) && head.magic == STORE_MAGIC_EVENTS &&
	       head.version == STORE_VERSION && head.size == sizeof(struct event_file) &&
	       head.event_size == sizeof(struct store_event) && head.capacity == EVENTS_IN_RING;
}

static uint64_t ring_next(int fd)
{
	struct ring_head head;

	return ring_head_read(fd, &head) ? head.next : 0;
}

static uint64_t ring_oldest(uint64_t next)
{
	return next > EVENTS_IN_RING ? next - EVENTS_IN_RING : 0;
}

static void ring_open(struct event_reader *reader)
{
	struct file_facts facts;

	reader->fitness = file_open(reader->directory, "events", &reader->fd, &facts);
	if (reader->fitness == FILE_FIT && !ring_valid(reader->fd))
		reader->fitness = FILE_DAMAGED;
	if (reader->fitness != FILE_FIT) {
		event_reader_close(reader);
		return;
	}
	reader->inode = facts.inode;
	reader->number = ring_oldest(ring_next(reader->fd));
	reader->waited_for = 0;
}

void event_reader_open(struct event_reader *reader, int directory)
{
	*reader = (struct event_reader){ .directory = directory, .fd = -1 };
	ring_open(reader);
}

void event_reader_close(struct event_reader *reader)
{
	int error = errno;

	if (reader->fd >= 0)
		sys_close(reader->fd);
	reader->fd = -1;
	reader->waiting_since_ns = 0;
	errno = error;
}

void event_reader_refresh(struct event_reader *reader)
{
	struct stat status;

	if (reader->fd >= 0) {
		if (fstatat(reader->directory, "events", &status, AT_SYMLINK_NOFOLLOW) == 0 &&
		    status.st_ino == reader->inode)
			return;
		event_reader_close(reader);
	}
	ring_open(reader);
}

enum slot_reading { SLOT_WHOLE, SLOT_UNWRITTEN, SLOT_OVERWRITTEN, SLOT_TORN };

static enum slot_reading slot_read(int fd, uint64_t number, struct store_event *event)
{
	struct event_slot slot;
	uint64_t at = sizeof(struct ring_head) + number % EVENTS_IN_RING * sizeof(slot);
	uint64_t ticket;

	/* A file cut short: nothing will ever be there. */
	if (sys_pread_full(fd, &slot, sizeof(slot), at) != (ssize_t)sizeof(slot))
		return SLOT_TORN;
	ticket = LOAD(slot.ticket);
	if (ticket != number + 1)
		return ticket > number + 1 ? SLOT_OVERWRITTEN : SLOT_UNWRITTEN;
	if (event_checksum(&slot.event, ticket) != LOAD(slot.checksum))
		return SLOT_TORN;
	if (sys_pread_full(fd, &ticket, sizeof(ticket), at) != (ssize_t)sizeof(ticket) ||
	    ticket != number + 1)
		return SLOT_OVERWRITTEN;
	*event = slot.event;
	return SLOT_WHOLE;
}

/*
 * True while the writer of the next event may still be at it. One wait is enough
 * for all that had been claimed when it began.
 */
static bool writer_awaited(struct event_reader *reader, uint64_t next)
{
	int64_t now = monotonic_ns();

	if (reader->number < reader->waited_for)
		return false;
	if (!reader->waiting_since_ns) {
		reader->waiting_since_ns = now;
		reader->waiting_for = next;
	}
	if (now - reader->waiting_since_ns < WRITER_PATIENCE_NS)
		return true;
	reader->waited_for = reader->waiting_for;
	return false;
}

static void event_skip(struct event_reader *reader)
{
	reader->number++;
	reader->lost++;
	reader->waiting_since_ns = 0;
}

enum event_result event_reader_next(struct event_reader *reader, struct store_event *event)
{
	if (reader->fd < 0)
		return EVENT_END;
	for (;;) {
		uint64_t next = ring_next(reader->fd);

		if (ring_oldest(next) > reader->number) {
			reader->lost += ring_oldest(next) - reader->number;
			reader->number = ring_oldest(next);
		}
		if (reader->number >= next)
			return EVENT_END;
		switch (slot_read(reader->fd, reader->number, event)) {
		case SLOT_WHOLE:
			reader->number++;
			reader->waiting_since_ns = 0;
			return EVENT_READ;
		case SLOT_UNWRITTEN:
			if (writer_awaited(reader, next))
				return EVENT_WAIT;
			event_skip(reader);
			break;
		case SLOT_OVERWRITTEN:
		case SLOT_TORN:
		default:
			event_skip(reader);
			break;
		}
	}
}
