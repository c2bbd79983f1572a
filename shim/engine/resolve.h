/* SPDX-License-Identifier: MIT */
/*
 * Lookups of names: held through EAI_AGAIN, and remembered, since the addresses of
 * a name are one destination.  Like getaddrinfo() itself not async-signal-safe.
 */
#ifndef HOLDFAST_ENGINE_RESOLVE_H
#define HOLDFAST_ENGINE_RESOLVE_H

#include <netdb.h>

/*
 * As getaddrinfo(3), its result unchanged. At most two threads of a process are
 * held at once: a program that looks up in a pool of threads (libuv has four)
 * needs the others for its other work.
 */
int engine_getaddrinfo(const char *host, const char *service, const struct addrinfo *hints,
		       struct addrinfo **result);

#endif
