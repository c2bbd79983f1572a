/* SPDX-License-Identifier: MIT */
#include "heartbeat.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include "shim/sys.h"

#define SECOND UINT64_C(1000000000)
#define MILLISECOND UINT64_C(1000000)

static int option_number(int fd, int level, int name)
{
	int value = 0;
	socklen_t length = sizeof(value);

	/* What cannot be asked cannot be set either. */
	return SYS(SYS_getsockopt, fd, level, name, &value, &length) < 0 ? -1 : value;
}

static void option_set(int fd, int level, int name, uint64_t value)
{
	int number = value > INT32_MAX ? INT32_MAX : (int)value;

	SYS(SYS_setsockopt, fd, level, name, &number, sizeof(number));
}

/* The kernel counts these in whole seconds, up to 32767. */
static uint64_t whole_seconds(uint64_t ns)
{
	uint64_t seconds = (ns + SECOND - 1) / SECOND;

	return seconds < 1 ? 1 : seconds > 32767 ? 32767 : seconds;
}

void heartbeat_begin(int fd, const struct policy_heartbeat *heartbeat)
{
	uint64_t timeout = heartbeat->user_timeout_ns;
	int saved_errno = errno;

	if (!heartbeat_beats(heartbeat))
		return;
	if (heartbeat->idle_ns != DURATION_OFF &&
	    option_number(fd, SOL_SOCKET, SO_KEEPALIVE) == 0) {
		option_set(fd, IPPROTO_TCP, TCP_KEEPIDLE, whole_seconds(heartbeat->idle_ns));
		option_set(fd, IPPROTO_TCP, TCP_KEEPINTVL, whole_seconds(heartbeat->interval_ns));
		option_set(fd, IPPROTO_TCP, TCP_KEEPCNT, heartbeat->count);
		option_set(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
	}
	if (timeout == DURATION_OFF)
		timeout = heartbeat->idle_ns + heartbeat->interval_ns * heartbeat->count;
	if (option_number(fd, IPPROTO_TCP, TCP_USER_TIMEOUT) == 0)
		option_set(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, timeout / MILLISECOND);
	errno = saved_errno;
}
