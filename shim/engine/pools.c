/* SPDX-License-Identifier: MIT */
#include "pools.h"

#include <arpa/inet.h>
#include <string.h>

#include "engine.h"
#include "move.h"
#include "operation.h"
#include "schedule.h"
#include "shim/sys.h"
#include "tcp.h"
#include "watch.h"

/* Whether another socket may be put under the number. */
enum pool_replace { REPLACE_UNKNOWN, REPLACE_NEVER, REPLACE_CAN };

/* ---- what the process remembers of its pools --------------------------------------------- */

#define POOLS_REMEMBERED 1024 /* as many as a policy can have */

/* A forked child has a turn of its own, lest all of a server's workers begin at one place. */
static struct memory {
	_Atomic uint64_t turn; /* of round_robin: the process in the upper half; 0: none yet */
	_Atomic uint32_t last; /* of sticky: the endpoint that was connected to last, plus 1 */
} memories[POOLS_REMEMBERED];

static uint32_t turn_take(struct memory *memory)
{
	uint64_t turn = atomic_load_explicit(&memory->turn, memory_order_relaxed), next;
	uint32_t process = (uint32_t)engine_owner();

	do {
		next = turn >> 32 == process ? (uint32_t)(turn + 1) : (uint32_t)random_draw();
		next |= (uint64_t)process << 32;
	} while (!atomic_compare_exchange_weak(&memory->turn, &turn, next));
	return (uint32_t)next;
}

/* ---- the order ---------------------------------------------------------------------------- */

static const struct policy_pool *pool_of(const struct call *call)
{
	return policy_pool(engine.policy, call->pool.pool);
}

static bool has_common_divisor(uint32_t a, uint32_t b)
{
	while (b) {
		uint32_t rest = a % b;

		a = b;
		b = rest;
	}
	return a > 1;
}

/* Every endpoint once, whatever their number: steps that share no divisor with it. */
static void order_draw(struct pool_walk *walk, uint32_t count)
{
	uint64_t random = random_draw();

	walk->start = (uint32_t)random % count;
	walk->step = (uint32_t)(random >> 32) % count + 1;
	while (has_common_divisor(walk->step, count))
		walk->step = walk->step % count + 1;
}

static void order_begin(struct pool_walk *walk, const struct policy_pool *pool)
{
	struct memory *memory = &memories[walk->pool];
	uint32_t count = pool->endpoints.count, last;

	switch ((enum policy_balance)pool->balance) {
	case BALANCE_ROUND_ROBIN:
		walk->start = turn_take(memory) % count;
		walk->step = 1;
		break;
	case BALANCE_RANDOM:
		order_draw(walk, count);
		break;
	case BALANCE_STICKY:
		last = atomic_load_explicit(&memory->last, memory_order_relaxed);
		walk->start = last && last <= count ? last - 1 : 0;
		break;
	case BALANCE_FIRST:
	default:
		break;
	}
}

/* The n-th endpoint of a round, in the pool's list. */
static uint32_t order_index(const struct pool_walk *walk, uint32_t count, uint32_t n)
{
	if (walk->step)
		return (uint32_t)((walk->start + (uint64_t)n * walk->step) % count);
	if (n == 0)
		return walk->start;
	return n <= walk->start ? n - 1 : n;
}

static uint32_t current_index(const struct call *call)
{
	uint32_t taken = call->pool.taken;

	return order_index(&call->pool, pool_of(call)->endpoints.count, taken ? taken - 1 : 0);
}

/* ---- getting there --------------------------------------------------------------------------- */

static bool is_replaceable(struct call *call)
{
	/* A duplicate can have been made meanwhile. */
	if (call->connection && call->connection->fds != 1)
		return false;
	if (call->pool.replace == REPLACE_UNKNOWN) {
		/* Of an attempt before: else its address would be taken for the program's. */
		if (call->connection || tcp_is_closed(call->fd))
			tcp_reset(call->fd);
		call->pool.replace = socket_is_bound(call->fd) ? REPLACE_NEVER : REPLACE_CAN;
	}
	return call->pool.replace == REPLACE_CAN;
}

/* False if the socket cannot get there. */
static bool current_plan(struct call *call, struct move *move)
{
	const struct policy_pool_endpoint *endpoint = policy_pool_endpoint(
		engine.policy, pool_of(call)->endpoints.first + current_index(call));
	struct name_address address = { .scope_id = endpoint->scope_id,
					.is_ipv6 = endpoint->is_ipv6 };
	bool is_v6 = socket_family(call->fd) == AF_INET6;

	memcpy(address.bytes, endpoint->address, sizeof(address.bytes));
	/* What a program with an IPv4 socket is told of its peer is IPv4. */
	move_plan(move, &address, htons(endpoint->port),
		  (struct move_from){
			  .is_v6 = is_v6,
			  .takes_mapped = is_v6 && call->pool.family == AF_INET6 &&
					  !address.is_ipv6 && !socket_is_v6_only(call->fd),
			  .tried_mapped = fd_kind(call->fd) & FD_TRIED_MAPPED,
		  });
	return !move->replaced || is_replaceable(call);
}

