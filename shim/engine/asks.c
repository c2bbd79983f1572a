/* SPDX-License-Identifier: MIT */
#include "asks.h"

#include <string.h>
#include <sys/resource.h>

#include "operation.h"
#include "shim/sys.h"
#include "tcp.h"

/* A name has no more addresses. */
#define ASKS PROBES_MAX

struct ask {
	struct probe probe;
	uint64_t cookie; /* of its socket: the program may have closed everything */
	int64_t until_ns;
	int fd; /* plus 1; 0: free */
};

static struct ask asks[ASKS];

static void ask_end(struct ask *ask)
{
	if (socket_cookie(ask->fd - 1) == ask->cookie)
		sys_close(ask->fd - 1);
	ask->fd = 0;
}

/* A socket that a fork left behind is the parent's question, closed by now there. */
static struct ask *ask_find(const struct sockaddr_storage *address, int64_t now)
{
	struct ask *unused = NULL;

	for (unsigned int i = 0; i < ASKS; i++) {
		struct ask *ask = &asks[i];

		if (ask->fd && memcmp(&ask->probe.address, address, sizeof(*address)) == 0)
			return ask;
		if (ask->fd && ask->until_ns < now)
			ask_end(ask);
		if (!ask->fd)
			unused = ask;
	}
	return unused;
}

/* Above what programs expect their own sockets to be, if the limit has room there. */
static int fd_raise(int fd)
{
	struct rlimit limit = { 0, 0 };
	int raised;

	SYS(SYS_getrlimit, RLIMIT_NOFILE, &limit);
	raised = limit.rlim_cur > 2 * ASKS
			 ? sys_fcntl(fd, F_DUPFD_CLOEXEC, (long)limit.rlim_cur - ASKS)
			 : -1;
	if (raised < 0)
		return fd;
	sys_close(fd);
	return raised;
}

static enum ask_answer ask_begin(struct ask *ask, const struct sockaddr_storage *address,
				 socklen_t length, int64_t now)
{
	int fd;

	ask->probe.address = *address;
	ask->probe.length = length;
	fd = probe_begin(&ask->probe);
	if (fd < 0)
		return ask->probe.answer == PROBE_UP ? ASK_UP : ASK_DOWN;
	fd = fd_raise(fd);
	ask->fd = fd + 1;
	ask->cookie = socket_cookie(fd);
	ask->until_ns = now + ASK_NS;
	return ASK_OPEN;
}

enum ask_answer ask_address(const struct sockaddr_storage *address, socklen_t length)
{
	int64_t now = clock_ns();
	struct ask *ask = ask_find(address, now);
	enum ask_answer answer = ASK_OPEN;

	if (!ask)
		return ASK_SILENT;
	if (!ask->fd)
		return ask_begin(ask, address, length, now);
	if (socket_cookie(ask->fd - 1) != ask->cookie)
		answer = ASK_SILENT;
	else if (probe_look(&ask->probe, ask->fd - 1))
		answer = ask->probe.answer == PROBE_UP ? ASK_UP : ASK_DOWN;
	else if (ask->until_ns <= now)
		answer = ASK_SILENT;
	if (answer != ASK_OPEN)
		ask_end(ask);
	return answer;
}
