/* SPDX-License-Identifier: MIT */
/*
 * Proves that a reader of the ring shows whole events only, in order, each once,
 * whatever its writers do: overtake it, die half-way, replace the file, or leave
 * random bytes.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <sys/mman.h>

#include "shim/store/reader.h"
#include "store_files.h"

static struct event_file *ring_make(const struct test_store *store)
{
	int fd = openat(store->directory, "events", O_RDWR | O_CREAT | O_EXCL, 0600);
	struct event_file *ring;

	assert_ok(fd);
	assert_ok(ftruncate(fd, sizeof(*ring)));
	ring = mmap(NULL, sizeof(*ring), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_true(ring != MAP_FAILED);
	close(fd);
	ring->magic = STORE_MAGIC_EVENTS;
	ring->version = STORE_VERSION;
	ring->size = sizeof(*ring);
	ring->event_size = sizeof(struct store_event);
	ring->capacity = EVENTS_IN_RING;
	return ring;
}

/* Every field follows from the number, so that a mixture of two is noticed. */
static void event_fill(struct store_event *event, uint64_t number)
{
	memset(event, (int)(number % 251), sizeof(*event));
	event->time_ns = (int64_t)number;
	event->delay_ns = number;
}

static void assert_event(const struct store_event *event, uint64_t number)
{
	struct store_event expected;

	event_fill(&expected, number);
	assert_memory_equal(event, &expected, sizeof(expected));
}

static void event_write(struct event_file *ring)
{
	uint64_t number = atomic_fetch_add(&ring->next, 1);
	struct event_slot *slot = &ring->slots[number % EVENTS_IN_RING];

	atomic_store(&slot->ticket, 0);
	event_fill(&slot->event, number);
	atomic_store(&slot->checksum, event_checksum(&slot->event, number + 1));
	atomic_store_explicit(&slot->ticket, number + 1, memory_order_release);
}

static enum event_result next_whole(struct event_reader *reader, struct store_event *event)
{
	enum event_result result;
	struct timespec tick = { .tv_nsec = 5000000 };

	while ((result = event_reader_next(reader, event)) == EVENT_WAIT)
		nanosleep(&tick, NULL);
	return result;
}

static void events_come_in_order(void **state)
{
	struct test_store *store = *state;
	struct event_file *ring = ring_make(store);
	struct event_reader reader;
	struct store_event event;

	event_reader_open(&reader, store->directory);
	assert_int_equal(event_reader_next(&reader, &event), EVENT_END);
	for (uint64_t n = 0; n < 3; n++)
		event_write(ring);
	for (uint64_t n = 0; n < 3; n++) {
		assert_int_equal(event_reader_next(&reader, &event), EVENT_READ);
		assert_event(&event, n);
	}
	assert_int_equal(event_reader_next(&reader, &event), EVENT_END);
	event_write(ring);
	assert_int_equal(event_reader_next(&reader, &event), EVENT_READ);
	assert_event(&event, 3);
	assert_int_equal(reader.lost, 0);
	event_reader_close(&reader);
	munmap(ring, sizeof(*ring));
}

static void an_overtaken_reader_goes_on_with_the_oldest(void **state)
{
	struct test_store *store = *state;
	struct event_file *ring = ring_make(store);
	struct event_reader reader;
	struct store_event event;
	uint64_t expected = 10;

	event_reader_open(&reader, store->directory);
	for (int i = 0; i < EVENTS_IN_RING + 10; i++)
		event_write(ring);
	while (event_reader_next(&reader, &event) == EVENT_READ)
		assert_event(&event, expected++);
	assert_int_equal(expected, EVENTS_IN_RING + 10);
	assert_int_equal(reader.lost, 10);
	event_reader_close(&reader);
	munmap(ring, sizeof(*ring));
}

