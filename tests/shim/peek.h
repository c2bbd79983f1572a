/* SPDX-License-Identifier: MIT */
/*
 * A reader of the store that knows nothing but layout.h: what tests compare the
 * shim's counting with, and the tool's.  Folds nothing and changes nothing.
 */
#ifndef TESTS_SHIM_PEEK_H
#define TESTS_SHIM_PEEK_H

#include <arpa/inet.h>
#include <dirent.h>
#include <sys/mman.h>

#include "check.h"
#include "shim/store/layout.h"

struct peek {
	unsigned int processes;
	uint64_t counters[COUNTER_COUNT];
};

static inline const char *peek_state_dir(void)
{
	const char *directory = getenv("HOLDFAST_STATE_DIR");

	return directory ? directory : "/nonexistent";
}

/* Maps a process file for reading; NULL if it is none. */
static inline const struct process_file *peek_map(const char *directory, const char *name)
{
	const struct process_file *file;
	struct stat status;
	char path[768];
	int fd;

	snprintf(path, sizeof(path), "%s/process/%s", directory, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return NULL;
	file = MAP_FAILED;
	if (fstat(fd, &status) == 0 && status.st_size == (off_t)sizeof(*file))
		file = mmap(NULL, sizeof(*file), PROT_READ, MAP_SHARED, fd, 0);
	close(fd);
	if (file == MAP_FAILED)
		return NULL;
	if (file->magic == STORE_MAGIC_PROCESS && file->version == STORE_VERSION &&
	    file->size == sizeof(*file))
		return file;
	munmap((void *)file, sizeof(*file));
	return NULL;
}

static inline void peek_unmap(const struct process_file *file)
{
	munmap((void *)file, sizeof(*file));
}

/* Adds what one process counted, its slots' bytes included. */
static inline void peek_add(struct peek *peek, const struct process_file *file)
{
	for (unsigned int i = 0; i < ENDPOINTS_PER_PROCESS; i++)
		for (unsigned int c = 0; c < COUNTER_COUNT; c++)
			if (file->endpoints[i].state == RECORD_READY)
				peek->counters[c] += file->endpoints[i].counters[c];
	for (unsigned int i = 0; i < file->slots_used; i++) {
		peek->counters[COUNTER_sent_bytes] += file->slots[i].sent_bytes;
		peek->counters[COUNTER_received_bytes] += file->slots[i].received_bytes;
	}
	/* No file has them: readers add them up. */
	peek->counters[COUNTER_attempts] = peek->counters[COUNTER_operations] +
					   peek->counters[COUNTER_retries];
	peek->processes++;
}

/* Calls visit for every process file of a state directory. */
static inline void peek_each(const char *directory,
			     void (*visit)(const struct process_file *file, void *data), void *data)
{
	char path[512];
	struct dirent *entry;
	DIR *names;

	snprintf(path, sizeof(path), "%s/process", directory);
	names = opendir(path);
	while (names && (entry = readdir(names))) {
		const struct process_file *file = NULL;

		if (entry->d_name[0] != '.')
			file = peek_map(directory, entry->d_name);
		if (!file)
			continue;
		visit(file, data);
		peek_unmap(file);
	}
	if (names)
		closedir(names);
}

static inline void peek_add_file(const struct process_file *file, void *data)
{
	peek_add(data, file);
}

/* The sum over all processes of our state directory. */
static inline struct peek peek_all(void)
{
	struct peek peek = { 0 };

	peek_each(peek_state_dir(), peek_add_file, &peek);
	return peek;
}

struct peek_search {
	pid_t pid;
	const struct process_file *found;
};

static inline void peek_match(const struct process_file *file, void *data)
{
	struct peek_search *search = data;
	char name[32];

	if (file->identity.pid != search->pid ||
	    (search->found && search->found->identity.started_at_ns > file->identity.started_at_ns))
		return;
	snprintf(name, sizeof(name), "%d-%08x", search->pid, file->identity.nonce);
	search->found = peek_map(peek_state_dir(), name);
}

/*
 * The file of a process of our state directory, which stays mapped; NULL if it has
 * none. After exec there are several of one pid: the last is the one that runs.
 */
static inline const struct process_file *peek_process(pid_t pid)
{
	struct peek_search search = { .pid = pid };

	peek_each(peek_state_dir(), peek_match, &search);
	return search.found;
}

/* What one process counted. */
static inline struct peek peek_one(pid_t pid)
{
	const struct process_file *file = peek_process(pid);
	struct peek peek = { 0 };

	if (file) {
		peek_add(&peek, file);
		peek_unmap(file);
	}
	return peek;
}

/* The slot that was last opened on an fd, in our own file; NULL if there is none. */
static inline const struct connection_slot *peek_slot(int fd)
{
	static const struct process_file *own;
	static pid_t owner;
	const struct connection_slot *slot = NULL;

	if (owner != getpid())
		own = NULL;
	if (!own)
		own = peek_process(getpid());
	owner = getpid();
	for (unsigned int i = 0; own && i < own->slots_used; i++)
		if (own->slots[i].fd == fd &&
		    (!slot || own->slots[i].opened_at_ns >= slot->opened_at_ns))
			slot = &own->slots[i];
	return slot;
}

/* The record of an address among a process's; NULL if it has none. */
static inline const struct endpoint_record *peek_record(const struct process_file *file,
							unsigned int kind, const char *address,
							unsigned int port)
{
	unsigned char wanted[16];
	unsigned int length = inet_pton(AF_INET, address, wanted) == 1    ? 4
			      : inet_pton(AF_INET6, address, wanted) == 1 ? 16
									  : 0;

	for (unsigned int i = 1; file && i < ENDPOINTS_PER_PROCESS; i++) {
		const struct endpoint_record *record = &file->endpoints[i];

		if (record->state == RECORD_READY && record->endpoint.kind == kind &&
		    record->endpoint.port == port && record->endpoint.length == length &&
		    memcmp(record->endpoint.bytes, wanted, length) == 0)
			return record;
	}
	return NULL;
}

/* Nothing is counted without the preload, so there these expect nothing. */
#define EXPECT_COUNT(name, expected)                                                           \
	do {                                                                                   \
		struct peek peek_ = peek_all();                                                \
                                                                                               \
		if (preloaded())                                                               \
			check_is((int64_t)peek_.counters[COUNTER_##name], (int64_t)(expected), \
				 __FILE__, __LINE__, "counted " #name);                        \
	} while (0)
#define EXPECT_COUNT_WITHIN(name, low, high)                                                  \
	do {                                                                                  \
		struct peek peek_ = peek_all();                                               \
                                                                                              \
		if (preloaded())                                                              \
			check_within((int64_t)peek_.counters[COUNTER_##name], (int64_t)(low), \
				     (int64_t)(high), __FILE__, __LINE__, "counted " #name);  \
	} while (0)
/* The sums that hold whatever happened, once nothing is in progress. */
#define EXPECT_COUNTS_ADD_UP()                                                     \
	do {                                                                       \
		struct peek peek_ = peek_all();                                    \
		uint64_t *c_ = peek_.counters;                                     \
                                                                                   \
		check_is((int64_t)c_[COUNTER_operations],                          \
			 (int64_t)(c_[COUNTER_succeeded] + c_[COUNTER_failures] +  \
				   c_[COUNTER_fallbacks] + c_[COUNTER_abandoned]), \
			 __FILE__, __LINE__, "operations, by outcomes,");          \
	} while (0)
#define EXPECT_SLOT(fd, member, expected)                                                          \
	do {                                                                                       \
		const struct connection_slot *slot_ = preloaded() ? peek_slot(fd) : NULL;          \
                                                                                                   \
		if (preloaded() && check_true(slot_ != NULL, __FILE__, __LINE__, "fd has a slot")) \
			check_is((int64_t)slot_->member, (int64_t)(expected), __FILE__, __LINE__,  \
				 "the slot's " #member);                                           \
	} while (0)

#endif
