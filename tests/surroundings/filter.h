/* SPDX-License-Identifier: MIT */
/*
 * Forbids one system call for the rest of the process, as a sandbox would: a seccomp filter
 * of our own, so that no library is needed.
 */
#ifndef TESTS_SURROUNDINGS_FILTER_H
#define TESTS_SURROUNDINGS_FILTER_H

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/netlink.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

/* All that the preload asks of the kernel by itself, and what a sandbox is known to forbid. */
/* clang-format off */
#define FILTER_CALLS(F)                                                                    \
	F(clock_nanosleep) F(epoll_pwait) F(faccessat) F(fallocate) F(fcntl) F(fdatasync) F(flock) F(fstat)   \
	F(fsync) F(ftruncate) F(getcwd) F(getdents64) F(geteuid) F(getpeername) F(getrandom)   \
	F(getsockname) F(getsockopt) F(linkat) F(madvise) F(mkdirat) F(mmap) F(newfstatat)     \
	F(openat) F(poll) F(ppoll) F(pread64) F(prlimit64) F(pwrite64) F(readlinkat)           \
	F(recvmsg) F(renameat2) F(rt_sigaction) F(rt_sigpending) F(rt_sigprocmask)             \
	F(rt_sigtimedwait) F(setsockopt) F(statx) F(unlinkat)
/* clang-format on */

static inline long filter_number(const char *name)
{
	static const struct {
		const char *name;
		long number;
	} calls[] = {
#define FILTER_ENTRY(call) { #call, SYS_##call },
		FILTER_CALLS(FILTER_ENTRY)
#undef FILTER_ENTRY
	};

	/* A socket of one family only. */
	if (strcmp(name, "netlink") == 0)
		return SYS_socket;
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		if (strcmp(calls[i].name, name) == 0)
			return calls[i].number;
	return -1;
}

/* error: what the call fails with; 0: the process is killed. */
static inline bool filter_forbid(const char *name, int error)
{
	long number = filter_number(name);
	bool netlink = strcmp(name, "netlink") == 0;
	uint32_t answer = error ? SECCOMP_RET_ERRNO | (uint32_t)error : SECCOMP_RET_KILL_PROCESS;
	struct sock_filter program[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)number, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AF_NETLINK, 0, netlink ? 1 : 0),
		BPF_STMT(BPF_RET | BPF_K, answer),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog filter = { sizeof(program) / sizeof(program[0]), program };

	if (number < 0)
		return false;
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
	       prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

#endif
