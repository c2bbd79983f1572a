/* SPDX-License-Identifier: MIT */
#include "keep.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "call.h"
#include "engine.h"
#include "keep_inside.h"
#include "keep_ring.h"
#include "operation.h"
#include "pending_state.h"
#include "shim/sys.h"
#include "tcp.h"

/* ---- beginning and end -------------------------------------------------------------------- */

/* SOCK_SNDBUF_LOCK of the kernel's own header, which does not go with libc's. */
#define SEND_BUFFER_LOCKED 1

/* The kernel takes no more than the ring can hold until it is acknowledged, beside the overlap. It
 * doubles what it is told, for its own bookkeeping. */
static void send_buffer_limit(int fd, const struct policy_transfer *transfer)
{
	uint64_t room = transfer->max_buffer_bytes - transfer->overlap_bytes;
	int wanted = (int)(room / 4 < INT32_MAX ? room / 4 : INT32_MAX), now = 0;
	int locked = 0;
	socklen_t length = sizeof(now);

	if (SYS(SYS_getsockopt, fd, SOL_SOCKET, SO_SNDBUF, &now, &length) < 0)
		return;
	/* A small one that the program chose stays; the kernel would let any other grow. */
	length = sizeof(locked);
	SYS(SYS_getsockopt, fd, SOL_SOCKET, SO_BUF_LOCK, &locked, &length);
	if (now / 2 > wanted || !(locked & SEND_BUFFER_LOCKED))
		SYS(SYS_setsockopt, fd, SOL_SOCKET, SO_SNDBUF, &wanted, sizeof(wanted));
}

static bool ring_make(struct keep *keep, uint64_t size)
{
	keep->bytes = sys_memory(size);
	keep->size = size;
	keep->start = keep->given = keep->end = keep->base = keep->floor = keep->unkept = 0;
	keep->is_rewound = false;
	keep->untold = 0;
	keep->is_answered = true;
	keep->is_headless = false;
	expect_begin(&keep->expect);
	keep->any_answer = 0;
	keep->is_greeted = 0;
	keep->is_overflowed = false;
	keep->head_length = 0;
	keep->exchanges = 0;
	return keep->bytes != NULL;
}

static void ring_end(struct keep *keep)
{
	uint8_t *bytes = atomic_exchange(&keep->bytes, NULL);

	if (bytes)
		sys_munmap(bytes, keep->size);
	keep->start = keep->given = keep->end = keep->base = 0;
	keep->is_answered = true;
}

void keep_begin(struct connection *connection, int fd, const struct policy_settings *settings)
{
	const struct policy_transfer *transfer = &settings->transfer;
	bool replays = transfer->replay >= REPLAY_UNANSWERED && transfer->max_buffer_bytes;
	int saved_errno = errno;
	uint64_t sent = 0, received;
	struct keep *keep;

	if (!replays || !connection->is_stream || connection->attention & ATTENTION_KEPT ||
	    connection->record->endpoint.kind == ENDPOINT_UNIX || !schedule_make())
		return;
	keep = connection_keep(connection);
	if (keep && ring_make(keep, transfer->max_buffer_bytes)) {
		if (transfer->replay == REPLAY_ONE_WAY)
			send_buffer_limit(fd, transfer);
		attention_set(connection, ATTENTION_KEPT);
		schedule_tend(1);
		if (connection_bytes(connection, &sent, &received) && sent)
			keep_spoil(connection, sent);
	}
	errno = saved_errno;
}

void keep_forget(struct connection *connection)
{
	struct keep *keep = connection_kept(connection);

	if (!keep)
		return;
	keep->rebuilds = keep->waits = 0;
	keep->received_then = keep->received_before = 0;
	keep->error = 0;
	keep->is_silent = false;
}

void keep_end(struct connection *connection)
{
	struct keep *keep = connection_kept(connection);
	uint64_t signals;

	if (!keep || !(attention_clear(connection, ATTENTION_KEPT) & ATTENTION_KEPT))
		return;
	schedule_tend(-1);
	/* Another thread may be in the middle of a transfer. */
	keep_lock(keep, &signals);
	ring_end(keep);
	keep_unlock(keep, &signals);
}

/* ---- sending ------------------------------------------------------------------------------- */

#define PIECES 16

/* vector without its first `skip` bytes, and of no more than `most`. How many pieces. */
static int vector_cut(struct iovec cut[PIECES], const struct iovec *vector, int count, size_t skip,
		      uint64_t most)
{
	int pieces = 0;

	for (int i = 0; i < count && pieces < PIECES && most; i++) {
		size_t size = vector[i].iov_len;

		if (skip >= size) {
			skip -= size;
			continue;
		}
		size -= skip;
		if (size > most)
			size = (size_t)most;
		cut[pieces++] = (struct iovec){ (char *)vector[i].iov_base + skip, size };
		most -= size;
		skip = 0;
	}
	return pieces;
}

