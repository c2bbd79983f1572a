/* SPDX-License-Identifier: MIT */
/* Registrations out of their sets and back, and what epoll_ctl() does to those that are out. */
#include <errno.h>

#include "fd_table.h"
#include "watch_table.h"

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
	event.events = watch->events & ~WATCH_OURS;
	if (!epoll_control(set, EPOLL_CTL_ADD, fd, &event) && errno != EEXIST)
		watch->set = 0;
}

static void one_rearm(struct watch *watch, int fd)
{
	struct epoll_event event = { .events = watch->events & ~WATCH_OURS,
				     .data.u64 = watch->data };
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
	for (uint32_t i = 0; i < watch_further_used; i++)
		if (watch_further[i].fd == fd + 1)
			act(&watch_further[i].watch, fd);
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
	struct epoll_event event = { .events = watch->events & ~WATCH_OURS,
				     .data.u64 = watch->data };
	bool is_out = watch->events & WATCH_OUT;
	int set = watch_set_number(watch);
	struct watch *moved;

	if (set < 0)
		return;
	/* It is registered itself, and told as that. */
	if (watch_in(set, other)) {
		if (is_out || epoll_control(set, EPOLL_CTL_DEL, fd, NULL))
			watch->set = 0;
		return;
	}
	if (!is_out && (!epoll_control(set, EPOLL_CTL_DEL, fd, NULL) ||
			!epoll_control(set, EPOLL_CTL_ADD, other, &event)))
		return;
	watch->set = 0;
	moved = watch_make(other);
	if (moved && watch_set_number(moved) < 0)
		watch_write(moved, set, &event);
	else
		watch_write_further(set, other, &event);
	moved = watch_in(set, other);
	if (moved)
		moved->events |= WATCH_MOVED | (is_out ? WATCH_OUT : 0);
	fd_kind_add(other, FD_MOVED);
}

void watch_move(int fd, int other)
{
	struct watch *watch = watch_of(fd);
	int saved_errno = errno;

	if (watch && watch->set)
		one_move(watch, fd, other);
	for (uint32_t i = 0; i < watch_further_used; i++)
		if (watch_further[i].fd == fd + 1 && watch_further[i].watch.set)
			one_move(&watch_further[i].watch, fd, other);
	errno = saved_errno;
}

/* What the set has, or is to have once the socket is put back. */
static bool one_replace(struct watch *watch, int set, int fd, const struct epoll_event *event)
{
	uint32_t out = watch->events & WATCH_OUT;
	struct epoll_event wanted = *event;
	int operation = EPOLL_CTL_MOD;

	/* An exclusive one is not modified, nor made so. */
	if (!out && (watch->events | event->events) & EPOLLEXCLUSIVE) {
		epoll_control(set, EPOLL_CTL_DEL, fd, NULL);
		operation = EPOLL_CTL_ADD;
	}
	if (!out && !epoll_control(set, operation, fd, &wanted))
		return false;
	watch_write(watch, set, event);
	watch->events |= out;
	watch_guess(set, event->data.u64, fd);
	return true;
}

/* The errno of what the program may not do; 0: it may. */
static int control_refused(const struct watch *watch, int operation,
			   const struct epoll_event *event)
{
	bool is_there = !(watch->events & WATCH_MOVED);

	if (operation == EPOLL_CTL_DEL)
		return is_there ? 0 : ENOENT;
	if (!event)
		return EFAULT;
	if (operation == EPOLL_CTL_ADD)
		return is_there ? EEXIST : 0;
	if (!is_there)
		return ENOENT;
	return (watch->events | event->events) & EPOLLEXCLUSIVE ? EINVAL : 0;
}

bool watch_control(int set, int operation, int fd, const struct epoll_event *event, int *result)
{
	struct watch *watch = watch_in(set, fd);
	int error;

	if (!watch || !(watch->events & WATCH_OURS))
		return false;
	error = control_refused(watch, operation, event);
	if (error)
		errno = error;
	else if (operation == EPOLL_CTL_DEL)
		watch->set = 0;
	else if (!one_replace(watch, set, fd, event))
		error = errno;
	*result = error ? -1 : 0;
	return true;
}
