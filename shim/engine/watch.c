/* SPDX-License-Identifier: MIT */
#include "watch_table.h"

#include <errno.h>

#include "connection.h"
#include "schedule.h"
#include "shim/libc.h"
#include "shim/words.h"

_Atomic uint32_t watch_habits;
static _Atomic uint32_t identities;

struct watch_chunk {
	struct watch watches[FDS_PER_CHUNK];
};

static struct watch_chunk *_Atomic chunks[FD_CHUNKS];

struct further watch_further[FURTHER];
_Atomic uint32_t watch_further_used;

/* Where the socket of an event may be whose data is no fd: a guess, checked by whoever uses it. */
#define GUESSES 16384
static _Atomic int32_t *_Atomic guesses; /* fd plus 1 */

struct watch *watch_of(int fd)
{
	unsigned int number = (unsigned int)fd / FDS_PER_CHUNK;
	struct watch_chunk *chunk;

	if (number >= FD_CHUNKS)
		return NULL;
	chunk = atomic_load_explicit(&chunks[number], memory_order_acquire);
	return chunk ? &chunk->watches[(unsigned int)fd % FDS_PER_CHUNK] : NULL;
}

struct watch *watch_make(int fd)
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

int watch_set_number(struct watch *watch)
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

static __attribute__((noinline, cold)) void guesses_make(void)
{
	_Atomic int32_t *made = sys_memory(GUESSES * sizeof(*made)), *expected = NULL;

	if (made && !atomic_compare_exchange_strong(&guesses, &expected, made))
		sys_munmap(made, GUESSES * sizeof(*made));
}

static inline void guess_write(uint32_t identity, uint64_t data, int fd)
{
	_Atomic int32_t *guess;

	if ((int)(uint32_t)data == fd)
		return;
	if (!atomic_load_explicit(&guesses, memory_order_relaxed))
		guesses_make();
	guess = guess_at(identity, data);
	if (guess)
		atomic_store_explicit(guess, fd + 1, memory_order_relaxed);
}

void watch_guess(int set, uint64_t data, int fd)
{
	guess_write(identity_of(set), data, fd);
}

/*
 * Which set it is in is said last, and with a barrier: whoever takes the lock from now on
 * sees all of it, or is seen by the caller to have the lock. A single thread needs none.
 */
static inline void set_write(struct watch *watch, uint32_t identity)
{
	if (__libc_single_threaded)
		STORE(watch->set, identity);
	else
		atomic_store(&watch->set, identity);
}

static inline void registration_write(struct watch *watch, uint32_t identity, int set,
				      const struct epoll_event *event)
{
	STORE(watch->data, event->data.u64);
	STORE(watch->events, event->events & ~WATCH_OURS);
	STORE(watch->number, set);
	set_write(watch, identity);
}

void watch_write(struct watch *watch, int set, const struct epoll_event *event)
{
	registration_write(watch, identity_of(set), set, event);
}

struct watch *watch_in(int set, int fd)
{
	uint32_t identity = identity_of(set);
	struct watch *watch = watch_of(fd);

	if (!identity)
		return NULL;
	if (watch && watch->set == identity)
		return watch;
	for (uint32_t i = 0; i < watch_further_used; i++)
		if (watch_further[i].fd == fd + 1 && watch_further[i].watch.set == identity)
			return &watch_further[i].watch;
	return NULL;
}

void watch_write_further(int set, int fd, const struct epoll_event *event)
{
	for (uint32_t i = 0; i < FURTHER; i++) {
		if (watch_further[i].fd && watch_set_number(&watch_further[i].watch) >= 0)
			continue;
		watch_write(&watch_further[i].watch, set, event);
		watch_further[i].fd = fd + 1;
		if (watch_further_used <= i)
			watch_further_used = i + 1;
		return;
	}
}

static void further_add(int set, int fd, const struct epoll_event *event)
{
	uint64_t signals;

	schedule_lock(&signals);
	watch_write_further(set, fd, event);
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
		watch_guess(set, event->data.u64, fd);
	} else if (identity_make(set) && (watch = watch_make(fd))) {
		if (watch_set_number(watch) < 0)
			watch_write(watch, set, event);
		else if (locked)
			watch_write_further(set, fd, event);
		else if (schedule_make())
			further_add(set, fd, event);
		watch_guess(set, event->data.u64, fd);
	}
	errno = saved_errno;
}