static void torn_and_unfinished_events_are_not_shown(void **state)
{
	struct test_store *store = *state;
	struct event_file *ring = ring_make(store);
	struct event_reader reader;
	struct store_event event;

	for (int i = 0; i < 6; i++)
		event_write(ring);
	ring->slots[1].event.rule[3] ^= 1; /* torn in the middle */
	ring->slots[2].ticket = 0;         /* its writer died before the end */
	ring->slots[3].checksum ^= 1;
	ring->slots[4].ticket = 4 + EVENTS_IN_RING; /* of another round */
	event_reader_open(&reader, store->directory);
	assert_int_equal(next_whole(&reader, &event), EVENT_READ);
	assert_event(&event, 0);
	assert_int_equal(event_reader_next(&reader, &event), EVENT_WAIT);
	assert_int_equal(next_whole(&reader, &event), EVENT_READ);
	assert_event(&event, 5);
	assert_int_equal(next_whole(&reader, &event), EVENT_END);
	assert_int_equal(reader.lost, 4);
	event_reader_close(&reader);
	munmap(ring, sizeof(*ring));
}

/* A whole event under another's ticket, as a slow writer leaves it behind a fast one. */
static void the_ticket_is_part_of_the_sum(void **state)
{
	struct test_store *store = *state;
	struct event_file *ring = ring_make(store);
	struct event_reader reader;
	struct store_event event;

	event_write(ring);
	ring->slots[0].checksum = event_checksum(&ring->slots[0].event, 1 + EVENTS_IN_RING);
	event_reader_open(&reader, store->directory);
	assert_int_equal(next_whole(&reader, &event), EVENT_END);
	assert_int_equal(reader.lost, 1);
	event_reader_close(&reader);
	munmap(ring, sizeof(*ring));
}

static void any_single_bit_is_noticed(void **state)
{
	struct store_event event, changed;

	event_fill(&event, 42);
	for (size_t bit = 0; bit < sizeof(event) * 8; bit++) {
		changed = event;
		((unsigned char *)&changed)[bit / 8] ^= (unsigned char)(1U << bit % 8);
		assert_true(event_checksum(&changed, 43) != event_checksum(&event, 43));
	}
}

static void a_wrong_file_is_not_read(void **state)
{
	struct test_store *store = *state;
	struct event_file *ring;
	struct event_reader reader;
	struct store_event event;

	event_reader_open(&reader, store->directory);
	assert_int_equal(reader.fitness, FILE_MISSING);
	assert_int_equal(event_reader_next(&reader, &event), EVENT_END);
	ring = ring_make(store);
	event_write(ring);
	ring->version++;
	event_reader_refresh(&reader);
	assert_int_equal(reader.fitness, FILE_DAMAGED);
	assert_int_equal(event_reader_next(&reader, &event), EVENT_END);
	ring->version--;
	ring->capacity = 1;
	event_reader_refresh(&reader);
	assert_int_equal(reader.fitness, FILE_DAMAGED);
	ring->capacity = EVENTS_IN_RING;
	event_reader_refresh(&reader);
	assert_int_equal(reader.fitness, FILE_FIT);
	assert_int_equal(event_reader_next(&reader, &event), EVENT_READ);
	event_reader_close(&reader);
	munmap(ring, sizeof(*ring));
}

static void a_shortened_file_is_survived(void **state)
{
	struct test_store *store = *state;
	struct event_file *ring = ring_make(store);
	struct event_reader reader;
	struct store_event event;
	char path[128];

	for (int i = 0; i < 10; i++)
		event_write(ring);
	event_reader_open(&reader, store->directory);
	snprintf(path, sizeof(path), "%s/events", store->path);
	assert_ok(truncate(path, offsetof(struct event_file, slots[4]) + 17));
	for (uint64_t n = 0; n < 4; n++) {
		assert_int_equal(next_whole(&reader, &event), EVENT_READ);
		assert_event(&event, n);
	}
	assert_int_equal(next_whole(&reader, &event), EVENT_END);
	assert_ok(truncate(path, 0));
	assert_int_equal(next_whole(&reader, &event), EVENT_END);
	event_reader_close(&reader);
	munmap(ring, sizeof(*ring));
}

