/* SPDX-License-Identifier: MIT */
/*
 * Which addresses belong to one name, as the program's own lookups said.
 *
 * One table for a process and all that it forks, in shared memory that the first
 * fork makes at the latest, since many a program looks up in a child and connects
 * itself (lynx, elinks, lftp).  So a daemon's workers share it as well, for as long
 * as they live.  What follows from that:
 *
 *  - Addresses, and whether they answer, are facts, and the same for all. The last
 *    lookup of a name wins; one that says what is known already changes nothing,
 *    so that a worker does not make its siblings' copies stale.
 *  - An address that several names share belongs to the one that this process
 *    looked up last, and only for want of one to the one that any other did.
 *  - How far a program has walked and where it is connected is its own: that lies
 *    in private memory, of which a forked child gets a copy as of its other state.
 *  - There is room for NAME_ENTRIES names in all, and the one whose lookup is
 *    longest ago makes room.  A process whose name was lost goes on as one that
 *    never looked it up.
 *
 * A writer claims a name's entry with a compare-and-swap and gives up if another
 * keeps it, since a table that lacks a name only costs what is known of it; a
 * claim expires, should its owner have died or jumped away.  A reader copies an
 * entry and looks again whether it changed meanwhile, and trusts no count or text
 * in it, since other processes can write there.  Async-signal-safe.
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

/* A name as one lookup left it; stale once another brings other addresses. */
struct name {
	uint32_t entry;
	uint32_t version; /* changes with every lookup that brings other addresses */
	uint32_t count;   /* of addresses */
	uint32_t lookup;  /* which of this process's own it follows */
};

/*
 * This process is about to fork: from now on there is a table to share. errno is
 * kept. A system call once, in a process whose parent did not do it already.
 */
void names_share(void);

/*
 * This process is about to give up privileges: it and those that it forks get a
 * copy of their own, since nobody may tell a more privileged one where to connect.
 * errno is kept.
 */
void names_separate(void);

/*
 * A lookup of host succeeded. Literals are not names. Lookups of one name in one
 * family each, within two seconds and in any order, are one. errno is kept.
 */
void name_learn_addrinfo(const char *host, int family, const struct addrinfo *list);
void name_learn_hostent(const char *host, const struct hostent *entry);
void name_learn_addresses(const char *host, const struct name_address *addresses, uint32_t count);

/* True if anything was ever learned: the gate for all that follows. */
bool names_known(void);

/*
 * The name that the address was last looked up by, by this process or, if it did
 * not, by a relative of it. False if it is none's. index: which of the name's
 * addresses it is.
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
 * trying one a second time begins a new walk. A new lookup by this process and a
 * success end it; one that began before that lookup ends no later one.
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

/*
 * Addresses on which this process got a connection to that port within the last
 * second, a bit each. A new lookup by it forgets them.
 */
void name_live_set(const struct name *name, uint32_t index, uint16_t port, int64_t now_ns);
uint32_t name_live(const struct name *name, uint16_t port, int64_t now_ns);

#endif
