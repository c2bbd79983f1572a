/* SPDX-License-Identifier: MIT */
/*
 * What the answers of sockets are in every state: a table of states times a
 * table of questions, each a row of words.  The program knows nothing of
 * holdfast; its output without and with the preload is compared.
 *
 *	world.c      servers, and what waits until the kernel is done
 *	states.c     the table of states, and how a socket is brought into each
 *	words.c      the table of words: one call each, its answer written down
 *	questions.c  the table of questions
 *	conform.c    every question in every state
 */
#ifndef TESTS_CONFORMANCE_CONFORM_H
#define TESTS_CONFORMANCE_CONFORM_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>

union address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
	struct sockaddr_un local;
};

struct place {
	union address address;
	socklen_t length;
	int fd; /* who holds it; -1: nobody */
};

/* Where a socket can be connected to, all of the state's own family and type. */
struct world {
	struct place server; /* listens */
	struct place other;  /* too */
	struct place dead;   /* refuses */
	struct place full;   /* says nothing: its backlog is full */
};

/* An AF_INET6 socket and v4-mapped addresses. */
#define FAMILY_MAPPED (-1)

enum state_flag {
	STATE_FAILED = 1u << 0, /* a connect failed, or will, on the way into it */
	STATE_NONBLOCKING = 1u << 1
};

struct subject {
	const struct state *state;
	const struct world *world;
	const struct place *target; /* where `connect` goes */
	int fd;
	int first; /* as fd was before a dup */
	int peer;
	bool silent;     /* nothing will come of a connect: it is interrupted... */
	int patience_ms; /* ...after so long; 0: soon */
	bool resets;     /* whatever is sent is answered with RST, or ICMP */
};

struct state {
	const char *name;
	void (*make)(struct subject *);
	int family;
	int type;
	unsigned int flags;
};

/* ---- conform.c */
extern char state_directory[64]; /* where names of AF_UNIX are made */

/* ---- world.c */
bool world_make(struct world *world, int family, int type);
void world_tidy(const struct world *world); /* closes what nobody accepted */
socklen_t place_any(union address *address, int family);
void place_name(const struct world *world, const union address *address, socklen_t length,
		char *text, size_t size);
int tcp_state_of(int fd);
bool wait_for(int fd, short events);
void settle(const struct subject *subject, bool sent);
int raw_accept(const struct place *place);
void raw_close_hard(int fd);
bool raw_is_nonblocking(int fd);
void interrupt_soon(int milliseconds);
void interrupt_never(void);
_Noreturn void give_up(const char *what);

/* ---- states.c, questions.c, words.c */
extern const struct state states[];
extern const unsigned int state_count;
extern const char *const questions[];
extern const unsigned int question_count;

/* True if a word of the question means failures that a policy may retry. */
bool question_fails(const char *question);
/* Answers are appended to this, which forked children share. */
extern char *answers;
void answers_make(void);
void question_ask(const char *question, struct subject *subject);

#endif
