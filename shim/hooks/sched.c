/* SPDX-License-Identifier: MIT */
/*
 * clone(), and vfork() of unistd.h: the child may live in our memory.
 *
 * Both return twice, and vfork()'s child goes back over the stack that it was called on, so
 * nothing of ours may be there: what is to be done is done first, and libc is jumped to.
 * Where that is not written, engine_memory() asks for the pid every time.
 */
#include <sched.h>
#include <unistd.h>

#include "shim/engine/engine.h"
#include "shim/libc.h"

#ifdef HOLDFAST_SEES_VFORK

/* What to jump to; called from below only. */
#define LEND(name)                                            \
	__attribute__((used)) static void *name##_lends(void) \
	{                                                     \
		engine_memory_lend();                         \
		return (void *)LIBC(name);                    \
	}
LEND(vfork)
LEND(clone)

/* All that may hold an argument is kept; the stack is as it was, its alignment for the call. */
#define JUMP(name)                                 \
	__asm__("push %rdi; push %rsi; push %rdx;" \
		"push %rcx; push %r8; push %r9;"   \
		"sub $8, %rsp;"                    \
		"call " #name "_lends;"            \
		"add $8, %rsp;"                    \
		"pop %r9; pop %r8; pop %rcx;"      \
		"pop %rdx; pop %rsi; pop %rdi;"    \
		"jmp *%rax")

HOOK __attribute__((naked)) pid_t vfork(void)
{
	JUMP(vfork);
}

HOOK __attribute__((naked)) int clone(int (*function)(void *), void *stack, int flags,
				      void *argument, ...)
{
	JUMP(clone);
}

#endif