void watch_seen(int set, int fd, const struct epoll_event *event)
{
	if (!watch_in(set, fd))
		note(set, EPOLL_CTL_ADD, fd, event, true);
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

static inline void registration_note(struct watch *watch, uint32_t identity, int set, int fd,
				     const struct epoll_event *event)
{
	registration_write(watch, identity, set, event);
	guess_write(identity, event->data.u64, fd);
}

/* Of an fd that is in another set as well, and before anything is known of it. */
static __attribute__((noinline, cold)) int call_make_any(int set, int operation, int fd,
							 struct epoll_event *event, bool locked)
{
	/* Known before another thread can be told of it. */
	bool is_new = operation == EPOLL_CTL_ADD && event && !watch_in(set, fd);
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

int watch_make_call(int set, int operation, int fd, struct epoll_event *event, bool locked)
{
	uint32_t identity = identity_of(set);
	struct watch *watch = watch_of(fd);
	uint32_t in = watch ? watch->set : 0;
	bool is_new = !in && operation == EPOLL_CTL_ADD && event;
	bool is_wanted = event && operation != EPOLL_CTL_DEL;
	int result;

	/* Nearly always it is in this set and in no other, or in none: then this will do. */
	if (__builtin_expect(!watch || !identity || (in && in != identity) || watch_further_used,
			     0))
		return call_make_any(set, operation, fd, event, locked);
	if (is_new)
		registration_note(watch, identity, set, fd, event);
	result = LIBC(epoll_ctl)(set, operation, fd, event);
	if (result < 0 ? is_new : !is_wanted)
		set_write(watch, 0);
	else if (result == 0 && !is_new)
		registration_note(watch, identity, set, fd, event);
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

	if (!watch)
		return;
	watch->own = 0;
	watch->set = 0;
	for (uint32_t i = 0; i < watch_further_used; i++)
		if (watch_further[i].fd == fd + 1)
			watch_further[i].watch.set = 0;
}

bool watch_is_known(int fd)
{
	const struct watch *watch = watch_of(fd);

	if (watch && (watch->own || watch->set))
		return true;
	for (uint32_t i = 0; i < watch_further_used; i++)
		if (watch_further[i].fd == fd + 1 && watch_further[i].watch.set)
			return true;
	return false;
}

/* ---- finding ------------------------------------------------------------------------- */

/* What a search is for. */
struct search {
	uint32_t set;
	uint64_t data;
	bool is_out; /* taken out, or in */
	bool (*wanted)(int fd, const void *of);
	const void *of;
};

static bool watch_fits(const struct search *search, const struct watch *watch, int fd)
{
	return watch && watch->set == search->set && watch->data == search->data &&
	       search->is_out == !!(watch->events & WATCH_OUT) && search->wanted(fd, search->of);
}

static int find_anywhere(const struct search *search)
{
	for (int fd = 0; fd < FD_CHUNKS * FDS_PER_CHUNK; fd++) {
		if (!watch_of(fd))
			fd += FDS_PER_CHUNK - 1;
		else if (watch_fits(search, watch_of(fd), fd))
			return fd;
	}
	for (uint32_t i = 0; i < watch_further_used; i++)
		if (watch_fits(search, &watch_further[i].watch, watch_further[i].fd - 1))
			return watch_further[i].fd - 1;
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

int watch_find(int set, uint64_t data, bool thorough, bool (*wanted)(int fd, const void *of),
	       const void *of)
{
	struct search search = { identity_of(set), data, false, wanted, of };
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

bool watch_is_with(int set, int fd, uint64_t data)
{
	const struct watch *watch = watch_in(set, fd);

	return watch && watch->data == data;
}

bool watch_is_out(int set, int fd)
{
	const struct watch *watch = watch_in(set, fd);

	return watch && watch->events & WATCH_OUT;
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

	return watch ? watch->events & ~WATCH_OURS : 0;
}
