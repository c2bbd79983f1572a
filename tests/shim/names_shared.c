/* SPDX-License-Identifier: MIT */
/*
 * What a process shares of the table of names with those that it forks, whatever
 * they do to it, and what it keeps to itself.
 */
#include "names_engine.h"

/* ---- processes ---------------------------------------------------------------------------------- */

static void look_up_a(void)
{
	look_up("a.test", AF_UNSPEC, "10.0.0.1 10.0.0.2");
}

static void looked_up_by_a_child(void)
{
	in_child(look_up_a);
	EXPECT_NAME("10.0.0.1", "-");
	errno = EDOM;
	names_share();
	EXPECT_ERRNO(EDOM);
	EXPECT(!names_known());
	in_child(look_up_a);
	EXPECT(names_known());
	EXPECT_NAME("10.0.0.1", "a.test 2");
}

static void nothing_where_disabled(void)
{
	config.enabled = false;
	names_share();
	EXPECT(!name_table(false));
	look_up_a();
	EXPECT(!names_known());
	EXPECT_NAME("10.0.0.1", "-");
}

static void look_up_b(void)
{
	EXPECT_NAME("10.0.0.1", "a.test 2");
	look_up("b.test", AF_UNSPEC, "10.0.0.1 10.0.0.3");
	EXPECT_NAME("10.0.0.1", "b.test 2");
	EXPECT_NAME("10.0.0.2", "a.test 2");
}

/* Workers of a server talk to many names, some of them on one address. */
static void own_lookups_come_first(void)
{
	names_share();
	look_up_a();
	in_child(look_up_b);
	EXPECT_NAME("10.0.0.1", "a.test 2");
	EXPECT_NAME("10.0.0.3", "b.test 2");
	look_up("c.test", AF_UNSPEC, "10.0.0.1");
	EXPECT_NAME("10.0.0.1", "c.test 1");
}

static void look_up_c(void)
{
	look_up("c.test", AF_UNSPEC, "10.0.0.1 10.0.0.3");
}

static void relatives_lookups_by_time(void)
{
	names_share();
	in_child(look_up_a);
	in_child(look_up_c);
	EXPECT_NAME("10.0.0.1", "c.test 2");
	EXPECT_NAME("10.0.0.2", "a.test 2");
}

static void walk_and_connect_in_child(void)
{
	uint32_t index;
	struct name name = name_of("10.0.0.2", &index);

	/* A copy of what its parent had done. */
	EXPECT_IS(name_walk(&name, index), 1);
	name_walk_spend(&name);
	name_live_set(&name, index, PORT, clock_now_ns);
	EXPECT_IS(name_live(&name, PORT, clock_now_ns), 3);
	look_up("a.test", AF_UNSPEC, "10.0.0.2 10.0.0.1");
	name = name_of("10.0.0.2", &index);
	EXPECT_IS(name_walk(&name, index), 0);
	EXPECT_IS(name_live(&name, PORT, clock_now_ns), 0);
}

static void walks_are_private(void)
{
	struct name_address addresses[NAME_ADDRESSES];
	uint32_t index;
	struct name name;

	names_share();
	look_up_a();
	name = name_of("10.0.0.1", &index);
	EXPECT_IS(name_walk(&name, index), 0);
	name_live_set(&name, index, PORT, clock_now_ns);
	in_child(walk_and_connect_in_child);
	EXPECT(name_addresses(&name, addresses));
	EXPECT(!name_walk_spent(&name));
	EXPECT_IS(name_live(&name, PORT, clock_now_ns), 1);
	EXPECT_IS(walk_to("10.0.0.2"), 1);
}

static void look_up_separately(void)
{
	errno = EDOM;
	names_separate();
	EXPECT_ERRNO(EDOM);
	EXPECT_NAME("10.0.0.1", "a.test 2");
	look_up("a.test", AF_UNSPEC, "10.0.0.66");
	look_up("b.test", AF_UNSPEC, "10.0.0.3");
	in_child(look_up_c);
	EXPECT_NAME("10.0.0.66", "a.test 1");
	EXPECT_NAME("10.0.0.1", "c.test 2");
}

static void separated(void)
{
	names_separate();
	EXPECT(!name_table(false));
	names_share();
	look_up_a();
	in_child(look_up_separately);
	EXPECT_NAME("10.0.0.66", "-");
	EXPECT_NAME("10.0.0.3", "-");
	EXPECT_NAME("10.0.0.1", "a.test 2");
}

static void look_up_for_ever(void *argument)
{
	unsigned int seed = *(unsigned int *)argument;

	for (unsigned int i = 0;; i++) {
		char answer[64];

		snprintf(answer, sizeof(answer), "10.3.%u.%u 2001:db8::%u", seed % 256, i % 256,
			 i % 1000);
		look_up(i % 2 ? "killed.test" : "other.test", AF_UNSPEC, answer);
		look_up_number(i % 300);
	}
}

