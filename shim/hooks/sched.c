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

/* What libc exports and declares nowhere. */
pid_t __vfork(void);
int __clone(int (*function)(void *), void *stack, int flags, void *argument, ...);

/* What to jump to; called from below only. */
#define LEND(name)                                            \
	__attribute__((used)) static void *name##_lends(void) \
	{                                                     \
		engine_memory_lend();                         \
		return (void *)LIBC(name);                    \
	}
LEND(vfork)
LEND(__vfork)
LEND(clone)
LEND(__clone)

/*
 * All that may hold an argument is kept, of a library's own clone() too that is something
 * else; the stack is as it was. Seven words and 128 bytes align it for the call.
 */
#define JUMP(name)                                                 \
	__asm__("push %rax; push %rdi; push %rsi; push %rdx;"      \
		"push %rcx; push %r8; push %r9;"                   \
		"sub $128, %rsp;"                                  \
		"movups %xmm0, 0(%rsp); movups %xmm1, 16(%rsp);"   \
		"movups %xmm2, 32(%rsp); movups %xmm3, 48(%rsp);"  \
		"movups %xmm4, 64(%rsp); movups %xmm5, 80(%rsp);"  \
		"movups %xmm6, 96(%rsp); movups %xmm7, 112(%rsp);" \
		"call " #name "_lends;"                            \
		"mov %rax, %r11;"                                  \
		"movups 0(%rsp), %xmm0; movups 16(%rsp), %xmm1;"   \
		"movups 32(%rsp), %xmm2; movups 48(%rsp), %xmm3;"  \
		"movups 64(%rsp), %xmm4; movups 80(%rsp), %xmm5;"  \
		"movups 96(%rsp), %xmm6; movups 112(%rsp), %xmm7;" \
		"add $128, %rsp;"                                  \
		"pop %r9; pop %r8; pop %rcx;"                      \
		"pop %rdx; pop %rsi; pop %rdi; pop %rax;"          \
		"jmp *%r11")

HOOK __attribute__((naked)) pid_t vfork(void)
{
	JUMP(vfork);
}

HOOK __attribute__((naked)) pid_t __vfork(void)
{
	JUMP(__vfork);
}

HOOK __attribute__((naked)) int clone(int (*function)(void *), void *stack, int flags,
				      void *argument, ...)
{
	JUMP(clone);
}

HOOK __attribute__((naked)) int __clone(int (*function)(void *), void *stack, int flags,
					void *argument, ...)
{
	JUMP(__clone);
}

#endif
