/* SPDX-License-Identifier: MIT */
/* Registrations out of their sets and back, and what epoll_ctl() does to those that are out. */
#include <errno.h>

#include "connection.h"
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
		watch_write_further(set, other, &event);
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
	for (uint32_t i = 0; i < watch_further_used; i++)
		if (watch_further[i].fd == fd + 1 && watch_further[i].watch.set)
			one_move(&watch_further[i].watch, fd, other);
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
		watch_guess(set, event->data.u64, fd);
	} else {
		errno = operation == EPOLL_CTL_MOD ? EINVAL : EEXIST;
		*result = -1;
	}
	return true;
}
