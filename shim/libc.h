/* SPDX-License-Identifier: MIT */
/*
 * The only seam to the C library's own versions of what we export.
 *
 * LIBC_HOOKS lists every exported function once: its result, name and
 * parameters.  From it come the declarations below, the lookup in libc.c, the
 * export list that the tests compare with the built object, and LIBC(NAME)(...),
 * which calls the next definition in the lookup order (another preload, or libc).
 *
 * Lookup is lazy: resolving all names at start costs more than the rest of our
 * start-up together.  dlsym() of a name that exists does not allocate.
 */
#ifndef HOLDFAST_LIBC_H
#define HOLDFAST_LIBC_H

#include <netdb.h>
#include <poll.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>

/* clang-format off */
#ifdef __x86_64__
#define HOLDFAST_SEES_VFORK 1
#define LIBC_HOOKS_VFORK(H)                                                                \
	H(pid_t, vfork, (void))                                                            \
	H(pid_t, __vfork, (void))                                                          \
	/* sched.h */                                                                      \
	H(int, clone, (int (*function)(void *), void *stack, int flags,                    \
	  void *argument, ...))                                                            \
	H(int, __clone, (int (*function)(void *), void *stack, int flags,                  \
	  void *argument, ...))
#else
#define LIBC_HOOKS_VFORK(H)
#endif

#define LIBC_HOOKS(H)                                                                      \
	/* sys/socket.h */                                                                 \
	H(int, socket, (int domain, int type, int protocol))                               \
	H(int, socketpair, (int domain, int type, int protocol, int fds[2]))               \
	H(int, accept, (int fd, struct sockaddr *peer, socklen_t *length))                 \
	H(int, accept4, (int fd, struct sockaddr *peer, socklen_t *length, int flags))     \
	H(int, connect, (int fd, const struct sockaddr *peer, socklen_t length))           \
	H(int, bind, (int fd, const struct sockaddr *own, socklen_t length))               \
	H(int, shutdown, (int fd, int how))                                                \
	H(int, getsockopt, (int fd, int level, int name, void *value, socklen_t *length))  \
	H(int, setsockopt, (int fd, int level, int name, const void *value,                \
	  socklen_t length))                                                               \
	H(ssize_t, send, (int fd, const void *data, size_t size, int flags))               \
	H(ssize_t, sendto, (int fd, const void *data, size_t size, int flags,              \
	  const struct sockaddr *peer, socklen_t length))                                  \
	H(ssize_t, sendmsg, (int fd, const struct msghdr *message, int flags))             \
	H(int, sendmmsg, (int fd, struct mmsghdr *messages, unsigned int count,            \
	  int flags))                                                                      \
	H(ssize_t, recv, (int fd, void *data, size_t size, int flags))                     \
	H(ssize_t, recvfrom, (int fd, void *data, size_t size, int flags,                  \
	  struct sockaddr *peer, socklen_t *length))                                       \
	H(ssize_t, recvmsg, (int fd, struct msghdr *message, int flags))                   \
	H(int, recvmmsg, (int fd, struct mmsghdr *messages, unsigned int count,            \
	  int flags, struct timespec *timeout))                                            \
	H(ssize_t, __recv_chk, (int fd, void *data, size_t size, size_t room, int flags))  \
	H(ssize_t, __recvfrom_chk, (int fd, void *data, size_t size, size_t room,          \
	  int flags, struct sockaddr *peer, socklen_t *length))                            \
	/* unistd.h, stdlib.h */                                                           \
	H(ssize_t, read, (int fd, void *data, size_t size))                                \
	H(ssize_t, __read_chk, (int fd, void *data, size_t size, size_t room))             \
	H(ssize_t, write, (int fd, const void *data, size_t size))                         \
	H(int, close, (int fd))                                                            \
	H(int, close_range, (unsigned int first, unsigned int last, int flags))            \
	H(void, closefrom, (int first))                                                    \
	H(int, dup, (int fd))                                                              \
	H(int, dup2, (int fd, int target))                                                 \
	H(int, dup3, (int fd, int target, int flags))                                      \
	H(pid_t, fork, (void))                                                             \
	LIBC_HOOKS_VFORK(H)                                                                \
	H(int, setuid, (uid_t uid))                                                        \
	H(int, seteuid, (uid_t uid))                                                       \
	H(int, setreuid, (uid_t real, uid_t effective))                                    \
	H(int, setresuid, (uid_t real, uid_t effective, uid_t saved))                      \
	H(int, execve, (const char *path, char *const *arguments, char *const *names))     \
	H(int, execv, (const char *path, char *const *arguments))                          \
	H(int, execvp, (const char *name, char *const *arguments))                         \
	H(int, execvpe, (const char *name, char *const *arguments, char *const *names))    \
	H(int, fexecve, (int fd, char *const *arguments, char *const *names))              \
	H(int, execveat, (int directory, const char *path, char *const *arguments,         \
	  char *const *names, int flags))                                                  \
	H(int, execl, (const char *path, const char *first, ...))                          \
	H(int, execle, (const char *path, const char *first, ...))                         \
	H(int, execlp, (const char *name, const char *first, ...))                         \
	H(void, _exit, (int status))                                                       \
	H(void, _Exit, (int status))                                                       \
	H(void, quick_exit, (int status))                                                  \
	/* sys/uio.h */                                                                    \
	H(ssize_t, readv, (int fd, const struct iovec *vector, int count))                 \
	H(ssize_t, writev, (int fd, const struct iovec *vector, int count))                \
	H(ssize_t, preadv2, (int fd, const struct iovec *vector, int count, off_t offset,  \
	  int flags))                                                                      \
	H(ssize_t, pwritev2, (int fd, const struct iovec *vector, int count,               \
	  off_t offset, int flags))                                                        \
	H(ssize_t, preadv64v2, (int fd, const struct iovec *vector, int count,             \
	  off64_t offset, int flags))                                                      \
	H(ssize_t, pwritev64v2, (int fd, const struct iovec *vector, int count,            \
	  off64_t offset, int flags))                                                      \
	/* sys/sendfile.h */                                                               \
	H(ssize_t, sendfile, (int out, int in, off_t *offset, size_t size))                \
	H(ssize_t, sendfile64, (int out, int in, off64_t *offset, size_t size))            \
	/* fcntl.h, sys/ioctl.h; the third argument is passed on as the word that it is */ \
	H(int, fcntl, (int fd, int command, ...))                                          \
	H(int, fcntl64, (int fd, int command, ...))                                        \
	H(ssize_t, splice, (int in, off64_t *in_offset, int out, off64_t *out_offset,      \
	  size_t size, unsigned int flags))                                                \
	H(int, ioctl, (int fd, unsigned long request, ...))                                \
	/* poll.h */                                                                        \
	H(int, poll, (struct pollfd *fds, unsigned long count, int timeout))               \
	H(int, ppoll, (struct pollfd *fds, unsigned long count,                            \
	  const struct timespec *timeout, const sigset_t *mask))                           \
	H(int, __poll_chk, (struct pollfd *fds, unsigned long count, int timeout,          \
	  size_t room))                                                                    \
	H(int, __ppoll_chk, (struct pollfd *fds, unsigned long count,                      \
	  const struct timespec *timeout, const sigset_t *mask, size_t room))              \
	/* sys/select.h */                                                                 \
	H(int, select, (int count, fd_set *read, fd_set *write, fd_set *except,            \
	  struct timeval *timeout))                                                        \
	H(int, pselect, (int count, fd_set *read, fd_set *write, fd_set *except,           \
	  const struct timespec *timeout, const sigset_t *mask))                           \
	/* sys/epoll.h */                                                                  \
	H(int, epoll_create, (int size))                                                   \
	H(int, epoll_create1, (int flags))                                                 \
	H(int, epoll_wait, (int set, struct epoll_event *events, int room, int timeout))   \
	H(int, epoll_pwait, (int set, struct epoll_event *events, int room, int timeout,   \
	  const sigset_t *mask))                                                           \
	H(int, epoll_pwait2, (int set, struct epoll_event *events, int room,               \
	  const struct timespec *timeout, const sigset_t *mask))                           \
	H(int, epoll_ctl, (int set, int operation, int fd, struct epoll_event *event))     \
	/* netdb.h */                                                                       \
	H(int, getaddrinfo, (const char *host, const char *service,                        \
	  const struct addrinfo *hints, struct addrinfo **result))                         \
	H(struct hostent *, gethostbyname, (const char *host))                             \
	H(struct hostent *, gethostbyname2, (const char *host, int family))                \
	H(int, gethostbyname_r, (const char *host, struct hostent *entry, char *buffer,    \
	  size_t size, struct hostent **result, int *error))                               \
	H(int, gethostbyname2_r, (const char *host, int family, struct hostent *entry,     \
	  char *buffer, size_t size, struct hostent **result, int *error))                 \
	/* dlfcn.h */                                                                      \
	H(void *, dlopen, (const char *file, int mode))                                    \
	/* stdio.h */                                                                      \
	H(int, fclose, (FILE *stream))
