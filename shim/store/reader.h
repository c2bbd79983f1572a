/* SPDX-License-Identifier: MIT */
/*
 * The reader's side of the store, for the tool alone: allocates.  Creates nothing
 * and, but for reconnect_ask(), needs no write permission.  Not thread-safe.
 */
#ifndef HOLDFAST_STORE_READER_H
#define HOLDFAST_STORE_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fold.h"
#include "inspect.h"
#include "layout.h"

/* ---- counts and connections --------------------------------------------- */

enum reader_state {
	READER_RUNNING,
	READER_EXITED,
	READER_VANISHED,
	READER_UNKNOWN /* of another pid namespace */
};

/* head is consulted where the process itself could not be judged. */
enum reader_state reader_state_of(const struct process_file *head, enum process_liveness liveness);

struct reader_connection {
	struct connection_slot slot; /* a copy */
	uint32_t index;
	struct endpoint endpoint;     /* of its record */
	struct endpoint connected_to; /* the same, unless it was moved to another one of a pool */
};

/* A process whose file has not been folded. */
struct reader_process {
	struct process_identity identity; /* program is terminated */
	enum reader_state state;
	int64_t updated_at_ns; /* CLOCK_REALTIME */
	int64_t ended_at_ns;
	uint64_t events_lost;
	uint64_t counters[COUNTER_COUNT];      /* over all endpoints, slots' bytes included */
	struct reader_connection *connections; /* slots that were ever used */
	size_t connection_count;
};

struct snapshot {
	uint64_t totals[COUNTER_COUNT]; /* over folded and unfolded processes */
	/* The same by endpoint and operation, no pair twice, in no particular order. */
	struct endpoint_record *endpoints;
	size_t endpoint_count;
	struct reader_process *processes; /* by the time when they started */
	size_t process_count;
	uint64_t processes_folded;
	bool totals_damaged;  /* the file `totals` was not used */
	size_t files_damaged; /* process files that were not used, those set aside included */
	size_t files_unread;  /* process files that could not be read */
};

/*
 * Sums up a state directory: every increment once, whoever folds meanwhile, and
 * never less than a snapshot taken before. False with errno if the directory or
 * the totals cannot be read. Waits up to a second for a fold in progress.
 */
bool snapshot_read(struct snapshot *snapshot, int directory);
void snapshot_free(struct snapshot *snapshot);

/* ---- asking for a reconnect --------------------------------------------------- */

struct connection_id {
	int32_t pid;
	uint32_t nonce;
	uint32_t slot;
	uint32_t generation; /* 1 is the first */
};

enum reconnect_answer {
	RECONNECT_ASKED,
	RECONNECT_EARLY,         /* nothing is connected yet */
	RECONNECT_ENDED,         /* disconnected or failed */
	RECONNECT_CLOSED,        /* the slot has a later connection */
	RECONNECT_IMMOVABLE,     /* not a TCP connection */
	RECONNECT_NO_CONNECTION, /* the slot never had this one */
	RECONNECT_PROCESS_GONE,
	RECONNECT_NO_PROCESS,
	RECONNECT_DAMAGED,
	RECONNECT_UNREADABLE, /* errno says why */
	RECONNECT_UNWRITABLE  /* errno says why */
};

/* What was found on the way to an answer; zero where it was not come to. */
struct reconnect_found {
	enum reader_state process; /* READER_UNKNOWN is asked as well */
	uint32_t state;            /* enum slot_state */
	uint32_t generation;       /* that the slot has now */
	struct endpoint connected_to;
};

/*
 * Asks the process to drop a connection and rebuild it at its next call on it, and
 * does not wait for that: stores the generation in the slot's reconnect_wanted, and
 * writes nothing else. Every answer but RECONNECT_ASKED leaves the file as it was.
 * directory is the state directory, open for reading; the numbers of id are checked.
 */
enum reconnect_answer reconnect_ask(int directory, const struct connection_id *id,
				    struct reconnect_found *found);

/* ---- events ---------------------------------------------------------------- */

struct event_reader {
	int directory; /* the caller's */
	int fd;        /* -1: no usable file at the moment */
	uint64_t inode;
	uint64_t number;           /* of the next event to read */
	uint64_t lost;             /* overwritten before they were read, or torn */
	int64_t waiting_since_ns;  /* CLOCK_MONOTONIC; 0: not waiting for a writer */
	uint64_t waiting_for;      /* numbers below were claimed when the wait began */
	uint64_t waited_for;       /* numbers below have been waited for long enough */
	enum file_fitness fitness; /* of the file when it was last looked at */
};

enum event_result {
	EVENT_READ,
	EVENT_WAIT, /* the next one is being written: ask again */
	EVENT_END   /* no more at present */
};

/* Begins at the oldest event that is still in the ring. */
void event_reader_open(struct event_reader *reader, int directory);
/* Only whole events, in the order in which they were numbered. */
enum event_result event_reader_next(struct event_reader *reader, struct store_event *event);
/* Looks whether another file has taken the name, and goes on with its first event if so. */
void event_reader_refresh(struct event_reader *reader);
void event_reader_close(struct event_reader *reader);

#endif
