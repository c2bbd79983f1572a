/* SPDX-License-Identifier: MIT */
#include "names_table.h"

#include <string.h>

#include "shim/config.h"
#include "shim/store/clock.h"
#include "shim/sys.h"

/* Writing takes less than a microsecond; who has not come back by then never will. */
#define CLAIM_MS 1000

#define WORD_BYTES sizeof(uint64_t)
#define ADDRESS_WORDS (sizeof(struct name_address) / WORD_BYTES)
#define HOST_WORD (offsetof(struct name_content, host) / WORD_BYTES)
_Static_assert(sizeof(struct name_content) % WORD_BYTES == 0 &&
		       sizeof(struct name_address) % WORD_BYTES == 0 &&
		       offsetof(struct name_content, addresses) == WORD_BYTES &&
		       offsetof(struct name_address, bytes) == 0 &&
		       offsetof(struct name_content, host) % WORD_BYTES == 0,
	       "a name is read and written by words");

static struct name_table *_Atomic table;

int64_t name_now_ns(void)
{
	return clock_kernel_ns(CLOCK_MONOTONIC);
}

static struct name_table *table_map(void)
{
	void *memory = sys_mmap(NULL, sizeof(struct name_table), PROT_READ | PROT_WRITE,
				MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return memory == MAP_FAILED ? NULL : memory;
}

struct name_table *name_table(bool make)
{
	struct name_table *made, *expected = NULL;

	made = atomic_load_explicit(&table, memory_order_acquire);
	if (made || !make || !config_get()->enabled)
		return made;
	made = table_map();
	if (made && !atomic_compare_exchange_strong(&table, &expected, made)) {
		sys_munmap(made, sizeof(*made));
		made = expected;
	}
	return made;
}

uint32_t name_table_used(const struct name_table *names)
{
	uint32_t used = atomic_load_explicit(&names->used, memory_order_acquire);

	return used < NAME_ENTRIES ? used : NAME_ENTRIES;
}

bool names_known(void)
{
	const struct name_table *names = name_table(false);

	return names && name_table_used(names) > 0;
}

void names_share(void)
{
	int saved_errno = errno;

	name_table(true);
	errno = saved_errno;
}

void names_separate(void)
{
	struct name_table *names = name_table(false);
	int saved_errno = errno;
	struct name_table *copy = names ? table_map() : NULL;

	if (copy) {
		memcpy((void *)copy, (const void *)names,
		       offsetof(struct name_table, entries) +
			       name_table_used(names) * sizeof(struct name_entry));
		/* At the same place, and at once: other threads look there. */
		if (SYS(SYS_mremap, copy, sizeof(*copy), sizeof(*copy),
			MREMAP_MAYMOVE | MREMAP_FIXED, names) < 0)
			sys_munmap(copy, sizeof(*copy));
	}
	errno = saved_errno;
}

/* ---- entries ------------------------------------------------------------------------ */

static void entry_load(const struct name_entry *entry, size_t from, void *to, size_t words)
{
	for (size_t i = 0; i < words; i++) {
		uint64_t word = atomic_load_explicit(&entry->content[from + i],
						     memory_order_relaxed);

		memcpy((char *)to + i * WORD_BYTES, &word, WORD_BYTES);
	}
}

static bool entry_unchanged(const struct name_entry *entry, uint64_t state)
{
	atomic_thread_fence(memory_order_acquire);
	return atomic_load_explicit(&entry->state, memory_order_relaxed) == state;
}

bool name_entry_read(const struct name_entry *entry, struct name_content *content, uint64_t *state)
{
	*state = atomic_load_explicit(&entry->state, memory_order_acquire);
	if (name_version(*state) % 2)
		return false;
	entry_load(entry, 0, content, NAME_WORDS);
	content->host[NAME_SIZE_MAX - 1] = '\0';
	return entry_unchanged(entry, *state) && content->count <= NAME_ADDRESSES;
}

/* Nobody writes it, or nobody who still lives. */
static bool entry_is_free(uint64_t state)
{
	return name_version(state) % 2 == 0 ||
	       (int32_t)(name_milliseconds(name_now_ns()) - (uint32_t)state) > CLAIM_MS;
}

void name_entry_stamp(struct name_entry *entry, int family, uint64_t order)
{
	int64_t now = name_now_ns();

	if (family != AF_INET6)
		atomic_store_explicit(&entry->learned_ns[FAMILY_IPV4], now, memory_order_relaxed);
	if (family != AF_INET)
		atomic_store_explicit(&entry->learned_ns[FAMILY_IPV6], now, memory_order_relaxed);
	atomic_store_explicit(&entry->order, order, memory_order_relaxed);
}

bool name_entry_write(struct name_entry *entry, uint64_t *state, const struct name_content *content,
		      int family, uint64_t order)
{
	uint32_t version = name_version(*state);
	uint64_t claimed = (uint64_t)((version + 1) | 1) << 32 | name_milliseconds(name_now_ns());

	if (!entry_is_free(*state) ||
	    !atomic_compare_exchange_strong(&entry->state, state, claimed))
		return false;
	for (size_t i = 0; i < NAME_WORDS; i++) {
		uint64_t word;

		memcpy(&word, (const char *)content + i * WORD_BYTES, WORD_BYTES);
		atomic_store_explicit(&entry->content[i], word, memory_order_relaxed);
	}
	for (size_t i = 0; i < NAME_ADDRESSES; i++)
		atomic_store_explicit(&entry->answers[i], 0, memory_order_relaxed);
	name_entry_stamp(entry, family, order);
	*state = (uint64_t)(name_version(claimed) + 1) << 32;
	/* One that was stopped for so long that its claim expired publishes nothing. */
	return atomic_compare_exchange_strong(&entry->state, &claimed, *state);
}

uint32_t name_entry_find(const struct name_table *names, const char *host, uint32_t other_than,
			 struct name_content *content, uint64_t *state)
{
	uint32_t used = name_table_used(names);
	char start[WORD_BYTES];

