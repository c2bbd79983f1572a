/* SPDX-License-Identifier: MIT */
/*
 * Connections that are lost after they were made: telling a loss from an end, saying
 * so in the store, and, where the policy lets them be, having them made anew.
 *
 * The connection is made anew by the machinery of pending connects (pending.h),
 * whatever the mode of the socket: it is held, out of sight of every wait, until it
 * is there and what has to be sent again has been. Async-signal-safe.
 */
#ifndef HOLDFAST_ENGINE_LOSS_H
#define HOLDFAST_ENGINE_LOSS_H

#include "connection.h"

/* An errno that a transfer reports of a connection that is no more. */
bool error_is_loss(int error);

/* By what a loss was found. */
enum loss_finder {
	LOSS_BY_SEND,
	LOSS_BY_WAIT, /* the same as by a read, and nobody has asked for the errno */
	LOSS_BY_READ, /* the program waits for bytes: where some of an answer came, for its rest */
	LOSS_BY_SILENCE /* the same, and the kernel thinks that the connection is there */
};

/*
 * Whether another thread has had it made anew since `operation`, the connection's word of
 * that name, was read: what a call said that began then is of the connection before.
 */
bool loss_is_past(const struct connection *connection, uint32_t operation);
/* The same, or it is at it. */
bool loss_is_mended(const struct connection *connection, uint32_t operation);

/*
 * A transfer on fd said that the connection is lost: error, or 0 for the end of
 * the stream where none is expected. operation: as it was before the transfer. True if it is being made anew, so that the call
 * is to be made again; else the loss is the program's.
 */
bool loss_serve(struct connection *connection, int fd, int error, enum loss_finder finder,
		uint32_t operation);

/* Whether the end of the stream is a loss: an answer is expected, or a peer for ever. */
bool loss_is_end(const struct connection *connection, int fd);

/*
 * A wait tells that the connection is at an end, or failed. If it can be made anew
 * that is begun here, and the program is told nothing: it would take what it reads
 * then for the last. For the same reason the end is not told before all is read
 * that came with it.
 */
enum loss_view { LOSS_SEEN, LOSS_EARLY, LOSS_HIDDEN };
enum loss_view loss_look(struct connection *connection, int fd);

/*
 * A reader of the store wants it to be made anew (`holdfast reconnect`). sends: the program is
 * about to send; else it may be in the middle of an answer.
 */
void loss_force(struct connection *connection, int fd, bool sends);

#endif
