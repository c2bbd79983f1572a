/* SPDX-License-Identifier: MIT */
#include "watch.h"

#include <errno.h>

#include "connection.h"
#include "schedule.h"
#include "shim/libc.h"
#include "shim/sys.h"

/* In `events` beside the kernel's: the registration was taken out of its set. */
#define WATCH_OUT (1u << 27)

/*
 * What is known of an fd, as a watched one and as a set.  A set has an identity,
 * which its duplicates share and which a number loses when it is closed.
 */
struct watch {
	_Atomic uint64_t data;
	_Atomic uint32_t events;
	_Atomic uint32_t set;   /* the identity of the set that it is in; 0: in none */
	_Atomic int32_t number; /* by which that set was last known */
	_Atomic uint32_t own;   /* its identity as a set; 0: it is not known as one */
};

static _Atomic uint32_t identities;

struct watch_chunk {
	struct watch watches[FDS_PER_CHUNK];
};

static struct watch_chunk *_Atomic chunks[FD_CHUNKS];

/* A socket's further sets: hardly any program has one. Changed under the lock only. */
#define FURTHER 64
struct further {
	_Atomic int32_t fd; /* plus 1; 0: free */
	struct watch watch;
};
static struct further further[FURTHER];
static _Atomic uint32_t further_used; /* how many ever were */

/* Where the socket of an event may be whose data is no fd: a guess, checked by whoever uses it. */
#define GUESSES 16384
static _Atomic int32_t *_Atomic guesses; /* fd plus 1 */

static struct watch *watch_of(int fd)
{
	unsigned int number = (unsigned int)fd / FDS_PER_CHUNK;
	struct watch_chunk *chunk;

	if (number >= FD_CHUNKS)
		return NULL;
	chunk = atomic_load_explicit(&chunks[number], memory_order_acquire);
	return chunk ? &chunk->watches[(unsigned int)fd % FDS_PER_CHUNK] : NULL;
}

static struct watch *watch_make(int fd)
{
	unsigned int number = (unsigned int)fd / FDS_PER_CHUNK;
	struct watch_chunk *made, *expected = NULL;

	if (watch_of(fd) || number >= FD_CHUNKS)
		return watch_of(fd);
	made = sys_memory(sizeof(*made));
	if (made && !atomic_compare_exchange_strong(&chunks[number], &expected, made))
		sys_munmap(made, sizeof(*made));
	return watch_of(fd);
}

static uint32_t identity_of(int set)
{
	const struct watch *watch = watch_of(set);

	return watch ? watch->own : 0;
}

static uint32_t identity_make(int set)
{
	struct watch *watch = watch_make(set);
	uint32_t none = 0;

	if (!watch)
		return 0;
	if (!watch->own)
		atomic_compare_exchange_strong(&watch->own, &none,
					       atomic_fetch_add(&identities, 1) + 1);
	return watch->own;
}

/* A number of the set that it is in, as long as one is open; -1: in none. */
static int watch_set_number(struct watch *watch)
{
	uint32_t set = watch->set;

	if (!set)
		return -1;
	if (identity_of(watch->number) == set)
		return watch->number;
	for (int number = 0; number < FD_CHUNKS * FDS_PER_CHUNK; number++) {
		if (!watch_of(number)) {
			number += FDS_PER_CHUNK - 1;
		} else if (identity_of(number) == set) {
			watch->number = number;
			return number;
		}
	}
	watch->set = 0;
	return -1;
}

/* ---- recording --------------------------------------------------------------------- */

/* Different sets hold the same data for different sockets. */
static _Atomic int32_t *guess_at(uint32_t set, uint64_t data)
{
	_Atomic int32_t *table = atomic_load_explicit(&guesses, memory_order_acquire);
	uint64_t mixed = (data ^ (uint64_t)set << 40) * UINT64_C(0x9e3779b97f4a7c15);

	return table ? &table[mixed >> 50] : NULL;
}
_Static_assert(GUESSES == 1 << (64 - 50), "the upper bits of the product are the place");

