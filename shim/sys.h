/* SPDX-License-Identifier: MIT */
/*
 * System calls for code that is also linked into the preloaded object, where
 * the libc names close, read, write and others are our own hooks.  They are no
 * cancellation points, so that a cancelled thread of the host program leaves none
 * of our descriptors open; and they need no libc name, each of which would cost
 * the first connect of a process a lookup.
 *
 * All of them are async-signal-safe and return -1 with errno on failure.
 */
#ifndef HOLDFAST_SYS_H
#define HOLDFAST_SYS_H

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* pread64 below passes the offset as one register, and the store's words are 64-bit atomics. */
_Static_assert(sizeof(long) == 8, "holdfast needs a 64-bit system");

/* Up to six arguments, as words. */
static inline long sys_call(long number, long a, long b, long c, long d, long e, long f)
{
/* The analyzer does not see that the instruction writes to memory. */
#if defined(__x86_64__) && !defined(__clang_analyzer__)
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;
	long result;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "0"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	if (__builtin_expect(result < 0 && result > -4096, 0)) {
		errno = (int)-result;
		return -1;
	}
	return result;
#else
	return syscall(number, a, b, c, d, e, f);
#endif
}

#define SYS_WORD(x) ((long)(x))
#define SYS_PICK(_1, _2, _3, _4, _5, _6, _7, name, ...) name
#define SYS_0(n) sys_call(n, 0, 0, 0, 0, 0, 0)
#define SYS_1(n, a) sys_call(n, SYS_WORD(a), 0, 0, 0, 0, 0)
#define SYS_2(n, a, b) sys_call(n, SYS_WORD(a), SYS_WORD(b), 0, 0, 0, 0)
#define SYS_3(n, a, b, c) sys_call(n, SYS_WORD(a), SYS_WORD(b), SYS_WORD(c), 0, 0, 0)
#define SYS_4(n, a, b, c, d) sys_call(n, SYS_WORD(a), SYS_WORD(b), SYS_WORD(c), SYS_WORD(d), 0, 0)
#define SYS_5(n, a, b, c, d, e) \
	sys_call(n, SYS_WORD(a), SYS_WORD(b), SYS_WORD(c), SYS_WORD(d), SYS_WORD(e), 0)
#define SYS_6(n, a, b, c, d, e, f) \
	sys_call(n, SYS_WORD(a), SYS_WORD(b), SYS_WORD(c), SYS_WORD(d), SYS_WORD(e), SYS_WORD(f))
/* SYS(name, arguments...): the system call SYS_name, pointers and all. */
#define SYS(...) SYS_PICK(__VA_ARGS__, SYS_6, SYS_5, SYS_4, SYS_3, SYS_2, SYS_1, SYS_0)(__VA_ARGS__)

static inline int sys_close(int fd)
{
	return (int)SYS(SYS_close, fd);
}

static inline int sys_fcntl(int fd, int command, long argument)
{
	return (int)SYS(SYS_fcntl, fd, command, argument);
}

/*
 * Always close-on-exec. Never 0, 1 or 2: a program that closed its standard
 * streams would otherwise write its output into our file.
 */
static inline int sys_openat(int directory, const char *name, int flags, mode_t mode)
{
	int fd = (int)SYS(SYS_openat, directory, name, flags | O_CLOEXEC, mode);

	if (fd < 0 || fd > 2)
		return fd;
	int moved = sys_fcntl(fd, F_DUPFD_CLOEXEC, 3);
	int error = errno;
	sys_close(fd);
	errno = error;
	return moved;
}

static inline ssize_t sys_read(int fd, void *buffer, size_t size)
{
	return SYS(SYS_read, fd, buffer, size);
}

static inline ssize_t sys_write(int fd, const void *buffer, size_t size)
{
	return SYS(SYS_write, fd, buffer, size);
}

static inline ssize_t sys_pread(int fd, void *buffer, size_t size, uint64_t offset)
{
	return SYS(SYS_pread64, fd, buffer, size, offset);
}

