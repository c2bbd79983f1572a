/* SPDX-License-Identifier: MIT */
/* The counters of struct tcp_info, which libc's own header does not have all of. */
#include <asm/ioctls.h>
#include <errno.h>
#include <linux/tcp.h>

#include "shim/sys.h"
#include "tcp.h"

/* TCP_CLOSE, which only libc's header has. */
#define CLOSED 7

static bool info_get(int fd, struct tcp_info *info)
{
	socklen_t length = sizeof(*info);
	int saved_errno = errno;
	bool got = SYS(SYS_getsockopt, fd, 6 /* IPPROTO_TCP */, TCP_INFO, info, &length) == 0;

	errno = saved_errno;
	return got;
}

bool tcp_bytes_acknowledged(int fd, uint64_t *bytes)
{
	struct tcp_info info = { .tcpi_bytes_acked = 0 };
	bool known = info_get(fd, &info);

	*bytes = info.tcpi_bytes_acked ? info.tcpi_bytes_acked - 1 : 0;
	return known;
}

bool tcp_bytes_written(int fd, uint64_t *bytes)
{
	int saved_errno = errno, queued = 0;
	/* What is acknowledged in between is missed, and never counted twice. */
	bool known = tcp_bytes_acknowledged(fd, bytes) &&
		     SYS(SYS_ioctl, fd, TIOCOUTQ, &queued) == 0;

	*bytes += (uint64_t)queued;
	errno = saved_errno;
	return known;
}

/* Segments are counted without the end of the stream, bytes without what was not accepted. */
static bool has_received(const struct tcp_info *info)
{
	return info->tcpi_data_segs_in && info->tcpi_bytes_received;
}

bool tcp_has_received(int fd)
{
	struct tcp_info info = { .tcpi_data_segs_in = 0 };

	return info_get(fd, &info) && has_received(&info);
}

bool tcp_bytes_received(int fd, uint64_t *bytes)
{
	struct tcp_info info = { .tcpi_bytes_received = 0 };
	bool known = info_get(fd, &info);

	*bytes = info.tcpi_bytes_received;
	return known;
}

bool tcp_has_moved(int fd)
{
	struct tcp_info info = { .tcpi_bytes_acked = 0 };

	return info_get(fd, &info) &&
	       (info.tcpi_bytes_sent || info.tcpi_bytes_acked > 1 || has_received(&info));
}

bool tcp_is_lost(int fd)
{
	struct tcp_info info = { .tcpi_bytes_acked = 0 };

	/* Of a socket that never was connected not even a SYN was acknowledged. */
	return info_get(fd, &info) && info.tcpi_state == CLOSED && info.tcpi_bytes_acked;
}
