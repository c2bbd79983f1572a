/* SPDX-License-Identifier: MIT */
/*
 * The files of a state directory, as they lie on disk and in every writer's
 * memory.  All of it is plain words in native byte order; a file of another
 * version, size or architecture is set aside, never converted.
 *
 *   STATE/                 0700
 *     lock                 flock()ed by whoever folds (exclusive) or sums up (shared)
 *     totals               struct totals_file: what finished processes left; replaced by rename
 *     events               struct event_file: one ring for all processes
 *     process/PID-NONCE    struct process_file: one per process, its writer's alone but for
 *                          reconnect_wanted and reconnects_wanted
 *     policy/HASH          compiled policies
 *
 * Rules that keep readers safe without locks:
 *  - A counter is one 64-bit word and only ever grows.
 *  - A record is claimed with a compare-and-swap on its state word, filled, and
 *    published by storing RECORD_READY with release order; afterwards only single
 *    words of it change.
 *  - An event's ticket is zeroed first and written last.
 *  - A slot belongs to one endpoint for ever, so that an endpoint's bytes are the
 *    sum over its slots and nothing ever has to be moved.
 *  - A reader writes nothing but a slot's reconnect_wanted, and there only a
 *    generation that it has seen in that slot, and then adds to reconnects_wanted.
 */
#ifndef HOLDFAST_STORE_LAYOUT_H
#define HOLDFAST_STORE_LAYOUT_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "endpoint.h"

#define STORE_VERSION 1
#define STORE_MAGIC_PROCESS UINT64_C(0x0a434f5250465248) /* "HRFPROC\n" */
#define STORE_MAGIC_EVENTS UINT64_C(0x0a544e5645465248)  /* "HRFEVNT\n" */
#define STORE_MAGIC_TOTALS UINT64_C(0x0a544f5454465248)  /* "HRFTTOT\n" */

/*
 * C(name): every counter, in the order in which they are stored and shown.
 * The design's words; retries_denied_* are the causes of `retries_denied`;
 * backoff is kept in nanoseconds and shown as backoff_seconds; attempts are added up
 * by readers.
 */
#define STORE_COUNTERS(C)          \
	C(operations)              \
	C(succeeded)               \
	C(recovered)               \
	C(failures)                \
	C(fallbacks)               \
	C(abandoned)               \
	C(attempts)                \
	C(attempt_failures)        \
	C(retries)                 \
	C(retries_denied_limit)    \
	C(retries_denied_deadline) \
	C(retries_denied_budget)   \
	C(retries_denied_breaker)  \
	C(retries_denied_unsafe)   \
	C(retries_denied_buffer)   \
	C(reconnects)              \
	C(reconnect_failures)      \
	C(failovers)               \
	C(replayed_bytes)          \
	C(lost_bytes)              \
	C(sent_bytes)              \
	C(received_bytes)          \
	C(backoff_ns)

enum store_counter {
#define COUNTER_ENUM(name) COUNTER_##name,
	STORE_COUNTERS(COUNTER_ENUM)
#undef COUNTER_ENUM
		COUNTER_COUNT
};

/*
 * Time to recovery: upper bounds in milliseconds of the histogram's buckets; one
 * more bucket takes the rest.  30 s is the promise of the oldest requirement.
 */
#define RECOVERY_BOUNDS_MS                                                              \
	{                                                                               \
		10, 50, 100, 500, 1000, 2000, 5000, 10000, 30000, 60000, 300000, 900000 \
	}
#define RECOVERY_BUCKETS 13

/* How many operations there are; the names are enum policy_operation's. */
#define STORE_OPERATIONS 3

enum record_state { RECORD_FREE, RECORD_CLAIMED, RECORD_READY };

/* One endpoint and operation. sent_bytes and received_bytes in counters[] hold
 * only what was moved on connections without a slot of their own. */
struct endpoint_record {
	_Atomic uint32_t state;   /* enum record_state */
	uint32_t operation;       /* enum policy_operation */
	struct endpoint endpoint; /* ENDPOINT_OTHER in the first STORE_OPERATIONS */
	_Atomic uint64_t counters[COUNTER_COUNT];
	_Atomic uint64_t recovery[RECOVERY_BUCKETS];
	_Atomic uint64_t recovery_sum_ns;
	_Atomic int64_t last_error;       /* errno, or a negative getaddrinfo code; 0: none */
	_Atomic int64_t last_error_at_ns; /* CLOCK_REALTIME; 0: never */
	_Atomic int64_t last_success_at_ns;
};

