/* SPDX-License-Identifier: MIT */
#include "names.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#include "names_table.h"
#include "shim/sys.h"

/* Lookups of one name for one family each, so close together, are one lookup. */
#define TOGETHER_NS INT64_C(2000000000)
/* How long an answer is believed: one that is up stays so, one that is down may come any moment. */
#define UP_FOR_MS 1000
#define DOWN_FOR_MS 50
#define LIVE_FOR_MS 1000
/* How often a writer looks whether another is done. */
#define LEARN_TRIES 20

/* What is this process's own, entry by entry; private memory. */
struct own_entry {
	_Atomic uint64_t walk;
	_Atomic uint64_t live[NAME_ADDRESSES]; /* milliseconds | port << 32 | version << 48 */
};
#define WALK_BITS UINT64_C(0xffff) /* the addresses tried */
#define WALK_SPENT (UINT64_C(1) << 16)
#define WALK_OWN (UINT64_C(1) << 17) /* this process looked it up */
#define WALK_LOOKUP(word) ((uint32_t)((word) >> 18) & 0x3fff)
#define WALK_VERSION(word) ((uint32_t)((word) >> 32))

static struct own_entry own[NAME_ENTRIES];

/* ---- what is this process's own ------------------------------------------------------- */

/* It has looked the name up: whatever it did with it before is over. */
static void own_begin(uint32_t index, uint32_t version)
{
	uint32_t lookup = WALK_LOOKUP(atomic_load_explicit(&own[index].walk, memory_order_relaxed));

	lookup = (lookup + 1) & WALK_LOOKUP(UINT64_MAX);
	atomic_store_explicit(&own[index].walk,
			      (uint64_t)version << 32 | (uint64_t)lookup << 18 | WALK_OWN,
			      memory_order_relaxed);
	for (size_t i = 0; i < NAME_ADDRESSES; i++)
		atomic_store_explicit(&own[index].live[i], 0, memory_order_relaxed);
}

/* The walk's word if it is about this version, else that of one not begun. */
static uint64_t walk_of(uint64_t word, uint32_t version)
{
	return WALK_VERSION(word) == version ? word : (uint64_t)version << 32;
}

static uint64_t walk_load(uint32_t index, uint32_t version)
{
	return walk_of(atomic_load_explicit(&own[index].walk, memory_order_relaxed), version);
}

/* ---- learning ------------------------------------------------------------------------- */

static bool content_has(const struct name_content *content, const struct name_address *address)
{
	for (uint32_t i = 0; i < content->count; i++)
		if (name_address_equal(&content->addresses[i], address))
			return true;
	return false;
}

static void content_add(struct name_content *content, const struct name_address *address)
{
	if (content->count < NAME_ADDRESSES && !content_has(content, address))
		content->addresses[content->count++] = *address;
}

/* The same addresses. Servers of names like to turn their order round. */
static bool content_equal(const struct name_content *a, const struct name_content *b)
{
	bool equal = a->count == b->count;

	for (uint32_t i = 0; equal && i < a->count; i++)
		equal = content_has(b, &a->addresses[i]);
	return equal;
}

static void address_fill(struct name_address *address, int family, const void *bytes,
			 uint32_t scope_id)
{
	memset(address, 0, sizeof(*address));
	if (family == AF_INET) {
		memset(address->bytes + 10, 0xff, 2);
		memcpy(address->bytes + 12, bytes, 4);
		return;
	}
	memcpy(address->bytes, bytes, 16);
	address->scope_id = scope_id;
	address->is_ipv6 = !IN6_IS_ADDR_V4MAPPED((const struct in6_addr *)bytes);
}

static bool host_is_literal(const char *host)
{
	struct in6_addr address;

	return inet_pton(AF_INET, host, &address) == 1 || strchr(host, ':');
}

/* What was known of the host in the other family, if that was asked for just now. */
static void content_merge(struct name_content *fresh, const struct name_content *known, int family,
			  const struct name_entry *entry)
{
	enum name_family other = family == AF_INET6 ? FAMILY_IPV4 : FAMILY_IPV6;

	if (family == AF_UNSPEC || name_now_ns() - entry->learned_ns[other] > TOGETHER_NS)
		return;
	for (uint32_t i = 0; i < known->count; i++)
		if (known->addresses[i].is_ipv6 == (other == FAMILY_IPV6))
			content_add(fresh, &known->addresses[i]);
}

/*
 * Puts a lookup into the host's entry. False if another writer was quicker. Two that
 * look up a name at the same time may each make an entry, since one that is being
 * written cannot be read: whoever is last sees the other's, and brings both together
 * in the first of them.
 */
