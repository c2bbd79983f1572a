/* SPDX-License-Identifier: MIT */
/*
 * A connect that does not block, from connect() until the program has been told
 * its outcome.
 *
 *   under way    the kernel tries; waits and questions are the kernel's
 *   held         between two attempts: the socket is out of sight of every wait,
 *                and every question is answered as if it were under way
 *   connected    as the kernel says; nothing of this is left
 *   failed       the errno is still to be told, once, by whatever asks first
 *
 * What is due is done in the program's own calls: whoever waits, waits no longer
 * than until the next deadline and calls pending_run(); whoever asks, too.  Until a
 * first attempt has failed nothing here costs a system call.
 *
 * Async-signal-safe; errno is kept unless said otherwise.
 */
#ifndef HOLDFAST_ENGINE_PENDING_H
#define HOLDFAST_ENGINE_PENDING_H

#include <netinet/in.h>
#include <sys/epoll.h>

#include "call.h"
#include "schedule.h"

enum pending_phase {
	PHASE_UNDER_WAY,
	PHASE_WAITING,   /* for the next attempt's time */
	PHASE_ASKING,    /* for what another address of the name answers */
	PHASE_FOLLOWING, /* for the outcome of another's attempt at the same endpoint */
	PHASE_IDLE,      /* connected: when its silence will have lasted too long */
	PHASE_REPLAYING  /* connected anew, and the kernel has not taken all that was kept */
};

/*
 * Who may look at one. It is filled outside of the lock, by the thread that connects; one
 * that a jump leaves half-filled is not used again, and its connects pass through.
 */
enum pending_claim { CLAIM_UNUSED, CLAIM_FILLING, CLAIM_READY, CLAIM_BUSY };

/* One per connection, used while it is pending. Changes under the schedule's lock. */
struct pending {
	struct call call;
	struct sockaddr_in6 peer; /* of either family; of AF_UNIX it lies elsewhere, being larger */
	uint32_t place;           /* in the schedule */
	struct pending *next, *previous; /* who follows the same leader */
	int64_t held_at_ns;
	int64_t puzzled_ns;    /* since when it has failed without saying why; 0: no */
	int64_t bound_ns;      /* when the attempt under way is cut; 0: never */
	int32_t error;         /* of the last attempt */
	_Atomic uint32_t turn; /* the lock's word when what its sets see changed last */
	uint8_t phase;
	_Atomic bool was_lost;  /* pending_was_lost() */
	bool moved;             /* the attempt under way is at another address of the name */
	bool is_lure;           /* lure_set() */
	bool is_counted;        /* the next attempt is the operation's first */
	_Atomic uint32_t claim; /* enum pending_claim */
};

/* What a program may be told of its connect. */
enum outlook { OUTLOOK_UNDER_WAY, OUTLOOK_HELD, OUTLOOK_CONNECTED, OUTLOOK_FAILED };

/*
 * The call's connect is about to be made, or has been left under way: from now on
 * it is pending. Lock-free. False if there is no memory for it.
 */
bool pending_begin(struct call *call);

/* Its first attempt is cut short where the policy says so, too. */
void pending_bound(struct connection *connection);

/* The same as pending_begin(), for an attempt whose data the kernel has taken already. */
void pending_commit(struct call *call);

/*
 * A call on fd showed that the attempt under way has an outcome, or asks whether:
 * finds out, and does what the policy says of it. error: the errno that the call
 * was told, which the socket then says no more; 0: none. Takes the lock.
 */
enum outlook pending_look(struct connection *connection, int fd, int error);

/*
 * It had connected, and was lost before anybody noticed: what a wait said of it stands. The socket
 * is not asked, which another thread may be closing by now, and would be kept alive by that.
 */
static inline bool pending_was_lost(const struct connection *connection)
{
	return connection->pending->was_lost;
}

