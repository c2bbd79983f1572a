/* SPDX-License-Identifier: MIT */
/*
 * The calls that holdfast hooks. In the plain program they are libc's, and the
 * preload sees them; with STRESS_ENGINE the engine is linked in, since no
 * sanitizer works on a preload, and these do what the hooks do.
 */
#ifndef TESTS_STRESS_CALLS_H
#define TESTS_STRESS_CALLS_H

#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>

#define STACK_LEFT_BYTES 65536 /* more than connect() is deep */

/* The sanitizer is told of jumps, but not of the frames that a cancellation leaves behind. */
static inline void stack_left(void)
{
	char *here = __builtin_frame_address(0);

	__asan_unpoison_memory_region(here - STACK_LEFT_BYTES, STACK_LEFT_BYTES);
}
#else
static inline void stack_left(void)
{
}
#endif

#ifdef STRESS_ENGINE

#include "shim/engine/connect.h"
#include "shim/engine/engine.h"
#include "shim/engine/transfer.h"

/*
 * CALLS_UNSEEN: past the thread sanitizer's own hooks, which take connect() for the
 * making of a descriptor, and another thread's use of it meanwhile for a race.
 */
#ifdef CALLS_UNSEEN
#define CALL(name, ...) ((int)syscall(SYS_##name, __VA_ARGS__))
#else
#define CALL(name, ...) name(__VA_ARGS__)
#endif

static inline int call_socket(int type)
{
	int fd = CALL(socket, AF_INET, type, 0);

	if (fd >= 0)
		fd_opened(fd, FD_STREAM | (type & SOCK_NONBLOCK ? FD_NONBLOCKING : 0));
	return fd;
}

static inline int call_connect(int fd, const struct sockaddr *peer, socklen_t length)
{
	return engine_connect(fd, peer, length);
}

static inline int call_close(int fd)
{
	fd_closing(fd);
	return CALL(close, fd);
}

static inline int call_dup(int fd)
{
	int copy = CALL(dup, fd);

	if (copy >= 0)
		fd_duplicated(fd, copy);
	return copy;
}

static inline ssize_t call_send(int fd, const void *data, size_t size, int flags)
{
	return SEND_BYTES(fd, flags, data, size,
			  syscall(SYS_sendto, fd, data, size, flags, NULL, 0));
}

static inline ssize_t call_recv(int fd, void *data, size_t size, int flags)
{
	return RECEIVE(fd, flags, syscall(SYS_recvfrom, fd, data, size, flags, NULL, NULL));
}

static inline int call_setsockopt(int fd, int name, const void *value, socklen_t length)
{
	struct connection *connection = connection_of(fd);

	if (connection)
		engine_attend(connection, fd);
	return setsockopt(fd, SOL_SOCKET, name, value, length);
}

static inline int call_error(int fd, int *error)
{
	socklen_t length = sizeof(*error);

	return engine_getsockopt(fd, SOL_SOCKET, SO_ERROR, error, &length);
}

static inline _Noreturn void call_exit(int status)
{
	engine_leave();
	_exit(status);
}

#else

static inline int call_socket(int type)
{
	return socket(AF_INET, type, 0);
}

static inline int call_connect(int fd, const struct sockaddr *peer, socklen_t length)
{
	return connect(fd, peer, length);
}

static inline int call_close(int fd)
{
	return close(fd);
}

static inline int call_dup(int fd)
{
	return dup(fd);
}

static inline ssize_t call_send(int fd, const void *data, size_t size, int flags)
{
	return send(fd, data, size, flags);
}

static inline ssize_t call_recv(int fd, void *data, size_t size, int flags)
{
	return recv(fd, data, size, flags);
}

static inline int call_setsockopt(int fd, int name, const void *value, socklen_t length)
{
	return setsockopt(fd, SOL_SOCKET, name, value, length);
}

static inline int call_error(int fd, int *error)
{
	socklen_t length = sizeof(*error);

	return getsockopt(fd, SOL_SOCKET, SO_ERROR, error, &length);
}

static inline _Noreturn void call_exit(int status)
{
	_exit(status);
}

#endif
#endif