static void guess_note(int set, uint64_t data, int fd)
{
	_Atomic int32_t *made, *expected = NULL;

	if ((int)(uint32_t)data == fd)
		return;
	if (!atomic_load_explicit(&guesses, memory_order_relaxed)) {
		made = sys_memory(GUESSES * sizeof(*made));
		if (made && !atomic_compare_exchange_strong(&guesses, &expected, made))
			sys_munmap(made, GUESSES * sizeof(*made));
	}
	made = guess_at(identity_of(set), data);
	if (made)
		atomic_store_explicit(made, fd + 1, memory_order_relaxed);
}

static void watch_write(struct watch *watch, int set, const struct epoll_event *event)
{
	watch->data = event->data.u64;
	watch->events = event->events & ~WATCH_OUT;
	watch->number = set;
	atomic_store_explicit(&watch->set, identity_of(set), memory_order_release);
}

/* The registration of fd in a set: its first, or one of its further ones. */
static struct watch *watch_in(int set, int fd)
{
	uint32_t identity = identity_of(set);
	struct watch *watch = watch_of(fd);

	if (!identity)
		return NULL;
	if (watch && watch->set == identity)
		return watch;
	for (uint32_t i = 0; i < further_used; i++)
		if (further[i].fd == fd + 1 && further[i].watch.set == identity)
			return &further[i].watch;
	return NULL;
}

/* Under the lock. */
static void further_write(int set, int fd, const struct epoll_event *event)
{
	for (uint32_t i = 0; i < FURTHER; i++) {
		if (further[i].fd && watch_set_number(&further[i].watch) >= 0)
			continue;
		watch_write(&further[i].watch, set, event);
		further[i].fd = fd + 1;
		if (further_used <= i)
			further_used = i + 1;
		return;
	}
}

static void further_add(int set, int fd, const struct epoll_event *event)
{
	uint64_t signals;

	schedule_lock(&signals);
	further_write(set, fd, event);
	schedule_unlock(&signals);
}

static void note(int set, int operation, int fd, const struct epoll_event *event, bool locked)
{
	struct watch *watch = watch_in(set, fd);
	int saved_errno = errno;

	if (operation == EPOLL_CTL_DEL || !event) {
		if (watch)
			watch->set = 0;
	} else if (watch) {
		watch_write(watch, set, event);
		guess_note(set, event->data.u64, fd);
	} else if (identity_make(set) && (watch = watch_make(fd))) {
		if (watch_set_number(watch) < 0)
			watch_write(watch, set, event);
		else if (locked)
			further_write(set, fd, event);
		else if (schedule_make())
			further_add(set, fd, event);
		guess_note(set, event->data.u64, fd);
	}
	errno = saved_errno;
}

void watch_seen(int set, int fd, const struct epoll_event *event)
{
	if (!watch_in(set, fd))
		note(set, EPOLL_CTL_ADD, fd, event, true);
}

static bool epoll_control(int set, int operation, int fd, struct epoll_event *event)
{
	return SYS(SYS_epoll_ctl, set, operation, fd, event) == 0;
}

int watch_renew(int set, int operation, int fd, struct epoll_event *event, int result)
{
	struct watch *watch = watch_in(set, fd);

	if (operation == EPOLL_CTL_DEL) {
		/* Taken out, it could not be found; put back meanwhile, it was not deleted. */
		if (result < 0 && (errno != ENOENT || !watch))
			return result;
		epoll_control(set, EPOLL_CTL_DEL, fd, NULL);
		note(set, EPOLL_CTL_DEL, fd, NULL, true);
		return 0;
	}
	if (result < 0 && !(errno == ENOENT && watch && operation == EPOLL_CTL_MOD))
		return result;
	/* An exclusive one cannot be modified; if it is still there nothing has to be. */
	if (event->events & EPOLLEXCLUSIVE ||
	    (!epoll_control(set, EPOLL_CTL_MOD, fd, event) && errno == ENOENT))
		epoll_control(set, EPOLL_CTL_ADD, fd, event);
	note(set, operation, fd, event, true);
	return 0;
}