/* Whoever dies while it writes costs an entry for a second, and nobody waits for it. */
static void killed_writers(void)
{
	names_share();
	for (unsigned int i = 0; i < 150; i++) {
		pid_t first = helper_start(look_up_for_ever, &i);
		pid_t second = helper_start(look_up_for_ever, &i);

		usleep(300 + i * 7);
		kill(first, SIGKILL);
		kill(second, SIGKILL);
		child_wait(first);
		child_wait(second);
	}
	look_up("killed.test", AF_UNSPEC, "10.4.0.1 10.4.0.2");
	EXPECT_NAME("10.4.0.1", "killed.test 2");
	clock_turn(SECONDS(2));
	for (unsigned int i = 3000; i < 3000 + NAME_ENTRIES; i++)
		look_up_number(i);
	for (unsigned int i = 3000; i < 3000 + NAME_ENTRIES; i++)
		expect_number(i, true, __LINE__);
}

/* The same where it is certain that one died in the middle. */
static void claims_expire(void)
{
	struct name_entry *entry;
	uint64_t claimed;

	look_up_a();
	entry = &name_table(false)->entries[0];
	claimed = (uint64_t)3 << 32 | name_milliseconds(clock_now_ns);
	entry->state = claimed;
	EXPECT_NAME("10.0.0.1", "-");
	look_up_a();
	EXPECT_NAME("10.0.0.1", "a.test 2");
	for (unsigned int i = 0; i < NAME_ENTRIES; i++)
		look_up_number(i);
	EXPECT_IS(entry->state, claimed);
	expect_number(NAME_ENTRIES - 1, true, __LINE__);
	clock_turn(SECONDS(1) + 1000000);
	look_up_number(4000);
	expect_number(4000, true, __LINE__);
	EXPECT(entry->state != claimed);
	/* Its writer was only stopped: what it had begun is not published. */
	entry->state = (uint64_t)101 << 32;
	clock_turn(SECONDS(2));
	EXPECT(!atomic_compare_exchange_strong(&entry->state, &claimed, (uint64_t)4 << 32));
}

/* Other processes can write there; one of them may be up to something. */
static void anything_in_memory(void)
{
	struct name_table *names;
	char host[NAME_SIZE_MAX];
	struct name_address addresses[NAME_ADDRESSES], wanted;
	struct name name;
	uint32_t index;
	unsigned int found = 0;

	look_up_a();
	names = name_table(false);
	srandom(7);
	for (int round = 0; round < 300; round++) {
		uint8_t *bytes = (uint8_t *)names;

		for (size_t i = 0; i < sizeof(*names); i++)
			bytes[i] = round % 2 ? (uint8_t)random() : (uint8_t)(random() % 4);
		wanted = parsed("10.0.0.1");
		/* One that is found all the same. */
		names->entries[5].state = UINT64_C(8) << 32;
		names->entries[5].content[0] = (uint64_t)(round % 18);
		memcpy((void *)&names->entries[5].content[1], &wanted, sizeof(wanted));
		if (name_find(&wanted, &name, &index)) {
			found++;
			EXPECT(name.count <= NAME_ADDRESSES && index < name.count);
			if (name_host(&name, host))
				EXPECT(memchr(host, '\0', sizeof(host)) != NULL);
			name_addresses(&name, addresses);
			name_walk(&name, index);
			name_answer(&name, index, PORT, clock_now_ns);
			name_live(&name, PORT, clock_now_ns);
		}
		look_up_a();
	}
	EXPECT_WITHIN(found, 200, 300);
}

/* ---- walks and connections ------------------------------------------------------------------------ */

static void walks(void)
{
	uint32_t index;
	struct name name, later;

	look_up("a.test", AF_UNSPEC, "10.0.0.1 10.0.0.2 10.0.0.3");
	EXPECT_IS(walk_to("10.0.0.1"), 0);
	EXPECT_IS(walk_to("10.0.0.2"), 1);
	EXPECT_IS(walk_to("10.0.0.3"), 3);
	/* A second time: another walk. */
	EXPECT_IS(walk_to("10.0.0.2"), 0);
	EXPECT_IS(walk_to("10.0.0.1"), 2);
	name = name_of("10.0.0.1", &index);
	EXPECT(!name_walk_spent(&name));
	name_walk_spend(&name);
	EXPECT(name_walk_spent(&name));
	EXPECT_IS(walk_to("10.0.0.3"), 3);
	name_walk_end(&name);
	EXPECT(!name_walk_spent(&name));
	EXPECT_IS(walk_to("10.0.0.3"), 0);
	name_walk_spend(&name);
	EXPECT_IS(walk_to("10.0.0.3"), 0);
	EXPECT(!name_walk_spent(&name));
	/* A new lookup, though it brings the same. */
	look_up("a.test", AF_UNSPEC, "10.0.0.1 10.0.0.2 10.0.0.3");
	later = name_of("10.0.0.1", &index);
	EXPECT_IS(name_walk(&later, index), 0);
	name_walk_end(&name);
	name_walk_spend(&name);
	EXPECT(!name_walk_spent(&later));
	EXPECT_IS(walk_to("10.0.0.2"), 1);
	/* And one that brings others. */
	look_up("a.test", AF_UNSPEC, "10.0.0.1 10.0.0.2");
	name_walk_spend(&later);
	EXPECT(!name_walk_spent(&later));
	EXPECT_IS(walk_to("10.0.0.2"), 0);
	EXPECT_IS(name_walk(&later, 0), 0);
	EXPECT_IS(walk_to("10.0.0.1"), 2);
}