enum slot_state {
	SLOT_FREE, /* never used */
	SLOT_CONNECTING,
	SLOT_CONNECTED,
	SLOT_RECONNECTING,
	SLOT_DISCONNECTED,
	SLOT_FAILED
};

/*
 * One managed connection.  Reused for later connections to the same endpoint;
 * generation counts them.  sent_bytes and received_bytes never go back: the
 * connection's own bytes are those since sent_base and received_base.
 *
 * A reader asks for the connection to be rebuilt by storing its generation in
 * reconnect_wanted. in_use tells the record of the endpoint that it is connected
 * to, where it was moved to another one of a pool; its bytes stay with its own.
 */
struct connection_slot {
	_Atomic uint64_t sent_bytes;
	_Atomic uint64_t received_bytes;
	_Atomic uint32_t state; /* enum slot_state */
	_Atomic uint32_t
		endpoint; /* index of the endpoint's record, written before the first use */
	_Atomic uint32_t generation; /* 1 is the first connection */
	_Atomic int32_t fd;          /* as it was at connect() */
	_Atomic uint64_t sent_base;
	_Atomic uint64_t received_base;
	_Atomic int64_t opened_at_ns;    /* CLOCK_REALTIME at connect() */
	_Atomic int64_t connected_at_ns; /* 0: never */
	_Atomic int64_t changed_at_ns;   /* last change of state */
	_Atomic uint32_t attempts;       /* of the operation in progress, or of the last one */
	_Atomic uint32_t reconnects;
	_Atomic uint32_t consecutive_failures;
	_Atomic int32_t last_error;
	_Atomic int64_t reconnect_latency_ns; /* of the last reconnect; 0: none */
	_Atomic int32_t rule;                 /* index into the policy, -1: the defaults */
	_Atomic uint32_t next_free;           /* writer's own: index + 1 of the next free slot */
	_Atomic uint32_t reconnect_wanted;    /* generation to be rebuilt; 0: none */
	_Atomic uint32_t in_use;              /* index + 1 of a record; 0: endpoint's */
	uint32_t reserved[2];
	_Atomic uint64_t answered_bytes; /* sent_bytes, when the last byte was received */
};
_Static_assert(sizeof(struct connection_slot) == 128, "two cache lines a slot");

enum process_state { PROCESS_RUNNING = 1, PROCESS_EXITED };

#define PROGRAM_NAME_SIZE 64

/* Identity, written once before the file is given its name. */
struct process_identity {
	uint64_t proc_device; /* identity_proc_device(): stands for the pid namespace; 0: unknown */
	/*
	 * CLOCK_BOOTTIME when the file was made. It tells the boot as well as the
	 * process: what lies ahead of the clock is of an earlier boot, and a process
	 * that began later only has the same number.
	 */
	int64_t boottime_ns;
	int64_t started_at_ns; /* CLOCK_REALTIME when the file was made */
	int32_t pid;           /* as the process itself sees it */
	uint32_t nonce;
	uint32_t parent_nonce; /* of the process that this one was forked from; 0: none */
	uint32_t uid;
	char program[PROGRAM_NAME_SIZE]; /* basename of the executable, never an argument */
};

#define ENDPOINTS_PER_PROCESS 100 /* the first STORE_OPERATIONS are `other` */
#define SLOTS_PER_PROCESS 65536
#define SLOTS_PER_CHUNK 128 /* disk space is reserved in chunks of this many */

struct process_file {
	uint64_t magic;
	uint32_t version;
	uint32_t size; /* sizeof(struct process_file) */
	struct process_identity identity;
	_Atomic uint32_t state;             /* enum process_state */
	_Atomic uint32_t slots_used;        /* slots handed out so far */
	_Atomic uint32_t slots_reserved;    /* slots that have disk space behind them */
	_Atomic uint32_t reconnects_wanted; /* changes after a slot's reconnect_wanted has */
	_Atomic int64_t updated_at_ns;      /* last event of any kind, CLOCK_REALTIME */
	_Atomic int64_t ended_at_ns;
	_Atomic uint64_t events_lost; /* could not be written to the ring */
	struct endpoint_record endpoints[ENDPOINTS_PER_PROCESS];
	/* Sparse beyond slots_reserved. */
	_Alignas(64) struct connection_slot slots[SLOTS_PER_PROCESS];
};