/* What the program sends first, whether there is room for all of it or not. */
static void head_keep(struct keep *keep, const struct iovec *cut, int pieces)
{
	for (int i = 0; i < pieces; i++)
		for (size_t j = 0; j < cut[i].iov_len && keep->head_length < KEEP_HEAD; j++)
			keep->head[keep->head_length++] = ((const uint8_t *)cut[i].iov_base)[j];
}

static void bytes_keep(struct keep *keep, const struct iovec *cut, int pieces)
{
	for (int i = 0; i < pieces; i++)
		ring_put(keep, cut[i].iov_base, cut[i].iov_len);
}

/* The same while nobody has looked at it yet, the kernel neither: it may be nothing of the program's. */
static ssize_t bytes_take(struct keep *keep, const struct iovec *cut, int pieces)
{
	ssize_t taken = 0;

	for (int i = 0; i < pieces; i++) {
		size_t copied = ring_take(keep, cut[i].iov_base, cut[i].iov_len);

		taken += (ssize_t)copied;
		if (copied < cut[i].iov_len)
			break;
	}
	if (!taken)
		errno = EFAULT;
	return taken ? taken : -1;
}

static ssize_t send_now(int fd, struct iovec *cut, int pieces, int flags)
{
	struct msghdr message = { .msg_iov = cut, .msg_iovlen = (size_t)pieces };

	return SYS(SYS_sendmsg, fd, &message, flags | MSG_DONTWAIT | MSG_NOSIGNAL);
}

static int flush(struct keep *keep, int fd)
{
	while (keep->given < keep->end) {
		size_t piece = ring_piece(keep, keep->given, keep->end);
		ssize_t sent = SYS(SYS_sendto, fd, keep->bytes + keep->given % keep->size, piece,
				   MSG_DONTWAIT | MSG_NOSIGNAL, NULL, 0);

		if (sent < 0)
			return errno;
		keep->given += (uint64_t)sent;
	}
	return 0;
}

static ssize_t send_unanswered(struct keep *keep, int fd, const struct iovec *vector, int count,
			       size_t skip, int flags)
{
	struct iovec cut[PIECES];
	int pieces = vector_cut(cut, vector, count, skip, UINT64_MAX);
	bool was_answered;
	ssize_t sent;

	if (!keep->head_length && tcp_has_received(fd))
		keep->is_greeted = 1;
	/* Another thread may have the answer before this one is back. */
	was_answered = atomic_exchange(&keep->is_answered, 0);
	sent = send_now(fd, cut, pieces, flags);
	if (sent <= 0) {
		if (was_answered)
			keep->is_answered = 1;
		return sent;
	}
	pieces = vector_cut(cut, vector, count, skip, (uint64_t)sent);
	head_keep(keep, cut, pieces);
	if (was_answered) {
		/* A body that waited for a word of the server's is no request by itself. */
		keep->is_overflowed = expect_told(&keep->expect);
		expect_begin(&keep->expect);
		keep->start = keep->end;
		keep->exchanges = 0;
	}
	if (keep->end - keep->start + (uint64_t)sent > keep->size) {
		keep->is_overflowed = true;
		keep->start = keep->end;
	}
	if (keep->is_overflowed)
		keep->unkept += (uint64_t)sent;
	else
		bytes_keep(keep, cut, pieces);
	keep->given = keep->end;
	expect_look(&keep->expect, cut, pieces);
	return sent;
}

/* How much more fits without losing what may have to be sent again. */
static uint64_t room_make(struct keep *keep, const struct policy_transfer *transfer, int fd)
{
	uint64_t acknowledged = 0, has, safe, queued = keep->end - keep->start;

	if (keep->is_rewound || (queued < keep->size && !keep->is_overflowed))
		return keep->size - queued;
	/* All bytes that were given and are not in the kernel's queue any more. */
	if (!tcp_bytes_acknowledged(fd, &acknowledged))
		return 0;
	has = ring_acknowledged(keep, acknowledged);
	ring_recover(keep, transfer, has);
	queued = keep->end - keep->start;
	if (queued < keep->size)
		return keep->size - queued;
	safe = has > transfer->overlap_bytes ? has - transfer->overlap_bytes : 0;
	/* An overlap as large as all of it can be kept of nothing more. */
	if (safe <= keep->start && has < keep->end)
		return 0;
	if (safe > keep->start)
		record_begin(keep, transfer, keep->start, &safe);
	/* Records are sent again whole: rather with less overlap than not at all. */
	if (safe <= keep->start) {
		safe = has;
		record_begin(keep, transfer, keep->start, &safe);
	}
	if (safe <= keep->start) {
		/* One that fills the ring cannot be; the end of another may be acknowledged yet. */
		if (has < keep->end)
			return 0;
		keep->is_overflowed = true;
		safe = has;
	}
	keep->start = safe;
	return keep->size - (keep->end - keep->start);
}

