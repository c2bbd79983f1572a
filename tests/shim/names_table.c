/* SPDX-License-Identifier: MIT */
/* What a lookup leaves in the table of names, one family at a time and in threads. */
#include <pthread.h>

#include "names_engine.h"

/* ---- what a lookup leaves ------------------------------------------------------------------ */

static void one_lookup(void)
{
	EXPECT(!names_known());
	EXPECT_NAME("10.0.0.1", "-");
	look_up("a.test", AF_UNSPEC, "2001:db8::1 10.0.0.1");
	EXPECT(names_known());
	EXPECT_NAME("10.0.0.1", "a.test 2");
	EXPECT_NAME("2001:db8::1", "a.test 2");
	EXPECT_NAME("::ffff:10.0.0.1", "a.test 2");
	EXPECT_NAME("10.0.0.2", "-");
	look_up("10.0.0.2", AF_UNSPEC, "10.0.0.2");
	look_up("2001:db8::2", AF_UNSPEC, "2001:db8::2");
	EXPECT_NAME("10.0.0.2", "-");
	EXPECT_NAME("2001:db8::2", "-");
}

static void families_are_one_lookup(void)
{
	look_up("a.test", AF_INET, "10.0.0.1 10.0.0.2");
	look_up("a.test", AF_INET6, "2001:db8::1");
	EXPECT_NAME("10.0.0.1", "a.test 3");
	EXPECT_NAME("2001:db8::1", "a.test 3");
	look_up("B.test", AF_INET6, "2001:db8::2");
	clock_turn(SECONDS(2));
	look_up("b.TEST", AF_INET, "10.0.0.3");
	EXPECT_NAME("10.0.0.3", "b.TEST 2");
	EXPECT_NAME("2001:db8::2", "b.TEST 2");
}

static void families_apart_are_two(void)
{
	look_up("a.test", AF_INET, "10.0.0.1");
	clock_turn(SECONDS(2) + 1);
	look_up("a.test", AF_INET6, "2001:db8::1");
	EXPECT_NAME("2001:db8::1", "a.test 1");
	EXPECT_NAME("10.0.0.1", "-");
	/* Each has its own time: lookups of one do not keep the other's answer alive. */
	look_up("a.test", AF_INET, "10.0.0.1");
	for (int i = 0; i < 3; i++) {
		clock_turn(SECONDS(1));
		look_up("a.test", AF_INET6, "2001:db8::1");
	}
	EXPECT_NAME("2001:db8::1", "a.test 1");
	EXPECT_NAME("10.0.0.1", "-");
}

static void a_family_is_replaced(void)
{
	look_up("a.test", AF_INET, "10.0.0.1 10.0.0.2");
	look_up("a.test", AF_INET6, "2001:db8::1");
	look_up("a.test", AF_INET, "10.0.0.3");
	EXPECT_NAME("10.0.0.1", "-");
	EXPECT_NAME("10.0.0.3", "a.test 2");
	look_up("a.test", AF_INET6, "2001:db8::2");
	EXPECT_NAME("2001:db8::1", "-");
	EXPECT_NAME("2001:db8::2", "a.test 2");
	look_up("a.test", AF_UNSPEC, "10.0.0.4");
	EXPECT_NAME("2001:db8::2", "-");
	EXPECT_NAME("10.0.0.4", "a.test 1");
}

static void the_last_lookup_wins(void)
{
	look_up("a.test", AF_UNSPEC, "10.0.0.1 10.0.0.2");
	look_up("b.test", AF_UNSPEC, "10.0.0.1");
	EXPECT_NAME("10.0.0.1", "b.test 1");
	EXPECT_NAME("10.0.0.2", "a.test 2");
	look_up("a.test", AF_UNSPEC, "10.0.0.1 10.0.0.2");
	EXPECT_NAME("10.0.0.1", "a.test 2");
}

/* What another thread knows of the name goes on being true, whatever the order. */
static void same_addresses_change_nothing(void)
{
	uint32_t index;
	struct name_address addresses[NAME_ADDRESSES];
	struct name before, after;

	look_up("a.test", AF_UNSPEC, "10.0.0.1 10.0.0.2 2001:db8::1");
	before = name_of("10.0.0.1", &index);
	name_answer_set(&before, index, PORT, ANSWER_UP, clock_now_ns);
	look_up("a.test", AF_UNSPEC, "10.0.0.2 2001:db8::1 10.0.0.1");
	look_up("a.test", AF_INET, "10.0.0.2 10.0.0.1");
	EXPECT(name_addresses(&before, addresses));
	EXPECT_IS(name_answer(&before, index, PORT, clock_now_ns), ANSWER_UP);
	after = name_of("10.0.0.1", &index);
	EXPECT_IS(after.version, before.version);
	look_up("a.test", AF_UNSPEC, "10.0.0.2 10.0.0.1 2001:db8::2");
	EXPECT(!name_addresses(&before, addresses));
	EXPECT_IS(name_answer(&before, index, PORT, clock_now_ns), ANSWER_UNKNOWN);
}

