/* SPDX-License-Identifier: MIT */
/* select() and pselect() */
#include <errno.h>
#include <string.h>

#include "call.h"
#include "connection.h"
#include "operation.h"
#include "patience.h"
#include "pending.h"
#include "select_limit.h"
#include "shim/libc.h"
#include "tcp.h"
#include "wait.h"

/* To the kernel sets are words, as many as are needed. */
#define WORD_BITS 64
#define FEW_WORDS (FD_SETSIZE / WORD_BITS)

enum { READ, WRITE, EXCEPT, SETS };

/*
 * The program's sets, and what is passed to the kernel in their place: a program may
 * pass one set twice, and the kernel's answers would overwrite each other.
 */
struct selection {
	uint64_t *given[SETS];
	uint64_t *sets[SETS]; /* words of them each; NULL where none was given */
	uint64_t *asked[SETS];
	int count;
	unsigned int words;
};

static unsigned int words_of(int count)
{
	return (unsigned int)(count + WORD_BITS - 1) / WORD_BITS;
}

static void words_copy(uint64_t *to, const uint64_t *from, unsigned int words)
{
	for (unsigned int i = 0; i < words; i++)
		to[i] = from[i];
}

static void selection_save(struct selection *selection, uint64_t *room)
{
	for (int set = 0; set < SETS; set++) {
		if (!selection->given[set])
			continue;
		selection->asked[set] = room;
		selection->sets[set] = room + selection->words;
		room += 2 * selection->words;
		words_copy(selection->asked[set], selection->given[set], selection->words);
		words_copy(selection->sets[set], selection->given[set], selection->words);
	}
}

static void selection_restore(const struct selection *selection)
{
	for (int set = 0; set < SETS; set++)
		if (selection->sets[set])
			words_copy(selection->sets[set], selection->asked[set], selection->words);
}

/*
 * In the kernel's order. Nothing is written when it failed, nor what it has not changed: what
 * lies beyond its limit is not the program's set.
 */
static int selection_end(const struct selection *selection, int result)
{
	for (int set = 0; set < SETS && result >= 0; set++)
		for (unsigned int i = 0; selection->sets[set] && i < selection->words; i++)
			if (selection->sets[set][i] != selection->asked[set][i])
				selection->given[set][i] = selection->sets[set][i];
	return result;
}

static uint64_t word_any(const struct selection *selection, unsigned int i)
{
	uint64_t any = 0;

	for (int set = 0; set < SETS; set++)
		if (selection->sets[set])
			any |= selection->sets[set][i];
	/* What lies beyond count is none of the kernel's business. */
	if ((i + 1) * WORD_BITS > (unsigned int)selection->count && selection->count % WORD_BITS)
		any &= (UINT64_C(1) << selection->count % WORD_BITS) - 1;
	return any;
}

static void fd_remove(const struct selection *selection, int fd)
{
	for (int set = 0; set < SETS; set++)
		if (selection->sets[set])
			selection->sets[set][fd / WORD_BITS] &= ~(UINT64_C(1) << fd % WORD_BITS);
}

/* Calls visit for every fd that is in any of the sets and stands for a pending connect, or, without a
 * connection, for an epoll set, where one can be. */
static void pending_each(const struct selection *selection,
			 void (*visit)(const struct selection *selection,
				       struct connection *connection, int fd))
{
	for (unsigned int i = 0; i < selection->words; i++) {
		uint64_t any = word_any(selection, i);

		for (; any; any &= any - 1) {
			int fd = (int)i * WORD_BITS + __builtin_ctzll(any);
			struct connection *connection = connection_of(fd);

			if (!connection && fd_kind(fd) & FD_SET_OF_FDS)
				visit(selection, NULL, fd);
			if (connection && connection_is_pending(connection) &&
			    pending_is_current(connection, fd))
				visit(selection, connection, fd);
		}
	}
}

static void held_remove(const struct selection *selection, struct connection *connection, int fd)
{
	if (connection && connection->attention & ATTENTION_HELD)
		fd_remove(selection, fd);
}

/* A set says of a failed connect what it says of one that succeeded: the socket is asked. */
static void fd_correct(const struct selection *selection, struct connection *connection, int fd)
{
	enum outlook outlook;

	if (!connection) {
		if (!set_is_ready(fd))
			fd_remove(selection, fd);
		return;
	}
	if (connection->attention & ATTENTION_PENDING &&
	    !(connection->attention & ATTENTION_HELD) && tcp_is_connected(fd)) {
		pending_connected(connection, fd);
		return;
	}
	outlook = pending_look(connection, fd, 0);
	if (outlook != OUTLOOK_FAILED &&
	    !(outlook == OUTLOOK_CONNECTED && pending_was_lost(connection)))
		fd_remove(selection, fd);
}

static int selection_count(const struct selection *selection)
{
	int ready = 0;

	for (int set = 0; set < SETS; set++)
		for (unsigned int i = 0; selection->sets[set] && i < selection->words; i++) {
			uint64_t word = selection->sets[set][i] & word_any(selection, i);

			ready += __builtin_popcountll(word);
		}
	return ready;
}

static int select_real(const struct selection *selection, const struct timespec *timeout,
		       const sigset_t *mask)
{
	return LIBC(pselect)(selection->count, (fd_set *)selection->sets[READ],
			     (fd_set *)selection->sets[WRITE], (fd_set *)selection->sets[EXCEPT],
			     timeout, mask);
}

