/* SPDX-License-Identifier: MIT */
/*
 * peek STATE-DIR: what layout.h says is there, one fact a line, for scripts:
 *	COUNTER VALUE               summed over the process files
 *	process PID NONCE PARENT STATE PROGRAM
 *	event NUMBER PID KIND ERROR ATTEMPT
 * Totals of folded processes are not read: nothing has been folded where it is used.
 */
#include "peek.h"

static void counters_print(const char *directory)
{
	static const char *const names[] = {
#define NAME(name) #name,
		STORE_COUNTERS(NAME)
#undef NAME
	};
	struct peek peek = { 0 };

	peek_each(directory, peek_add_file, &peek);
	printf("processes %u\n", peek.processes);
	for (unsigned int i = 0; i < COUNTER_COUNT; i++)
		printf("%s %" PRIu64 "\n", names[i], peek.counters[i]);
}

static void process_print(const struct process_file *file, void *data)
{
	printf("process %d %08x %08x %s %s\n", file->identity.pid, file->identity.nonce,
	       file->identity.parent_nonce, file->state == PROCESS_EXITED ? "exited" : "running",
	       file->identity.program);
}

static void events_print(const char *directory)
{
	const struct event_file *ring;
	char path[512];
	int fd;

	snprintf(path, sizeof(path), "%s/events", directory);
	fd = open(path, O_RDONLY);
	if (fd < 0)
		return;
	ring = mmap(NULL, sizeof(*ring), PROT_READ, MAP_SHARED, fd, 0);
	for (uint64_t n = 0; ring != MAP_FAILED && n < ring->next; n++) {
		const struct event_slot *slot = &ring->slots[n % EVENTS_IN_RING];

		if (slot->ticket == n + 1)
			printf("event %" PRIu64 " %d %u %d %u\n", n, slot->event.pid,
			       slot->event.kind, slot->event.error, slot->event.attempt);
	}
}

int main(int argc, char **argv)
{
	if (argc != 2)
		return 64;
	counters_print(argv[1]);
	peek_each(argv[1], process_print, NULL);
	events_print(argv[1]);
	return 0;
}
