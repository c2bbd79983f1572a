/* SPDX-License-Identifier: MIT */
/*
 * Proves that a slot which is taken again starts anew for the connection that
 * takes it: what was asked of the one before, and where that was connected to, is
 * not its own.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <sys/mman.h>

#include "shim/store/store.h"
#include "store_files.h"

static struct connection_slot *slot_take(struct store *store, uint32_t record, uint32_t *index)
{
	*index = store_slot_take(store, record);
	assert_int_not_equal(*index, SLOT_NONE);
	return &store->file->slots[*index];
}

static void a_slot_is_taken_again_for_its_endpoint(void **state)
{
	struct store *store = *state;
	struct endpoint one = endpoint_tcp(1, 80), two = endpoint_tcp(2, 80);
	uint32_t record = store_record(store, &one, 0), first, other, again;

	assert_int_equal(slot_take(store, record, &first)->generation, 1);
	store_slot_release(store, first);
	assert_int_equal(slot_take(store, store_record(store, &two, 0), &other)->generation, 1);
	assert_int_not_equal(other, first);
	assert_int_equal(slot_take(store, record, &again)->generation, 2);
	assert_int_equal(again, first);
}

static void bytes_start_from_what_was_counted(void **state)
{
	struct store *store = *state;
	struct endpoint endpoint = endpoint_tcp(1, 80);
	uint32_t record = store_record(store, &endpoint, 0), index;
	struct connection_slot *slot = slot_take(store, record, &index);

	slot->sent_bytes = 20;
	slot->received_bytes = 30;
	store_slot_release(store, index);
	slot = slot_take(store, record, &index);
	assert_int_equal(slot->sent_bytes, 20);
	assert_int_equal(slot->sent_base, 20);
	assert_int_equal(slot->received_base, 30);
}

static void what_was_asked_and_moved_is_forgotten(void **state)
{
	struct store *store = *state;
	struct endpoint endpoint = endpoint_tcp(1, 80);
	uint32_t record = store_record(store, &endpoint, 0), index;
	struct connection_slot *slot = slot_take(store, record, &index);

	assert_int_equal(slot->reconnect_wanted, 0);
	assert_int_equal(slot->in_use, 0);
	slot->reconnect_wanted = 1;
	slot->in_use = record + 2;
	store_slot_release(store, index);
	/* Until then it shows its last connection. */
	assert_int_equal(slot->in_use, record + 2);
	assert_ptr_equal(slot_take(store, record, &index), slot);
	assert_int_equal(slot->reconnect_wanted, 0);
	assert_int_equal(slot->in_use, 0);
}

/* Files of before have zeros there, and everything else where it was. */
static void old_files_are_read_as_before(void **state)
{
	assert_int_equal(offsetof(struct connection_slot, next_free), 100);
	assert_int_equal(offsetof(struct connection_slot, reconnect_wanted), 104);
	assert_int_equal(offsetof(struct connection_slot, in_use), 108);
	assert_int_equal(offsetof(struct connection_slot, reserved), 112);
	assert_int_equal(STORE_VERSION, 1);
}

static int setup(void **state)
{
	static struct store store;

	*state = &store;
	return store_open_memory(&store) ? 0 : -1;
}

static int teardown(void **state)
{
	struct store *store = *state;

	return munmap(store->file, sizeof(*store->file));
}

#define STORE_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		STORE_TEST(a_slot_is_taken_again_for_its_endpoint),
		STORE_TEST(bytes_start_from_what_was_counted),
		STORE_TEST(what_was_asked_and_moved_is_forgotten),
		cmocka_unit_test(old_files_are_read_as_before),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