#define EVENTS_IN_RING 8192

/* What has disk space from the start: the header, the endpoints, one chunk of slots. */
#define PROCESS_FIRST_BYTES \
	(offsetof(struct process_file, slots) + SLOTS_PER_CHUNK * sizeof(struct connection_slot))

enum store_event_kind {
	EVENT_CONNECT_RETRY = 1,
	EVENT_CONNECT_RECOVERED,
	EVENT_CONNECT_FAILED,
	EVENT_RESOLVE_RETRY,
	EVENT_RESOLVE_RECOVERED,
	EVENT_RESOLVE_FAILED,
	EVENT_FALLBACK,
	EVENT_ABANDONED,
	EVENT_CONNECTION_LOST,
	EVENT_RECONNECT_ATTEMPT,
	EVENT_RECONNECT_SUCCESS,
	EVENT_RECONNECT_FAILURE,
	EVENT_MAX_RETRIES_EXCEEDED,
	EVENT_POLICY_LOADED,
	EVENT_POLICY_ERROR,
	EVENT_STORE_ERROR,
	EVENT_TRANSFER_RETRY,
	EVENT_KIND_COUNT
};

enum store_event_level { LEVEL_INFO, LEVEL_WARNING, LEVEL_CRITICAL };

/* All of an event that its writer says; the words' numbers are the policy's enums. */
struct store_event {
	int64_t time_ns; /* CLOCK_REALTIME */
	uint64_t delay_ns;
	int32_t pid;
	uint32_t nonce;
	uint32_t slot; /* UINT32_MAX: no connection */
	uint32_t generation;
	int32_t error; /* errno, or a negative getaddrinfo code; 0: none */
	uint32_t attempt;
	uint8_t kind;      /* enum store_event_kind */
	uint8_t level;     /* enum store_event_level */
	uint8_t operation; /* enum policy_operation */
	uint8_t category;  /* enum policy_category; 0xff: none */
	uint8_t decision;  /* enum policy_decision; 0xff: none */
	uint8_t verdict;   /* enum policy_action_taken; 0xff: none */
	uint8_t cause;     /* enum policy_cause */
	uint8_t has_endpoint;
	struct endpoint endpoint;
	char program[PROGRAM_NAME_SIZE];
	char rule[32]; /* its name, cut; "" for the defaults */
	char detail
		[128]; /* of policy_error and store_error: the line that was said; of a loss: bytes */
};

struct event_slot {
	_Atomic uint64_t ticket;   /* number of the event plus one; 0: being written */
	_Atomic uint64_t checksum; /* event_checksum(): told a torn event from a whole one */
	struct store_event event;
};

struct event_file {
	uint64_t magic;
	uint32_t version;
	uint32_t size; /* sizeof(struct event_file) */
	uint32_t event_size;
	uint32_t capacity;
	_Atomic uint64_t next; /* number of the next event */
	struct event_slot slots[EVENTS_IN_RING];
};

/* Which process files are in the totals but may still have their names. */
struct folded_process {
	int32_t pid;
	uint32_t nonce;
};

#define FOLDED_AT_ONCE 64
/* The first STORE_OPERATIONS records are `other`, one for each operation. */
#define ENDPOINTS_IN_TOTALS 1024

/* Written whole to a temporary file and renamed; only its used endpoints are written. */
struct totals_file {
	uint64_t magic;
	uint32_t version;
	uint32_t header_size; /* offsetof(struct totals_file, endpoints) */
	uint32_t record_size; /* sizeof(struct endpoint_record) */
	uint32_t endpoint_count;
	uint64_t processes; /* how many were ever folded */
	uint32_t folded_count;
	uint32_t reserved;
	struct folded_process folded[FOLDED_AT_ONCE];
	uint64_t checksum;                  /* of everything but this word */
	struct endpoint_record endpoints[]; /* endpoint_count of them */
};

/* Sums an event with its ticket; FNV-1a over 64-bit words. */
uint64_t event_checksum(const struct store_event *event, uint64_t ticket);
uint64_t totals_checksum(const struct totals_file *totals);

#endif
