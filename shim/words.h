/* SPDX-License-Identifier: MIT */
/*
 * Words that other threads, other processes or a signal handler may look at, where
 * nothing else is published by them: a plain assignment to an _Atomic is a full
 * barrier, which costs as much as a small function.
 */
#ifndef HOLDFAST_WORDS_H
#define HOLDFAST_WORDS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/single_threaded.h>

#define LOAD(word) atomic_load_explicit(&(word), memory_order_relaxed)
#define STORE(word, value) atomic_store_explicit(&(word), value, memory_order_relaxed)

/*
 * Adds to a counter. is_shared: another process counts in the same word. As long as
 * nobody else does, one instruction will do that a handler cannot split.
 */
static inline void counter_add(_Atomic uint64_t *counter, uint64_t by, bool is_shared)
{
#if defined(__x86_64__) && !defined(__SANITIZE_THREAD__) && !defined(__clang_analyzer__)
	if (__builtin_expect(__libc_single_threaded && !is_shared, 1)) {
		__asm__ volatile("addq %1, %0" : "+m"(*(uint64_t *)counter) : "er"(by) : "cc");
		return;
	}
#endif
	atomic_fetch_add_explicit(counter, by, memory_order_relaxed);
}

#endif