static bool learn_once(struct name_table *names, struct name_content *fresh, int family)
{
	static const struct name_content nothing;
	uint64_t state, twin_state, order;
	struct name_content known;
	uint32_t twin = NO_ENTRY;
	uint32_t index = name_entry_find(names, fresh->host, NO_ENTRY, &known, &state);
	bool same = false;

	if (index != NO_ENTRY) {
		content_merge(fresh, &known, family, &names->entries[index]);
		same = content_equal(fresh, &known);
		twin = name_entry_find(names, fresh->host, index, &known, &twin_state);
	} else {
		index = name_entry_spare(names, &state);
	}
	order = atomic_fetch_add(&names->lookups, 1) + 1;
	if (same && twin == NO_ENTRY) {
		name_entry_stamp(&names->entries[index], family, order);
		own_begin(index, name_version(state));
		return true;
	}
	if (twin != NO_ENTRY)
		content_merge(fresh, &known, family, &names->entries[twin]);
	if (!name_entry_write(&names->entries[index], &state, fresh, family, order))
		return false;
	own_begin(index, name_version(state));
	if (twin != NO_ENTRY)
		name_entry_write(&names->entries[twin], &twin_state, &nothing, family, 0);
	atomic_thread_fence(memory_order_seq_cst);
	return name_entry_find(names, fresh->host, index, &known, &twin_state) == NO_ENTRY;
}

static void learn(const char *host, int family, struct name_content *fresh)
{
	struct name_table *names = name_table(true);
	uint32_t count = fresh->count;

	if (!names || !count || !host[0] || strlen(host) >= NAME_SIZE_MAX)
		return;
	strcpy(fresh->host, host);
	for (unsigned int tries = LEARN_TRIES; tries; tries--) {
		if (learn_once(names, fresh, family))
			return;
		fresh->count = count;
		SYS(SYS_sched_yield);
	}
}

void name_learn_addrinfo(const char *host, int family, const struct addrinfo *list)
{
	struct name_content fresh = { 0 };
	int saved_errno = errno;

	if (!host || host_is_literal(host))
		return;
	for (; list; list = list->ai_next) {
		struct name_address address;

		if (name_address_from(&address, list->ai_addr, list->ai_addrlen))
			content_add(&fresh, &address);
	}
	learn(host, family, &fresh);
	errno = saved_errno;
}

void name_learn_hostent(const char *host, const struct hostent *entry)
{
	struct name_content fresh = { 0 };
	int saved_errno = errno;

	if (!host || host_is_literal(host) ||
	    (entry->h_addrtype != AF_INET && entry->h_addrtype != AF_INET6))
		return;
	for (char **bytes = entry->h_addr_list; *bytes; bytes++) {
		struct name_address address;

		address_fill(&address, entry->h_addrtype, *bytes, 0);
		content_add(&fresh, &address);
	}
	learn(host, entry->h_addrtype, &fresh);
	errno = saved_errno;
}

void name_learn_addresses(const char *host, const struct name_address *addresses, uint32_t count)
{
	struct name_content fresh = { 0 };
	int saved_errno = errno;

	for (uint32_t i = 0; i < count; i++)
		content_add(&fresh, &addresses[i]);
	learn(host, AF_UNSPEC, &fresh);
	errno = saved_errno;
}

/* ---- asking ---------------------------------------------------------------------------- */

bool name_find(const struct name_address *address, struct name *name, uint32_t *index)
{
	struct name_table *names = name_table(false);
	uint32_t used = names ? name_table_used(names) : 0, at;
	bool is_own = false, found = false;
	struct name candidate;
	uint64_t newest = 0;

	for (candidate.entry = 0; candidate.entry < used; candidate.entry++) {
		const struct name_entry *entry = &names->entries[candidate.entry];
		uint64_t order, walk;
		bool own_lookup;

		if (!name_entry_has(entry, address, &candidate, &at))
			continue;
		order = atomic_load_explicit(&entry->order, memory_order_relaxed);
		walk = walk_load(candidate.entry, candidate.version);
		own_lookup = walk & WALK_OWN;
		if (found && (own_lookup == is_own ? order <= newest : is_own))
			continue;
		candidate.lookup = WALK_LOOKUP(walk);
		*name = candidate;
		*index = at;
		is_own = own_lookup;
		newest = order;
		found = true;
	}
	return found;
}

static bool content_read(const struct name *name, struct name_content *content)
{
	struct name_table *names = name_table(false);
	uint64_t state;

	return name_entry_read(&names->entries[name->entry], content, &state) &&
	       name_version(state) == name->version;
}

bool name_host(const struct name *name, char host[NAME_SIZE_MAX])
{
	struct name_content content;
	bool read = content_read(name, &content);

	if (read)
		memcpy(host, content.host, NAME_SIZE_MAX);
	return read;
}

bool name_addresses(const struct name *name, struct name_address addresses[NAME_ADDRESSES])
{
	struct name_content content;
	bool read = content_read(name, &content);

	if (read)
		memcpy(addresses, content.addresses, sizeof(content.addresses));
	return read;
}

