/* SPDX-License-Identifier: MIT */
/*
 * Eight threads whose sockets are connected without blocking and waited for, in
 * epoll, poll and select, while servers come and go.
 *
 *	loops_calls.h    the calls that holdfast hooks
 *	loops_servers.c  one that is up, one that comes and goes, one that is dead
 *	loops_open.c     a socket is made, connected, registered, and ended
 *	loops_ask.c      how a program finds out what came of it
 *	loops_wait.c     the wait calls
 *	loops_team.c     a batch of sockets, and the threads that wait for it
 *	loops.c          who disturbs them, who watches them, and the sums at the end
 *
 * The threads are teams of three, two and one. A team works through one batch
 * after the other: some sockets in one set, one array of pollfds or three fd_sets,
 * until each has ended. Every thread of the team waits for all of them, in calls
 * that last for ever or as long as the patience: who misses one wakeup stays in
 * there, and is found by the thread that watches.
 */
#ifndef TESTS_STRESS_LOOPS_H
#define TESTS_STRESS_LOOPS_H

#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common.h"

/* What may happen, chosen on the command line. */
#define LOOPS_ACTS(A)                                                  \
	A(dead)     /* the dead server is asked */                     \
	A(flap)     /* so is the one that comes and goes */            \
	A(close)    /* sockets are closed while they are pending */    \
	A(dup)      /* they are duplicated */                          \
	A(blocking) /* O_NONBLOCK is cleared while they are pending */ \
	A(pause)    /* a thread leaves the wait for milliseconds */    \
	A(team)     /* several threads wait for the same sockets */    \
	A(fork)     /* children, with sockets of their own */          \
	A(signal)   /* waits are interrupted */                        \
	A(jump)     /* waits are left by siglongjmp */                 \
	A(hold)     /* one batch a team, of dead ones only, and nothing happens */

enum act {
#define ACT(name) ACT_BIT_##name,
	LOOPS_ACTS(ACT)
#undef ACT
		ACT_COUNT
};
#define MAY(name) (loops.acts & 1u << ACT_BIT_##name)

/* Summed over all threads and forked children. */
#define LOOPS_SUMS(S)                                                                 \
	S(batches)                                                                    \
	S(started)     /* connects */                                                 \
	S(succeeded)   /* sockets whose program was told so */                        \
	S(failed)      /* the same */                                                 \
	S(reset)       /* failed, but perhaps only after they were connected */       \
	S(closed)      /* ended while pending */                                      \
	S(mute)        /* told of nothing by an event that began after the connect */ \
	S(stale)       /* events of sockets that were closed before the wait began */ \
	S(refused)     /* epoll_ctl()s that failed */                                 \
	S(hasty)       /* waits without an event that ended before their timeout */   \
	S(lost)        /* sockets that nobody was woken for */                        \
	S(interrupted) /* waits */                                                    \
	S(jumped)      /* out of waits */                                             \
	S(children)                                                                   \
	S(broken)     /* children that did not end with 0 */                          \
	S(slowest_ms) /* the longest batch, not a sum */

struct sums {
#define SUM(name) _Atomic uint64_t name;
	LOOPS_SUMS(SUM)
#undef SUM
};

enum server { SERVER_UP, SERVER_FLAP, SERVER_DEAD, SERVER_COUNT };

/* How a socket is asked what came of its connect. */
#define LOOPS_WAYS(W) W(SO_ERROR) W(connect) W(send) W(recv) W(write) W(read) W(getpeername)
/* And what else can say it: the first connect(), and the first bytes afterwards. */
#define LOOPS_TELLERS(T) LOOPS_WAYS(T) T(at_once) T(greeting) T(blocking) T(wait)

enum teller {
#define TELLER(name) TELLER_##name,
	LOOPS_TELLERS(TELLER)
#undef TELLER
		TELLER_COUNT
};
#define WAY_COUNT TELLER_at_once

#define ERRORS 256
/* A word for recv() that says 0. */
#define ERROR_END 255

struct shared {
	struct sums sums;
	_Atomic uint8_t outcomes[SERVER_COUNT][TELLER_COUNT][ERRORS];
};

/* ---- a batch ----------------------------------------------------------------------------- */

/* Who moves a seat out of PENDING may use its socket; nobody else does. */
enum seat_state {
	SEAT_UNUSED,
	SEAT_OPENING,
	SEAT_PENDING,
	SEAT_LONE, /* pending, and only its team's one thread may take it */
	SEAT_TAKEN,
	SEAT_LEAVING, /* taken to be closed, and counted for nothing any more */
	SEAT_ENDED
};

