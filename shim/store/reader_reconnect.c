/* SPDX-License-Identifier: MIT */
/*
 * The one thing that a reader writes: the wish that a connection be rebuilt.  All
 * is read and judged as for a snapshot first; only then the file is opened for
 * writing, and only the page of the one word is mapped.
 */
#include "reader.h"

#include <stdlib.h>
#include <string.h>

#include "shim/sys.h"
#include "shim/words.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

/* Where slots lie in a process file, in bytes. */
#define SLOT_OFFSET(slot) (PROCESS_HEAD_SIZE + (uint64_t)(slot) * sizeof(struct connection_slot))

struct ask {
	const struct connection_id *id;
	struct reconnect_found *found;
	struct process_file *head; /* PROCESS_HEAD_SIZE bytes */
	struct file_facts facts;
	char name[PROCESS_NAME_SIZE];
	int processes;
	int fd; /* for reading: while it is open no other file has the inode */
};

/* ---- judging: RECONNECT_ASKED is "nothing against it so far" ---------------------- */

static enum reconnect_answer process_look(struct ask *ask)
{
	static const enum reconnect_answer answers[] = {
		[FILE_FIT] = RECONNECT_ASKED,
		[FILE_DAMAGED] = RECONNECT_DAMAGED,
		[FILE_MISSING] = RECONNECT_NO_PROCESS,
		[FILE_ERROR] = RECONNECT_UNREADABLE,
	};
	enum file_fitness fitness = file_open(ask->processes, ask->name, &ask->fd, &ask->facts);

	if (fitness == FILE_FIT)
		fitness = process_head_read(ask->fd, ask->name, &ask->facts, ask->head);
	if (fitness != FILE_FIT)
		return answers[fitness];
	ask->found->process = reader_state_of(ask->head,
					      process_judge(ask->head, ask->facts.inode));
	return ask->found->process == READER_EXITED || ask->found->process == READER_VANISHED
		       ? RECONNECT_PROCESS_GONE
		       : RECONNECT_ASKED;
}

static enum reconnect_answer generation_judge(uint32_t found, uint32_t asked)
{
	if (found == asked)
		return RECONNECT_ASKED;
	return found > asked ? RECONNECT_CLOSED : RECONNECT_NO_CONNECTION;
}

static enum reconnect_answer slot_look(struct ask *ask)
{
	static const enum reconnect_answer answers[] = {
		[SLOT_FREE] = RECONNECT_NO_CONNECTION, [SLOT_CONNECTING] = RECONNECT_EARLY,
		[SLOT_CONNECTED] = RECONNECT_ASKED,    [SLOT_RECONNECTING] = RECONNECT_ASKED,
		[SLOT_DISCONNECTED] = RECONNECT_ENDED, [SLOT_FAILED] = RECONNECT_ENDED,
	};
	struct reconnect_found *found = ask->found;
	struct connection_slot slot;
	enum reconnect_answer answer;

	if (ask->id->slot >= SLOTS_PER_PROCESS || ask->id->slot >= LOAD(ask->head->slots_used))
		return RECONNECT_NO_CONNECTION;
	if (ask->id->slot >= process_slots(ask->head, ask->facts.size))
		return RECONNECT_DAMAGED;
	ssize_t n = sys_pread_full(ask->fd, &slot, sizeof(slot), SLOT_OFFSET(ask->id->slot));
	if (n < 0)
		return RECONNECT_UNREADABLE;
	if ((size_t)n < sizeof(slot) || LOAD(slot.endpoint) >= ENDPOINTS_PER_PROCESS ||
	    LOAD(ask->head->endpoints[LOAD(slot.endpoint)].state) != RECORD_READY ||
	    LOAD(slot.state) > SLOT_FAILED)
		return RECONNECT_DAMAGED;
	found->state = LOAD(slot.state);
	found->generation = LOAD(slot.generation);
	found->connected_to = *process_slot_endpoint(ask->head, &slot);
	answer = generation_judge(found->generation, ask->id->generation);
	if (answer == RECONNECT_ASKED)
		answer = answers[found->state];
	return answer == RECONNECT_ASKED && found->connected_to.kind != ENDPOINT_TCP
		       ? RECONNECT_IMMOVABLE
		       : answer;
}

