/* SPDX-License-Identifier: MIT */
/*
 * Eight threads that connect, and are forked, signalled, cancelled and jumped out
 * of meanwhile.
 *
 *	calls.h    libc's calls, or the engine linked in and called directly
 *	servers.c  one that is up, one that comes and goes, one that is dead
 *	acts.c     what a thread does
 *	stress.c   the threads, who disturbs them, and the sums at the end
 */
#ifndef TESTS_STRESS_STRESS_H
#define TESTS_STRESS_STRESS_H

#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "common.h"

/* What may happen, chosen on the command line. */
#define STRESS_ACTS(A) A(dead) A(flap) A(share) A(fork) A(signal) A(jump) A(cancel)

enum act {
#define ACT(name) ACT_BIT_##name,
	STRESS_ACTS(ACT)
#undef ACT
		ACT_COUNT
};
#define MAY(name) (stress.acts & 1u << ACT_BIT_##name)

/* Summed over all threads and forked children. */
#define STRESS_SUMS(S)                                                 \
	S(started)   /* first connects of a socket */                  \
	S(again)     /* connects of another thread's socket */         \
	S(succeeded) /* blocking ones that said so */                  \
	S(failed)    /* blocking ones that said so, but for EINTR */   \
	S(pending)   /* non-blocking or interrupted, and then asked */ \
	S(jumped)    /* left by siglongjmp */                          \
	S(cancelled) /* left by cancellation */                        \
	S(children)  /* forked */                                      \
	S(broken)    /* children that did not end with 0 */

struct sums {
#define SUM(name) _Atomic uint64_t name;
	STRESS_SUMS(SUM)
#undef SUM
};

enum server { SERVER_UP, SERVER_FLAP, SERVER_DEAD, SERVER_COUNT };

/* What a call said, whatever the number of times: compared between runs. */
enum outcome { OUTCOME_BLOCKING, OUTCOME_NONBLOCKING, OUTCOME_LATER, OUTCOME_SEND, OUTCOME_COUNT };
#define ERRORS 256

struct shared {
	struct sums sums;
	_Atomic uint8_t outcomes[OUTCOME_COUNT][ERRORS];
};

struct worker {
	pthread_t thread;
	unsigned int index;
	uint64_t random; /* its own generator */
	/* Its socket, which others may use meanwhile; -1: none. */
	_Atomic int lent;
	_Atomic int borrowers;
	sigjmp_buf back;
	_Atomic bool may_jump;
};

#define WORKERS 8

struct stress {
	unsigned int acts;
	uint64_t seed;
	struct sockaddr_in servers[SERVER_COUNT];
	struct worker workers[WORKERS];
	struct shared *shared;
	_Atomic bool over;
};

extern struct stress stress;

#define COUNT(name) atomic_fetch_add_explicit(&stress.shared->sums.name, 1, memory_order_relaxed)

/* The signal after which a thread leaves what it is in. */
#define SIGNAL_RESTARTING SIGUSR1
#define SIGNAL_INTERRUPTING SIGUSR2
#define SIGNAL_JUMP SIGURG

/* Starts the servers in a process that ends with us; its pid. */
pid_t servers_start(void);

/* One thing, drawn from the worker's generator. */
void worker_act(struct worker *worker);
void acts_prepare(void);

#endif
