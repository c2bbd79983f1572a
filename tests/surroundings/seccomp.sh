#!/bin/bash
# SPDX-License-Identifier: MIT
# TIMEOUT: 240
# In sandboxes that forbid system calls, one at a time: the program's output and exit code are its
# own, whatever we are refused.
. "$(dirname "$0")/common.bash"
"$CLIENT" forbid=statx:EPERM 2>/dev/null || skip_all "seccomp filters are not allowed here"

LATE=0.2
PREPARE="rm -rf $HOLDFAST_STATE_DIR"

# forbidden CALL held|unprotected: the program forbids itself one call, with both errors that
# sandboxes use, before the first connect and after it.
forbidden() {
	local call=$1 kind=$2 error
	for error in EPERM ENOSYS; do
		around "$call: $error" "$kind" "?" "$CLIENT" "forbid=$call:$error" connect connect
	done
	around "$call: EPERM after the first connect" held "?" \
		"$CLIENT" connect "forbid=$call:EPERM" connect open=3 connect
}
for call in netlink statx newfstatat fallocate getrandom prlimit64 flock ftruncate linkat mkdirat \
	openat pread64 pwrite64 readlinkat renameat2 unlinkat getdents64 faccessat fdatasync fsync \
	getcwd recvmsg getsockname getpeername setsockopt rt_sigaction rt_sigpending \
	rt_sigtimedwait rt_sigprocmask clock_nanosleep ppoll poll fcntl geteuid fstat; do
	forbidden "$call" held
done
# Without these nothing can be managed: no memory of our own, no telling one socket from another.
for call in madvise mmap getsockopt; do
	forbidden "$call" unprotected
done

# What a container forbids from outside, before the program and its loader start.
for call in netlink statx fallocate getrandom flock renameat2 ppoll; do
	for error in EPERM ENOSYS; do
		around "$call: $error, by whoever starts it" held "?" \
			"$CLIENT" "forbid=$call:$error" run "$CLIENT" connect connect
	done
done
PROTECT=("$HOLDFAST" run --)
for call in netlink statx fallocate getrandom flock renameat2; do
	around "$call: EPERM, under holdfast run" held "?" \
		"$CLIENT" "forbid=$call:EPERM" run "$CLIENT" connect connect
done
done_testing
