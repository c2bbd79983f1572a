/* SPDX-License-Identifier: MIT */
/*
 * Connected UDP sockets.  Their connect() sends nothing; that nobody is there is
 * said later, once, by a send or a receive, and the association stays.
 */
#ifndef HOLDFAST_ENGINE_DATAGRAM_H
#define HOLDFAST_ENGINE_DATAGRAM_H

#include "connection.h"

/*
 * A transfer on a connection that is no stream failed with error. Counted as an
 * attempt that failed if the policy's classification says network, and forgotten:
 * nothing is held, and no operation or attempt is added. Async-signal-safe, errno
 * is kept.
 */
void datagram_failed(struct connection *connection, int error);

#endif