/*
 * Whether fd is still the socket whose connect is held or failed. A number that was
 * closed unseen and stands for something else by now is forgotten.
 */
bool pending_is_current(struct connection *connection, int fd);

/*
 * A transfer showed success. Lock-free if the first attempt succeeded, unless
 * the policy has something to do for the connection.
 */
void pending_connected(struct connection *connection, int fd);

/*
 * The same of a wait by number, in a real call that began at since_ns, CLOCK_MONOTONIC; 0: its
 * number may stand for something else. Of a connect that began later it may say what was so
 * of the socket that had the number before: then this one is asked.
 */
void pending_told(struct connection *connection, int fd, int64_t since_ns);

/* It is a blocking one after all: its own call waits for it. */
void pending_drop(struct connection *connection);

/*
 * The program has shut a failed one down, or, is_left, left it with AF_UNSPEC: its errno
 * is still to be told, but not by connect(), which begins anew.
 */
void pending_anew(struct connection *connection, bool is_left);

/*
 * A connection that was lost is made anew, its first attempt after delay_ns: held
 * until it is there and what was kept has been sent. Begins the operation. False if
 * it cannot be done, another thread does it, or fd stands for another connection by now
 * than that of the generation.
 */
bool pending_rebuild(struct call *call, uint32_t generation, uint64_t delay_ns);

/* Tells a failed one's errno, once: 0 if another thread was told. */
int pending_error_take(struct connection *connection);

/*
 * Does what is due, if no other thread is at it. When something will be due next,
 * CLOCK_MONOTONIC; INT64_MAX: nothing.
 */
int64_t pending_run(void);

/*
 * Waits until fd is no longer held, for a call that may block (the program has
 * made fd blocking meanwhile). A cancellation point. until_ns: CLOCK_MONOTONIC.
 * 0, EAGAIN at that time, or EINTR for a signal that the program must see.
 */
int pending_wait(struct connection *connection, int64_t until_ns);

/* fd is closed, and is the connection's last: what is known of the outcome is recorded. -1: unknown. */
void pending_close(struct connection *connection, int fd);
/* shutdown() or AF_UNSPEC of one that is held: as one under way, it is left and says ECONNRESET once. */
void pending_shut(struct connection *connection);
/* fd is closed, and others still stand for the connection. */
void pending_renumber(struct connection *connection, int fd);

/*
 * Bits of the addresses of the call's name at whose port other pending connects of
 * this process are. Under the lock.
 */
uint32_t pending_live(const struct call *call);

/*
 * A set in a set is said to be ready: what may be so for the moment only is served, each
 * of a few that are under way and have failed, or taken out of the inner set.
 */
void pending_look_at_all(void);

/*
 * In a forked child, of a connect that its parent holds: the errno that it failed
 * with so far, since the socket itself looks connected. 0: ask the socket.
 */
int pending_foreign_error(struct connection *connection, int fd);

/*
 * An event of a set says that one of its sockets has failed or hung up. It is found,
 * served if it is ours, and taken out if it is held. False if the program is not to
 * see the event; else it says what a failed connect does. turn: schedule_lock_word()
 * before the call that the set gave it to.
 */
bool pending_event(int set, struct epoll_event *event, uint32_t turn);

/* epoll_ctl() on a socket while others are held, or it is itself. errno as epoll_ctl(). */
int pending_control(struct connection *connection, int set, int operation, int fd,
		    struct epoll_event *event);

/* What such a call without the lock came to, done anew: see watch_renew(). */
int pending_renew(struct connection *connection, int set, int operation, int fd,
		  struct epoll_event *event, int result);

/* Whether calls on fd may block, asked while no attempt of ours has its mode changed. */
bool fd_may_block(int fd);

/*
 * The caller leaves its wait, and with it whoever knew of the next deadline: if
 * another thread waits in an epoll set beyond it, it is woken by the socket that
 * the deadline is for.
 */
void pending_leave(void);

#endif