static ssize_t send_one_way(struct keep *keep, const struct policy_transfer *transfer, int fd,
			    const struct iovec *vector, int count, size_t skip, int flags)
{
	struct iovec cut[PIECES];
	int pieces, error = keep->is_rewound ? EAGAIN : flush(keep, fd);
	uint64_t room;
	ssize_t taken = 0;

	if (error && error != EAGAIN) {
		errno = error;
		return -1;
	}
	room = room_make(keep, transfer, fd);
	pieces = vector_cut(cut, vector, count, skip, room);
	if (!pieces) {
		errno = EAGAIN;
		return -1;
	}
	if (!error) {
		taken = send_now(fd, cut, pieces, flags);
		if (taken > 0) {
			pieces = vector_cut(cut, vector, count, skip, (uint64_t)taken);
			head_keep(keep, cut, pieces);
			bytes_keep(keep, cut, pieces);
			keep->given = keep->end;
		}
		return taken;
	}
	return bytes_take(keep, cut, pieces);
}

ssize_t keep_send(struct connection *connection, int fd, const struct iovec *vector, int count,
		  size_t skip, int flags)
{
	struct keep *keep = connection_kept(connection);
	ssize_t sent;

	keep_seize(keep);
	if (!keep->bytes) {
		errno = EBADF; /* closed by another thread */
		sent = -1;
	} else if (is_one_way(connection)) {
		sent = send_one_way(keep, transfer_of(connection), fd, vector, count, skip, flags);
	} else if (keep->is_rewound) {
		errno = EAGAIN;
		sent = -1;
	} else {
		sent = send_unanswered(keep, fd, vector, count, skip, flags);
	}
	keep_release(keep);
	return sent;
}

static int hand_over(struct connection *connection, int fd, bool resumes)
{
	struct keep *keep = connection_kept(connection);
	int saved_errno = errno, error;
	uint64_t signals;

	keep_lock(keep, &signals);
	error = keep->is_rewound && !resumes ? EAGAIN : flush(keep, fd);
	if (!error)
		keep->is_rewound = false;
	keep_unlock(keep, &signals);
	errno = saved_errno;
	return error;
}

int keep_flush(struct connection *connection, int fd)
{
	return hand_over(connection, fd, false);
}

int keep_resume(struct connection *connection, int fd)
{
	return hand_over(connection, fd, true);
}

void keep_abandon(const struct connection *connection)
{
	struct keep *keep = connection_kept(connection);

	if (keep)
		keep->is_rewound = false;
}

bool keep_is_rewound(const struct connection *connection)
{
	const struct keep *keep = connection_kept(connection);

	return keep && keep->is_rewound;
}

void keep_spoil(struct connection *connection, uint64_t bytes)
{
	struct keep *keep = connection_kept(connection);
	uint64_t signals;

	keep_lock(keep, &signals);
	/* It may have been anything, a handshake as well; and what comes later is not the first. */
	if (!keep->head_length)
		keep->is_headless = true;
	keep->head_length = KEEP_HEAD;
	keep->end += bytes;
	keep->start = keep->given = keep->floor = keep->end;
	keep->is_answered = false;
	keep->is_overflowed = true;
	keep_unlock(keep, &signals);
}

/* ---- what comes back ----------------------------------------------------------------------- */

void keep_deliver(struct connection *connection, size_t size)
{
	struct keep *keep = connection_kept(connection);
	uint64_t sent, received;

	if (!size || (keep->is_answered && keep->any_answer))
		return;
	if (connection_bytes(connection, &sent, &received) && !sent)
		keep->is_greeted = 1;
	/* Late, it takes an exchange for answered that is not: then that one is not sent again. */
	keep->any_answer = true;
	keep->is_answered = 1;
}

int keep_error_take(const struct connection *connection)
{
	struct keep *keep = connection_kept(connection);

	return keep && keep->untold ? atomic_exchange(&keep->untold, 0) : 0;
}

bool keep_is_unanswered(const struct connection *connection)
{
	const struct keep *keep = connection_kept(connection);

	return keep && !keep->is_answered;
}

bool keep_is_answered(const struct connection *connection)
{
	const struct keep *keep = connection_kept(connection);

	return keep && connection->attention & ATTENTION_KEPT && keep->is_answered &&
	       keep->any_answer;
}
