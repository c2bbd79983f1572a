/* SPDX-License-Identifier: MIT */
/*
 * The other addresses of the name that a held connection was looked up by: who of
 * them answers, and moving to one that the program has walked past.
 */
#ifndef HOLDFAST_ENGINE_SIBLINGS_H
#define HOLDFAST_ENGINE_SIBLINGS_H

#include "call.h"

/* Before the first attempt: finds the name and notes that this address is tried. */
void siblings_begin(struct call *call);

/*
 * After an attempt that failed with error: what is known of the others, asked
 * where it is not known, for at most 300 ms where packets get no answer; an
 * impatient call is not kept waiting, but told that it is asking. behind:
 * one that was walked past answers, and siblings_take_over() can move there.
 */
enum policy_sibling siblings_ask(struct call *call, int error, bool *behind);

/*
 * The same in two halves, for an attempt that is not waited for: fd is made ready to
 * connect to that one, at peer; and, when that has failed, to where the program
 * wanted to go. False if the fd cannot be moved there.
 */
bool siblings_move(struct call *call, struct sockaddr_storage *peer, socklen_t *length);
void siblings_move_back(struct call *call);

/*
 * An attempt at that one, on the same fd: *error is 0 or the errno. False if the
 * fd cannot be moved there, and nothing was tried.
 */
bool siblings_take_over(struct call *call, int *error);

#endif