enum duplicate {
	DUP_NONE,
	DUP_SPARE,      /* one that nobody uses */
	DUP_SWITCHED,   /* the original is closed while pending, then the copy is registered */
	DUP_ORPHANED,   /* the original is registered, then closed while pending */
	DUP_REGISTERED, /* the copy is registered, the original is asked */
	DUP_COUNT
};

struct seat {
	_Atomic uint32_t state;
	_Atomic bool seen; /* an event came while it was being opened */
	_Atomic int fd;    /* that is asked */
	int registered;    /* that the set knows; -1: none, or gone */
	int copy;          /* closed at the end, too; -1: none */
	enum server server;
	enum teller way;
	enum duplicate duplicate;
	/* loops.clock when it became pending, then when its last descriptor was closed. */
	_Atomic uint64_t stamp;
};

enum medium { MEDIUM_EPOLL, MEDIUM_NESTED, MEDIUM_POLL, MEDIUM_SELECT, MEDIUM_COUNT };
enum trigger { TRIGGER_LEVEL, TRIGGER_EDGE, TRIGGER_ONESHOT, TRIGGER_EXCLUSIVE, TRIGGER_COUNT };
enum patience { PATIENCE_FOREVER, PATIENCE_LONG, PATIENCE_SHORT, PATIENCE_COUNT };

#define BATCH_MAX 24

struct batch {
	struct seat seats[BATCH_MAX];
	unsigned int total, window;
	enum medium medium;
	enum trigger trigger;
	enum patience patience;
	bool waits_first; /* the team waits before the first socket is there */
	int set, outer;   /* of epoll; -1: none */
	_Atomic unsigned int next, left;
	_Atomic bool over;
	_Atomic int64_t began_ms; /* 0: not yet */
};

struct team {
	unsigned int size;
	int bell; /* an eventfd, which says that the batch is over */
	bool stops;
	pthread_barrier_t barrier;
	struct batch batch;
};

struct worker {
	pthread_t thread;
	struct team *team;
	unsigned int rank;
	bool child; /* of a fork: nobody watches it */
	uint64_t random;
	const char *_Atomic doing; /* for who finds it stuck */
	sigjmp_buf back;
	_Atomic bool may_jump;
};

#define WORKERS 8
#define TEAMS 5

/* Each connect has ended long before, under any policy that the script sets. */
#define PATIENCE_MS 10000

struct loops {
	unsigned int acts;
	uint64_t seed;
	struct sockaddr_in servers[SERVER_COUNT];
	struct team teams[TEAMS];
	struct worker workers[WORKERS];
	unsigned int worker_count;
	struct shared *shared;
	_Atomic uint64_t clock; /* what happened before what */
	_Atomic bool over;
};

extern struct loops loops;

#define COUNT(name) atomic_fetch_add_explicit(&loops.shared->sums.name, 1, memory_order_relaxed)

#define SIGNAL_RESTARTING SIGUSR1
#define SIGNAL_INTERRUPTING SIGUSR2
#define SIGNAL_JUMP SIGURG

/* loops_servers.c: starts them in a process that ends with us; its pid. */
pid_t servers_start(void);

/* loops_open.c: another socket of the team's batch, and the end of one that the caller took. */
void seat_open(struct worker *worker, struct team *team);
void seat_end(struct worker *worker, struct team *team, struct seat *seat);
/* Among the pending again, armed anew where the set tells things only once. */
void seat_put_back(struct team *team, struct seat *seat, bool rearm);
uint32_t seat_events(const struct batch *batch, const struct seat *seat);

/* loops_ask.c: the first few of each kind are described on standard error. */
void seat_report(const char *what, uint64_t before, const struct team *team,
		 const struct seat *seat);
void outcome_note(enum server server, enum teller teller, int error);
/* Asks a socket that the caller took, and ends it if it says anything. since: loops.clock
 * before the wait that had the event, 0 if there was none. */
void seat_ask(struct worker *worker, struct team *team, struct seat *seat, uint64_t since);
/* O_NONBLOCK is cleared, and the next call waits. */
void seat_ask_blocking(struct worker *worker, struct team *team, struct seat *seat);

/* loops_wait.c: indices of seats; how many. */
void waits_prepare(void);
int batch_wait(struct worker *worker, struct team *team, unsigned int found[BATCH_MAX]);

/* loops_team.c */
void team_play(struct worker *worker, struct team *team);
/* Nobody waits for the batch any longer. The caller holds one of its seats, or is the watch. */
void batch_over(struct team *team);

#endif
