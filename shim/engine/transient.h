/* SPDX-License-Identifier: MIT */
/*
 * Transfers that fail for a reason that passes: this machine lacks memory or buffers
 * for the moment, or a datagram's peer was not there when an earlier one came.
 */
#ifndef HOLDFAST_ENGINE_TRANSIENT_H
#define HOLDFAST_ENGINE_TRANSIENT_H

#include "connection.h"

/*
 * A transfer on fd failed with error. Waits as the strategy of its category says, if
 * the call may block. A connected UDP socket's ECONNREFUSED is counted, and the send
 * made again once where the rule has replay. True if the call is to be made again.
 * errno is kept.
 */
bool transient_serve(struct connection *connection, int fd, int flags, int error, bool sends);

/* One that was tried again has succeeded. */
void transient_end(struct connection *connection);

#endif
