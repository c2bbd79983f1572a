/* SPDX-License-Identifier: MIT */
/*
 * Where an fd has to go when it is to be connected to another address than it was, and
 * how it gets there: as it is, or as another socket under the same number.
 * Async-signal-safe.
 */
#ifndef HOLDFAST_ENGINE_MOVE_H
#define HOLDFAST_ENGINE_MOVE_H

#include "call.h"

socklen_t sockaddr_make(struct sockaddr_storage *storage, const struct name_address *address,
			in_port_t port, bool mapped);
bool sockaddr_is_mapped(const struct sockaddr *peer);

bool socket_is_v6_only(int fd);

/* The socket that is to be moved. */
struct move_from {
	bool is_v6;
	bool takes_mapped; /* an IPv4 address in the form of IPv6 */
	bool tried_mapped; /* once it has, it never connects to native IPv6 */
};

struct move {
	struct sockaddr_storage peer;
	socklen_t length;
	bool mapped;   /* an IPv4 address, in the form that an IPv6 socket takes */
	bool replaced; /* it needs another socket */
};

/* port: in network byte order. */
void move_plan(struct move *move, const struct name_address *address, in_port_t port,
	       struct move_from from);

/*
 * Did the program bind it?  getsockname() goes on naming the port of the last
 * attempt, even after the socket was left; but the kernel lets it be bound again
 * only if that port was its own choice. Asked once: an answer of no has bound it.
 */
bool socket_is_bound(int fd);

/*
 * A new socket under the old number: the one place where a socket loses its
 * identity, for where the kernel cannot connect the old one. False if it cannot be
 * had. Not for one that a duplicate shares, nor one that the program bound: that is
 * socket_replace()'s to see.
 */
bool socket_renew(struct call *call, int family);
bool socket_replace(struct call *call, int family);

#endif