/* The next that the socket can get to. */
static bool next_plan(struct call *call, struct move *move)
{
	while (pool_is_left(call)) {
		call->pool.taken++;
		if (current_plan(call, move))
			return true;
	}
	return false;
}

static void current_set(struct call *call, const struct move *move)
{
	const struct sockaddr *peer = (const struct sockaddr *)&move->peer;
	struct endpoint endpoint;

	/* A pooled call's peer is its own. */
	memcpy((struct sockaddr *)call->peer, peer, move->length);
	call->length = move->length;
	endpoint_from_sockaddr(&endpoint, ENDPOINT_TCP, peer, move->length);
	call->pool.record = store_record(&engine.store, &endpoint, OPERATION_CONNECT);
}

/* Sets that it was registered in before it was connected go on watching it. */
static bool socket_renew_watched(struct call *call, int family)
{
	uint64_t signals;
	bool done;

	if (!schedule_make())
		return false;
	schedule_get()->used = 1;
	schedule_lock(&signals);
	watch_take_out(call->connection, call->fd);
	done = socket_renew(call, family);
	watch_put_back(call->connection, call->fd);
	schedule_unlock(&signals);
	return done;
}

static bool socket_change(struct call *call, int family)
{
	bool done = call->impatient || !watch_exists(call->fd) ? socket_renew(call, family)
							       : socket_renew_watched(call, family);

	if (done)
		fd_tried_mapped(call->fd, false);
	return done;
}

static bool current_reach(struct call *call, const struct move *move)
{
	if (move->replaced && !socket_change(call, move->peer.ss_family))
		return false;
	if (move->mapped)
		fd_tried_mapped(call->fd, true);
	current_set(call, move);
	return true;
}

/* ---- a walk over the pool ----------------------------------------------------------------------- */

bool pool_is_named(int rule)
{
	return rule != RULE_NONE && policy_rule(engine.policy, rule)->pool >= 0;
}

static bool walk_begin(struct call *call, int pool, int family)
{
	if (pool < 0 || pool >= POOLS_REMEMBERED)
		return false;
	call->pool = (struct pool_walk){
		.round = 1,
		.pool = (uint16_t)pool,
		.family = (uint8_t)family,
		.replace = fd_is_shared(call->fd) ? REPLACE_NEVER : REPLACE_UNKNOWN,
	};
	order_begin(&call->pool, pool_of(call));
	call->pooled = true;
	call->named = false;
	return true;
}

bool pool_begin(struct call *call, int pool, struct sockaddr_in6 *peer)
{
	struct move move;

	call->pooled = walk_begin(call, pool, call->peer->sa_family) && next_plan(call, &move);
	if (!call->pooled)
		return false;
	call->peer = (struct sockaddr *)peer;
	current_set(call, &move);
	return true;
}

bool pool_start(struct call *call)
{
	struct move move;

	return (current_plan(call, &move) && current_reach(call, &move)) || pool_next(call);
}

bool pool_resume(struct call *call, struct sockaddr_in6 *peer)
{
	int rule = call->connection->rule;

	if (!call->connection->is_stream || !pool_is_named(rule) ||
	    !walk_begin(call, policy_rule(engine.policy, rule)->pool, socket_family(call->fd)))
		return false;
	call->peer = (struct sockaddr *)peer;
	return true;
}

bool pool_is_left(const struct call *call)
{
	return call->pool.taken < pool_of(call)->endpoints.count;
}

bool pool_next(struct call *call)
{
	struct move move;

	while (next_plan(call, &move))
		if (current_reach(call, &move))
			return true;
	return false;
}

void pool_round(struct call *call)
{
	call->pool.round++;
	call->pool.taken = 0;
	pool_next(call);
}

void pool_connected(struct call *call)
{
	struct connection *connection = call->connection;
	uint32_t in_use;
	bool is_home;

	if (operation_ticket(connection) != call->ticket)
		return;
	atomic_store_explicit(&memories[call->pool.pool].last, current_index(call) + 1,
			      memory_order_relaxed);
	is_home = connection_record(connection) == &engine.store.file->endpoints[call->pool.record];
	in_use = is_home ? 0 : call->pool.record + 1;
	if (atomic_exchange(&connection->slot->in_use, in_use) != in_use)
		store_count(connection->record, COUNTER_failovers, 1);
}

void pool_end(struct call *call)
{
	if (socket_family(call->fd) != call->pool.family && is_replaceable(call))
		socket_change(call, call->pool.family);
}
