/* SPDX-License-Identifier: MIT */
/*
 * The options of a TCP socket that it loses when it is connected anew in place, and
 * that cannot be asked for: TCP_MAXSEG and TCP_WINDOW_CLAMP, where the program set
 * them. Async-signal-safe; errno is kept.
 */
#ifndef HOLDFAST_ENGINE_OPTIONS_H
#define HOLDFAST_ENGINE_OPTIONS_H

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <sys/socket.h>

static inline bool option_is_lost(int level, int name)
{
	return level == IPPROTO_TCP && (name == TCP_MAXSEG || name == TCP_WINDOW_CLAMP);
}

/* The program has set such an option. */
void options_note(int fd, int name, const void *value, socklen_t length);

/* Sets what it set again. */
void options_restore(int fd);

#endif