static void live_addresses(void)
{
	uint32_t index;
	struct name name;

	look_up("a.test", AF_UNSPEC, "10.0.0.1 10.0.0.2 10.0.0.3");
	name = name_of("10.0.0.3", &index);
	EXPECT_IS(name_live(&name, PORT, clock_now_ns), 0);
	name_live_set(&name, index, PORT, clock_now_ns);
	EXPECT_IS(name_live(&name, PORT, clock_now_ns), 4);
	EXPECT_IS(name_live(&name, PORT + 1, clock_now_ns), 0);
	/* A clock that was read a moment before. */
	EXPECT_IS(name_live(&name, PORT, clock_now_ns - 2000000), 4);
	clock_turn(SECONDS(1));
	name_live_set(&name, 0, PORT, clock_now_ns);
	EXPECT_IS(name_live(&name, PORT, clock_now_ns), 5);
	clock_turn(1000000);
	EXPECT_IS(name_live(&name, PORT, clock_now_ns), 1);
	look_up("a.test", AF_UNSPEC, "10.0.0.1 10.0.0.2 10.0.0.3");
	EXPECT_IS(name_live(&name, PORT, clock_now_ns), 0);
	name_live_set(&name, 0, PORT, clock_now_ns);
	look_up("a.test", AF_UNSPEC, "10.0.0.1 10.0.0.2");
	name = name_of("10.0.0.1", &index);
	EXPECT_IS(name_live(&name, PORT, clock_now_ns), 0);
}

static void look_up_others(void)
{
	look_up("a.test", AF_UNSPEC, "10.0.0.1 10.0.0.9");
}

/* Another process's lookup does not end ours, unless the addresses are others. */
static void live_of_this_process(void)
{
	uint32_t index;
	struct name name;

	names_share();
	look_up_a();
	name = name_of("10.0.0.1", &index);
	name_live_set(&name, index, PORT, clock_now_ns);
	in_child(look_up_a);
	name = name_of("10.0.0.1", &index);
	EXPECT_IS(name_live(&name, PORT, clock_now_ns), 1);
	in_child(look_up_others);
	name = name_of("10.0.0.1", &index);
	EXPECT_IS(name_live(&name, PORT, clock_now_ns), 0);
}

static void answers(void)
{
	uint32_t index;
	struct name name;

	look_up_a();
	name = name_of("10.0.0.1", &index);
	EXPECT_IS(name_answer(&name, index, PORT, clock_now_ns), ANSWER_UNKNOWN);
	name_answer_set(&name, index, PORT, ANSWER_DOWN, clock_now_ns);
	EXPECT_IS(name_answer(&name, index, PORT, clock_now_ns), ANSWER_DOWN);
	EXPECT_IS(name_answer(&name, index, PORT + 1, clock_now_ns), ANSWER_UNKNOWN);
	clock_turn(51000000);
	EXPECT_IS(name_answer(&name, index, PORT, clock_now_ns), ANSWER_UNKNOWN);
	name_answer_set(&name, index, PORT, ANSWER_UP, clock_now_ns);
	clock_turn(SECONDS(1));
	EXPECT_IS(name_answer(&name, index, PORT, clock_now_ns), ANSWER_UP);
	clock_turn(1000000);
	EXPECT_IS(name_answer(&name, index, PORT, clock_now_ns), ANSWER_UNKNOWN);
}

static const struct check_case cases[] = {
	CASE("a child's lookup is its parent's", looked_up_by_a_child),
	CASE("disabled, nothing is made", nothing_where_disabled),
	CASE("a process's own lookups come first", own_lookups_come_first),
	CASE("else the last of its relatives'", relatives_lookups_by_time),
	CASE("walks and connections are a process's own", walks_are_private),
	CASE("a process that is separate tells nobody anything", separated),
	CASE("writers that are killed", killed_writers),
	CASE("a claim expires", claims_expire),
	CASE("whatever lies in the shared memory", anything_in_memory),
	CASE("walks", walks),
	CASE("live addresses", live_addresses),
	CASE("live addresses are those of this process", live_of_this_process),
	CASE("answers are believed for a while", answers),
};

CHECK_MAIN(cases)
