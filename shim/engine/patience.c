/* SPDX-License-Identifier: MIT */
#include "patience.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <string.h>

#include "call.h"
#include "engine.h"
#include "operation.h"
#include "pending.h"
#include "shim/sys.h"

#define MS_NS INT64_C(1000000)

int64_t wait_began(bool is_timed)
{
	/* Not by the coarse clock: on a virtual machine it can be behind by any time. */
	return is_timed && !wait_is_alone() ? clock_ns() : 0;
}

int64_t wait_until_ms(int64_t began_ns, int timeout_ms)
{
	if (timeout_ms < 0)
		return WAIT_FOREVER;
	return (began_ns ? began_ns : clock_ns()) + timeout_ms * MS_NS;
}

int64_t wait_until(int64_t began_ns, const struct timespec *timeout)
{
	if (!timeout || timeout->tv_sec > INT32_MAX)
		return WAIT_FOREVER;
	return (began_ns ? began_ns : clock_ns()) + timeout->tv_sec * SECOND_NS + timeout->tv_nsec;
}

bool wait_is_over(int64_t until_ns)
{
	return until_ns != WAIT_FOREVER && clock_ns() >= until_ns;
}

int64_t wait_left_ns(int64_t until_ns)
{
	int64_t left = until_ns == WAIT_FOREVER ? WAIT_FOREVER : until_ns - clock_ns();

	return left > 0 ? left : 0;
}

/* Whatever else goes wrong between threads, nobody waits for longer than this while one is held. */
#define BLIND_NS INT64_C(100000000)

int64_t wait_serve(int64_t until_ns)
{
	int64_t due = pending_run();
	int64_t blind = pending_any_held() ? clock_ns() + BLIND_NS : WAIT_FOREVER;

	if (due > blind)
		due = blind;
	return due < until_ns ? due : until_ns;
}

/* A year, so that no conversion overflows. */
#define LONG_NS (INT64_C(365) * 86400 * SECOND_NS)

struct timespec wait_span(int64_t until_ns)
{
	int64_t left = wait_left_ns(until_ns);

	if (left > LONG_NS)
		left = LONG_NS;
	return (struct timespec){ left / SECOND_NS, left % SECOND_NS };
}

int wait_span_ms(int64_t until_ns)
{
	int64_t left = wait_left_ns(until_ns);

	if (left == WAIT_FOREVER)
		return -1;
	left = (left + MS_NS - 1) / MS_NS;
	return left > INT32_MAX ? INT32_MAX : (int)left;
}

/* ---- what a wait needs meanwhile ---------------------------------------------------------- */

void wait_mask_begin(struct wait_mask *mask, const sigset_t *inside)
{
	if (mask->is_begun)
		return;
	mask->is_begun = true;
	sys_signals_block(&mask->before);
	if (inside) {
		mask->inside = *inside;
		return;
	}
	memset(&mask->inside, 0, sizeof(mask->inside));
	memcpy(&mask->inside, &mask->before, sizeof(mask->before));
}

void wait_mask_end(struct wait_mask *mask)
{
	if (!mask->is_begun)
		return;
	mask->is_begun = false;
	sys_signals_restore(&mask->before);
}

bool wait_is_refused(void)
{
	return errno != EINTR && errno != EBADF && errno != EFAULT && errno != EINVAL &&
	       errno != ENOMEM;
}

bool timeout_is_valid(const struct timespec *timeout)
{
	return !timeout ||
	       (timeout->tv_sec >= 0 && timeout->tv_nsec >= 0 && timeout->tv_nsec < SECOND_NS);
}

static _Thread_local void *scratch __attribute__((tls_model("initial-exec")));
static _Thread_local size_t scratch_size __attribute__((tls_model("initial-exec")));

void *scratch_get(size_t size)
{
	int saved_errno = errno;

	if (size > scratch_size) {
		void *made = sys_mmap(NULL, size, PROT_READ | PROT_WRITE,
				      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (made == MAP_FAILED)
			return NULL;
		if (scratch)
			sys_munmap(scratch, scratch_size);
		scratch = made;
		scratch_size = size;
	}
	errno = saved_errno;
	return scratch;
}

bool set_is_ready(int set)
{
	/* A set never says more than POLLIN; what its number has come to stand for unseen may. */
	struct pollfd look = { .fd = set, .events = POLLIN | POLLPRI | POLLOUT | POLLRDHUP };
	const struct timespec at_once = { 0, 0 };
	int saved_errno = errno;
	bool ready;

	pending_look_at_all();
	ready = SYS(SYS_ppoll, &look, 1, &at_once, NULL, 0) != 0;
	errno = saved_errno;
	return ready;
}

/* ---- who waits ----------------------------------------------------------------------- */

#define WAITERS 256

struct waiter {
	_Atomic int32_t thread;   /* 0: free */
	_Atomic int32_t process;  /* 0: before it attached */
	_Atomic int64_t until_ns; /* 0: does not wait */
	_Atomic int32_t set;
};

static struct waiter waiters[WAITERS];
static struct waiter nobody; /* for threads beyond those */
static _Thread_local struct waiter *own __attribute__((tls_model("initial-exec")));

static bool thread_lives(int32_t thread)
{
	int saved_errno = errno;
	bool lives = SYS(SYS_tgkill, sys_getpid(), thread, 0) == 0;

	errno = saved_errno;
	return lives;
}

static __attribute__((noinline, cold)) struct waiter *waiter_claim(void)
{
	int32_t thread = (int32_t)SYS(SYS_gettid);
	struct waiter *claimed = &nobody;

	for (int round = 0; round < 2 && claimed == &nobody; round++)
		for (int i = 0; i < WAITERS && claimed == &nobody; i++) {
			int32_t holder = waiters[i].thread;

			/* The dead are looked for only when nothing is free. */
			if (holder && (round == 0 || thread_lives(holder)))
				continue;
			if (atomic_compare_exchange_strong(&waiters[i].thread, &holder, thread))
				claimed = &waiters[i];
		}
	claimed->process = engine_owner();
	own = claimed;
	return claimed;
}

void waiter_begin(int set, int64_t until_ns)
{
	struct waiter *waiter = own;

	/* A forked child's copy names a thread of its parent. */
	if (__builtin_expect(!waiter || waiter->process != engine_owner(), 0))
		waiter = waiter_claim();
	atomic_store_explicit(&waiter->set, set, memory_order_relaxed);
	atomic_store(&waiter->until_ns, until_ns);
}

void waiter_end(void)
{
	atomic_store_explicit(&own->until_ns, 0, memory_order_relaxed);
}

bool waiters_beyond(int64_t at_ns, bool (*concerns)(int set, int fd), int fd)
{
	for (int i = 0; i < WAITERS && waiters[i].thread; i++)
		if (&waiters[i] != own && atomic_load(&waiters[i].until_ns) > at_ns &&
		    (!concerns || concerns(waiters[i].set, fd)) && thread_lives(waiters[i].thread))
			return true;
	return false;
}
