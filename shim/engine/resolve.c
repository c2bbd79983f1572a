/* SPDX-License-Identifier: MIT */
#include "resolve.h"

#include <errno.h>
#include <string.h>
#include <sys/utsname.h>

#include "call.h"
#include "engine.h"
#include "hold.h"
#include "names.h"
#include "operation.h"
#include "shim/libc.h"
#include "shim/sys.h"

/* ---- who may be held ---------------------------------------------------------------- */

#define HELD_AT_ONCE 2
/* A thread that is cancelled or jumps out never gives its place back: it expires. */
#define PLACE_LEASE_NS (INT64_C(60) * SECOND_NS)

static _Atomic int64_t places[HELD_AT_ONCE]; /* until when each is taken, CLOCK_MONOTONIC */

struct place {
	_Atomic int64_t *word; /* NULL: none was free */
	int64_t until_ns;
};

static struct place place_take(void)
{
	int64_t now = clock_ns();

	for (unsigned int i = 0; i < HELD_AT_ONCE; i++) {
		int64_t until = atomic_load_explicit(&places[i], memory_order_relaxed);

		if (until < now &&
		    atomic_compare_exchange_strong(&places[i], &until, now + PLACE_LEASE_NS))
			return (struct place){ &places[i], now + PLACE_LEASE_NS };
	}
	return (struct place){ 0 };
}

/* Keeps it until a time, 0 for giving it back; not if it expired and is another's by now. */
static void place_keep(struct place *place, int64_t until_ns)
{
	int64_t own = place->until_ns;

	if (place->word && atomic_compare_exchange_strong(place->word, &own, until_ns))
		place->until_ns = until_ns;
}

/* ---- one lookup ------------------------------------------------------------------------ */

/* An operation without a socket: its connection is here, and nobody else knows it. */
struct lookup {
	struct connection connection;
	struct connection_slot slot;
	const struct policy_settings *settings;
	uint64_t previous_delay_ns;
	int saved_errno; /* of the last real call: EAI_SYSTEM says its reason there */
	bool said;
};

/*
 * A lookup of the machine's own name is for no connection: git asks it for the
 * name of a committer, and takes a failure for an answer.
 */
static bool host_is_own(const char *host)
{
	struct utsname own;

	return uname(&own) == 0 && strcasecmp(host, own.nodename) == 0;
}

/* False if no rule manages it. */
static bool lookup_begin(struct lookup *lookup, const char *host)
{
	const struct policy_destination destination = {
		.exec_path = engine.exec_path,
		.exe_path = engine.exe_path[0] ? engine.exe_path : NULL,
		.other_programs = engine.other_programs,
		.host = host,
	};
	int rule = policy_rule_find(engine.policy, &destination);
	struct endpoint endpoint;
	uint32_t record;

	if (engine_memory(NULL) != MEMORY_OWN ||
	    (rule != RULE_NONE && policy_rule(engine.policy, rule)->action == ACTION_BYPASS))
		return false;
	endpoint_from_name(&endpoint, host);
	record = store_record(&engine.store, &endpoint, OPERATION_RESOLVE);
	memset(lookup, 0, sizeof(*lookup));
	lookup->settings = policy_settings(engine.policy, rule);
	lookup->connection.record = &engine.store.file->endpoints[record];
	lookup->connection.slot = &lookup->slot;
	lookup->connection.rule = rule;
	lookup->connection.spare = true;
	return true;
}

static void lookup_decide(struct lookup *lookup, int code, struct operation_failure *failure)
{
	struct policy_situation situation = {
		.operation = OPERATION_RESOLVE,
		.error = code,
		.attempt = lookup->connection.attempts,
		.previous_delay_ns = lookup->previous_delay_ns,
		.elapsed_ns = (uint64_t)(clock_ns() - lookup->connection.began_ns),
		.random = random_draw(),
	};

	failure_classify(failure, lookup->settings, code,
			 policy_classify_eai(lookup->settings, code));
	situation.category = (uint8_t)failure->category;
	failure->verdict = policy_decide(engine.policy, lookup->connection.rule, &situation);
}

/* A lookup is not interrupted by signals: what is left is waited for all the same. */
static void lookup_wait(struct lookup *lookup, struct operation_failure *failure)
{
	uint32_t retries = lookup->settings->strategies[failure->category].max_retries;
	int64_t until = clock_ns() + (int64_t)failure->verdict.delay_ns, left;

	while (hold(&lookup->connection, failure, retries, &lookup->said) == EINTR) {
		left = until - clock_ns();
		failure->verdict.delay_ns = left > 0 ? (uint64_t)left : 0;
	}
}

/* Tries again for as long as it is EAI_AGAIN and the policy says so; the last code. */
static int lookup_hold(struct lookup *lookup, const char *host, const char *service,
		       const struct addrinfo *hints, struct addrinfo **result, struct place *place)
{
	uint32_t ticket = operation_begin(&lookup->connection);
	struct operation_failure failure;
	int code = EAI_AGAIN;

	while (code == EAI_AGAIN) {
		operation_attempt_failed(&lookup->connection, code);
		lookup_decide(lookup, code, &failure);
		if (!place->word)
			failure.verdict = (struct policy_verdict){ .action = VERDICT_PASS_ON };
		if (!verdict_is_retry(&failure.verdict))
			break;
		lookup->previous_delay_ns = failure.verdict.delay_ns;
		operation_retry(&lookup->connection, &failure);
		place_keep(place, clock_ns() + (int64_t)failure.verdict.delay_ns + PLACE_LEASE_NS);
		lookup_wait(lookup, &failure);
		operation_attempt(&lookup->connection);
		code = LIBC(getaddrinfo)(host, service, hints, result);
		lookup->saved_errno = errno;
	}
	if (code == 0) {
		operation_succeed(&lookup->connection, ticket);
		return 0;
	}
	if (code != EAI_AGAIN) {
		operation_attempt_failed(&lookup->connection, code);
		lookup_decide(lookup, code, &failure);
		failure.verdict = (struct policy_verdict){ .action = VERDICT_PASS_ON };
	}
	operation_fail(&lookup->connection, ticket, &failure);
	return code;
}

int engine_getaddrinfo(const char *host, const char *service, const struct addrinfo *hints,
		       struct addrinfo **result)
{
	int code = LIBC(getaddrinfo)(host, service, hints, result);
	int saved_errno = errno;
	struct lookup lookup;
	struct place place;

	if (code == EAI_AGAIN && host && !host_is_own(host) && engine_ready() &&
	    lookup_begin(&lookup, host)) {
		place = place_take();
		lookup.saved_errno = saved_errno;
		code = lookup_hold(&lookup, host, service, hints, result, &place);
		saved_errno = lookup.saved_errno;
		place_keep(&place, 0);
	}
	if (code == 0)
		name_learn_addrinfo(host, hints ? hints->ai_family : AF_UNSPEC, *result);
	errno = saved_errno;
	return code;
}
