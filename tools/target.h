/* SPDX-License-Identifier: MIT */
/* A destination as a user writes it, and its addresses. */
#ifndef HOLDFAST_TOOL_TARGET_H
#define HOLDFAST_TOOL_TARGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shim/store/endpoint.h"

#define TARGET_ADDRESSES 16
#define TARGET_TEXT_SIZE 256

struct target_address {
	uint8_t bytes[16]; /* IPv4 as ::ffff:a.b.c.d */
	uint32_t scope_id;
	bool is_ipv6;
	char text[64];
};

struct target {
	enum endpoint_kind kind;     /* ENDPOINT_TCP, ENDPOINT_UDP or ENDPOINT_UNIX */
	char host[TARGET_TEXT_SIZE]; /* as written; "" for AF_UNIX */
	char path[TARGET_TEXT_SIZE]; /* AF_UNIX: "/path" or "@name" */
	uint16_t port;
	bool is_numeric;
	int lookup_error; /* what getaddrinfo returned; 0: found, or numeric */
	unsigned int address_count;
	struct target_address addresses[TARGET_ADDRESSES];
};

/*
 * Parses HOST:PORT, [ADDRESS]:PORT, either after tcp: or udp:, unix:PATH or
 * unix:@NAME. A name is looked up, which can take as long as the resolver does; a
 * numeric address never is. False with what is wrong in error.
 */
bool target_parse(struct target *target, const char *text, char *error, size_t error_size);

#endif
