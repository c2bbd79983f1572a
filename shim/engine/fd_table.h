/* SPDX-License-Identifier: MIT */
/*
 * What is kept for each fd, for connection.c: the connection that it stands for, and its
 * enum fd_kind.
 *
 * Lock-free and async-signal-safe; errno is kept.
 */
#ifndef HOLDFAST_ENGINE_FD_TABLE_H
#define HOLDFAST_ENGINE_FD_TABLE_H

#include "connection.h"

/* The room for fd's entry, made if there is memory; NULL: it is not managed. */
struct fd_chunk *fd_chunk_make(int fd);

/* What fd stood for before. NULL stands for nothing. */
struct connection *fd_exchange(int fd, struct connection *connection);
/* False if fd has come to stand for something else meanwhile. */
bool fd_replace(int fd, struct connection *from, struct connection *to);

/* Of an fd that has an entry. Removing says what was there. */
void fd_kind_set(int fd, unsigned int kind);
void fd_kind_add(int fd, unsigned int bits);
unsigned int fd_kind_remove(int fd, unsigned int bits);

/*
 * The next higher number that stands for the socket of fd, which has this cookie; -1: none. Asked
 * are those that stand for no connection or for this one: another's may just be closed by another
 * thread, and asking would keep it alive, with its registrations, until after that.
 */
int fd_duplicate_next(int fd, uint64_t cookie, const struct connection *connection, int other);

/*
 * It is being connected again: what it is registered for matters from now on. False if that
 * cannot be found out. A datagram socket is never taken out of a set.
 */
bool fd_watch(int fd);

#endif