/* clang-format on */

enum libc_function {
#define LIBC_ENUM(result, name, parameters) LIBC_##name,
	LIBC_HOOKS(LIBC_ENUM)
#undef LIBC_ENUM
		LIBC_COUNT
};

/* Addresses found so far; NULL until the first use. */
extern void *libc_addresses[LIBC_COUNT];

/* Finds and remembers one. Never NULL: a name that libc lacks fails with ENOSYS. */
void *libc_resolve(enum libc_function function) __attribute__((cold));

/* The function's own type, so that a call through it is checked like any other. */
#define LIBC_TYPE(result, name, parameters) typedef result libc_##name##_t parameters;
LIBC_HOOKS(LIBC_TYPE)
#undef LIBC_TYPE

static inline void *libc_address(enum libc_function function)
{
	void *address = __atomic_load_n(&libc_addresses[function], __ATOMIC_RELAXED);

	return __builtin_expect(address != NULL, 1) ? address : libc_resolve(function);
}

/* LIBC(read)(fd, data, size): the next definition of read. */
#define LIBC(name) ((libc_##name##_t *)libc_address(LIBC_##name))

/* The same, or NULL before its first use: a hook without a call to libc_resolve() needs no frame. */
#define LIBC_FOUND(name) \
	((libc_##name##_t *)__atomic_load_n(&libc_addresses[LIBC_##name], __ATOMIC_RELAXED))

/* Marks a function as exported. */
#define HOOK __attribute__((visibility("default")))

#endif
