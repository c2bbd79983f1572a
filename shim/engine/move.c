/* SPDX-License-Identifier: MIT */
#include "move.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <string.h>

#include "shim/sys.h"
#include "tcp.h"

/* ---- addresses ---------------------------------------------------------------------- */

socklen_t sockaddr_make(struct sockaddr_storage *storage, const struct name_address *address,
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

bool sockaddr_is_mapped(const struct sockaddr *peer)
{
	struct sockaddr_in6 v6;

	if (peer->sa_family != AF_INET6)
		return false;
	memcpy(&v6, peer, sizeof(v6));
	return IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr);
}

bool socket_is_v6_only(int fd)
{
	int only = 1;
	socklen_t length = sizeof(only);

	return SYS(SYS_getsockopt, fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, &length) < 0 || only;
}

/* ---- the socket ---------------------------------------------------------------------- */

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
	{ IPPROTO_TCP, TCP_USER_TIMEOUT, false }, { IPPROTO_TCP, TCP_NOTSENT_LOWAT, false },
	{ IPPROTO_TCP, TCP_CORK, false },         { IPPROTO_TCP, TCP_LINGER2, false },
	{ SOL_SOCKET, SO_TIMESTAMP, false },      { SOL_SOCKET, SO_MAX_PACING_RATE, false },
	{ SOL_SOCKET, SO_DONTROUTE, false },      { SOL_SOCKET, SO_BUSY_POLL, false },
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

bool socket_is_bound(int fd)
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

/* To whom signals go, and which, should O_ASYNC ask for them. */
static void owner_copy(int from, int to)
{
	struct f_owner_ex owner;
	int number = sys_fcntl(from, F_GETSIG, 0);

	if (sys_fcntl(from, F_GETOWN_EX, (long)&owner) == 0 && owner.pid)
		sys_fcntl(to, F_SETOWN_EX, (long)&owner);
	if (number > 0)
		sys_fcntl(to, F_SETSIG, number);
}

bool socket_renew(struct call *call, int family)
{
	int flags, fd_flags, fresh;
	uint64_t signals;
	bool done = false;

	sys_signals_block(&signals);
	fresh = (int)SYS(SYS_socket, family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fresh >= 0) {
		for (unsigned int i = 0; i < sizeof(options) / sizeof(options[0]); i++)
			option_copy(call->fd, fresh, i);
		owner_copy(call->fd, fresh);
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

bool socket_replace(struct call *call, int family)
{
	tcp_reset(call->fd);
	return call->connection->fds == 1 && !socket_is_bound(call->fd) &&
	       socket_renew(call, family);
}

/* ---- where it has to go ---------------------------------------------------------------- */

void move_plan(struct move *move, const struct name_address *address, in_port_t port,
	       struct move_from from)
{
	move->mapped = from.takes_mapped && !address->is_ipv6;
	move->replaced = (from.tried_mapped && address->is_ipv6) ||
			 (!move->mapped && address->is_ipv6 != from.is_v6);
	move->length = sockaddr_make(&move->peer, address, port, move->mapped);
}
