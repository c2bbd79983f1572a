/* SPDX-License-Identifier: MIT */
#include "watch.h"

#include <errno.h>
#include <string.h>

#include "connection.h"
#include "schedule.h"
#include "shim/sys.h"

/* In `events` beside the kernel's: the registration was taken out of its set. */
#define WATCH_OUT (1u << 27)

/* What is known of an fd, as a watched socket and as a set. */
struct watch {
	_Atomic uint64_t data;
	_Atomic uint32_t events;
	_Atomic int32_t set;         /* its number plus 1; 0: in none */
	_Atomic uint32_t generation; /* of the set, when it was registered there */
	_Atomic uint32_t closings;   /* of this number as a set: its generation */
};

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

static void *memory_lazy(size_t size)
{
	void *memory = sys_mmap(NULL, size, PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return memory == MAP_FAILED ? NULL : memory;
}

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
	made = memory_lazy(sizeof(*made));
	if (made && !atomic_compare_exchange_strong(&chunks[number], &expected, made))
		sys_munmap(made, sizeof(*made));
	return watch_of(fd);
}

static uint32_t generation_of(int set)
{
	struct watch *watch = watch_of(set);

	return watch ? watch->closings : 0;
}

/* The number of the set, as long as it is still that set; -1: in none. */
static int watch_set(const struct watch *watch)
{
	int set = atomic_load_explicit(&watch->set, memory_order_acquire) - 1;

	return set >= 0 && watch->generation == generation_of(set) ? set : -1;
}

/* ---- recording --------------------------------------------------------------------- */

static _Atomic int32_t *guess_at(uint64_t data)
{
	_Atomic int32_t *table = atomic_load_explicit(&guesses, memory_order_acquire);

	return table ? &table[data * UINT64_C(0x9e3779b97f4a7c15) >> 50] : NULL;
}
_Static_assert(GUESSES == 1 << (64 - 50), "the upper bits of the product are the place");

static void guess_note(uint64_t data, int fd)
{
	_Atomic int32_t *made, *expected = NULL;

	if ((int)(uint32_t)data == fd)
		return;
	if (!atomic_load_explicit(&guesses, memory_order_relaxed)) {
		made = memory_lazy(GUESSES * sizeof(*made));
		if (made && !atomic_compare_exchange_strong(&guesses, &expected, made))
			sys_munmap(made, GUESSES * sizeof(*made));
	}
	made = guess_at(data);
	if (made)
		atomic_store_explicit(made, fd + 1, memory_order_relaxed);
}

static void watch_write(struct watch *watch, int set, const struct epoll_event *event)
{
	watch->data = event->data.u64;
	watch->events = event->events & ~WATCH_OUT;
	watch->generation = generation_of(set);
	atomic_store_explicit(&watch->set, set + 1, memory_order_release);
}

/* The registration of fd in a set: its first, or one of its further ones. */
static struct watch *watch_in(int set, int fd)
{
	struct watch *watch = watch_of(fd);

	if (watch && watch_set(watch) == set)
		return watch;
	for (uint32_t i = 0; i < further_used; i++)
		if (further[i].fd == fd + 1 && watch_set(&further[i].watch) == set)
			return &further[i].watch;
	return NULL;
}

static void further_add(int set, int fd, const struct epoll_event *event)
{
	uint64_t signals;

	schedule_lock(&signals);
	for (uint32_t i = 0; i < FURTHER; i++) {
		if (further[i].fd && watch_set(&further[i].watch) >= 0)
			continue;
		watch_write(&further[i].watch, set, event);
		further[i].fd = fd + 1;
		if (further_used <= i)
			further_used = i + 1;
		break;
	}
	schedule_unlock(&signals);
}

void watch_note(int set, int operation, int fd, const struct epoll_event *event)
{
	struct watch *watch = watch_in(set, fd);
	int saved_errno = errno;

	if (operation == EPOLL_CTL_DEL) {
		if (watch)
			watch->set = 0;
	} else if (watch) {
		watch_write(watch, set, event);
		guess_note(event->data.u64, fd);
	} else if (watch_make(set) && (watch = watch_make(fd))) {
		if (watch_set(watch) < 0)
			watch_write(watch, set, event);
		else if (schedule_make())
			further_add(set, fd, event);
		guess_note(event->data.u64, fd);
	}
	errno = saved_errno;
}

void watch_forget(int fd)
{
	struct watch *watch = watch_of(fd);

	if (!watch)
		return;
	atomic_fetch_add_explicit(&watch->closings, 1, memory_order_relaxed);
	atomic_store_explicit(&watch->set, 0, memory_order_relaxed);
	for (uint32_t i = 0; i < further_used; i++)
		if (further[i].fd == fd + 1)
			further[i].watch.set = 0;
}

