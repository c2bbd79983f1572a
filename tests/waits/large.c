/* SPDX-License-Identifier: MIT */
/* One held socket among thousands of descriptors: what is told, and what it costs. */
#include <sys/resource.h>

#include "waits.h"

#define MOST 10000
#define FEW 1000
#define WAITS 40
#define WAIT_MS 4

static struct pollfd waits[MOST];

/* Descriptors that are never ready, numbers of their own each. */
static void idle_descriptors(int *fds, int count)
{
	struct rlimit limit;
	int ends[2];

	REQUIRE(getrlimit(RLIMIT_NOFILE, &limit) == 0);
	if (limit.rlim_max < MOST + 100)
		check_skip("there are not 10,000 descriptors to be had");
	limit.rlim_cur = limit.rlim_max;
	REQUIRE(setrlimit(RLIMIT_NOFILE, &limit) == 0);
	REQUIRE(pipe2(ends, O_CLOEXEC) == 0);
	fds[0] = ends[0];
	for (int i = 1; i < count; i++) {
		fds[i] = dup(ends[0]);
		REQUIRE(fds[i] >= 0);
	}
}

/* ---- what is told ------------------------------------------------------------------------- */

static void array_fill(const int *idle, int count, int fd)
{
	for (int i = 0; i < count; i++)
		waits[i] = (struct pollfd){ .fd = idle[i], .events = POLLIN, .revents = -1 };
	waits[count - 1] = (struct pollfd){ .fd = fd, .events = POLLOUT, .revents = -1 };
	/* Twice, and one that is to be skipped. */
	waits[count / 2] = waits[count - 1];
	waits[count / 3].fd = -1;
}

static void told_in_array(void)
{
	static int idle[MOST];
	struct server server = server_late(LATE_MS);
	int fd;

	idle_descriptors(idle, MOST);
	fd = pending_socket(&server);
	array_fill(idle, MOST, fd);
	EXPECT_IS(poll(waits, MOST, 150), 0);
	for (int i = 0; i < MOST; i++)
		if (waits[i].revents != 0)
			REQUIRE(!"revents are cleared");
	EXPECT_IS(poll(waits, MOST, LIMIT_MS), 2);
	for (int i = 0; i < MOST; i++) {
		bool is_it = i == MOST - 1 || i == MOST / 2;

		if (waits[i].revents != (is_it ? POLLOUT : 0) ||
		    waits[i].fd != (is_it           ? fd
				    : i == MOST / 3 ? -1
						    : idle[i]))
			REQUIRE(!"each entry is told what is its own");
	}
	expect_works(fd);
	expect_one_recovered();
}

#define SET_BYTES 2048 /* room for 16384 descriptors */

struct wide_set {
	unsigned char bits[SET_BYTES];
	unsigned char beyond[64];
};

static void wide_fill(struct wide_set *set, const int *idle, int count)
{
	memset(set, 0, sizeof(*set));
	memset(set->beyond, 0xa5, sizeof(set->beyond));
	for (int i = 0; i < count; i++)
		set->bits[idle[i] / 8] |= (unsigned char)(1 << idle[i] % 8);
}

static int wide_count(const struct wide_set *set)
{
	int count = 0;

	for (unsigned int i = 0; i < SET_BYTES; i++)
		count += __builtin_popcount(set->bits[i]);
	for (unsigned int i = 0; i < sizeof(set->beyond); i++)
		EXPECT_IS(set->beyond[i], 0xa5);
	return count;
}

static bool wide_has(const struct wide_set *set, int fd)
{
	return set->bits[fd / 8] & 1 << fd % 8;
}

/* More descriptors than FD_SETSIZE, as programs do that make their own sets. */
static void told_in_wide_set(void)
{
	static int idle[MOST];
	static struct wide_set readable, writable;
	struct server server = server_late(LATE_MS);
	struct timeval span = { 0, 150000 };
	int fd, last;

	idle_descriptors(idle, MOST);
	fd = pending_socket(&server);
	last = fd > idle[MOST - 1] ? fd : idle[MOST - 1];
	REQUIRE(last / 8 < SET_BYTES && fd >= FD_SETSIZE);
	wide_fill(&readable, idle, MOST);
	wide_fill(&writable, &fd, 1);
	EXPECT_IS(select(last + 1, (fd_set *)&readable, (fd_set *)&writable, NULL, &span), 0);
	EXPECT_IS(wide_count(&readable) + wide_count(&writable), 0);
	wide_fill(&readable, idle, MOST);
	wide_fill(&writable, &fd, 1);
	span = (struct timeval){ LIMIT_MS / 1000, 0 };
	EXPECT_IS(select(last + 1, (fd_set *)&readable, (fd_set *)&writable, NULL, &span), 1);
	EXPECT_IS(wide_count(&readable), 0);
	EXPECT_IS(wide_count(&writable), 1);
	EXPECT(wide_has(&writable, fd));
	expect_works(fd);
	expect_one_recovered();
}

