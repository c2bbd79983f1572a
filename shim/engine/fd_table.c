/* SPDX-License-Identifier: MIT */
#include "fd_table.h"

#include <errno.h>

#include "schedule.h"
#include "shim/sys.h"
#include "tcp.h"
#include "watch.h"

struct fd_chunk *_Atomic fd_chunks[FD_CHUNKS];
struct fd_chunk fds_first;

struct connection *connection_beyond(int fd)
{
	struct fd_chunk *chunk = fd_chunk(fd);

	if (!chunk)
		return NULL;
	return atomic_load_explicit(&chunk->connections[(unsigned int)fd % FDS_PER_CHUNK],
				    memory_order_acquire);
}

struct fd_chunk *fd_chunk_make(int fd)
{
	struct fd_chunk *chunk = fd_chunk(fd);
	struct fd_chunk *expected = NULL;
	unsigned int number = (unsigned int)fd / FDS_PER_CHUNK;
	int saved_errno = errno;

	if (chunk || number >= FD_CHUNKS)
		return chunk;
	chunk = number ? sys_memory(sizeof(*chunk)) : &fds_first;
	if (chunk && !atomic_compare_exchange_strong(&fd_chunks[number], &expected, chunk)) {
		if (number)
			sys_munmap(chunk, sizeof(*chunk));
		chunk = expected;
	}
	errno = saved_errno;
	return chunk;
}

struct connection *fd_exchange(int fd, struct connection *connection)
{
	struct fd_chunk *chunk = connection ? fd_chunk_make(fd) : fd_chunk(fd);

	if (!chunk)
		return NULL;
	return atomic_exchange_explicit(&chunk->connections[(unsigned int)fd % FDS_PER_CHUNK],
					connection, memory_order_acq_rel);
}

bool fd_replace(int fd, struct connection *from, struct connection *to)
{
	struct fd_chunk *chunk = fd_chunk(fd);

	return chunk && atomic_compare_exchange_strong(
				&chunk->connections[(unsigned int)fd % FDS_PER_CHUNK], &from, to);
}

void fd_kind_set(int fd, unsigned int kind)
{
	atomic_store_explicit(&fd_chunk(fd)->kinds[(unsigned int)fd % FDS_PER_CHUNK], (uint8_t)kind,
			      memory_order_relaxed);
}

int fd_duplicate_next(int fd, uint64_t cookie, int other)
{
	for (other++; other < FD_CHUNKS * FDS_PER_CHUNK; other++) {
		if (!fd_chunk(other))
			other += FDS_PER_CHUNK - 1;
		else if (other != fd && fd_kind(other) & FD_SHARED &&
			 socket_cookie(other) == cookie)
			return other;
	}
	return -1;
}

bool fd_is_shared(int fd)
{
	const struct connection *connection = connection_of(fd);

	if (connection && connection->fds > 1)
		return true;
	return fd_kind(fd) & FD_SHARED && fd_duplicate_next(fd, socket_cookie(fd), -1) >= 0;
}

void fd_unwatched(int fd)
{
	fd_kind_set(fd, fd_kind(fd) | FD_UNWATCHED);
}

bool fd_watch(int fd)
{
	unsigned int kind = fd_kind(fd);
	uint64_t signals;
	bool learned;

	if (__builtin_expect(!(kind & FD_UNWATCHED), 1) || kind & FD_DATAGRAM)
		return true;
	if (!schedule_make())
		return false;
	schedule_lock(&signals);
	fd_kind_set(fd, kind & ~(unsigned int)FD_UNWATCHED);
	learned = watch_learn_socket(fd);
	if (!learned)
		fd_kind_set(fd, kind);
	schedule_unlock(&signals);
	return learned;
}

void fd_mode(int fd, bool nonblocking)
{
	unsigned int kind = fd_kind(fd);

	if (kind)
		fd_kind_set(fd, (kind & ~(unsigned int)FD_NONBLOCKING) |
					(nonblocking ? FD_NONBLOCKING : 0));
}

void fd_tried_mapped(int fd, bool tried)
{
	unsigned int kind = fd_kind(fd) & ~(unsigned int)FD_TRIED_MAPPED;

	if (fd_chunk(fd))
		fd_kind_set(fd, kind | (tried ? FD_TRIED_MAPPED : 0));
}
