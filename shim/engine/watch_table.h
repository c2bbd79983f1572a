/* SPDX-License-Identifier: MIT */
/* What is kept of registrations: the table behind watch.h, for watch.c and watch_out.c. */
#ifndef HOLDFAST_ENGINE_WATCH_TABLE_H
#define HOLDFAST_ENGINE_WATCH_TABLE_H

#include <stdatomic.h>

#include "shim/sys.h"
#include "watch.h"

/* In `events` beside the kernel's: the registration was taken out of its set. */
#define WATCH_OUT (1u << 27)
/* It was another number's, which is closed: to the program there is none by this one. */
#define WATCH_MOVED (1u << 26)
#define WATCH_OURS (WATCH_OUT | WATCH_MOVED)

/*
 * What is known of an fd, as a watched one and as a set.  A set has an identity,
 * which its duplicates share and which a number loses when it is closed.
 */
struct watch {
	_Atomic uint64_t data;
	_Atomic uint32_t events;
	_Atomic uint32_t set;   /* the identity of the set that it is in; 0: in none */
	_Atomic int32_t number; /* by which that set was last known */
	_Atomic uint32_t own;   /* its identity as a set; 0: it is not known as one */
};

/* A socket's further sets: hardly any program has one. Changed under the lock only. */
#define FURTHER 64
struct further {
	_Atomic int32_t fd; /* plus 1; 0: free */
	struct watch watch;
};
extern struct further watch_further[FURTHER];
extern _Atomic uint32_t watch_further_used; /* how many ever were */

/* Of a number; NULL: nothing was ever known of it. */
struct watch *watch_of(int fd);
/* The same, made if there is memory. */
struct watch *watch_make(int fd);
/* A number of the set that it is in, as long as one is open; -1: in none. */
int watch_set_number(struct watch *watch);
/* The registration of fd in a set: its first, or one of its further ones. */
struct watch *watch_in(int set, int fd);

void watch_write(struct watch *watch, int set, const struct epoll_event *event);
/* Under the lock. */
void watch_write_further(int set, int fd, const struct epoll_event *event);
/* Remembers where data is to be looked for. */
void watch_guess(int set, uint64_t data, int fd);

/* The system call; true if it succeeded. */
static inline bool epoll_control(int set, int operation, int fd, struct epoll_event *event)
{
	return SYS(SYS_epoll_ctl, set, operation, fd, event) == 0;
}

#endif
