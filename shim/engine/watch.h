/* SPDX-License-Identifier: MIT */
/*
 * Which epoll sets watch a socket, and as what.
 *
 * A socket between two attempts looks connected to every set that it is
 * registered in, and level-triggered ones would report it without end: it is taken
 * out and put back, and so what epoll_ctl() was told is kept for every socket that
 * may be connected, or made anew, and for sets that are in sets; a plain connection's
 * is looked up when it is connected again.  An epoll event says no fd, only the data
 * that the program chose; which socket it is about is looked up here.
 *
 * Until something was held recording is lock-free; taking out, putting back and, from
 * then on, recording are done under the lock of the schedule.
 */
#ifndef HOLDFAST_ENGINE_WATCH_H
#define HOLDFAST_ENGINE_WATCH_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

#include "shim/words.h"

struct connection;

/* The real epoll_ctl(), and what it says noted. locked: the schedule's lock is held. */
int watch_make_call(int set, int operation, int fd, struct epoll_event *event, bool locked);

/*
 * Does anew, under the lock, what an epoll_ctl() without it came to, whose socket may
 * have been taken out or put back meanwhile. result and errno: its own.
 */
int watch_renew(int set, int operation, int fd, struct epoll_event *event, int result);

/* copy has become another number of the set fd. */
void watch_duplicated(int fd, int copy);

/* The number fd is anybody's again: neither a watched socket nor a set. */
void watch_forget(int fd);
/* Whether there is anything to forget. */
bool watch_is_known(int fd);

/*
 * The fd that an event of a set is about: registered there with this data, and one
 * that `wanted`, called with `of`, says yes to, since more than one can have the same
 * data. -1 if there is none. Not thorough: only where it most likely is.
 */
int watch_find(int set, uint64_t data, bool thorough, bool (*wanted)(int fd, const void *of),
	       const void *of);

/* Whether an event of a set with this data may be fd's. */
bool watch_is_with(int set, int fd, uint64_t data);

/* What has ever been registered, by any epoll_ctl() that we saw. */
enum watch_habit {
	HABIT_NESTS = 1u << 0,        /* a set in a set */
	HABIT_OTHER_NUMBERS = 1u << 1 /* a file whose data may be the number of another */
};
extern _Atomic uint32_t watch_habits;

static inline void watch_habit(enum watch_habit habit)
{
	if (!(LOAD(watch_habits) & habit))
		atomic_fetch_or_explicit(&watch_habits, habit, memory_order_relaxed);
}

/* Whether fd was taken out of the set. */
bool watch_is_out(int set, int fd);

/* Whether a socket is known to be registered anywhere. */
bool watch_exists(int fd);

/* Whether a set leads to fd, through sets in sets too: a wait in it is told of fd. */
bool watch_leads(int set, int fd);

/* What a socket is registered for, by the fd that watch_find() gave. */
uint32_t watch_events(int set, int fd);

/* ---- under the lock ---- */

/*
 * Looks for a registration with this data that was made unseen, among pending
 * sockets. Reads a file of the kernel's, as long as the set is large.
 */
void watch_learn(int set, uint64_t data);
/*
 * Forgets what is known of fd as a watched one, and looks it up in every set there is.
 * False if a set's list cannot be read. errno is kept.
 */
bool watch_learn_socket(int fd);
/* The kernel lists it. Of one that is known already the list tells less than we know. */
void watch_seen(int set, int fd, const struct epoll_event *event);

/* fd is one that stands for the connection; its others are found. errno is kept. */
void watch_take_out(struct connection *connection, int fd);
void watch_put_back(struct connection *connection, int fd);

/*
 * fd is about to be closed, and other stands for the same socket: what fd is
 * registered for is so by the other from now on, since the kernel goes on reporting a
 * registration whose number is closed, and nobody could take it out. One that the program
 * adds by the other replaces it.
 */
void watch_move(int fd, int other);

/*
 * epoll_ctl() on a socket that was taken out, or whose registration was moved: what the
 * program wants is noted, and the result is as if it was in, or not there at all. False:
 * nothing was done to it, so ask the kernel.
 */
bool watch_control(int set, int operation, int fd, const struct epoll_event *event, int *result);

/* Makes every set that fd is in look at it again, as after EPOLL_CTL_MOD with what it has. */
void watch_rearm(int fd);

#endif
