/* SPDX-License-Identifier: MIT */
/*
 * What a program is told about a non-blocking connect, step by step: a table of
 * ways to wait times a table of ways to ask.  The program knows nothing of
 * holdfast; what it records without and with the preload is compared.
 *
 *	worlds.c     servers that are up, silent, slow, late or never there
 *	waits.c      the table of ways to wait
 *	words.c      the table of words: one call each, its answer written down
 *	ticks.c      words that wait and ask again and again
 *	shown.c      what may differ while a connect is under way
 *	questions.c  the table of questions: what is asked, in words
 *	record.c     every question with every way to wait
 */
#ifndef TESTS_WAITS_RECORD_H
#define TESTS_WAITS_RECORD_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

enum world {
	WORLD_UP,
	WORLD_SILENT,    /* nobody answers, ever */
	WORLD_SLOW,      /* nobody answers for a second, then the server does */
	WORLD_SLOW_DEAD, /* nobody answers for a second, then the port refuses */
	WORLD_LATE,      /* refuses, and listens a while later */
	WORLD_DEAD,      /* refuses */
	WORLD_COUNT
};

union address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

struct place {
	union address address;
	socklen_t length;
	int fd;
};

/* What the program waits for. */
enum interest { WANT_OUT = 1, WANT_IN = 2, WANT_HANGUP = 4, WANT_URGENT = 8 };
#define WANT_ALL (WANT_OUT | WANT_IN | WANT_HANGUP | WANT_URGENT)

struct subject {
	enum world world;
	const struct way *way;
	unsigned int want;
	int fd;         /* in use */
	int registered; /* what the epoll set knows */
	int set;        /* -1: none */
	struct place server;
	struct place other; /* another one, which is up */
	int start[2];       /* a pipe */
};

/* ---- worlds.c ------------------------------------------------------------------------ */

extern const char *const world_names[WORLD_COUNT];
/*
 * Servers, and a process that plays them from world_begin() on, which is when the
 * subject has called connect().  family: AF_INET, AF_INET6; 0: v4-mapped.
 */
void world_make(struct subject *s, int family);
void world_begin(const struct subject *s);
bool raw_wait(int fd, short events, int milliseconds);
void raw_pause(int milliseconds);
int64_t now_ms(void);
/* Until the kernel is done with what the subject did last. */
void settle(const struct subject *s);
_Noreturn void give_up(const char *what);

/* ---- waits.c ------------------------------------------------------------------------- */

struct way {
	const char *name;
	/* Says what was told; the number of descriptors, or -1. */
	int (*wait)(struct subject *s, int milliseconds);
	uint32_t trigger; /* of epoll */
	bool is_epoll;
	bool before;  /* registered before connect() */
	bool typical; /* of those that are asked the rarer questions too */
};

extern const struct way ways[];
extern const unsigned int way_count;
void way_begin(struct subject *s); /* a set, empty */
int way_control(struct subject *s, int operation, unsigned int want, uint32_t trigger);
/* poll, select and a set of its own, none of which waits; and all three. */
void look_poll(int fd);
void look_select(int fd);
void look_epoll(int fd);
void look(int fd);
void revents_say(short revents); /* of poll() */

/* ---- words.c, ticks.c ---------------------------------------------------------------- */

#define UNTOUCHED EXDEV /* errno before each call: none of them can say this */
#define RECORD_SIZE 6144

extern char *record; /* shared with the process that prints it */
extern volatile int broken_pipes;

void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
void say_result(long result, int error);
void words_begin(void);
void word_say(struct subject *s, const char *name);
void words_say(struct subject *s, const char *words);

/* A call: what it returns is written down. */
#define CALL(call)                           \
	({                                   \
		long result_;                \
		int error_;                  \
                                             \
		broken_pipes = 0;            \
		errno = UNTOUCHED;           \
		result_ = (long)(call);      \
		error_ = errno;              \
		say_result(result_, error_); \
		errno = error_;              \
		result_;                     \
	})

int ask_connect(const struct subject *s);
int ask_error(const struct subject *s);
/* Waits and asks until it is over; each answer is written down once in a row. */
void tick_connect(struct subject *s);
void tick_error(struct subject *s);
void tick_zero(struct subject *s);
void tick_short(struct subject *s);
void tick_all(struct subject *s);

/* ---- shown.c ------------------------------------------------------------------------- */

void shown_say(const struct subject *s);

/* ---- questions.c --------------------------------------------------------------------- */

enum question_flag {
	ASK_TYPICAL = 1, /* of typical ways only */
	ASK_EPOLL = 2,   /* of epoll only */
	ASK_GOOD = 4     /* where the connect does not fail: who hears of it first is chance */
};

struct question {
	unsigned int want;
	const char *words;
	unsigned int flags;
};

extern const struct question questions[];
extern const unsigned int question_count;

#endif