/* The sets end where the highest descriptor does: not a byte more is theirs. */
static void told_in_narrow_set(void)
{
	struct server server = server_late(LATE_MS);
	long page = sysconf(_SC_PAGESIZE);
	struct timeval span = { LIMIT_MS / 1000, 0 };
	int fd = pending_socket(&server);
	unsigned char *edge, *bits;

	edge = mmap(NULL, (size_t)(2 * page), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		    -1, 0);
	REQUIRE(edge != MAP_FAILED && mprotect(edge + page, (size_t)page, PROT_NONE) == 0);
	REQUIRE(fd < 64);
	/* The kernel takes whole words. */
	bits = edge + page - sizeof(long);
	bits[fd / 8] |= (unsigned char)(1 << fd % 8);
	EXPECT_IS(select(fd + 1, NULL, (fd_set *)(void *)bits, NULL, &span), 1);
	EXPECT(bits[fd / 8] & 1 << fd % 8);
	expect_works(fd);
	expect_one_recovered();
}

/* ---- what it costs -------------------------------------------------------------------------- */

/* Of one wait; the quickest of several rounds, so that chance has no part in it. */
static int64_t cost_us(void (*wait)(const int *idle, int count, int fd, int set), const int *idle,
		       int count, int fd, int set)
{
	int64_t least = INT64_MAX;

	for (int round = 0; round < 4; round++) {
		int64_t began = cpu_us();

		for (int i = 0; i < WAITS / 4; i++)
			wait(idle, count, fd, set);
		began = (cpu_us() - began) / (WAITS / 4);
		if (began < least)
			least = began;
	}
	return least;
}

static void cost_poll(const int *idle, int count, int fd, int set)
{
	waits[count - 1].fd = fd;
	REQUIRE(poll(waits, (nfds_t)count, WAIT_MS) == 0);
}

static void cost_select(const int *idle, int count, int fd, int set)
{
	static struct wide_set readable, writable;
	struct timeval span = { 0, WAIT_MS * 1000 };
	int last = fd > idle[count - 1] ? fd : idle[count - 1];

	wide_fill(&readable, idle, count);
	wide_fill(&writable, &fd, 1);
	REQUIRE(select(last + 1, (fd_set *)&readable, (fd_set *)&writable, NULL, &span) == 0);
}

static void cost_epoll(const int *idle, int count, int fd, int set)
{
	REQUIRE(set_wait(set, WAIT_MS) == 0);
}

/* Ten times the descriptors shall cost ten times as much; a hundred times would be quadratic. */
static void costs_grow(void (*wait)(const int *, int, int, int), bool uses_set, int times)
{
	static int idle[MOST];
	struct server server = server_never();
	int few_set = set_make(), most_set = set_make();
	int64_t few, most;
	int fd;

	fd = pending_socket(&server);
	idle_descriptors(idle, MOST);
	for (int i = 0; i < MOST; i++)
		waits[i] = (struct pollfd){ .fd = idle[i], .events = POLLIN };
	for (int i = 0; uses_set && i < MOST; i++) {
		set_add(most_set, idle[i], EPOLLIN);
		if (i < FEW)
			set_add(few_set, idle[i], EPOLLIN);
	}
	set_add(few_set, fd, EPOLLOUT);
	set_add(most_set, fd, EPOLLOUT);
	EXPECT_IS(poll_out(fd, 150), 0);
	few = cost_us(wait, idle, FEW, fd, few_set);
	most = cost_us(wait, idle, MOST, fd, most_set);
	/* What is too little to measure may be any fraction of it. */
	EXPECT_WITHIN(most, 0, times * (few < 20 ? 20 : few));
}

static void costs_of_poll(void)
{
	costs_grow(cost_poll, false, 25);
}

static void costs_of_select(void)
{
	costs_grow(cost_select, false, 25);
}

static void costs_of_epoll(void)
{
	costs_grow(cost_epoll, true, 4);
}

#define NEVER(name, run) SAME_UNDER(POLICY_FOR_EVER, name, run)

static const struct check_case cases[] = {
	SAME("poll of 10,000: each entry is told what is its own", told_in_array),
	SAME("select of 10,000, more than FD_SETSIZE", told_in_wide_set),
	SAME("select with sets as small as they may be", told_in_narrow_set),
	NEVER("poll of 10,000 costs ten times that of 1,000", costs_of_poll),
	NEVER("select of 10,000 costs ten times that of 1,000", costs_of_select),
	NEVER("epoll_wait of 10,000 costs what it costs of 1,000", costs_of_epoll),
};

WAITS_MAIN(cases, 6)
