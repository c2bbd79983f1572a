/* SPDX-License-Identifier: MIT */
/*
 * idle_timeout: a read that sees no byte for so long ends with ETIMEDOUT, or has the
 * connection made anew where the policy lets it be.
 *
 * A blocking read waits no longer by itself. For waits a deadline lies in the schedule
 * of pending connects; when it comes the socket's receiving side is shut, which sends
 * nothing and makes it readable to every kind of wait. The read that follows is told.
 * One that another process has, too, is left alone: its reads would end with ours.
 */
#ifndef HOLDFAST_ENGINE_SILENCE_H
#define HOLDFAST_ENGINE_SILENCE_H

#include "connection.h"
#include "policy/policy.h"

struct pending;

/* A byte was moved. */
void silence_break(struct connection *connection);
/* Whether it has been too silent, said once. */
bool silence_told(struct connection *connection);

/*
 * Before a read that may block: waits for something to read, or for the end of the
 * patience. 0, or EINTR for a signal that the program must see.
 */
int silence_wait(struct connection *connection, int fd, int64_t until_ns);

/* ---- under the schedule's lock ---- */

/* It is connected. */
void silence_begin(struct connection *connection, const struct policy_heartbeat *heartbeat);
/* It is closed. */
void silence_end(struct connection *connection);

/* Its deadline has come. */
void silence_serve(struct pending *pending);
/* It is made anew: no deadline meanwhile, and from then on again. */
void silence_pause(struct connection *connection);
void silence_resume(struct connection *connection);

#endif
