/* SPDX-License-Identifier: MIT */
#include "names.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <string.h>

#include "shim/store/clock.h"
#include "shim/sys.h"

/* Lookups of one name for one family each, so close together, are one lookup. */
#define TOGETHER_NS INT64_C(2000000000)
/* How long an answer is believed: one that is up stays so, one that is down may come any moment. */
#define UP_FOR_NS INT64_C(1000000000)
#define DOWN_FOR_NS INT64_C(50000000)

/* What a lookup said; copied in and out by words, each of them atomic. */
struct name_content {
	uint32_t count;
	uint32_t reserved;
	struct name_address addresses[NAME_ADDRESSES];
	char host[NAME_SIZE_MAX];
};
#define CONTENT_WORDS (sizeof(struct name_content) / sizeof(uint64_t))

struct name_entry {
	_Atomic uint32_t version; /* odd while it is written */
	_Atomic uint32_t walked;
	_Atomic uint32_t spent;
	_Atomic uint64_t order; /* of lookups; the last one wins */
	_Atomic int64_t learned_ns;
	_Atomic uint64_t content[CONTENT_WORDS];
	_Atomic uint64_t answers[NAME_ADDRESSES]; /* answer | port << 2 | milliseconds << 18 */
};

struct name_table {
	_Atomic uint32_t used;
	_Atomic uint64_t lookups;
	struct name_entry entries[NAME_ENTRIES];
};

static struct name_table *_Atomic table;

static int64_t now_ns(void)
{
	return clock_kernel_ns(CLOCK_MONOTONIC);
}

static struct name_table *table_get(void)
{
	struct name_table *made, *expected = NULL;

	made = atomic_load_explicit(&table, memory_order_acquire);
	if (made)
		return made;
	made = sys_mmap(NULL, sizeof(*made), PROT_READ | PROT_WRITE,
			MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (made == MAP_FAILED)
		return NULL;
	if (!atomic_compare_exchange_strong(&table, &expected, made)) {
		sys_munmap(made, sizeof(*made));
		made = expected;
	}
	return made;
}

bool names_known(void)
{
	return atomic_load_explicit(&table, memory_order_relaxed) != NULL;
}

/* ---- entries ------------------------------------------------------------------------ */

static uint32_t entries_used(const struct name_table *names)
{
	uint32_t used = atomic_load_explicit(&names->used, memory_order_acquire);

	return used < NAME_ENTRIES ? used : NAME_ENTRIES;
}

/* A whole copy; false if it is being written or was rewritten meanwhile. */
static bool entry_read(const struct name_entry *entry, struct name_content *content,
		       uint32_t *version)
{
	*version = atomic_load_explicit(&entry->version, memory_order_acquire);
	if (*version % 2)
		return false;
	for (size_t i = 0; i < CONTENT_WORDS; i++) {
		uint64_t word = atomic_load_explicit(&entry->content[i], memory_order_relaxed);

		memcpy((char *)content + i * sizeof(word), &word, sizeof(word));
	}
	atomic_thread_fence(memory_order_acquire);
	return atomic_load_explicit(&entry->version, memory_order_relaxed) == *version &&
	       content->count <= NAME_ADDRESSES;
}

static bool entry_write(struct name_entry *entry, uint32_t version,
			const struct name_content *content, uint64_t order)
{
	uint64_t words[CONTENT_WORDS];

	if (version % 2 || !atomic_compare_exchange_strong(&entry->version, &version, version + 1))
		return false;
	memcpy(words, content, sizeof(*content));
	for (size_t i = 0; i < CONTENT_WORDS; i++)
		atomic_store_explicit(&entry->content[i], words[i], memory_order_relaxed);
	for (size_t i = 0; i < NAME_ADDRESSES; i++)
		atomic_store_explicit(&entry->answers[i], 0, memory_order_relaxed);
	atomic_store_explicit(&entry->walked, 0, memory_order_relaxed);
	atomic_store_explicit(&entry->spent, 0, memory_order_relaxed);
	atomic_store_explicit(&entry->order, order, memory_order_relaxed);
	atomic_store_explicit(&entry->learned_ns, now_ns(), memory_order_relaxed);
	atomic_store_explicit(&entry->version, version + 2, memory_order_release);
	return true;
}

/* The host's entry; else a new one; else the one whose lookup is longest ago. */
static struct name_entry *entry_for(struct name_table *names, const char *host,
				    struct name_content *content, uint32_t *version)
{
	uint32_t used = entries_used(names);
	struct name_entry *oldest = &names->entries[0];

