/* SPDX-License-Identifier: MIT */
#ifndef HOLDFAST_STORE_CLOCK_H
#define HOLDFAST_STORE_CLOCK_H

#include <stdint.h>
#include <time.h>

/*
 * A clock in nanoseconds, as the kernel has it. libc's name may be another preload's
 * (libfaketime), whose clock stands still, jumps, differs from that of other processes, or is gone
 * at exit. No slower than libc's; async-signal-safe; errno is kept.
 */
int64_t clock_kernel_ns(clockid_t clock);

#endif
