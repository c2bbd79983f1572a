/* SPDX-License-Identifier: MIT */
/*
 * Proves that a process is asked to rebuild a connection by one word of its file
 * and nothing else, and that whatever speaks against it is answered without a byte
 * being written.  The process is this one, which has its own file mapped.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <sys/mman.h>
#include <sys/wait.h>

#include "shim/store/reader.h"
#include "shim/store/store.h"
#include "shim/sys.h"
#include "store_files.h"

/* NOLINTNEXTLINE(bugprone-suspicious-include) */
#include "tools/words.c"

struct fixture {
	struct test_store files;
	struct store store;
	char name[PROCESS_NAME_SIZE];
	uint32_t record;
	struct connection_slot *slot; /* connected, generation 1 */
	struct connection_id id;
	struct process_file *before;
};

static void file_read(const struct fixture *fixture, struct process_file *into)
{
	int fd = openat(fixture->files.processes, fixture->name, O_RDONLY);

	assert_ok(fd);
	assert_int_equal(sys_pread_full(fd, into, sizeof(*into), 0), sizeof(*into));
	close(fd);
}

/* Nothing in the directory is other than it was. */
static void assert_untouched(const struct fixture *fixture)
{
	struct process_file *now = malloc(sizeof(*now));

	assert_non_null(now);
	file_read(fixture, now);
	assert_memory_equal(now, fixture->before, sizeof(*now));
	free(now);
	assert_int_equal(names_beginning(fixture->files.processes, ""), 1);
	assert_int_equal(names_beginning(fixture->files.directory, ""), 1);
}

/* The same but for one word, whose slot is the one asked, and that there is a request. */
static void assert_only_wanted(const struct fixture *fixture, uint32_t wanted)
{
	assert_int_not_equal(fixture->before->slots[fixture->id.slot].reconnect_wanted, wanted);
	fixture->before->slots[fixture->id.slot].reconnect_wanted = wanted;
	fixture->before->reconnects_wanted++;
	assert_untouched(fixture);
}

static void assert_answer(struct fixture *fixture, enum reconnect_answer expected,
			  struct reconnect_found *found)
{
	file_read(fixture, fixture->before);
	assert_int_equal(reconnect_ask(fixture->files.directory, &fixture->id, found), expected);
}

/* The answer, and nothing is written for it. */
static void assert_refused(struct fixture *fixture, enum reconnect_answer expected,
			   struct reconnect_found *found)
{
	assert_answer(fixture, expected, found);
	assert_untouched(fixture);
}

static void one_word_is_written(void **state)
{
	struct fixture *fixture = *state;
	struct reconnect_found found;

	assert_answer(fixture, RECONNECT_ASKED, &found);
	assert_only_wanted(fixture, 1);
	assert_int_equal(fixture->slot->reconnect_wanted, 1);
	assert_int_equal(found.process, READER_RUNNING);
	assert_int_equal(found.connected_to.port, 80);
}

static void one_that_is_being_rebuilt_can_be_asked(void **state)
{
	struct fixture *fixture = *state;
	struct reconnect_found found;

	fixture->slot->state = SLOT_RECONNECTING;
	fixture->slot->generation = fixture->id.generation = 0xfffffffe;
	assert_answer(fixture, RECONNECT_ASKED, &found);
	assert_only_wanted(fixture, 0xfffffffe);
}

static void the_endpoint_told_is_the_one_in_use(void **state)
{
	struct fixture *fixture = *state;
	struct endpoint other = endpoint_tcp(0x7f000001, 81);
	struct reconnect_found found;

	fixture->slot->in_use = store_record(&fixture->store, &other, 0) + 1;
	assert_answer(fixture, RECONNECT_ASKED, &found);
	assert_int_equal(found.connected_to.port, 81);
}

/* A slot beyond the first page, and one that was not there when the file was made. */
static void any_slot_can_be_asked(void **state)
{
	struct fixture *fixture = *state;
	struct reconnect_found found;
	uint32_t last;

	do {
		last = store_slot_take(&fixture->store, fixture->record);
		fixture->store.file->slots[last].state = SLOT_CONNECTED;
	} while (last < SLOTS_PER_CHUNK + 40);
	for (fixture->id.slot = 1; fixture->id.slot <= last; fixture->id.slot += 13) {
		assert_answer(fixture, RECONNECT_ASKED, &found);
		assert_only_wanted(fixture, 1);
	}
}

