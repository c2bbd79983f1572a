/* SPDX-License-Identifier: MIT */
/*
 * The compiled policy: one flat block of memory without pointers, and the pure
 * functions that read it.  Nothing here allocates, locks, reads a clock or
 * draws a random number: time and randomness are arguments.  Every function in
 * this header is safe in any thread and in a signal handler.
 *
 * JSON becomes a compiled policy in compile.h, away from the host program.
 */
#ifndef HOLDFAST_POLICY_H
#define HOLDFAST_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Durations are nanoseconds; DURATION_OFF means "no limit" or "switched off". */
#define DURATION_OFF UINT64_MAX
#define RETRIES_UNLIMITED UINT32_MAX
#define RULE_NONE (-1)

enum policy_operation {
	OPERATION_CONNECT,
	OPERATION_RESOLVE,
	OPERATION_RECONNECT,
	OPERATION_COUNT
};

enum policy_category {
	CATEGORY_NETWORK,
	CATEGORY_RATE_LIMIT,
	CATEGORY_DATA,
	CATEGORY_SYSTEM,
	CATEGORY_TEMPORARY,
	CATEGORY_PERMANENT,
	CATEGORY_AUTH,
	CATEGORY_UNKNOWN,
	CATEGORY_COUNT
};

enum policy_decision {
	DECISION_NONE,
	DECISION_IMMEDIATE,
	DECISION_DELAY,
	DECISION_BACKOFF,
	DECISION_COUNT
};

enum policy_jitter { JITTER_RATIO, JITTER_FULL, JITTER_EQUAL, JITTER_DECORRELATED };

enum policy_siblings { SIBLINGS_PROBE, SIBLINGS_WALK };

enum policy_replay { REPLAY_NEVER, REPLAY_UNSENT, REPLAY_UNANSWERED, REPLAY_ONE_WAY };

enum policy_balance { BALANCE_FIRST, BALANCE_ROUND_ROBIN, BALANCE_RANDOM, BALANCE_STICKY };

enum policy_when_open { WHEN_OPEN_WAIT, WHEN_OPEN_FAIL };

enum policy_action { ACTION_MANAGE, ACTION_BYPASS };

struct policy_strategy {
	uint64_t base_delay_ns;
	uint64_t max_delay_ns;
	double backoff_factor; /* >= 1 */
	double jitter_ratio;   /* 0..1, for JITTER_RATIO */
	uint32_t max_retries;  /* the first attempt not counted; or RETRIES_UNLIMITED */
	uint8_t decision;      /* enum policy_decision */
	uint8_t jitter;        /* enum policy_jitter */
	uint8_t reserved[2];
};

struct policy_connect {
	uint64_t attempt_timeout_ns;
	uint64_t deadline_ns;
	uint8_t siblings; /* enum policy_siblings */
	/*
	 * Set when attempt_timeout was chosen by a file or an override instead of
	 * by the profile `standard`: bounding the first attempt of a blocking
	 * socket costs system calls, and `standard` must add none before the first
	 * failure.
	 */
	uint8_t first_attempt_bounded;
	uint8_t reserved[6];
};

struct policy_resolve {
	uint64_t deadline_ns;
};

struct policy_transfer {
	uint64_t max_buffer_bytes;
	uint64_t overlap_bytes;
	uint64_t drain_ns;
	uint32_t max_attempts;
	uint32_t record_length; /* bytes; 0: records end at a newline */
	uint8_t replay;         /* enum policy_replay */
	uint8_t reserved[7];
};

struct policy_heartbeat {
	uint64_t idle_ns; /* DURATION_OFF: no heartbeat */
	uint64_t interval_ns;
	uint64_t user_timeout_ns; /* DURATION_OFF: idle + interval * count, or none */
	uint64_t idle_timeout_ns;
	uint32_t count;
	uint32_t reserved;
};

struct policy_breaker {
	double failure_ratio;
	uint64_t window_ns;
	uint64_t open_for_ns;
	uint64_t max_open_for_ns;
	uint64_t half_open_lease_ns;
	uint32_t consecutive_failures; /* 0: no breaker */
	uint32_t min_samples;
	uint32_t half_open_permits;
	uint8_t when_open; /* enum policy_when_open */
	uint8_t reserved[3];
};

struct policy_budget {
	double ratio; /* retries per first attempt; negative: no budget */
	double min_per_second;
	uint64_t window_ns;
};

