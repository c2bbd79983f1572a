/* SPDX-License-Identifier: MIT */
/*
 * The inside of pending connects: what pending.c, which the hooks call, and
 * pending_serve.c, which makes the attempts, share. All under the schedule's lock
 * and with the entry claimed, unless said otherwise.
 */
#ifndef HOLDFAST_ENGINE_PENDING_STATE_H
#define HOLDFAST_ENGINE_PENDING_STATE_H

#include "operation.h"
#include "pending.h"

static inline struct connection *connection_behind(const struct pending *pending)
{
	return pending->call.connection;
}

/* Without the lock: what the connection's attention says. */
enum outlook pending_outlook(const struct connection *connection);

/* Sets and clears attention; the counts of the schedule follow what really changed. Lock-free. */
void attention_change(struct connection *connection, uint32_t set, uint32_t clear);

/* ---- who may look: see enum pending_claim. Lock-free. ---- */

bool claim_change(struct pending *pending, enum pending_claim from, enum pending_claim to);
/* False if it is not in use. */
bool claim_take(struct pending *pending);
/* In use as long as the connect is pending; then the program may begin another. */
void claim_give(struct pending *pending);

/* ---- what it comes to ---- */

/* Out of the sight of every wait. */
void state_hide(struct pending *pending);
/* In sight; what else is set and cleared at the same moment. */
void state_show(struct pending *pending, uint32_t set, uint32_t clear);

/*
 * Held, but back in its sets, where its hanging up wakes a thread that knows of no
 * deadline; whoever is woken takes it out again.
 */
void lure_set(struct pending *pending);
void lure_clear(struct pending *pending);
/* It is held until then: one or the other. */
void lure_settle(struct pending *pending, int64_t at_ns);

void state_succeeded(struct pending *pending);
void state_failed(struct pending *pending, const struct operation_failure *failure);
/* Connected, and lost before the program knew: it is told as it would have been. */
void state_lost(struct pending *pending, int error);
/* The program took the socket away. */
void state_abandoned(struct pending *pending);
/* Its operation has ended, or goes on without it. */
void state_over(struct pending *pending);

/*
 * What became of the attempt under way, done and told: as pending_look(), which takes
 * the lock for it.
 */
enum outlook state_look(struct connection *connection, int fd, int error);

/* The name's walk is over: one of its addresses is connected. Lock-free. */
void name_connected(const struct connection *connection);

/* ---- pending_serve.c ---- */

/* What the socket itself says of the attempt: 0, EINPROGRESS or its errno. */
int outcome_find(struct pending *pending);
/* Does what follows from that. */
void outcome_settle(struct pending *pending, int error);

/* The attempt that the kernel has under way is served from now on: cut at its bound. */
void serve_under_way(struct pending *pending);

/* The first attempt at making a lost connection anew. */
void serve_rebuild(struct pending *pending, uint64_t delay_ns);

/* When something is due: soon, if what another thread is doing may change it. */
int64_t serve_next(int64_t now);

/* Gives the lock back, and then tells the terminal what there is to tell. */
void serve_unlock(const uint64_t *signals);

#endif