/* ---- finding ------------------------------------------------------------------------- */

static bool watch_fits(const struct watch *watch, int fd, int set, uint64_t data,
		       bool (*wanted)(struct connection *connection, int fd))
{
	struct connection *connection;

	if (!watch || watch->data != data || watch_set(watch) != set)
		return false;
	connection = connection_of(fd);
	return connection && wanted(connection, fd);
}

static int find_anywhere(int set, uint64_t data,
			 bool (*wanted)(struct connection *connection, int fd))
{
	for (int number = 0; number < FD_CHUNKS; number++) {
		int fd = number * FDS_PER_CHUNK;

		if (!atomic_load_explicit(&chunks[number], memory_order_relaxed))
			continue;
		for (int i = 0; i < FDS_PER_CHUNK; i++, fd++)
			if (watch_fits(watch_of(fd), fd, set, data, wanted))
				return fd;
	}
	for (uint32_t i = 0; i < further_used; i++)
		if (watch_fits(&further[i].watch, further[i].fd - 1, set, data, wanted))
			return further[i].fd - 1;
	return -1;
}

int watch_find(int set, uint64_t data, bool thorough,
	       bool (*wanted)(struct connection *connection, int fd))
{
	_Atomic int32_t *guess = guess_at(data);
	int fd = (int)(uint32_t)data;

	if (fd >= 0 && watch_fits(watch_of(fd), fd, set, data, wanted))
		return fd;
	fd = guess ? atomic_load_explicit(guess, memory_order_relaxed) - 1 : -1;
	if (fd >= 0 && watch_fits(watch_of(fd), fd, set, data, wanted))
		return fd;
	return thorough ? find_anywhere(set, data, wanted) : -1;
}

bool watch_exists(int fd)
{
	const struct watch *watch = watch_of(fd);

	return watch && watch_set(watch) >= 0;
}

uint32_t watch_events(int set, int fd)
{
	const struct watch *watch = watch_in(set, fd);

	return watch ? watch->events & ~WATCH_OUT : 0;
}

/* ---- out and back ---------------------------------------------------------------------- */

static bool epoll_control(int set, int operation, int fd, struct epoll_event *event)
{
	return SYS(SYS_epoll_ctl, set, operation, fd, event) == 0;
}

static unsigned int one_take_out(struct watch *watch, int fd)
{
	int set = watch_set(watch);

	if (set < 0 || watch->events & WATCH_OUT)
		return 0;
	if (epoll_control(set, EPOLL_CTL_DEL, fd, NULL))
		watch->events |= WATCH_OUT;
	else
		watch->set = 0; /* it was not there any more */
	return 1;
}

static unsigned int one_put_back(struct watch *watch, int fd)
{
	struct epoll_event event = { .data.u64 = watch->data };
	int set = watch_set(watch);

	if (set < 0 || !(watch->events & WATCH_OUT))
		return 0;
	watch->events &= ~WATCH_OUT;
	event.events = watch->events;
	if (!epoll_control(set, EPOLL_CTL_ADD, fd, &event) && errno != EEXIST)
		watch->set = 0;
	return 1;
}

static unsigned int one_count_out(struct watch *watch, int fd)
{
	return watch_set(watch) >= 0 && watch->events & WATCH_OUT ? 1 : 0;
}

static unsigned int fd_each(int fd, unsigned int (*act)(struct watch *watch, int fd))
{
	struct watch *watch = watch_of(fd);
	unsigned int acted = watch ? act(watch, fd) : 0;

	for (uint32_t i = 0; i < further_used; i++)
		if (further[i].fd == fd + 1)
			acted += act(&further[i].watch, fd);
	return acted;
}

static unsigned int connection_each(struct connection *connection, int fd,
				    unsigned int (*act)(struct watch *watch, int fd))
{
	int saved_errno = errno;
	unsigned int acted = 0;

	if (connection->fds == 1) {
		acted = fd_each(fd, act);
		errno = saved_errno;
		return acted;
	}
	for (fd = connection_fd_next(connection, -1); fd >= 0;
	     fd = connection_fd_next(connection, fd))
		acted += fd_each(fd, act);
	errno = saved_errno;
	return acted;
}

void watch_take_out(struct connection *connection, int fd)
{
	connection_each(connection, fd, one_take_out);
}

void watch_put_back(struct connection *connection, int fd)
{
	connection_each(connection, fd, one_put_back);
}

unsigned int watch_count_out(struct connection *connection, int fd)
{
	return connection_each(connection, fd, one_count_out);
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
		guess_note(event->data.u64, fd);
	} else {
		errno = operation == EPOLL_CTL_MOD ? EINVAL : EEXIST;
		*result = -1;
	}
	return true;
}
