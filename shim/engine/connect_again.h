/* SPDX-License-Identifier: MIT */
/*
 * connect() on a socket that another one was made on: one that is pending, connected, lost, or
 * failed is asked for by it, and may begin anew.
 *
 * Async-signal-safe. What returns an int is as connect(2), with its errno.
 */
#ifndef HOLDFAST_ENGINE_CONNECT_AGAIN_H
#define HOLDFAST_ENGINE_CONNECT_AGAIN_H

#include <stdint.h>

#include "call.h"

/* A connect that is pending is asked about, not begun. */
int connect_again(struct connection *connection, int fd, const struct sockaddr *peer,
		  socklen_t length);

/* connect(AF_UNSPEC) dissolves an association; what fd stood for is over. */
int connect_dissolve(int fd, const struct sockaddr *peer, socklen_t length);

enum asked {
	ASKED_NOTHING,
	ASKED_ANSWER, /* *error is it, and there is no operation */
	ASKED_BEGUN   /* that was the first attempt, which came to *error */
};

/* Of a socket that is believed to be connected, or to have failed and been shut down. */
enum asked connect_ask(const struct call *call, struct connection *before, int *error);

/* The failure of one is told by this very call. */
int connect_told(struct connection *connection);

/* Until when the caller waits, by SO_SNDTIMEO, CLOCK_MONOTONIC; INT64_MAX: for ever. */
int64_t connect_limit(const struct connection *connection, int fd);

#endif