/* Reads until size bytes, the end of the file or an error. Returns what was read, or -1. */
static inline ssize_t sys_pread_full(int fd, void *buffer, size_t size, uint64_t offset)
{
	size_t done = 0;

	while (done < size) {
		ssize_t n = sys_pread(fd, (char *)buffer + done, size - done, offset + done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		if (n == 0)
			break;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

/* A file that grows beyond RLIMIT_FSIZE costs the host program a SIGXFSZ: asked beforehand. */
static inline bool sys_size_allowed(uint64_t size)
{
	struct {
		uint64_t soft, hard;
	} limit;

	if (SYS(SYS_prlimit64, 0, 1 /* RLIMIT_FSIZE */, NULL, &limit) < 0 || size <= limit.soft)
		return true;
	errno = EFBIG;
	return false;
}

/* From the start of an empty file. */
static inline bool sys_write_full(int fd, const void *buffer, size_t size)
{
	size_t done = 0;

	if (!sys_size_allowed(size))
		return false;
	while (done < size) {
		ssize_t n = sys_write(fd, (const char *)buffer + done, size - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		done += (size_t)n;
	}
	return true;
}

static inline int sys_fstat(int fd, struct stat *status)
{
	return (int)SYS(SYS_newfstatat, fd, "", status, AT_EMPTY_PATH);
}

/* Follows no link where flags has AT_SYMLINK_NOFOLLOW. */
static inline int sys_fstatat(int directory, const char *name, struct stat *status, int flags)
{
	return (int)SYS(SYS_newfstatat, directory, name, status, flags);
}

static inline ssize_t sys_readlink(const char *name, char *target, size_t size)
{
	return SYS(SYS_readlinkat, AT_FDCWD, name, target, size);
}

static inline int sys_renameat(int from, const char *name, int to, const char *new_name)
{
	return (int)SYS(SYS_renameat2, from, name, to, new_name, 0);
}

static inline int sys_unlinkat(int directory, const char *name, int flags)
{
	return (int)SYS(SYS_unlinkat, directory, name, flags);
}

static inline int sys_ftruncate(int fd, uint64_t size)
{
	return (int)SYS(SYS_ftruncate, fd, size);
}

/* Puts disk space behind size bytes from the start; what is there stays. */
static inline bool sys_reserve(int fd, uint64_t size)
{
	int error;

	if (!sys_size_allowed(size))
		return false;
	if (SYS(SYS_fallocate, fd, 0, 0, size) == 0)
		return true;
	if (errno != EOPNOTSUPP)
		return false;
	error = posix_fallocate(fd, 0, (off_t)size); /* by writing */
	if (error)
		errno = error;
	return error == 0;
}

static inline int32_t sys_getpid(void)
{
	return (int32_t)SYS(SYS_getpid);
}

static inline uid_t sys_geteuid(void)
{
	return (uid_t)SYS(SYS_geteuid);
}

static inline ssize_t sys_getrandom(void *buffer, size_t size)
{
	return SYS(SYS_getrandom, buffer, size, 1 /* GRND_NONBLOCK */);
}

static inline int sys_madvise(void *address, size_t size, int advice)
{
	return (int)SYS(SYS_madvise, address, size, advice);
}

/* All signals of the thread, libc's own included; for a few system calls at most. */
static inline void sys_signals_block(uint64_t *before)
{
	const uint64_t all = ~UINT64_C(0);

	SYS(SYS_rt_sigprocmask, 2 /* SIG_SETMASK */, &all, before, sizeof(all));
}

static inline void sys_signals_restore(const uint64_t *before)
{
	SYS(SYS_rt_sigprocmask, 2 /* SIG_SETMASK */, before, NULL, sizeof(*before));
}

static inline int sys_fdatasync(int fd)
{
	return (int)SYS(SYS_fdatasync, fd);
}

static inline int sys_fsync(int fd)
{
	return (int)SYS(SYS_fsync, fd);
}

static inline int sys_flock(int fd, int operation)
{
	return (int)SYS(SYS_flock, fd, operation);
}

/* MAP_FAILED on failure, as mmap(). */
static inline void *sys_mmap(void *address, size_t size, int protection, int flags, int fd,
			     off_t offset)
{
#ifdef __SANITIZE_THREAD__
	/* Learns so that the addresses of unmapped memory are new again, but nothing of an fd: it
	 * would not see that it is closed, and take the next file of that number for the same. */
	if (!address) {
		address = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (address == MAP_FAILED)
			return address;
		flags |= MAP_FIXED;
	}
#endif
	return (void *)SYS(SYS_mmap, address, size, protection, flags, fd, offset);
}

/* Memory that costs nothing until it is used; NULL if there is none. */
static inline void *sys_memory(size_t size)
{
	void *memory = sys_mmap(NULL, size, PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return memory == MAP_FAILED ? NULL : memory;
}

static inline int sys_munmap(void *address, size_t size)
{
	return (int)SYS(SYS_munmap, address, size);
}

static inline ssize_t sys_getdents(int fd, void *buffer, size_t size)
{
	return SYS(SYS_getdents64, fd, buffer, size);
}

/* CLOCK_REALTIME in nanoseconds, whatever another preload makes of libc's. */
static inline int64_t sys_realtime_ns(void)
{
	struct timespec now = { 0, 0 };

	SYS(SYS_clock_gettime, CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

#endif