static void a_slot_must_hold_the_connection(void **state)
{
	static const struct {
		uint32_t slot_state, generation;
		enum reconnect_answer answer;
	} cases[] = {
		{ SLOT_FREE, 1, RECONNECT_NO_CONNECTION },
		{ SLOT_CONNECTING, 1, RECONNECT_EARLY },
		{ SLOT_DISCONNECTED, 1, RECONNECT_ENDED },
		{ SLOT_FAILED, 1, RECONNECT_ENDED },
		{ SLOT_CONNECTED, 2, RECONNECT_CLOSED },
		{ SLOT_CONNECTED, 0, RECONNECT_NO_CONNECTION },
		{ SLOT_FAILED + 1, 1, RECONNECT_DAMAGED },
		{ UINT32_MAX, 1, RECONNECT_DAMAGED },
	};
	struct fixture *fixture = *state;
	struct reconnect_found found;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		fixture->slot->state = cases[i].slot_state;
		fixture->slot->generation = cases[i].generation;
		assert_refused(fixture, cases[i].answer, &found);
		if (cases[i].answer != RECONNECT_DAMAGED) {
			assert_int_equal(found.state, cases[i].slot_state);
			assert_int_equal(found.generation, cases[i].generation);
		}
	}
}

static void only_tcp_can_be_asked(void **state)
{
	static const enum endpoint_kind kinds[] = { ENDPOINT_UDP, ENDPOINT_UNIX, ENDPOINT_OTHER };
	struct fixture *fixture = *state;
	struct reconnect_found found;

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		fixture->store.file->endpoints[fixture->record].endpoint.kind = kinds[i];
		assert_refused(fixture, RECONNECT_IMMOVABLE, &found);
		assert_int_equal(found.connected_to.kind, kinds[i]);
		fixture->slot->state = SLOT_DISCONNECTED;
		assert_refused(fixture, RECONNECT_ENDED, &found);
		fixture->slot->state = SLOT_CONNECTED;
	}
}

static void numbers_in_the_file_are_checked(void **state)
{
	struct fixture *fixture = *state;
	struct reconnect_found found;

	fixture->slot->endpoint = ENDPOINTS_PER_PROCESS;
	assert_refused(fixture, RECONNECT_DAMAGED, &found);
	fixture->slot->endpoint = fixture->record + 1; /* no such record */
	assert_refused(fixture, RECONNECT_DAMAGED, &found);
	fixture->slot->endpoint = fixture->record;
	fixture->id.slot = 1;
	assert_refused(fixture, RECONNECT_NO_CONNECTION, &found);
	fixture->id.slot = UINT32_MAX;
	assert_refused(fixture, RECONNECT_NO_CONNECTION, &found);
	fixture->store.file->slots_used = UINT32_MAX;
	fixture->id.slot = SLOTS_PER_PROCESS;
	assert_refused(fixture, RECONNECT_NO_CONNECTION, &found);
	fixture->id.slot = UINT32_MAX - 1;
	assert_refused(fixture, RECONNECT_NO_CONNECTION, &found);
}

static void the_process_must_be_the_one(void **state)
{
	struct fixture *fixture = *state;
	struct reconnect_found found;

	fixture->id.nonce++;
	assert_refused(fixture, RECONNECT_NO_PROCESS, &found);
	fixture->id.nonce--;
	fixture->id.pid++;
	assert_refused(fixture, RECONNECT_NO_PROCESS, &found);
}

static void a_process_that_is_gone_is_not_asked(void **state)
{
	struct fixture *fixture = *state;
	struct process_file *file = fixture->store.file;
	struct reconnect_found found;

	file->identity.boottime_ns = INT64_MAX; /* of an earlier boot */
	assert_refused(fixture, RECONNECT_PROCESS_GONE, &found);
	assert_int_equal(found.process, READER_VANISHED);
	store_leave(&fixture->store);
	assert_refused(fixture, RECONNECT_PROCESS_GONE, &found);
	assert_int_equal(found.process, READER_EXITED);
}

