/* SPDX-License-Identifier: MIT */
/*
 * One-way output that the peer does not have yet when the program closes the
 * connection or ends: handed over for as long as the policy's `drain` says.
 */
#ifndef HOLDFAST_ENGINE_DRAIN_H
#define HOLDFAST_ENGINE_DRAIN_H

#include "connection.h"

/*
 * fd is about to be closed, or its output to be ended. Waits until the peer's kernel
 * has all of it, making the connection anew where need be; what is left then is
 * counted as lost. Does nothing for any other connection. errno is kept.
 */
void drain_output(struct connection *connection, int fd);

/* The same of all. ends: the process does, and what is left is lost with it. */
void drain_all(bool ends);

#endif
