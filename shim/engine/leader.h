/* SPDX-License-Identifier: MIT */
/*
 * One attempt per endpoint and process at a time. Of the pending connects to an
 * endpoint whose time has come, the first makes the attempt; the others wait for
 * its outcome, and take a failure for their own. All under the schedule's lock.
 */
#ifndef HOLDFAST_ENGINE_LEADER_H
#define HOLDFAST_ENGINE_LEADER_H

#include <stdbool.h>

struct pending;

/*
 * Whether another's attempt at the same endpoint is under way: then pending has been
 * added to those that follow it. Else *error: the errno of another's attempt that
 * failed just now, or 0 if pending has to make its own.
 */
bool leader_follow(struct pending *pending, int *error);

/* The attempt of pending is under way. */
void leader_begin(struct pending *pending);

/* It is at its end: 0 or the errno. Those that follow it try again, or have failed too. */
void leader_report(struct pending *pending, int error);

/* It is still under way: looks again before long if others wait for it. */
void leader_check(struct pending *pending);

/* pending neither leads nor follows any more. */
void leader_leave(struct pending *pending);

#endif