static void sixteen_addresses(void)
{
	look_up("a.test", AF_UNSPEC,
		"10.0.0.1 10.0.0.2 10.0.0.3 10.0.0.4 10.0.0.5 10.0.0.6 10.0.0.7 10.0.0.8 10.0.0.9 "
		"10.0.0.9 10.0.0.10 10.0.0.11 10.0.0.12 10.0.0.13 10.0.0.14 10.0.0.15 10.0.0.16 "
		"10.0.0.17");
	EXPECT_NAME("10.0.0.16", "a.test 16");
	EXPECT_NAME("10.0.0.17", "-");
	EXPECT_IS(walk_to("10.0.0.16"), 0);
	EXPECT_IS(walk_to("10.0.0.1"), 0x8000);
}

/* The one whose lookup is longest ago makes room, and a new lookup makes it the last. */
static void more_names_than_entries(void)
{
	for (unsigned int i = 0; i < NAME_ENTRIES; i++)
		look_up_number(i);
	look_up_number(0);
	look_up_number(1000);
	look_up_number(1001);
	expect_number(0, true, __LINE__);
	expect_number(1, false, __LINE__);
	expect_number(2, false, __LINE__);
	expect_number(3, true, __LINE__);
	for (unsigned int i = 2000; i < 2000 + NAME_ENTRIES; i++)
		look_up_number(i);
	for (unsigned int i = 2000; i < 2000 + NAME_ENTRIES; i++)
		expect_number(i, true, __LINE__);
	expect_number(1001, false, __LINE__);
}

static void long_and_empty_names(void)
{
	char host[NAME_SIZE_MAX + 1];

	memset(host, 'x', sizeof(host));
	host[NAME_SIZE_MAX] = '\0';
	look_up(host, AF_UNSPEC, "10.0.0.1");
	EXPECT_NAME("10.0.0.1", "-");
	look_up("", AF_UNSPEC, "10.0.0.1");
	EXPECT_NAME("10.0.0.1", "-");
	host[NAME_SIZE_MAX - 1] = '\0';
	look_up(host, AF_UNSPEC, "10.0.0.1");
	EXPECT(strncmp(answer_of("10.0.0.1"), host, NAME_SIZE_MAX - 1) == 0);
}

/* ---- threads ---------------------------------------------------------------------------------- */

#define ROUNDS 4000

static pthread_barrier_t round_begin, round_end;
static char round_hosts[ROUNDS][16];

/* A round's addresses; every few rounds have a name of their own. */
static void *ask_family(void *argument)
{
	int family = *(int *)argument;
	char answer[64];

	for (unsigned int i = 0; i < ROUNDS; i++) {
		snprintf(answer, sizeof(answer),
			 family == AF_INET ? "10.2.%u.%u" : "2001:db8::%x:%x", i / 256, i % 256);
		pthread_barrier_wait(&round_begin);
		look_up(round_hosts[i], family, answer);
		pthread_barrier_wait(&round_end);
	}
	return NULL;
}

static void families_in_threads(void)
{
	int families[] = { AF_INET, AF_INET6 };
	pthread_t threads[2];
	char v4[32], v6[32], expected[NAME_SIZE_MAX];

	for (unsigned int i = 0; i < ROUNDS; i++)
		snprintf(round_hosts[i], sizeof(round_hosts[i]), "n%u.test", i / 4 % 10000);
	pthread_barrier_init(&round_begin, NULL, 3);
	pthread_barrier_init(&round_end, NULL, 3);
	for (int i = 0; i < 2; i++)
		REQUIRE(pthread_create(&threads[i], NULL, ask_family, &families[i]) == 0);
	for (unsigned int i = 0; i < ROUNDS; i++) {
		clock_turn(SECONDS(3));
		pthread_barrier_wait(&round_begin);
		pthread_barrier_wait(&round_end);
		snprintf(v4, sizeof(v4), "10.2.%u.%u", i / 256, i % 256);
		snprintf(v6, sizeof(v6), "2001:db8::%x:%x", i / 256, i % 256);
		snprintf(expected, sizeof(expected), "n%u.test 2", i / 4);
		expect_answer(v4, expected, __LINE__);
		expect_answer(v6, expected, __LINE__);
		if (check_failures > 5)
			check_exit(1);
	}
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
}

static const struct check_case cases[] = {
	CASE("a lookup tells a name's addresses, and a literal is no name", one_lookup),
	CASE("lookups in one family each, in either order, are one", families_are_one_lookup),
	CASE("more than two seconds apart they are two", families_apart_are_two),
	CASE("a second lookup in a family replaces its addresses", a_family_is_replaced),
	CASE("the last lookup of an address wins", the_last_lookup_wins),
	CASE("the same addresses in another order change nothing", same_addresses_change_nothing),
	CASE("a name has 16 addresses at most", sixteen_addresses),
	CASE("the name whose lookup is longest ago makes room", more_names_than_entries),
	CASE("names that are too long or empty", long_and_empty_names),
	CASE("two threads ask for a family each: one lookup", families_in_threads),
};

CHECK_MAIN(cases)
