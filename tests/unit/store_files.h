/* SPDX-License-Identifier: MIT */
/* State directories for tests: made of the layout's structs, written byte by byte. */
#ifndef HOLDFAST_TEST_STORE_FILES_H
#define HOLDFAST_TEST_STORE_FILES_H

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "shim/store/directory.h"
#include "shim/store/fold.h"
#include "shim/store/inspect.h"
#include "shim/store/layout.h"

#define SECOND_NS INT64_C(1000000000)
#define HOUR_NS (UINT64_C(3600) * 1000000000)
#define NO_LIMIT UINT64_MAX

#define assert_ok(call) assert_return_code((int)(call), errno)

struct test_store {
	char path[64];
	int directory;
	int processes;
};

static inline int64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * SECOND_NS + now.tv_nsec;
}

static inline void store_make(struct test_store *store)
{
	const char *problem = NULL;

	strcpy(store->path, "/tmp/holdfast-test-XXXXXX");
	assert_non_null(mkdtemp(store->path));
	store->directory = directory_open(store->path, false, &problem);
	assert_ok(store->directory);
	store->processes = directory_open_sub(store->directory, "process", true, &problem);
	assert_ok(store->processes);
}

static inline int remove_one(const char *path, const struct stat *status, int type,
			     struct FTW *walk)
{
	return remove(path);
}

static inline void store_remove(struct test_store *store)
{
	close(store->processes);
	close(store->directory);
	nftw(store->path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* A process of an earlier boot: gone, whatever its pid. Free it with free(). */
static inline struct process_file *process_new(int32_t pid, uint32_t nonce)
{
	struct process_file *file = calloc(1, sizeof(*file));

	assert_non_null(file);
	file->magic = STORE_MAGIC_PROCESS;
	file->version = STORE_VERSION;
	file->size = sizeof(*file);
	file->identity.proc_device = 1;
	file->identity.boottime_ns = INT64_MAX;
	file->identity.started_at_ns = now_ns() - 600 * SECOND_NS;
	file->identity.pid = pid;
	file->identity.nonce = nonce;
	strcpy(file->identity.program, "prog");
	file->state = PROCESS_EXITED;
	file->updated_at_ns = file->ended_at_ns = now_ns() - 60 * SECOND_NS;
	file->slots_reserved = SLOTS_PER_CHUNK;
	file->endpoints[0].state = RECORD_READY;
	return file;
}

static inline struct endpoint endpoint_tcp(uint32_t address, uint16_t port)
{
	struct sockaddr_in in = { .sin_family = AF_INET,
				  .sin_port = htons(port),
				  .sin_addr = { htonl(address) } };
	struct endpoint endpoint;

	assert_true(endpoint_from_sockaddr(&endpoint, ENDPOINT_TCP, (struct sockaddr *)&in,
					   sizeof(in)));
	return endpoint;
}

static inline struct endpoint_record *record_fill(struct process_file *file, uint32_t index,
						  uint32_t operation, struct endpoint endpoint)
{
	struct endpoint_record *record = &file->endpoints[index];

	record->state = RECORD_READY;
	record->operation = operation;
	record->endpoint = endpoint;
	return record;
}

/* Writes size bytes of the file under any name; slots and all if size is sizeof(*file). */
static inline void process_write_as(const struct test_store *store, const char *name,
				    const void *file, size_t size)
{
	int fd = openat(store->processes, name, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_ok(fd);
	assert_int_equal(write(fd, file, size), (ssize_t)size);
	close(fd);
}

/* As a process leaves it: slots up to the first chunk, then a hole. */
static inline void process_write(const struct test_store *store, const struct process_file *file)
{
	char name[PROCESS_NAME_SIZE], path[128];

	process_file_name(name, file->identity.pid, file->identity.nonce);
	process_write_as(store, name, file,
			 PROCESS_HEAD_SIZE + SLOTS_PER_CHUNK * sizeof(struct connection_slot));
	snprintf(path, sizeof(path), "%s/process/%s", store->path, name);
	assert_ok(truncate(path, sizeof(*file)));
}

static inline bool process_exists(const struct test_store *store, const struct process_file *file)
{
	char name[PROCESS_NAME_SIZE];

	process_file_name(name, file->identity.pid, file->identity.nonce);
	return faccessat(store->processes, name, F_OK, 0) == 0;
}

/* How many names in a directory begin so. */
struct name_count {
	const char *prefix;
	int count;
};

static inline bool name_count_visit(const char *name, void *data)
{
	struct name_count *names = data;

	names->count += strncmp(name, names->prefix, strlen(names->prefix)) == 0;
	return true;
}

static inline int names_beginning(int directory, const char *prefix)
{
	struct name_count names = { .prefix = prefix };

	assert_true(directory_each(directory, name_count_visit, &names));
	return names.count;
}

#endif