static void a_process_of_another_namespace_is_asked_unless_it_left(void **state)
{
	struct fixture *fixture = *state;
	struct reconnect_found found;

	fixture->store.file->identity.proc_device++;
	assert_answer(fixture, RECONNECT_ASKED, &found);
	assert_only_wanted(fixture, 1);
	assert_int_equal(found.process, READER_UNKNOWN);
	fixture->slot->reconnect_wanted = 0;
	store_leave(&fixture->store);
	assert_refused(fixture, RECONNECT_PROCESS_GONE, &found);
	assert_int_equal(found.process, READER_EXITED);
}

static void a_foreign_file_is_not_written_to(void **state)
{
	struct fixture *fixture = *state;
	struct process_file *file = fixture->store.file;
	struct reconnect_found found;

	file->version++;
	assert_refused(fixture, RECONNECT_DAMAGED, &found);
	file->version--;
	file->magic ^= 1;
	assert_refused(fixture, RECONNECT_DAMAGED, &found);
	file->magic ^= 1;
	file->identity.nonce++; /* a copy under another name */
	assert_refused(fixture, RECONNECT_DAMAGED, &found);
}

/* What has the name is swapped for something else, and nothing of it changes. */
static void only_a_regular_file_is_looked_into(void **state)
{
	struct fixture *fixture = *state;
	int processes = fixture->files.processes;
	struct reconnect_found found;

	file_read(fixture, fixture->before);
	assert_ok(renameat(processes, fixture->name, processes, "aside"));
	assert_int_equal(reconnect_ask(fixture->files.directory, &fixture->id, &found),
			 RECONNECT_NO_PROCESS);
	assert_ok(symlinkat("aside", processes, fixture->name));
	assert_int_equal(reconnect_ask(fixture->files.directory, &fixture->id, &found),
			 RECONNECT_NO_PROCESS);
	assert_ok(unlinkat(processes, fixture->name, 0));
	assert_ok(mkfifoat(processes, fixture->name, 0600));
	assert_int_equal(reconnect_ask(fixture->files.directory, &fixture->id, &found),
			 RECONNECT_NO_PROCESS);
	assert_ok(unlinkat(processes, fixture->name, 0));
	assert_ok(renameat(processes, "aside", processes, fixture->name));
	assert_untouched(fixture);
}

static void a_file_that_is_cut_short_stays_short(void **state)
{
	struct fixture *fixture = *state;
	const off_t sizes[] = { 0, 13, PROCESS_HEAD_SIZE - 1, PROCESS_HEAD_SIZE,
				PROCESS_HEAD_SIZE + sizeof(struct connection_slot) - 1 };
	struct process_file *copy = malloc(sizeof(*copy));
	struct reconnect_found found;
	struct stat status;
	char path[128];

	assert_non_null(copy);
	file_read(fixture, copy);
	snprintf(path, sizeof(path), "%s/process/%s", fixture->files.path, fixture->name);
	assert_ok(unlink(path)); /* ours stays mapped whole */
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		process_write_as(&fixture->files, fixture->name, copy, (size_t)sizes[i]);
		/* Cut in its records, it has none that the connection could be of. */
		assert_int_equal(reconnect_ask(fixture->files.directory, &fixture->id, &found),
				 RECONNECT_DAMAGED);
		assert_ok(stat(path, &status));
		assert_int_equal(status.st_size, sizes[i]);
	}
	free(copy);
}

static void an_empty_directory_has_no_process(void **state)
{
	struct fixture *fixture = *state;
	struct reconnect_found found;
	struct test_store empty;

	store_make(&empty);
	assert_ok(unlinkat(empty.directory, "process", AT_REMOVEDIR));
	assert_int_equal(reconnect_ask(empty.directory, &fixture->id, &found),
			 RECONNECT_NO_PROCESS);
	assert_int_equal(names_beginning(empty.directory, ""), 0);
	assert_ok(symlinkat(fixture->files.path, empty.directory, "process"));
	assert_int_equal(reconnect_ask(empty.directory, &fixture->id, &found),
			 RECONNECT_UNREADABLE);
	assert_int_equal(errno, ENOTDIR);
	store_remove(&empty);
}

/* ---- the ID ----------------------------------------------------------------------- */

