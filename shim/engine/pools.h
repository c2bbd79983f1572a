/* SPDX-License-Identifier: MIT */
/*
 * Connects whose rule names a pool: they go to its endpoints instead of where the
 * program wanted to go, one after the other in the order that `balance` says, and
 * then round again.
 *
 * A pooled call's peer is the address of its current endpoint, in memory of the call's
 * own, which a move to the next endpoint overwrites. Where the socket does not fit an
 * endpoint it gets another one under its number; an endpoint that it cannot reach in that
 * way either, being bound or shared by a duplicate, is passed over.
 *
 * Async-signal-safe; errno is not kept.
 */
#ifndef HOLDFAST_ENGINE_POOLS_H
#define HOLDFAST_ENGINE_POOLS_H

#include <netinet/in.h>

#include "call.h"

/* Whether a rule of the policy names a pool. */
bool pool_is_named(int rule);

/*
 * Before the call has a connection: chooses its first endpoint, whose record is
 * call->pool.record then, and puts its address into peer, which has to live as long as the
 * call. False, and nothing is changed, if the socket cannot reach any.
 */
bool pool_begin(struct call *call, int pool, struct sockaddr_in6 *peer);
/* Once it has: fd is made ready to connect there, or to the next if that cannot be done. */
bool pool_start(struct call *call);

/* For a connection that was made before: begins a round whose first endpoint is pool_next()'s. */
bool pool_resume(struct call *call, struct sockaddr_in6 *peer);

/* Whether endpoints are left in this round. */
bool pool_is_left(const struct call *call);

/*
 * Makes fd ready to connect to the next endpoint of this round: call->peer. False if
 * none is left that it can reach, and fd stays as it is. The lock is held and fd is out of
 * its sets if the call is impatient, else neither.
 */
bool pool_next(struct call *call);

/* The same for the first endpoint of another round. */
void pool_round(struct call *call);

/* It is connected to the current endpoint: before the operation ends. */
void pool_connected(struct call *call);

/* The program gets its failure, and a socket of the kind that it had. */
void pool_end(struct call *call);

#endif