struct policy_share {
	uint64_t probe_interval_ns;
	uint64_t resume_window_ns;
	uint8_t enabled;
	uint8_t reserved[7];
};

/* Error numbers up to here can be reclassified; Linux ends at 133 (EHWPOISON). */
#define ERRNO_LIMIT 136
#define EAI_LIMIT 16 /* getaddrinfo codes are -1..-15, and the GNU ones beyond are permanent */

/* Everything that a rule can set: merged already, so nothing is looked up twice. */
struct policy_settings {
	struct policy_connect connect;
	struct policy_resolve resolve;
	struct policy_transfer transfer;
	struct policy_heartbeat heartbeat;
	struct policy_breaker breaker;
	struct policy_budget budget;
	struct policy_share share;
	struct policy_strategy strategies[CATEGORY_COUNT];
	uint8_t classify_errno[ERRNO_LIMIT]; /* 0: built in, else category + 1 */
	uint8_t classify_eai[EAI_LIMIT];     /* indexed by -code, the same way */
};

/* What a compiled file was made from: if all of it is equal the copy is current. */
struct policy_source {
	uint64_t device;
	uint64_t inode;
	uint64_t size;
	int64_t mtime_ns;
	int64_t ctime_ns;
	uint64_t path_hash; /* of the absolute path, or of the inline text */
};

/* A range of one of the arrays behind the header. */
struct policy_span {
	uint32_t first;
	uint32_t count;
};

struct policy_prefix {
	uint8_t address[16]; /* IPv4 as ::ffff:a.b.c.d */
	uint32_t bits;       /* 0..128 */
	uint32_t scope_id;   /* 0: any */
};

struct policy_ports {
	uint16_t low;
	uint16_t high;
};

struct policy_pool_endpoint {
	uint8_t address[16];
	uint32_t scope_id;
	uint16_t port;
	uint8_t is_ipv6;
	uint8_t reserved;
};

struct policy_pool {
	uint32_t name; /* offset of a string */
	uint32_t balance;
	struct policy_span endpoints;
};

struct policy_rule {
	uint32_t name;   /* offset of a string */
	int32_t pool;    /* index, or -1 */
	uint32_t action; /* enum policy_action */
	uint32_t reserved;
	/* An empty span matches everything. */
	struct policy_span programs;  /* of strings */
	struct policy_span hosts;     /* of strings */
	struct policy_span paths;     /* of strings */
	struct policy_span addresses; /* of prefixes */
	struct policy_span ports;     /* of port ranges */
	struct policy_settings settings;
};

struct policy_alerts {
	uint32_t consecutive_failures;
	uint32_t reconnects;
};

struct policy_store {
	uint64_t retention_ns;
	uint64_t max_size_bytes;
};

#define POLICY_MAGIC UINT64_C(0x0159434c4f504648) /* "HFPOLCY" 1, little endian */
#define POLICY_LAYOUT 1

/* Offsets are bytes from the start of the policy; arrays are 8-byte aligned. */
struct policy {
	uint64_t magic;
	uint64_t checksum; /* policy_checksum() of all that follows this word */
	uint32_t layout;   /* POLICY_LAYOUT; in the high half sizeof(struct policy_rule) */
	uint32_t size;     /* bytes, arrays and strings included */
	struct policy_source source;
	struct policy_alerts alerts;
	struct policy_store store;
	uint32_t profile; /* offset of the profile's name */
	uint32_t origin;  /* offset of the file's path, "" for a shipped profile */
	uint32_t rule_count, rule_offset;
	uint32_t pool_count, pool_offset;
	uint32_t pool_endpoint_count, pool_endpoint_offset;
	uint32_t prefix_count, prefix_offset;
	uint32_t ports_count, ports_offset;
	uint32_t string_count, string_offset; /* uint32_t offsets of strings, for spans */
	uint32_t shipped_rule_count;          /* so many at the end of the rules are `standard`'s */
	uint32_t reserved;
	struct policy_settings defaults;
};

/* ---- access ---------------------------------------------------------- */

/* True if size bytes at block are a whole compiled policy of this layout. */
bool policy_valid(const void *block, size_t size);
uint64_t policy_checksum(const struct policy *policy);