static void ids_are_taken_as_they_are_printed(void **state)
{
	static const struct connection_id ids[] = {
		{ 1, 0, 0, 1 },
		{ 4242, 0x0a1b2c3d, 17, 3 },
		{ INT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX },
	};

	for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
		char text[CONNECTION_ID_SIZE];
		struct connection_id id;

		connection_id_format(ids[i].pid, ids[i].nonce, ids[i].slot, ids[i].generation,
				     text);
		assert_true(connection_id_parse(text, &id));
		assert_memory_equal(&id, &ids[i], sizeof(id));
	}
}

static void other_texts_are_no_ids(void **state)
{
	static const char *const texts[] = {
		"",
		"4242",
		"4242-0a1b2c3d",
		"4242-0a1b2c3d.17",
		"4242-0a1b2c3d.17.",
		"4242-0a1b2c3d.17.3.",
		"4242-0a1b2c3d.17.3 ",
		"4242-0a1b2c3d.17.3.1",
		" 4242-0a1b2c3d.17.3",
		"+4242-0a1b2c3d.17.3",
		"04242-0a1b2c3d.17.3",
		"4242-0A1B2C3D.17.3",
		"4242-a1b2c3d.17.3",
		"4242-00a1b2c3d.17.3",
		"4242-0x1b2c3d.17.3",
		"4242-0a1b2c3g.17.3",
		"4242-0a1b2c3d.017.3",
		"4242-0a1b2c3d.-1.3",
		"4242-0a1b2c3d.17.0",
		"4242-0a1b2c3d.4294967296.3",
		"4242-0a1b2c3d.17.4294967297",
		"4242-10a1b2c3d.17.3",
		"4242-0a1b2c3d.17.99999999999999999999999",
		"-4242-0a1b2c3d.17.3",
		"0-0a1b2c3d.17.3",
		"2147483648-0a1b2c3d.17.3",
		"4242 0a1b2c3d.17.3",
		"4242-0a1b2c3d-17.3",
	};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct connection_id id;

		if (connection_id_parse(texts[i], &id))
			fail_msg("\"%s\" was taken", texts[i]);
	}
}

/* ---- the fixture ------------------------------------------------------------------- */

static int setup(void **state)
{
	static struct fixture fixture;
	struct endpoint endpoint = endpoint_tcp(0x7f000001, 80);
	const char *problem = NULL;

	memset(&fixture, 0, sizeof(fixture));
	store_make(&fixture.files);
	strcpy(fixture.store.directory, fixture.files.path);
	assert_true(
		store_open(&fixture.store, fixture.files.directory, "/usr/bin/prog", 0, &problem));
	fixture.record = store_record(&fixture.store, &endpoint, 0);
	fixture.id = (struct connection_id){
		.pid = getpid(),
		.nonce = fixture.store.file->identity.nonce,
		.slot = store_slot_take(&fixture.store, fixture.record),
		.generation = 1,
	};
	process_file_name(fixture.name, fixture.id.pid, fixture.id.nonce);
	fixture.slot = &fixture.store.file->slots[fixture.id.slot];
	fixture.slot->state = SLOT_CONNECTED;
	fixture.before = malloc(sizeof(*fixture.before));
	*state = &fixture;
	return fixture.before ? 0 : -1;
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	free(fixture->before);
	munmap(fixture->store.file, sizeof(*fixture->store.file));
	store_remove(&fixture->files);
	return 0;
}

#define STORE_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		STORE_TEST(one_word_is_written),
		STORE_TEST(one_that_is_being_rebuilt_can_be_asked),
		STORE_TEST(the_endpoint_told_is_the_one_in_use),
		STORE_TEST(any_slot_can_be_asked),
		STORE_TEST(a_slot_must_hold_the_connection),
		STORE_TEST(only_tcp_can_be_asked),
		STORE_TEST(numbers_in_the_file_are_checked),
		STORE_TEST(the_process_must_be_the_one),
		STORE_TEST(a_process_that_is_gone_is_not_asked),
		STORE_TEST(a_process_of_another_namespace_is_asked_unless_it_left),
		STORE_TEST(a_foreign_file_is_not_written_to),
		STORE_TEST(only_a_regular_file_is_looked_into),
		STORE_TEST(a_file_that_is_cut_short_stays_short),
		STORE_TEST(an_empty_directory_has_no_process),
		cmocka_unit_test(ids_are_taken_as_they_are_printed),
		cmocka_unit_test(other_texts_are_no_ids),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