/* result: of a real call that was made already; 0: none was. */
static __attribute__((noinline, cold)) int select_serve(const struct selection *selection,
							int64_t until_ns, const sigset_t *mask,
							int result)
{
	bool called = result > 0;
	struct wait_mask signals;

	signals.is_begun = false;
	for (;;) {
		struct timespec next;

		if (result > 0) {
			pending_each(selection, fd_correct);
			result = selection_count(selection);
		}
		if (result || (called && wait_is_over(until_ns)))
			break;
		/* Mostly nothing is waited for, and no signal has to be kept out. */
		wait_mask_begin(&signals, mask);
		next = wait_span(wait_serve(until_ns));
		selection_restore(selection);
		pending_each(selection, held_remove);
		result = select_real(selection, &next, &signals.inside);
		called = true;
	}
	pending_leave();
	wait_mask_end(&signals);
	return result;
}

static bool selection_limit(struct selection *selection)
{
	int limit = select_limit(selection->count);

	if (limit < 0)
		return false;
	selection->count = limit;
	selection->words = words_of(limit);
	return true;
}

/*
 * False: the call is to be made as it is, for the kernel to refuse it or for want of memory. Of
 * no more than an fd_set the kernel's limit is not asked for before it matters.
 */
static bool selection_begin(struct selection *selection, uint64_t few[2 * SETS * FEW_WORDS],
			    const struct timespec *timeout, bool pending)
{
	uint64_t *room = few;

	if (selection->count < 0 || !timeout_is_valid(timeout))
		return false;
	selection->words = words_of(selection->count);
	if ((pending || selection->count > FD_SETSIZE) && !selection_limit(selection))
		return false;
	if (selection->words > FEW_WORDS)
		room = scratch_get(2 * SETS * selection->words * sizeof(*room));
	if (room)
		selection_save(selection, room);
	return room != NULL;
}

static __attribute__((noinline)) int select_any(int count, fd_set *read, fd_set *write,
						fd_set *except, struct timeval *timeout)
{
	struct selection selection = {
		.given = { (uint64_t *)read, (uint64_t *)write, (uint64_t *)except },
		.count = count,
	};
	uint64_t few[2 * SETS * FEW_WORDS];
	bool pending = pending_any();
	int64_t began = 0, until, left;
	struct timespec limit = { 0, 0 };
	int result = 0;

	/* More than a second's worth of microseconds is taken. */
	if (timeout && timeout->tv_usec >= 0)
		limit = (struct timespec){ timeout->tv_sec + timeout->tv_usec / 1000000,
					   timeout->tv_usec % 1000000 * 1000 };
	else if (timeout)
		limit.tv_sec = -1;
	if (!selection_begin(&selection, few, &limit, pending))
		return LIBC(select)(count, read, write, except, timeout);
	if (!pending || !pending_any_due()) {
		began = pending ? clock_ns() : wait_began(timeout != NULL);
		result = LIBC(select)(selection.count, (fd_set *)selection.sets[READ],
				      (fd_set *)selection.sets[WRITE],
				      (fd_set *)selection.sets[EXCEPT], timeout);
		if (result <= 0 || !pending_any() || !selection_limit(&selection))
			return selection_end(&selection, result);
	}
	until = wait_until(began, timeout ? &limit : NULL);
	result = select_serve(&selection, until, NULL, result);
	/* Linux tells what is left, and some programs use it. */
	if (timeout) {
		left = wait_left_ns(until);
		*timeout = (struct timeval){ left / SECOND_NS, left % SECOND_NS / 1000 };
	}
	return selection_end(&selection, result);
}

static __attribute__((noinline)) int pselect_any(int count, fd_set *read, fd_set *write,
						 fd_set *except, const struct timespec *timeout,
						 const sigset_t *mask)
{
	struct selection selection = {
		.given = { (uint64_t *)read, (uint64_t *)write, (uint64_t *)except },
		.count = count,
	};
	uint64_t few[2 * SETS * FEW_WORDS];
	bool pending = pending_any();
	int64_t began = 0;
	int result = 0;

	if (!selection_begin(&selection, few, timeout, pending))
		return LIBC(pselect)(count, read, write, except, timeout, mask);
	if (!pending || !pending_any_due()) {
		began = pending ? clock_ns() : wait_began(timeout != NULL);
		result = select_real(&selection, timeout, mask);
		if (result <= 0 || !pending_any() || !selection_limit(&selection))
			return selection_end(&selection, result);
	}
	return selection_end(&selection,
			     select_serve(&selection, wait_until(began, timeout), mask, result));
}

/* In tail position: a frame that returns after a system call costs more than the look. */
int engine_select(int count, fd_set *read, fd_set *write, fd_set *except, struct timeval *timeout)
{
	if (!pending_any() && wait_is_alone())
		return LIBC(select)(count, read, write, except, timeout);
	return select_any(count, read, write, except, timeout);
}

int engine_pselect(int count, fd_set *read, fd_set *write, fd_set *except,
		   const struct timespec *timeout, const sigset_t *mask)
{
	if (!pending_any() && wait_is_alone())
		return LIBC(pselect)(count, read, write, except, timeout, mask);
	return pselect_any(count, read, write, except, timeout, mask);
}