/* The string at an offset that the policy itself holds. */
const char *policy_string(const struct policy *policy, uint32_t offset);
const struct policy_rule *policy_rule(const struct policy *policy, int rule);
/* Whether a rule is one of those that every policy ends with, whatever its file says. */
bool policy_rule_is_shipped(const struct policy *policy, int rule);
const struct policy_pool *policy_pool(const struct policy *policy, int pool);
const struct policy_pool_endpoint *policy_pool_endpoint(const struct policy *policy,
							uint32_t index);

/* The settings of a rule, or the defaults for RULE_NONE. */
const struct policy_settings *policy_settings(const struct policy *policy, int rule);

/* A shipped profile by name, compiled into the caller; NULL if there is none. */
const struct policy *policy_profile(const char *name);
/* The name of the i-th shipped profile, NULL past the last. */
const char *policy_profile_name(unsigned int i);

/* ---- matching ---------------------------------------------------------- */

/* Where a program wants to go. Unknown strings are NULL. */
struct policy_destination {
	const char *exec_path;   /* AT_EXECFN, as the program was started */
	const char *exe_path;    /* what /proc/self/exe names */
	const char *host;        /* the name that the address was looked up by */
	const char *unix_path;   /* AF_UNIX: the path, "@name" if abstract */
	uint64_t other_programs; /* policy_rules_of_others(), or 0 */
	uint8_t address[16];     /* IPv4 as ::ffff:a.b.c.d */
	uint32_t scope_id;
	uint16_t port; /* host byte order */
	bool is_unix;
};

enum policy_match {
	MATCH_OK,
	MATCH_PROGRAMS,
	MATCH_HOSTS,
	MATCH_HOST_UNKNOWN, /* the rule names hosts, and the address has no known name */
	MATCH_ADDRESSES,
	MATCH_PORTS,
	MATCH_PATHS,
	MATCH_NO_PATHS /* AF_UNIX needs a rule that names paths */
};

/* The first field of the rule that does not match, or MATCH_OK. */
enum policy_match policy_rule_match(const struct policy *policy, int rule,
				    const struct policy_destination *destination);

/*
 * Bits of those among the first 64 rules that are for other programs than the
 * destination's. A program stays the same, so that this need not be found out again for
 * each of its destinations.
 */
uint64_t policy_rules_of_others(const struct policy *policy,
				const struct policy_destination *destination);

/* The first rule that matches, or RULE_NONE. */
int policy_rule_find(const struct policy *policy, const struct policy_destination *destination);

/* ---- classification ------------------------------------------------------ */

enum policy_category policy_classify(const struct policy_settings *settings, int family, int error);
/* code: what getaddrinfo returned, such as EAI_AGAIN. */
enum policy_category policy_classify_eai(const struct policy_settings *settings, int code);

/* ---- the decision ---------------------------------------------------------- */

enum policy_breaker_state { BREAKER_CLOSED, BREAKER_OPEN, BREAKER_HALF_OPEN };

/* What is known of the other addresses of the name that was looked up. */
enum policy_sibling {
	SIBLING_NONE,    /* no other address is known to answer */
	SIBLING_AHEAD,   /* another answers, and the program has not tried it yet */
	SIBLING_UNTRIED, /* others are left, and waiting here is not for us (walk, no route) */
	SIBLING_SPENT    /* the name's limits were reached at another address */
};

/* What is known of a connection that was lost after it had been made. */
struct policy_loss {
	uint64_t bytes_moved; /* that were sent or received on it, by either side's kernel */
	uint32_t exchanges;   /* how often this exchange was sent again already */
	bool is_shared;       /* with another process */
	bool is_half_closed;  /* by the program */
	bool is_session;      /* TLS or SSH, and an answer byte came: its state is lost with it */
	bool is_answered;     /* an answer byte was delivered since the last that was sent */
	bool is_overflowed;   /* not all that would have to be sent again was kept */
	bool is_immovable;    /* the kernel cannot connect this socket again */
};

/* What is known when an attempt has failed. */
struct policy_situation {
	uint8_t operation; /* enum policy_operation */
	uint8_t category;  /* enum policy_category */
	uint8_t breaker;   /* enum policy_breaker_state */
	uint8_t sibling;   /* enum policy_sibling */
	bool budget_empty;
	bool other_endpoint; /* another endpoint of the destination is left in this round */
	int error;           /* errno or getaddrinfo code, never 0 */
	/* Attempts made so far, over a name or a pool: rounds; 0: a connection was lost, see loss. */
	uint32_t attempt;
	uint64_t previous_delay_ns;     /* 0 before the first retry */
	uint64_t elapsed_ns;            /* since the operation began */
	uint64_t random;                /* uniform over 64 bits */
	const struct policy_loss *loss; /* NULL unless it is to be decided whether to rebuild */
};

