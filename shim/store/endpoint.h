/* SPDX-License-Identifier: MIT */
/*
 * An endpoint as it is stored, compared and shown: tcp:10.0.0.5:5432,
 * tcp:[fe80::1%2]:22, udp:..., unix:/path, unix:@name, name:host (what a lookup
 * asks for), other.  A v4-mapped address is IPv4 from the moment it is stored.
 * All functions are async-signal-safe and use no locale, stdio or heap.
 */
#ifndef HOLDFAST_STORE_ENDPOINT_H
#define HOLDFAST_STORE_ENDPOINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

enum endpoint_kind {
	ENDPOINT_OTHER, /* everything beyond a table's limit */
	ENDPOINT_TCP,
	ENDPOINT_UDP,
	ENDPOINT_UNIX,
	ENDPOINT_NAME
};

#define ENDPOINT_TEXT_SIZE 128

/* Unused bytes are zero, so that endpoints can be compared with memcmp(). */
struct endpoint {
	uint8_t kind; /* enum endpoint_kind */
	uint8_t is_ipv6;
	uint16_t port; /* host byte order */
	uint32_t scope_id;
	uint8_t length;     /* of bytes[] in use */
	uint8_t bytes[111]; /* 4 or 16 of an address; a path or name, cut if longer */
};

/* kind is ENDPOINT_TCP or ENDPOINT_UDP for INET families. False for a family that is not ours. */
bool endpoint_from_sockaddr(struct endpoint *endpoint, enum endpoint_kind kind,
			    const struct sockaddr *address, socklen_t length);
/*
 * The address of a TCP or UDP endpoint as a socket of this family takes it, IPv4 on
 * AF_INET6 v4-mapped. Returns its length, 0 if there is none.
 */
socklen_t endpoint_to_sockaddr(const struct endpoint *endpoint, int family,
			       struct sockaddr_storage *address);
void endpoint_from_name(struct endpoint *endpoint, const char *host);
bool endpoint_equal(const struct endpoint *a, const struct endpoint *b);
uint32_t endpoint_hash(const struct endpoint *endpoint);

/* Writes the text form, cut and always terminated. Returns its length. */
size_t endpoint_format(const struct endpoint *endpoint, char text[ENDPOINT_TEXT_SIZE]);

/*
 * Copies bytes as printable UTF-8: what is no printable character becomes \xNN,
 * and, if reversible, a backslash becomes two. Cut to size bytes (>= 1) without
 * halving a character or an escape, always terminated. Returns the length.
 */
size_t text_escape(char *out, size_t size, const void *bytes, size_t length, bool reversible);

#endif
