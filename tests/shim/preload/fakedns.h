/* SPDX-License-Identifier: MIT */
/*
 * A getaddrinfo() and a gethostbyname() whose answers the test says in advance.
 * Preloaded behind libholdfast.so, so that it stands where libc is; without a
 * script it hands every call on to libc.
 */
#ifndef TESTS_SHIM_FAKEDNS_H
#define TESTS_SHIM_FAKEDNS_H

#include <netdb.h>

struct fakedns_answer {
	int code;  /* of getaddrinfo(), or h_errno; 0: 127.0.0.1 */
	int error; /* errno with it */
};

/* The answers in order; the last one again and again. count 0: as libc answers. */
void fakedns_script(const struct fakedns_answer *answers, unsigned int count);
/* Calls since then, and what the last successful one gave. */
unsigned int fakedns_calls(void);
const struct addrinfo *fakedns_given(void);

#endif