int watch_make_call(int set, int operation, int fd, struct epoll_event *event, bool locked)
{
	/* Known before another thread can be told of it. */
	bool is_new = operation == EPOLL_CTL_ADD && event && !watch_events(set, fd);
	int result;

	if (is_new)
		note(set, operation, fd, event, locked);
	result = LIBC(epoll_ctl)(set, operation, fd, event);
	if (result < 0 && is_new)
		note(set, EPOLL_CTL_DEL, fd, NULL, locked);
	else if (result == 0 && !is_new)
		note(set, operation, fd, event, locked);
	return result;
}

void watch_duplicated(int fd, int copy)
{
	uint32_t identity = identity_make(fd);
	struct watch *watch = identity ? watch_make(copy) : NULL;

	if (watch)
		watch->own = identity;
}

void watch_forget(int fd)
{
	struct watch *watch = watch_of(fd);

	if (!watch || (!watch->own && !watch->set))
		return;
	watch->own = 0;
	watch->set = 0;
	for (uint32_t i = 0; i < further_used; i++)
		if (further[i].fd == fd + 1)
			further[i].watch.set = 0;
}

bool watch_is_known(int fd)
{
	const struct watch *watch = watch_of(fd);

	return watch && (watch->own || watch->set);
}

/* ---- finding ------------------------------------------------------------------------- */

/* What a search is for. */
struct search {
	uint32_t set;
	uint64_t data;
	bool is_out; /* taken out, or in */
	bool (*wanted)(int fd);
};

static bool watch_fits(const struct search *search, const struct watch *watch, int fd)
{
	return watch && watch->set == search->set && watch->data == search->data &&
	       search->is_out == !!(watch->events & WATCH_OUT) && search->wanted(fd);
}

static int find_anywhere(const struct search *search)
{
	for (int fd = 0; fd < FD_CHUNKS * FDS_PER_CHUNK; fd++) {
		if (!watch_of(fd))
			fd += FDS_PER_CHUNK - 1;
		else if (watch_fits(search, watch_of(fd), fd))
			return fd;
	}
	for (uint32_t i = 0; i < further_used; i++)
		if (watch_fits(search, &further[i].watch, further[i].fd - 1))
			return further[i].fd - 1;
	return -1;
}

static int find(const struct search *search, bool thorough)
{
	_Atomic int32_t *guess = guess_at(search->set, search->data);
	int fd = (int)(uint32_t)search->data;

	if (fd >= 0 && watch_fits(search, watch_of(fd), fd))
		return fd;
	fd = guess ? atomic_load_explicit(guess, memory_order_relaxed) - 1 : -1;
	if (fd >= 0 && watch_fits(search, watch_of(fd), fd))
		return fd;
	return thorough ? find_anywhere(search) : -1;
}

int watch_find(int set, uint64_t data, bool thorough, bool (*wanted)(int fd))
{
	struct search search = { identity_of(set), data, false, wanted };
	int fd;

	if (!search.set)
		return -1;
	fd = find(&search, thorough);
	/* Another thread can have taken it out since the event was there. */
	if (fd < 0 && thorough) {
		search.is_out = true;
		fd = find(&search, true);
	}
	return fd;
}

bool watch_exists(int fd)
{
	const struct watch *watch = watch_of(fd);

	return watch && watch->set;
}

/* The kernel allows no deeper nesting. */
#define NESTED 5

bool watch_leads(int set, int fd)
{
	for (int depth = 0; depth <= NESTED; depth++) {
		struct watch *watch = watch_of(fd);

		if (watch_in(set, fd))
			return true;
		fd = watch ? watch_set_number(watch) : -1;
		if (fd < 0)
			return false;
	}
	return false;
}

uint32_t watch_events(int set, int fd)
{
	const struct watch *watch = watch_in(set, fd);

	return watch ? watch->events & ~WATCH_OUT : 0;
}

/* ---- out and back ---------------------------------------------------------------------- */

static void one_take_out(struct watch *watch, int fd)
{
	int set = watch_set_number(watch);

	if (set < 0 || watch->events & WATCH_OUT)
		return;
	/* If it is not there it may just be about to be: then its event brings us here again. */
	if (epoll_control(set, EPOLL_CTL_DEL, fd, NULL))
		watch->events |= WATCH_OUT;
}

