/* SPDX-License-Identifier: MIT */
/* Whether and by which rule a connect() is managed.  Async-signal-safe. */
#ifndef HOLDFAST_ENGINE_TARGET_H
#define HOLDFAST_ENGINE_TARGET_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "policy/policy.h"

struct target {
	uint32_t record; /* of the endpoint and OPERATION_CONNECT, by target_record() */
	int pool;        /* that the rule names for streams; -1: none */
	int rule;
	int32_t owner; /* this process */
	bool is_stream;
};

/* A look at the address alone, which has a family, before anything is attached or asked. */
bool target_is_ours(const struct sockaddr *peer, socklen_t length);

/* False if no rule manages it: bypassed, another kind of socket, a vfork child. */
bool target_find(struct target *target, int fd, const struct sockaddr *peer, socklen_t length);

/* The endpoint is this address. */
bool target_record(struct target *target, const struct sockaddr *peer, socklen_t length);

#endif