	for (uint32_t i = 0; i < used; i++) {
		struct name_entry *entry = &names->entries[i];

		if (entry_read(entry, content, version) && !strcasecmp(content->host, host))
			return entry;
		if (entry->order < oldest->order)
			oldest = entry;
	}
	memset(content, 0, sizeof(*content));
	if (used < NAME_ENTRIES) {
		used = atomic_fetch_add(&names->used, 1);
		if (used < NAME_ENTRIES)
			oldest = &names->entries[used];
	}
	*version = atomic_load_explicit(&oldest->version, memory_order_acquire);
	return oldest;
}

/* ---- learning ------------------------------------------------------------------------- */

static bool address_equal(const struct name_address *a, const struct name_address *b)
{
	return memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0 &&
	       (a->scope_id == b->scope_id || !a->scope_id || !b->scope_id);
}

static void content_add(struct name_content *content, const struct name_address *address)
{
	for (uint32_t i = 0; i < content->count; i++)
		if (address_equal(&content->addresses[i], address))
			return;
	if (content->count < NAME_ADDRESSES)
		content->addresses[content->count++] = *address;
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

/* What was known of the host in the other family, if it was asked for just now. */
static void content_merge(struct name_content *fresh, const struct name_content *known, int family,
			  int64_t learned_ns)
{
	if (family == AF_UNSPEC || now_ns() - learned_ns > TOGETHER_NS)
		return;
	for (uint32_t i = 0; i < known->count; i++)
		if (known->addresses[i].is_ipv6 != (family == AF_INET6))
			content_add(fresh, &known->addresses[i]);
}

static void learn(const char *host, int family, struct name_content *fresh)
{
	struct name_table *names = table_get();
	struct name_content known;
	struct name_entry *entry;
	uint32_t version;

	if (!names || !fresh->count || strlen(host) >= NAME_SIZE_MAX)
		return;
	entry = entry_for(names, host, &known, &version);
	content_merge(fresh, &known, family, entry->learned_ns);
	strcpy(fresh->host, host);
	entry_write(entry, version, fresh, atomic_fetch_add(&names->lookups, 1) + 1);
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

/* ---- asking ---------------------------------------------------------------------------- */

bool name_find(const struct name_address *address, struct name *name, uint32_t *index)
{
	struct name_table *names = atomic_load_explicit(&table, memory_order_acquire);
	struct name_content content;
	uint64_t newest = 0;
	uint32_t version;

	for (uint32_t i = 0; names && i < entries_used(names); i++) {
		struct name_entry *entry = &names->entries[i];
		uint64_t order = atomic_load_explicit(&entry->order, memory_order_relaxed);

		if (order <= newest || !entry_read(entry, &content, &version))
			continue;
		for (uint32_t at = 0; at < content.count; at++) {
			if (!address_equal(&content.addresses[at], address))
				continue;
			newest = order;
			*index = at;
			name->entry = i;
			name->version = version;
			name->count = content.count;
		}
	}
	return newest != 0;
}

static bool content_read(const struct name *name, struct name_content *content)
{
	struct name_table *names = atomic_load_explicit(&table, memory_order_acquire);
	uint32_t version;

	return entry_read(&names->entries[name->entry], content, &version) &&
	       version == name->version;
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

/* The entry, as long as it is still about the lookup that was copied. */
static struct name_entry *entry_of(const struct name *name)
{
	struct name_table *names = atomic_load_explicit(&table, memory_order_acquire);
	struct name_entry *entry = &names->entries[name->entry];

	return atomic_load_explicit(&entry->version, memory_order_relaxed) == name->version ? entry
											    : NULL;
}

uint32_t name_walk(const struct name *name, uint32_t index)
{
	struct name_entry *entry = entry_of(name);
	uint32_t bit = 1u << index, before;

	if (!entry)
		return 0;
	before = atomic_fetch_or_explicit(&entry->walked, bit, memory_order_relaxed);
	if (!(before & bit))
		return before;
	atomic_store_explicit(&entry->walked, bit, memory_order_relaxed);
	atomic_store_explicit(&entry->spent, 0, memory_order_relaxed);
	return 0;
}

void name_walk_end(const struct name *name)
{
	struct name_entry *entry = entry_of(name);

	if (!entry)
		return;
	atomic_store_explicit(&entry->walked, 0, memory_order_relaxed);
	atomic_store_explicit(&entry->spent, 0, memory_order_relaxed);
}

void name_walk_spend(const struct name *name)
{
	struct name_entry *entry = entry_of(name);

	if (entry)
		atomic_store_explicit(&entry->spent, 1, memory_order_relaxed);
}

bool name_walk_spent(const struct name *name)
{
	struct name_entry *entry = entry_of(name);

	return entry && atomic_load_explicit(&entry->spent, memory_order_relaxed);
}

enum name_answer name_answer(const struct name *name, uint32_t index, uint16_t port, int64_t now)
{
	struct name_entry *entry = entry_of(name);
	uint64_t word = entry ? atomic_load_explicit(&entry->answers[index], memory_order_relaxed)
			      : 0;
	enum name_answer answer = (enum name_answer)(word & 3);
	int64_t age = now - (int64_t)(word >> 18) * 1000000;

	if ((word >> 2 & 0xffff) != port || age > (answer == ANSWER_UP ? UP_FOR_NS : DOWN_FOR_NS))
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
