/* SPDX-License-Identifier: MIT */
/* What a word is, and one function for each. */
#ifndef TESTS_CONFORMANCE_SAY_H
#define TESTS_CONFORMANCE_SAY_H

#include <errno.h>

#include "conform.h"

#define UNTOUCHED EXDEV /* errno before each call: none of them can say this */

enum word_flag {
	WORD_FAILS = 1u << 0, /* the network fails here */
	WORD_SENDS = 1u << 1,
	WORD_CONNECTS = 1u << 2,
	WORD_WAITS_IN = 1u << 3, /* a blocking one waits for POLLIN or POLLOUT... */
	WORD_WAITS_OUT = 1u << 4
};

struct word {
	const char *name;
	void (*say)(struct subject *, const struct word *);
	long a, b;
	unsigned int flags;
};

/* ---- words.c */
void answer(const char *format, ...) __attribute__((format(printf, 1, 2)));
void answer_result(long result, int error);
const char *error_name(int error);
extern volatile int broken_pipes; /* SIGPIPEs since the last call */
/* NULL: the compiler would know better than to hand that to libc. */
extern void *volatile nowhere;

/* A call on the subject: what it returns is written down. */
#define CALL(call)                              \
	({                                      \
		long result_;                   \
		int error_;                     \
                                                \
		broken_pipes = 0;               \
		errno = UNTOUCHED;              \
		result_ = (long)(call);         \
		error_ = errno;                 \
		answer_result(result_, error_); \
		errno = error_;                 \
		result_;                        \
	})

/* ---- say_ask.c, say_move.c, say_connect.c */
void say_option(struct subject *s, const struct word *word);
void say_state(struct subject *s, const struct word *word);
void say_sndtimeo(struct subject *s, const struct word *word);
void say_sndtimeo_set(struct subject *s, const struct word *word);
void say_option_set(struct subject *s, const struct word *word);
void say_error_room(struct subject *s, const struct word *word);
void say_error_nowhere(struct subject *s, const struct word *word);
void say_getpeername(struct subject *s, const struct word *word);
void say_getsockname(struct subject *s, const struct word *word);
void say_getpeername_nowhere(struct subject *s, const struct word *word);
void say_poll(struct subject *s, const struct word *word);
void say_select(struct subject *s, const struct word *word);
void say_epoll(struct subject *s, const struct word *word);
void say_read(struct subject *s, const struct word *word);
void say_readv(struct subject *s, const struct word *word);
void say_recv(struct subject *s, const struct word *word);
void say_recvfrom(struct subject *s, const struct word *word);
void say_recvmsg(struct subject *s, const struct word *word);
void say_fionread(struct subject *s, const struct word *word);
void say_write(struct subject *s, const struct word *word);
void say_writev(struct subject *s, const struct word *word);
void say_send(struct subject *s, const struct word *word);
void say_sendmsg(struct subject *s, const struct word *word);
void say_sendto_server(struct subject *s, const struct word *word);
void say_sendto_nowhere(struct subject *s, const struct word *word);
void say_sendfile(struct subject *s, const struct word *word);
void say_connect(struct subject *s, const struct word *word);
void say_connect_length(struct subject *s, const struct word *word);
void say_connect_nowhere(struct subject *s, const struct word *word);
void say_connect_unspec(struct subject *s, const struct word *word);
void say_connect_family(struct subject *s, const struct word *word);
void say_connect_strange(struct subject *s, const struct word *word);
void say_shutdown(struct subject *s, const struct word *word);
void say_close(struct subject *s, const struct word *word);
void say_close_range(struct subject *s, const struct word *word);
void say_bind(struct subject *s, const struct word *word);
void say_listen(struct subject *s, const struct word *word);
void say_accept(struct subject *s, const struct word *word);
void say_dup(struct subject *s, const struct word *word);
void say_dup_onto(struct subject *s, const struct word *word);
void say_dup_self(struct subject *s, const struct word *word);
void say_dup_nowhere(struct subject *s, const struct word *word);
void say_fcntl(struct subject *s, const struct word *word);
void say_fionbio(struct subject *s, const struct word *word);
void say_first(struct subject *s, const struct word *word);
void say_vfork_close(struct subject *s, const struct word *word);
void say_fstat(struct subject *s, const struct word *word);
void say_lseek(struct subject *s, const struct word *word);
void say_isatty(struct subject *s, const struct word *word);
void say_pread(struct subject *s, const struct word *word);
void say_fsync(struct subject *s, const struct word *word);

#endif