static void a_new_file_is_followed(void **state)
{
	struct test_store *store = *state;
	struct event_file *ring = ring_make(store), *second;
	struct event_reader reader;
	struct store_event event;

	for (int i = 0; i < 5; i++)
		event_write(ring);
	event_reader_open(&reader, store->directory);
	for (int i = 0; i < 5; i++)
		assert_int_equal(event_reader_next(&reader, &event), EVENT_READ);
	assert_ok(renameat(store->directory, "events", store->directory, "events.bad"));
	event_reader_refresh(&reader);
	assert_int_equal(reader.fitness, FILE_MISSING);
	assert_int_equal(event_reader_next(&reader, &event), EVENT_END);
	second = ring_make(store);
	event_write(second);
	event_reader_refresh(&reader);
	assert_int_equal(event_reader_next(&reader, &event), EVENT_READ);
	assert_event(&event, 0);
	event_reader_refresh(&reader);
	assert_int_equal(event_reader_next(&reader, &event), EVENT_END);
	event_reader_close(&reader);
	munmap(ring, sizeof(*ring));
	munmap(second, sizeof(*second));
}

static void random_rings_end(void **state)
{
	struct test_store *store = *state;
	struct event_file *ring = ring_make(store);
	struct event_reader reader;
	struct store_event event;

	srandom(17);
	unsigned char *bytes = (unsigned char *)ring->slots;
	for (size_t i = 0; i < sizeof(ring->slots); i++)
		bytes[i] = (unsigned char)random();
	for (int round = 0; round < 3; round++) {
		ring->next = round == 0 ? UINT64_MAX : (uint64_t)random() << (round * 20);
		event_reader_open(&reader, store->directory);
		assert_int_equal(next_whole(&reader, &event), EVENT_END);
		event_reader_close(&reader);
	}
	munmap(ring, sizeof(*ring));
}

static void *writer_main(void *data)
{
	struct event_file *ring = data;

	for (int i = 0; i < 60000; i++)
		event_write(ring);
	return NULL;
}

/* Two writers lap the reader many times over: what it shows is whole and in order. */
static void racing_writers_show_nothing_torn(void **state)
{
	struct test_store *store = *state;
	struct event_file *ring = ring_make(store);
	struct event_reader reader;
	struct store_event event;
	pthread_t writers[2];
	uint64_t shown = 0, last = 0;

	event_reader_open(&reader, store->directory);
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&writers[i], NULL, writer_main, ring), 0);
	while (atomic_load(&ring->next) < 120000 || reader.number < 120000) {
		if (event_reader_next(&reader, &event) != EVENT_READ)
			continue;
		assert_event(&event, (uint64_t)event.time_ns);
		assert_true(!shown || (uint64_t)event.time_ns > last);
		last = (uint64_t)event.time_ns;
		shown++;
	}
	for (int i = 0; i < 2; i++)
		pthread_join(writers[i], NULL);
	assert_int_equal(shown + reader.lost, 120000);
	assert_true(shown > 0);
	event_reader_close(&reader);
	munmap(ring, sizeof(*ring));
}

static int setup(void **state)
{
	static struct test_store store;

	store_make(&store);
	*state = &store;
	return 0;
}

static int teardown(void **state)
{
	store_remove(*state);
	return 0;
}

#define STORE_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		STORE_TEST(events_come_in_order),
		STORE_TEST(an_overtaken_reader_goes_on_with_the_oldest),
		STORE_TEST(torn_and_unfinished_events_are_not_shown),
		STORE_TEST(the_ticket_is_part_of_the_sum),
		cmocka_unit_test(any_single_bit_is_noticed),
		STORE_TEST(a_wrong_file_is_not_read),
		STORE_TEST(a_shortened_file_is_survived),
		STORE_TEST(a_new_file_is_followed),
		STORE_TEST(random_rings_end),
		STORE_TEST(racing_writers_show_nothing_torn),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