static void one_put_back(struct watch *watch, int fd)
{
	struct epoll_event event = { .data.u64 = watch->data };
	int set = watch_set_number(watch);

	if (set < 0 || !(watch->events & WATCH_OUT))
		return;
	watch->events &= ~WATCH_OUT;
	event.events = watch->events;
	if (!epoll_control(set, EPOLL_CTL_ADD, fd, &event) && errno != EEXIST)
		watch->set = 0;
}

static void one_rearm(struct watch *watch, int fd)
{
	struct epoll_event event = { .events = watch->events, .data.u64 = watch->data };
	int set = watch_set_number(watch);

	if (set < 0 || watch->events & WATCH_OUT)
		return;
	/* An exclusive one cannot be modified. */
	if (!(event.events & EPOLLEXCLUSIVE)) {
		epoll_control(set, EPOLL_CTL_MOD, fd, &event);
	} else if (event.events & EPOLLET) {
		epoll_control(set, EPOLL_CTL_DEL, fd, NULL);
		epoll_control(set, EPOLL_CTL_ADD, fd, &event);
	}
}

static void fd_each(int fd, void (*act)(struct watch *watch, int fd))
{
	struct watch *watch = watch_of(fd);

	if (watch)
		act(watch, fd);
	for (uint32_t i = 0; i < further_used; i++)
		if (further[i].fd == fd + 1)
			act(&further[i].watch, fd);
}

static void connection_each(struct connection *connection, int fd,
			    void (*act)(struct watch *watch, int fd))
{
	int saved_errno = errno;

	/* Another thread may just be closing fd, with the connection going on under other numbers. */
	if (connection->fds == 1 && connection_of(fd) == connection)
		fd_each(fd, act);
	else
		for (fd = connection_fd_next(connection, -1); fd >= 0;
		     fd = connection_fd_next(connection, fd))
			fd_each(fd, act);
	errno = saved_errno;
}

void watch_take_out(struct connection *connection, int fd)
{
	connection_each(connection, fd, one_take_out);
}

void watch_put_back(struct connection *connection, int fd)
{
	connection_each(connection, fd, one_put_back);
}

void watch_rearm(int fd)
{
	int saved_errno = errno;

	fd_each(fd, one_rearm);
	errno = saved_errno;
}

static void one_move(struct watch *watch, int fd, int other)
{
	struct epoll_event event = { .events = watch->events & ~WATCH_OUT,
				     .data.u64 = watch->data };
	bool is_out = watch->events & WATCH_OUT;
	int set = watch_set_number(watch);
	struct watch *moved;

	if (set < 0 || watch_in(set, other))
		return;
	if (!is_out && (!epoll_control(set, EPOLL_CTL_DEL, fd, NULL) ||
			!epoll_control(set, EPOLL_CTL_ADD, other, &event)))
		return;
	watch->set = 0;
	moved = watch_make(other);
	if (moved && watch_set_number(moved) < 0)
		watch_write(moved, set, &event);
	else
		further_write(set, other, &event);
	moved = watch_in(set, other);
	if (moved && is_out)
		moved->events |= WATCH_OUT;
}

void watch_move(int fd, int other)
{
	struct watch *watch = watch_of(fd);
	int saved_errno = errno;

	if (watch && watch->set)
		one_move(watch, fd, other);
	for (uint32_t i = 0; i < further_used; i++)
		if (further[i].fd == fd + 1 && further[i].watch.set)
			one_move(&further[i].watch, fd, other);
	errno = saved_errno;
}

bool watch_control(int set, int operation, int fd, const struct epoll_event *event, int *result)
{
	struct watch *watch = watch_in(set, fd);

	if (!watch || !(watch->events & WATCH_OUT))
		return false;
	*result = 0;
	if (operation == EPOLL_CTL_DEL) {
		watch->set = 0;
	} else if (operation == EPOLL_CTL_MOD &&
		   !((watch->events | event->events) & EPOLLEXCLUSIVE)) {
		watch_write(watch, set, event);
		watch->events |= WATCH_OUT;
		guess_note(set, event->data.u64, fd);
	} else {
		errno = operation == EPOLL_CTL_MOD ? EINVAL : EEXIST;
		*result = -1;
	}
	return true;
}
