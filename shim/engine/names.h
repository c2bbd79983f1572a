/* SPDX-License-Identifier: MIT */
/*
 * Which addresses belong to one name, as the program's own lookups said.
 *
 * One table for the process, in memory that forked children share with their
 * parent.  A writer claims a name's entry with a compare-and-swap and gives up if
 * another has it, since a table that lacks a name only costs what is known of it;
 * a reader copies an entry and looks again whether it changed meanwhile.  So
 * nobody waits and nobody can leave a lock behind.  Async-signal-safe to read.
 */
#ifndef HOLDFAST_ENGINE_NAMES_H
#define HOLDFAST_ENGINE_NAMES_H

#include <netdb.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#define NAME_SIZE_MAX 256
#define NAME_ADDRESSES 16
#define NAME_ENTRIES 128

/* An address of a name. IPv4 is kept as ::ffff:a.b.c.d. */
struct name_address {
	uint8_t bytes[16];
	uint32_t scope_id;
	uint8_t is_ipv6; /* as the lookup gave it; a v4-mapped answer counts as IPv4 */
	uint8_t reserved[3];
};

/* A name as one lookup left it; stale once it is looked up again. */
struct name {
	uint32_t entry;
	uint32_t version; /* changes with every lookup */
	uint32_t count;   /* of addresses */
};

/* A lookup of host succeeded. Literals are not names. errno is kept. */
void name_learn_addrinfo(const char *host, int family, const struct addrinfo *list);
void name_learn_hostent(const char *host, const struct hostent *entry);

/* True if anything was ever learned: the gate for all that follows. */
bool names_known(void);

/*
 * The name that the address was last looked up by. False if it is none's.
 * index: which of the name's addresses it is.
 */
bool name_find(const struct name_address *address, struct name *name, uint32_t *index);

/* The host's name, or the addresses, name->count of them; false if the name is stale. */
bool name_host(const struct name *name, char host[NAME_SIZE_MAX]);
bool name_addresses(const struct name *name, struct name_address addresses[NAME_ADDRESSES]);

/* False if it is no IPv4 or IPv6 address. */
bool name_address_from(struct name_address *address, const struct sockaddr *peer, socklen_t length);

/*
 * The walk over a name's addresses that the program is on: a bit per address
 * tried. name_walk() marks one and returns those that were tried before it;
 * trying one a second time begins a new walk. A new lookup and a success end it.
 */
uint32_t name_walk(const struct name *name, uint32_t index);
void name_walk_end(const struct name *name);

/* The walk's budget is spent: its later failures are the program's. */
void name_walk_spend(const struct name *name);
bool name_walk_spent(const struct name *name);

/* What was last learned of whether an address answers, and when (CLOCK_MONOTONIC). */
enum name_answer { ANSWER_UNKNOWN, ANSWER_UP, ANSWER_DOWN };
enum name_answer name_answer(const struct name *name, uint32_t index, uint16_t port,
			     int64_t now_ns);
void name_answer_set(const struct name *name, uint32_t index, uint16_t port,
		     enum name_answer answer, int64_t now_ns);

#endif
