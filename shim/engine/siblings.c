/* SPDX-License-Identifier: MIT */
#include "siblings.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <string.h>

#include "asks.h"
#include "engine.h"
#include "operation.h"
#include "pending.h"
#include "probe.h"
#include "shim/sys.h"
#include "tcp.h"

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

static socklen_t sockaddr_make(struct sockaddr_storage *storage, const struct name_address *address,
			       in_port_t port, bool mapped)
{
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = port };
	struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = port };

	memset(storage, 0, sizeof(*storage));
	if (address->is_ipv6 || mapped) {
		memcpy(&v6.sin6_addr, address->bytes, 16);
		v6.sin6_scope_id = address->scope_id;
		memcpy(storage, &v6, sizeof(v6));
		return sizeof(v6);
	}
	memcpy(&v4.sin_addr, address->bytes + 12, 4);
	memcpy(storage, &v4, sizeof(v4));
	return sizeof(v4);
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

/* Options that a program may have set before connect(); a table, since the kernel has no
 * way to copy a socket. */
static const struct {
	int level;
	int name;
	bool halved; /* the kernel doubles what it is given */
} options[] = {
	{ SOL_SOCKET, SO_KEEPALIVE, false },      { SOL_SOCKET, SO_LINGER, false },
	{ SOL_SOCKET, SO_OOBINLINE, false },      { SOL_SOCKET, SO_PRIORITY, false },
	{ SOL_SOCKET, SO_RCVBUF, true },          { SOL_SOCKET, SO_SNDBUF, true },
	{ SOL_SOCKET, SO_RCVLOWAT, false },       { SOL_SOCKET, SO_RCVTIMEO, false },
	{ SOL_SOCKET, SO_SNDTIMEO, false },       { SOL_SOCKET, SO_REUSEADDR, false },
	{ SOL_SOCKET, SO_REUSEPORT, false },      { SOL_SOCKET, SO_MARK, false },
	{ SOL_SOCKET, SO_BINDTODEVICE, false },   { IPPROTO_TCP, TCP_NODELAY, false },
	{ IPPROTO_TCP, TCP_MAXSEG, false },       { IPPROTO_TCP, TCP_KEEPIDLE, false },
	{ IPPROTO_TCP, TCP_KEEPINTVL, false },    { IPPROTO_TCP, TCP_KEEPCNT, false },
	{ IPPROTO_TCP, TCP_SYNCNT, false },       { IPPROTO_TCP, TCP_CONGESTION, false },
	{ IPPROTO_TCP, TCP_USER_TIMEOUT, false },
};

static void option_copy(int from, int to, unsigned int index)
{
	union {
		int number;
		char bytes[64];
	} was, now;
	socklen_t length = sizeof(was), fresh_length = sizeof(now);

	if (SYS(SYS_getsockopt, from, options[index].level, options[index].name, &was, &length) < 0)
		return;
	/* Only what differs: setting a buffer's size switches its tuning off. */
	if (SYS(SYS_getsockopt, to, options[index].level, options[index].name, &now,
		&fresh_length) == 0 &&
	    length == fresh_length && memcmp(&was, &now, length) == 0)
		return;
	if (options[index].halved)
		was.number /= 2;
	SYS(SYS_setsockopt, to, options[index].level, options[index].name, &was, length);
}

/*
 * Did the program bind it?  getsockname() goes on naming the port of the last
 * attempt, even after the socket was left; but the kernel lets it be bound again
 * only if that port was its own choice.
 */
static bool socket_is_bound(int fd)
{
	struct sockaddr_in6 own = { 0 }, nowhere = { 0 };
	socklen_t length = sizeof(own);
	size_t address = offsetof(struct sockaddr_in, sin_addr), size = sizeof(struct in_addr);

	if (SYS(SYS_getsockname, fd, &own, &length) < 0)
		return true;
	if (own.sin6_family == AF_INET6) {
		address = offsetof(struct sockaddr_in6, sin6_addr);
		size = sizeof(struct in6_addr);
	}
	if (memcmp((char *)&own + address, (char *)&nowhere + address, size) != 0)
		return true;
	own.sin6_port = 0;
	return SYS(SYS_bind, fd, &own, length) < 0;
}

/*
 * A new socket under the old number: the one place where a socket loses its
 * identity, for where the kernel cannot connect the old one.  Not for one that a
 * duplicate shares, nor one that the program bound. False if it cannot be done.
 */
static bool socket_replace(struct call *call, int family)
{
	int flags, fd_flags, fresh;
	uint64_t signals;
	bool done = false;

	tcp_reset(call->fd);
	if (call->connection->fds != 1 || socket_is_bound(call->fd))
		return false;
	sys_signals_block(&signals);
	fresh = (int)SYS(SYS_socket, family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fresh >= 0) {
		for (unsigned int i = 0; i < sizeof(options) / sizeof(options[0]); i++)
			option_copy(call->fd, fresh, i);
		flags = sys_fcntl(call->fd, F_GETFL, 0);
		fd_flags = sys_fcntl(call->fd, F_GETFD, 0);
		sys_fcntl(fresh, F_SETFL, flags);
		done = SYS(SYS_dup3, fresh, call->fd, fd_flags & FD_CLOEXEC ? O_CLOEXEC : 0) >= 0;
		sys_close(fresh);
	}
	if (done)
		call->connection->cookie = call->cookie = socket_cookie(call->fd);
	sys_signals_restore(&signals);
	return done;
}

static bool is_mapped(const struct sockaddr *peer)
{
	struct sockaddr_in6 v6;

	if (peer->sa_family != AF_INET6)
		return false;
	memcpy(&v6, peer, sizeof(v6));
	return IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr);
}

static bool socket_is_v6_only(int fd)
{
	int only = 1;
	socklen_t length = sizeof(only);

	return SYS(SYS_getsockopt, fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, &length) < 0 || only;
}

/* Where the fd has to go, and whether it can go there as it is. */
struct move {
	struct sockaddr_storage peer;
	socklen_t length;
	bool mapped;   /* an IPv4 address, in the form that an IPv6 socket takes */
	bool replaced; /* it needs another socket */
};

static bool move_plan(const struct call *call, struct move *move)
{
	struct name_address addresses[NAME_ADDRESSES];
	const struct name_address *address = &addresses[call->other];
	bool on_v6 = call->peer->sa_family == AF_INET6;

	if (!name_addresses(&call->name, addresses))
		return false;
	move->mapped = on_v6 && !address->is_ipv6 && !socket_is_v6_only(call->fd);
	/* Native IPv6 never connects on a socket that has tried a mapped address. */
	move->replaced = (is_mapped(call->peer) && address->is_ipv6) ||
			 (!move->mapped && address->is_ipv6 != on_v6);
	move->length = sockaddr_make(&move->peer, address, call_port(call), move->mapped);
	return true;
}

bool siblings_move(struct call *call, struct sockaddr_storage *peer, socklen_t *length)
{
	struct move move;

	if (!move_plan(call, &move) ||
	    (move.replaced && !socket_replace(call, move.peer.ss_family)))
		return false;
	call->unfit = move.replaced || (move.mapped && !is_mapped(call->peer));
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