/* ---- writing ------------------------------------------------------------------------ */

/* The file that was judged, and no other that has its name by now. */
static int writable_open(const struct ask *ask)
{
	struct stat status;
	int fd = sys_openat(ask->processes, ask->name, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY,
			    0);

	if (fd < 0)
		return -1;
	if (sys_fstat(fd, &status) == 0 && status.st_ino == ask->facts.inode)
		return fd;
	sys_close(fd);
	errno = ESTALE;
	return -1;
}

/*
 * Makes the page writable before it is written to: where no disk space can be had
 * for it, or the file was cut meanwhile, touching it would be SIGBUS.
 */
static bool page_populate(void *page, size_t size)
{
	if (sys_madvise(page, size, MADV_POPULATE_WRITE) == 0)
		return true;
	if (errno == EFAULT)
		errno = ENOSPC;
	return errno == EINVAL; /* a kernel that cannot */
}

/* is_sum: it is added to what is there. */
static bool word_store(int fd, uint64_t offset, uint32_t value, bool is_sum)
{
	uint64_t page_size = (uint64_t)sysconf(_SC_PAGESIZE);
	uint64_t first = offset / page_size * page_size;
	char *page = sys_mmap(NULL, page_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
			      (off_t)first);

	if (page == MAP_FAILED)
		return false;
	bool stored = page_populate(page, page_size);
	int error = errno;
	if (stored) {
		_Atomic uint32_t *word = (_Atomic uint32_t *)(void *)(page + (offset - first));

		if (is_sum)
			atomic_fetch_add_explicit(word, value, memory_order_release);
		else
			atomic_store_explicit(word, value, memory_order_release);
	}
	sys_munmap(page, page_size);
	errno = error;
	return stored;
}

static enum reconnect_answer slot_write(const struct ask *ask)
{
	uint64_t offset = SLOT_OFFSET(ask->id->slot) +
			  offsetof(struct connection_slot, reconnect_wanted);
	int fd = writable_open(ask);

	if (fd < 0)
		return RECONNECT_UNWRITABLE;
	/* Which one first, for whoever is told that there is one. */
	bool stored = word_store(fd, offset, ask->id->generation, false) &&
		      word_store(fd, offsetof(struct process_file, reconnects_wanted), 1, true);
	int error = errno;
	sys_close(fd);
	errno = error;
	return stored ? RECONNECT_ASKED : RECONNECT_UNWRITABLE;
}

/* ---- all of it ------------------------------------------------------------------------ */

static enum reconnect_answer ask_in(struct ask *ask)
{
	enum reconnect_answer answer = process_look(ask);

	if (answer == RECONNECT_ASKED)
		answer = slot_look(ask);
	return answer == RECONNECT_ASKED ? slot_write(ask) : answer;
}

enum reconnect_answer reconnect_ask(int directory, const struct connection_id *id,
				    struct reconnect_found *found)
{
	struct ask ask = { .id = id, .found = found, .fd = -1 };
	enum reconnect_answer answer = RECONNECT_UNREADABLE;

	memset(found, 0, sizeof(*found));
	process_file_name(ask.name, id->pid, id->nonce);
	ask.processes = sys_openat(directory, "process", O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	if (ask.processes < 0)
		return errno == ENOENT ? RECONNECT_NO_PROCESS : RECONNECT_UNREADABLE;
	ask.head = aligned_alloc(64, (PROCESS_HEAD_SIZE + 63) / 64 * 64);
	if (ask.head)
		answer = ask_in(&ask);
	int error = errno;
	free(ask.head);
	if (ask.fd >= 0)
		sys_close(ask.fd);
	sys_close(ask.processes);
	errno = error;
	return answer;
}
