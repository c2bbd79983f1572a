/* SPDX-License-Identifier: MIT */
/* Finding and claiming the records and slots of a process file. */
#include "store.h"

/* A record that somebody died while claiming stays claimed: it is one of a hundred. */
static bool record_claim(struct endpoint_record *record, const struct endpoint *endpoint,
			 uint32_t operation)
{
	uint32_t state = RECORD_FREE;

	if (!atomic_compare_exchange_strong(&record->state, &state, RECORD_CLAIMED))
		return false;
	record->endpoint = *endpoint;
	record->operation = operation;
	atomic_store_explicit(&record->state, RECORD_READY, memory_order_release);
	return true;
}

uint32_t store_record(struct store *store, const struct endpoint *endpoint, uint32_t operation)
{
	/* In order, so that a process with few endpoints touches few pages. */
	for (uint32_t index = STORE_OPERATIONS; index < ENDPOINTS_PER_PROCESS; index++) {
		struct endpoint_record *record = &store->file->endpoints[index];
		uint32_t state = atomic_load_explicit(&record->state, memory_order_acquire);

		if (state == RECORD_FREE && record_claim(record, endpoint, operation))
			return index;
		/* Another thread may be claiming it for the same endpoint this very moment: both
		 * then get a record, and readers add records of one endpoint up. */
		if (state == RECORD_READY && record->operation == operation &&
		    endpoint_equal(&record->endpoint, endpoint))
			return index;
	}
	return operation;
}

void store_forget_free(struct store *store)
{
	for (unsigned int i = 0; i < ENDPOINTS_PER_PROCESS; i++)
		atomic_store_explicit(&store->free_slots[i], 0, memory_order_relaxed);
}

/* Treiber's stack; the tag in the upper half changes with every exchange. */
static uint32_t free_pop(struct store *store, uint32_t record)
{
	uint64_t head = atomic_load_explicit(&store->free_slots[record], memory_order_acquire);

	while ((uint32_t)head) {
		uint32_t slot = (uint32_t)head - 1;
		uint64_t next = store->file->slots[slot].next_free;

		next |= ((head >> 32) + 1) << 32;
		if (atomic_compare_exchange_weak(&store->free_slots[record], &head, next))
			return slot;
	}
	return SLOT_NONE;
}

static void free_push(struct store *store, uint32_t record, uint32_t slot)
{
	uint64_t head = atomic_load_explicit(&store->free_slots[record], memory_order_acquire);
	uint64_t next;

	do {
		STORE(store->file->slots[slot].next_free, (uint32_t)head);
		next = (slot + 1) | ((head >> 32) + 1) << 32;
	} while (!atomic_compare_exchange_weak(&store->free_slots[record], &head, next));
}

static bool chunk_reserve(struct store *store, uint32_t slot)
{
	uint32_t reserved = atomic_load_explicit(&store->file->slots_reserved,
						 memory_order_acquire);
	uint32_t wanted = (slot / SLOTS_PER_CHUNK + 1) * SLOTS_PER_CHUNK;

	if (wanted <= reserved)
		return true;
	if (!store_space_reserve(store, wanted))
		return false;
	while (reserved < wanted &&
	       !atomic_compare_exchange_weak(&store->file->slots_reserved, &reserved, wanted))
		;
	return true;
}

static uint32_t slot_new(struct store *store, uint32_t record)
{
	uint32_t slot = atomic_load_explicit(&store->file->slots_used, memory_order_relaxed);

	do {
		if (slot >= SLOTS_PER_PROCESS || !chunk_reserve(store, slot))
			return SLOT_NONE;
	} while (!atomic_compare_exchange_weak(&store->file->slots_used, &slot, slot + 1));
	atomic_store_explicit(&store->file->slots[slot].endpoint, record, memory_order_release);
	return slot;
}

uint32_t store_slot_take(struct store *store, uint32_t record)
{
	uint32_t index = free_pop(store, record);
	struct connection_slot *slot;

	if (index == SLOT_NONE)
		index = slot_new(store, record);
	if (index == SLOT_NONE)
		return SLOT_NONE;
	slot = &store->file->slots[index];
	STORE(slot->sent_base, LOAD(slot->sent_bytes));
	STORE(slot->received_base, LOAD(slot->received_bytes));
	STORE(slot->answered_bytes, LOAD(slot->sent_base));
	/*
	 * Before the generation is raised: whoever has seen the new one asks for the
	 * new connection, and that must not be wiped out with what was asked of the old.
	 */
	STORE(slot->reconnect_wanted, 0);
	STORE(slot->in_use, 0);
	atomic_fetch_add_explicit(&slot->generation, 1, memory_order_release);
	return index;
}

void store_slot_release(struct store *store, uint32_t slot)
{
	free_push(store, store->file->slots[slot].endpoint, slot);
}
