/* SPDX-License-Identifier: MIT */
#include "tcp.h"

#include <linux/errqueue.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>

#include "shim/sys.h"

static bool option_get(int fd, int level, int name, void *value, socklen_t length)
{
	int saved_errno = errno;
	bool got = SYS(SYS_getsockopt, fd, level, name, value, &length) == 0;

	errno = saved_errno;
	return got;
}

static int tcp_state(int fd)
{
	struct tcp_info info;

	info.tcpi_state = 0;
	/* The state is the first byte; asking for no more is cheaper. */
	return option_get(fd, IPPROTO_TCP, TCP_INFO, &info, 1) ? info.tcpi_state : 0;
}

bool tcp_is_connected(int fd)
{
	int state = tcp_state(fd);

	return state && state != TCP_CLOSE && state != TCP_SYN_SENT && state != TCP_LISTEN;
}

bool tcp_is_connecting(int fd)
{
	return tcp_state(fd) == TCP_SYN_SENT;
}

bool tcp_is_connected_whole(int fd)
{
	return tcp_state(fd) == TCP_ESTABLISHED;
}

bool fd_takes_output(int fd)
{
	struct pollfd look = { .fd = fd, .events = POLLOUT };
	const struct timespec at_once = { 0, 0 };
	int saved_errno = errno;
	bool takes = SYS(SYS_ppoll, &look, 1, &at_once, NULL, 0) > 0 && look.revents & POLLOUT;

	errno = saved_errno;
	return takes;
}

int socket_unread(int fd)
{
	int saved_errno = errno, bytes = 0;

	if (SYS(SYS_ioctl, fd, FIONREAD, &bytes) < 0)
		bytes = 0;
	errno = saved_errno;
	return bytes;
}

bool tcp_is_closed(int fd)
{
	return tcp_state(fd) == TCP_CLOSE;
}

int socket_error(int fd)
{
	int error = 0;

	return option_get(fd, SOL_SOCKET, SO_ERROR, &error, sizeof(error)) ? error : 0;
}

void tcp_reset(int fd)
{
	const struct sockaddr nowhere = { .sa_family = AF_UNSPEC };
	int saved_errno = errno;
	char control[512], data[64];

	SYS(SYS_connect, fd, &nowhere, sizeof(nowhere));
	/* Out of SYN_SENT that leaves an ECONNRESET, which nobody caused. */
	socket_error(fd);
	for (int i = 0; i < 64; i++) {
		struct iovec vector = { data, sizeof(data) };
		struct msghdr message = {
			.msg_iov = &vector,
			.msg_iovlen = 1,
			.msg_control = control,
			.msg_controllen = sizeof(control),
		};

		if (SYS(SYS_recvmsg, fd, &message, MSG_ERRQUEUE | MSG_DONTWAIT) < 0)
			break;
	}
	errno = saved_errno;
}

bool socket_is_fresh(int fd)
{
	struct sockaddr_in6 own = { 0 };
	socklen_t length = sizeof(own);
	int saved_errno = errno;
	/* The port lies at the same place in both families. */
	bool is_fresh = SYS(SYS_getsockname, fd, &own, &length) == 0 && own.sin6_port == 0;

	errno = saved_errno;
	return is_fresh;
}

bool tcp_is_self_connected(int fd)
{
	struct sockaddr_storage own = { 0 }, peer = { 0 };
	socklen_t own_length = sizeof(own), peer_length = sizeof(peer);
	int saved_errno = errno;
	bool same = SYS(SYS_getsockname, fd, &own, &own_length) == 0 &&
		    SYS(SYS_getpeername, fd, &peer, &peer_length) == 0 &&
		    own_length == peer_length && memcmp(&own, &peer, own_length) == 0;

	errno = saved_errno;
	return same;
}

bool send_timeout_get(int fd, struct timeval *timeout)
{
	return option_get(fd, SOL_SOCKET, SO_SNDTIMEO, timeout, sizeof(*timeout));
}

bool receive_timeout_get(int fd, struct timeval *timeout)
{
	return option_get(fd, SOL_SOCKET, SO_RCVTIMEO, timeout, sizeof(*timeout));
}

void send_timeout_set(int fd, const struct timeval *timeout)
{
	int saved_errno = errno;

	SYS(SYS_setsockopt, fd, SOL_SOCKET, SO_SNDTIMEO, timeout, sizeof(*timeout));
	errno = saved_errno;
}

int64_t socket_timeout_until(const struct timeval *timeout, int64_t from_ns)
{
	if (!timeout->tv_sec && !timeout->tv_usec)
		return INT64_MAX;
	return from_ns + timeout->tv_sec * INT64_C(1000000000) + timeout->tv_usec * 1000;
}

int connect_start(int fd, const struct sockaddr *peer, socklen_t length)
{
	int saved_errno = errno;
	uint64_t signals;
	int error = 0;
	int flags;

	flags = sys_fcntl(fd, F_GETFL, 0);
	if (flags & O_NONBLOCK) {
		if (SYS(SYS_connect, fd, peer, length) < 0)
			error = errno;
		errno = saved_errno;
		return error;
	}
	/* No handler may jump away while the program's flag is changed. */
	sys_signals_block(&signals);
	sys_fcntl(fd, F_SETFL, flags | O_NONBLOCK);
	if (SYS(SYS_connect, fd, peer, length) < 0)
		error = errno;
	sys_fcntl(fd, F_SETFL, flags);
	sys_signals_restore(&signals);
	errno = saved_errno;
	return error;
}

uint64_t socket_cookie(int fd)
{
	uint64_t cookie = 0;

	return option_get(fd, SOL_SOCKET, SO_COOKIE, &cookie, sizeof(cookie)) ? cookie : 0;
}

int socket_type(int fd)
{
	int type = -1;

	return option_get(fd, SOL_SOCKET, SO_TYPE, &type, sizeof(type)) ? type : -1;
}

int socket_family(int fd)
{
	int family = -1;

	return option_get(fd, SOL_SOCKET, SO_DOMAIN, &family, sizeof(family)) ? family : -1;
}

bool fd_is_nonblocking(int fd)
{
	int saved_errno = errno;
	int flags = sys_fcntl(fd, F_GETFL, 0);

	errno = saved_errno;
	return flags >= 0 && (flags & O_NONBLOCK);
}