	for (uint32_t i = 0; i < used; i++) {
		const struct name_entry *entry = &names->entries[i];

		/* Nearly every entry is ruled out by its host's first letters. */
		entry_load(entry, HOST_WORD, start, 1);
		if (i != other_than && !strncasecmp(start, host, sizeof(start)) &&
		    name_entry_read(entry, content, state) && content->count &&
		    !strcasecmp(content->host, host))
			return i;
	}
	return NO_ENTRY;
}

uint32_t name_entry_spare(struct name_table *names, uint64_t *state)
{
	uint32_t spare = 0;
	uint64_t oldest = UINT64_MAX;

	*state = 0;
	if (name_table_used(names) < NAME_ENTRIES) {
		spare = atomic_fetch_add(&names->used, 1);
		if (spare < NAME_ENTRIES)
			return spare;
		spare = 0;
	}
	for (uint32_t i = 0; i < NAME_ENTRIES; i++) {
		uint64_t now = atomic_load_explicit(&names->entries[i].state, memory_order_acquire);
		uint64_t order = atomic_load_explicit(&names->entries[i].order,
						      memory_order_relaxed);

		if (order >= oldest || !entry_is_free(now))
			continue;
		oldest = order;
		spare = i;
		*state = now;
	}
	return spare;
}

bool name_address_equal(const struct name_address *a, const struct name_address *b)
{
	return memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0 &&
	       (a->scope_id == b->scope_id || !a->scope_id || !b->scope_id);
}

static uint64_t content_word(const struct name_entry *entry, uint32_t word)
{
	return atomic_load_explicit(&entry->content[word], memory_order_relaxed);
}

bool name_entry_has(const struct name_entry *entry, const struct name_address *address,
		    struct name *name, uint32_t *index)
{
	uint64_t state = atomic_load_explicit(&entry->state, memory_order_acquire), bytes[2];
	struct name_address known;
	uint32_t counts[2], at;

	memcpy(bytes, address->bytes, sizeof(bytes));
	entry_load(entry, 0, counts, 1);
	if (name_version(state) % 2 || counts[0] > NAME_ADDRESSES)
		return false;
	for (at = 0; at < counts[0]; at++) {
		uint32_t word = 1 + at * (uint32_t)ADDRESS_WORDS;

		if (content_word(entry, word) != bytes[0] ||
		    content_word(entry, word + 1) != bytes[1])
			continue;
		entry_load(entry, word, &known, ADDRESS_WORDS);
		if (name_address_equal(&known, address))
			break;
	}
	if (at == counts[0] || !entry_unchanged(entry, state))
		return false;
	*index = at;
	name->version = name_version(state);
	name->count = counts[0];
	return true;
}
