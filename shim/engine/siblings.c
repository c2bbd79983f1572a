/* SPDX-License-Identifier: MIT */
#include "siblings.h"

#include <errno.h>
#include <netinet/in.h>

#include "asks.h"
#include "engine.h"
#include "move.h"
#include "operation.h"
#include "pending.h"
#include "probe.h"

void siblings_begin(struct call *call)
{
	struct name_address address;

	if (!name_address_from(&address, call->peer, call->length) ||
	    !name_find(&address, &call->name, &call->index))
		return;
	call->named = true;
	call->walked = name_walk(&call->name, call->index);
}

/* ---- asking ------------------------------------------------------------------------ */

/* Waiting cures neither, and an address of the other family may well be reachable. */
static bool error_is_no_route(int error)
{
	return error == ENETUNREACH || error == EHOSTUNREACH || error == ENETDOWN ||
	       error == EADDRNOTAVAIL;
}

static uint32_t bits_all(const struct call *call)
{
	return (1u << call->name.count) - 1;
}

static uint32_t bits_ahead(const struct call *call)
{
	return bits_all(call) & ~(call->walked | 1u << call->index);
}

/* What was learned is remembered. True if it is up. */
static bool answer_note(struct call *call, uint32_t index, bool is_up)
{
	name_answer_set(&call->name, index, ntohs(call_port(call)), is_up ? ANSWER_UP : ANSWER_DOWN,
			clock_ns());
	return is_up;
}

/* Asks for as long as a round trip may take. */
static uint32_t bits_up_waiting(struct call *call, struct probe *probes, const uint32_t *which,
				unsigned int count)
{
	uint32_t up = 0;

	probe_ask(probes, count, (int)(ASK_NS / 1000000));
	for (unsigned int i = 0; i < count; i++)
		if (probes[i].answer != PROBE_SILENT &&
		    answer_note(call, which[i], probes[i].answer == PROBE_UP))
			up |= 1u << which[i];
	return up;
}

/* What is known by now; sets call->asking while answers are open. */
static uint32_t bits_up_now(struct call *call, const struct probe *probes, const uint32_t *which,
			    unsigned int count)
{
	uint32_t up = 0;

	for (unsigned int i = 0; i < count; i++) {
		enum ask_answer answer = ask_address(&probes[i].address, probes[i].length);

		if (answer == ASK_OPEN)
			call->asking = true;
		else if (answer != ASK_SILENT && answer_note(call, which[i], answer == ASK_UP))
			up |= 1u << which[i];
	}
	if (up)
		call->asking = false;
	return up;
}

/* Bits of those among `asked` that answer; what was learned a moment ago is believed. */
static uint32_t bits_up(struct call *call, uint32_t asked)
{
	struct name_address addresses[NAME_ADDRESSES];
	struct probe probes[NAME_ADDRESSES];
	uint32_t which[NAME_ADDRESSES], up = 0;
	in_port_t port = call_port(call);
	int64_t now = clock_ns();
	unsigned int count = 0;

	if (!name_addresses(&call->name, addresses))
		return 0;

	for (uint32_t i = 0; i < call->name.count; i++) {
		enum name_answer answer = name_answer(&call->name, i, ntohs(port), now);

		if (!(asked & 1u << i) || answer == ANSWER_DOWN)
			continue;
		if (answer == ANSWER_UP) {
			up |= 1u << i;
			continue;
		}
		probes[count].length = sockaddr_make(&probes[count].address, &addresses[i], port,
						     false);
		which[count++] = i;
	}
	if (up || !count)
		return up;
	return call->impatient ? bits_up_now(call, probes, which, count)
			       : bits_up_waiting(call, probes, which, count);
}

enum policy_sibling siblings_ask(struct call *call, int error, bool *behind)
{
	uint32_t ahead = bits_ahead(call), others, up;
	bool walk = call->settings->connect.siblings == SIBLINGS_WALK;

	*behind = false;
	if (call->name.count < 2)
		return SIBLING_NONE;
	if (call->walked && name_walk_spent(&call->name))
		return SIBLING_SPENT;
	if (ahead && (walk || error_is_no_route(error)))
		return SIBLING_UNTRIED;
	/* Those that the program is trying by itself right now need no help. */
	others = bits_all(call) & ~(1u << call->index);
	if (call->impatient)
		others &= ~pending_live(call);
	up = bits_up(call, others);
	if (up & ahead)
		return SIBLING_AHEAD;
	*behind = up != 0 && !call->immovable;
	if (up)
		call->other = (uint32_t)__builtin_ctz(up);
	return SIBLING_NONE;
}

/* ---- taking over --------------------------------------------------------------------- */

static bool sibling_plan(const struct call *call, struct move *move)
{
	struct name_address addresses[NAME_ADDRESSES];
	const struct name_address *address = &addresses[call->other];
	bool on_v6 = call->peer->sa_family == AF_INET6;

	if (!name_addresses(&call->name, addresses))
		return false;
	move_plan(
		move, address, call_port(call),
		(struct move_from){
			.is_v6 = on_v6,
			.takes_mapped = on_v6 && !address->is_ipv6 && !socket_is_v6_only(call->fd),
			.tried_mapped = sockaddr_is_mapped(call->peer),
		});
	return true;
}

bool siblings_move(struct call *call, struct sockaddr_storage *peer, socklen_t *length)
{
	struct move move;

	if (!sibling_plan(call, &move) ||
	    (move.replaced && !socket_replace(call, move.peer.ss_family)))
		return false;
	call->unfit = move.replaced || (move.mapped && !sockaddr_is_mapped(call->peer));
	*peer = move.peer;
	*length = move.length;
	return true;
}

void siblings_move_back(struct call *call)
{
	answer_note(call, call->other, false);
	if (call->unfit)
		socket_replace(call, call->peer->sa_family);
}

bool siblings_take_over(struct call *call, int *error)
{
	struct sockaddr_storage peer;
	socklen_t length;

	if (!siblings_move(call, &peer, &length))
		return false;
	operation_retry_at_once(call->connection);
	*error = attempt_at(call, (const struct sockaddr *)&peer, length);
	if (*error)
		siblings_move_back(call);
	else
		store_count(call->connection->record, COUNTER_failovers, 1);
	return true;
}