bool name_address_from(struct name_address *address, const struct sockaddr *peer, socklen_t length)
{
	struct sockaddr_in6 v6 = { 0 };
	struct sockaddr_in v4;

	if (peer->sa_family == AF_INET && length >= sizeof(v4)) {
		memcpy(&v4, peer, sizeof(v4));
		address_fill(address, AF_INET, &v4.sin_addr, 0);
	} else if (peer->sa_family == AF_INET6 &&
		   length >= offsetof(struct sockaddr_in6, sin6_scope_id)) {
		memcpy(&v6, peer, length < sizeof(v6) ? length : sizeof(v6));
		address_fill(address, AF_INET6, &v6.sin6_addr, v6.sin6_scope_id);
	} else {
		return false;
	}
	return true;
}

/* The entry, as long as it is still about the addresses that were copied. */
static struct name_entry *entry_of(const struct name *name)
{
	struct name_table *names = name_table(false);
	struct name_entry *entry = &names->entries[name->entry];

	return name_version(atomic_load_explicit(&entry->state, memory_order_relaxed)) ==
			       name->version
		       ? entry
		       : NULL;
}

/*
 * Changes the walk's bits, unless the name was looked up again meanwhile; what they
 * were before. With renew, bits that are set already begin a new walk.
 */
static uint64_t walk_change(const struct name *name, uint64_t clear, uint64_t set, bool renew)
{
	_Atomic uint64_t *walk = &own[name->entry].walk;
	uint64_t word = atomic_load_explicit(walk, memory_order_relaxed), before;

	do {
		before = walk_of(word, name->version);
		if (WALK_LOOKUP(before) != name->lookup || !entry_of(name))
			return 0;
		if (renew && before & set)
			before &= ~(WALK_BITS | WALK_SPENT);
	} while (!atomic_compare_exchange_weak_explicit(
		walk, &word, (before & ~clear) | set, memory_order_relaxed, memory_order_relaxed));
	return before;
}

uint32_t name_walk(const struct name *name, uint32_t index)
{
	return (uint32_t)(walk_change(name, 0, UINT64_C(1) << index, true) & WALK_BITS);
}

void name_walk_end(const struct name *name)
{
	walk_change(name, WALK_BITS | WALK_SPENT, 0, false);
}

void name_walk_spend(const struct name *name)
{
	walk_change(name, 0, WALK_SPENT, false);
}

bool name_walk_spent(const struct name *name)
{
	uint64_t word = walk_load(name->entry, name->version);

	return WALK_LOOKUP(word) == name->lookup && word & WALK_SPENT;
}

enum name_answer name_answer(const struct name *name, uint32_t index, uint16_t port, int64_t now)
{
	struct name_entry *entry = entry_of(name);
	uint64_t word = entry ? atomic_load_explicit(&entry->answers[index], memory_order_relaxed)
			      : 0;
	enum name_answer answer = (enum name_answer)(word & 3);
	int64_t age = now / 1000000 - (int64_t)(word >> 18);

	if ((word >> 2 & 0xffff) != port || age > (answer == ANSWER_UP ? UP_FOR_MS : DOWN_FOR_MS))
		return ANSWER_UNKNOWN;
	return answer;
}

void name_answer_set(const struct name *name, uint32_t index, uint16_t port,
		     enum name_answer answer, int64_t now)
{
	struct name_entry *entry = entry_of(name);

	if (entry)
		atomic_store_explicit(&entry->answers[index],
				      (uint64_t)answer | (uint64_t)port << 2 |
					      (uint64_t)(now / 1000000) << 18,
				      memory_order_relaxed);
}

/* A version so that a later lookup's addresses do not inherit it. */
static uint64_t live_word(const struct name *name, uint16_t port, uint32_t ms)
{
	return (uint64_t)(uint16_t)(name->version / 2) << 48 | (uint64_t)port << 32 | ms;
}

void name_live_set(const struct name *name, uint32_t index, uint16_t port, int64_t now)
{
	atomic_store_explicit(&own[name->entry].live[index],
			      live_word(name, port, name_milliseconds(now)), memory_order_relaxed);
}

uint32_t name_live(const struct name *name, uint16_t port, int64_t now)
{
	uint32_t live = 0;

	for (uint32_t i = 0; i < name->count; i++) {
		uint64_t word = atomic_load_explicit(&own[name->entry].live[i],
						     memory_order_relaxed);
		int32_t age = (int32_t)(name_milliseconds(now) - (uint32_t)word);

		/* Another thread's clock may have been read a little later than ours. */
		if (word == live_word(name, port, (uint32_t)word) && age <= LIVE_FOR_MS &&
		    age >= -LIVE_FOR_MS)
			live |= 1u << i;
	}
	return live;
}