enum policy_action_taken {
	VERDICT_RETRY_NOW,
	VERDICT_RETRY_AFTER,
	VERDICT_NEXT_ENDPOINT,
	VERDICT_PASS_ON, /* not ours to retry: the program gets the error as it is */
	VERDICT_GIVE_UP  /* retried, and a limit was reached */
};

enum policy_cause {
	CAUSE_NONE,
	CAUSE_CATEGORY, /* its decision is "none" */
	CAUSE_LIMIT,    /* max_retries */
	CAUSE_DEADLINE,
	CAUSE_BUDGET,
	CAUSE_BREAKER,
	CAUSE_UNSAFE,
	CAUSE_BUFFER,
	CAUSE_FALLBACK, /* the program goes on to another address of the name */
	CAUSE_COUNT
};

struct policy_verdict {
	uint64_t delay_ns;
	uint8_t action; /* enum policy_action_taken */
	uint8_t cause;  /* enum policy_cause */
};

static inline bool verdict_is_retry(const struct policy_verdict *verdict)
{
	return verdict->action == VERDICT_RETRY_NOW || verdict->action == VERDICT_RETRY_AFTER;
}

/*
 * What to do after a failed attempt.  The only place in holdfast that decides
 * this.  A delay never leads past the deadline: it is cut so that one last
 * attempt is made there.
 */
struct policy_verdict policy_decide(const struct policy *policy, int rule,
				    const struct policy_situation *situation);

/*
 * Delay before retry n (n >= 1), in nanoseconds, never above max_delay * (1 + ratio):
 *   d = min(max_delay, base_delay * backoff_factor^(n-1))
 * then jitter: ratio r: uniform in d(1-r)..d(1+r); full: 0..d; equal: d/2..d;
 * decorrelated: min(max_delay, uniform(base_delay, 3 * previous)).
 * DECISION_DELAY jitters upward only.  DECISION_IMMEDIATE: 0 for n = 1, then
 * the schedule from 100 ms.
 */
uint64_t policy_backoff(const struct policy_strategy *strategy, uint32_t n,
			uint64_t previous_delay_ns, uint64_t random);

/*
 * How long attempt number `attempt` (1 is the first) may take, in nanoseconds,
 * or DURATION_OFF.  attempt_timeout cuts an attempt short only while another is
 * left; the deadline never cuts the first.
 */
uint64_t policy_attempt_bound(const struct policy_settings *settings, uint32_t attempt,
			      uint64_t elapsed_ns);

/*
 * The same for an attempt at an endpoint of a pool: of the situation count the round as
 * attempt, the time, and whether another endpoint is left. The first attempt of all
 * is bounded whoever chose attempt_timeout: a rule that names a pool is chosen, too.
 */
uint64_t policy_pool_bound(const struct policy_settings *settings,
			   const struct policy_situation *situation, bool is_first);

/* ---- overrides --------------------------------------------------------------- */

/*
 * Applies one environment variable such as HOLDFAST_NETWORK_MAX_RETRIES=3 to the
 * defaults and to every rule. Returns false for a bad value or an unknown
 * HOLDFAST_ name, with a message of the form "what was found, what was expected"
 * in error. Variables that are no overrides (HOLDFAST_POLICY, HOLDFAST_STATE_DIR,
 * HOLDFAST_LOG, HOLDFAST_ENABLED) are accepted and ignored.
 */
bool policy_override(struct policy *policy, const char *name, const char *value, char *error,
		     size_t error_size);

/* ---- words -------------------------------------------------------------------- */

const char *policy_operation_name(enum policy_operation operation);
const char *policy_category_name(enum policy_category category);
const char *policy_decision_name(enum policy_decision decision);
const char *policy_verdict_name(enum policy_action_taken action);
const char *policy_cause_name(enum policy_cause cause);

/* Parse "250ms", "1s", "5m", "24h" of length bytes; false if it is none. */
bool duration_parse(const char *text, size_t length, uint64_t *ns);
/* Parse "64KiB", "16MiB", "0B". */
bool size_parse(const char *text, size_t length, uint64_t *bytes);

#endif
