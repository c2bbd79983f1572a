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

static _Atomic uint8_t *kind_at(int fd)
{
	return &fd_chunk(fd)->kinds[(unsigned int)fd % FDS_PER_CHUNK];
}

void fd_kind_set(int fd, unsigned int kind)
{
	if (fd_kind(fd) != kind)
		STORE(*kind_at(fd), (uint8_t)kind);
}

void fd_kind_add(int fd, unsigned int bits)
{
	atomic_fetch_or_explicit(kind_at(fd), (uint8_t)bits, memory_order_relaxed);
}

unsigned int fd_kind_remove(int fd, unsigned int bits)
{
	return atomic_fetch_and_explicit(kind_at(fd), (uint8_t)~bits, memory_order_relaxed);
}

/*
 * Whether it may be asked what socket it is: what stands for a connection of its own is another's,
 * and one that is being closed is not shared any more by the time that it stands for none.
 */
static bool may_be_of(int fd, const struct connection *connection)
{
	const struct connection *present = connection_of(fd);

	return (!present || present == connection) && fd_kind(fd) & FD_SHARED;
}

int fd_duplicate_next(int fd, uint64_t cookie, const struct connection *connection, int other)
{
	for (other++; other < FD_CHUNKS * FDS_PER_CHUNK; other++) {
		if (!fd_chunk(other))
			other += FDS_PER_CHUNK - 1;
		else if (other != fd && may_be_of(other, connection) &&
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
	return fd_kind(fd) & FD_SHARED &&
	       fd_duplicate_next(fd, socket_cookie(fd), connection, -1) >= 0;
}

void fd_unwatched(int fd)
{
	fd_kind_add(fd, FD_UNWATCHED);
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
	learned = !(fd_kind_remove(fd, FD_UNWATCHED) & FD_UNWATCHED) || watch_learn_socket(fd);
	if (!learned)
		fd_kind_add(fd, FD_UNWATCHED);
	schedule_unlock(&signals);
	return learned;
}

static void kind_change(int fd, unsigned int bit, bool on)
{
	if (on)
		fd_kind_add(fd, bit);
	else
		fd_kind_remove(fd, bit);
}

void fd_mode(int fd, bool nonblocking)
{
	if (fd_kind(fd) && !engine_memory_is_borrowed())
		kind_change(fd, FD_NONBLOCKING, nonblocking);
}

void fd_tried_mapped(int fd, bool tried)
{
	if (fd_chunk(fd))
		kind_change(fd, FD_TRIED_MAPPED, tried);
}
