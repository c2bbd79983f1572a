/* SPDX-License-Identifier: MIT */
#include "probe.h"

#include <arpa/inet.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>

#include "shim/store/clock.h"
#include "shim/sys.h"

static int raw_socket(int family, int type, int protocol)
{
	return (int)SYS(SYS_socket, family, type | SOCK_CLOEXEC, protocol);
}

/* ---- loopback: the kernel knows ------------------------------------------------- */

static bool is_loopback(const struct sockaddr_storage *address)
{
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;

	if (address->ss_family == AF_INET) {
		memcpy(&v4, address, sizeof(v4));
		return ntohl(v4.sin_addr.s_addr) >> 24 == 127;
	}
	memcpy(&v6, address, sizeof(v6));
	return IN6_IS_ADDR_LOOPBACK(&v6.sin6_addr);
}

struct diag_request {
	struct nlmsghdr header;
	struct inet_diag_req_v2 request;
};

static void diag_fill(struct diag_request *message, const struct sockaddr_storage *address)
{
	struct inet_diag_sockid *id = &message->request.id;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;

	message->header.nlmsg_len = sizeof(*message);
	message->header.nlmsg_type = SOCK_DIAG_BY_FAMILY;
	message->header.nlmsg_flags = NLM_F_REQUEST;
	message->request.sdiag_family = (uint8_t)address->ss_family;
	message->request.sdiag_protocol = IPPROTO_TCP;
	message->request.idiag_states = 1u << TCP_LISTEN;
	/* An exact lookup, as the kernel does it for a SYN: wildcard listeners are found too. */
	if (address->ss_family == AF_INET) {
		memcpy(&v4, address, sizeof(v4));
		memcpy(id->idiag_src, &v4.sin_addr, 4);
		memcpy(id->idiag_dst, &v4.sin_addr, 4);
		id->idiag_sport = v4.sin_port;
	} else {
		memcpy(&v6, address, sizeof(v6));
		memcpy(id->idiag_src, &v6.sin6_addr, 16);
		memcpy(id->idiag_dst, &v6.sin6_addr, 16);
		id->idiag_sport = v6.sin6_port;
	}
	id->idiag_cookie[0] = INET_DIAG_NOCOOKIE;
	id->idiag_cookie[1] = INET_DIAG_NOCOOKIE;
}

/* False if the kernel will not say: netlink refused by a filter, or without this protocol. */
static bool diag_ask(struct probe *probe)
{
	struct diag_request message = { 0 };
	struct {
		struct nlmsghdr header;
		union {
			struct nlmsgerr error;
			struct inet_diag_msg socket;
			char room[512];
		};
	} reply;
	ssize_t length = -1;
	int fd = raw_socket(AF_NETLINK, SOCK_RAW, NETLINK_SOCK_DIAG);

	if (fd < 0)
		return false;
	diag_fill(&message, &probe->address);
	if (SYS(SYS_sendto, fd, &message, sizeof(message), MSG_NOSIGNAL, NULL, 0) ==
	    (ssize_t)sizeof(message))
		length = SYS(SYS_recvfrom, fd, &reply, sizeof(reply), MSG_DONTWAIT, NULL, NULL);
	sys_close(fd);
	if (length < (ssize_t)(sizeof(reply.header) + sizeof(reply.error.error)))
		return false;
	if (reply.header.nlmsg_type == NLMSG_ERROR) {
		probe->answer = PROBE_DOWN;
		return reply.error.error == -ENOENT;
	}
	probe->answer = reply.socket.idiag_state == TCP_LISTEN ? PROBE_UP : PROBE_DOWN;
	return reply.header.nlmsg_type == SOCK_DIAG_BY_FAMILY;
}

/* ---- elsewhere: half a handshake ---------------------------------------------------- */

/* The fd of a probe under way, or -1 with the answer. */
static int handshake_begin(struct probe *probe)
{
	const struct linger abort = { .l_onoff = 1, .l_linger = 0 };
	const int defer = 1;
	int fd = raw_socket(probe->address.ss_family, SOCK_STREAM | SOCK_NONBLOCK, 0);

	probe->answer = PROBE_DOWN;
	if (fd < 0)
		return -1;
	SYS(SYS_setsockopt, fd, SOL_SOCKET, SO_LINGER, &abort, sizeof(abort));
	SYS(SYS_setsockopt, fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, &defer, sizeof(defer));
	if (SYS(SYS_connect, fd, &probe->address, probe->length) == 0) {
		probe->answer = PROBE_UP;
	} else if (errno == EINPROGRESS) {
		probe->answer = PROBE_SILENT;
		return fd;
	}
	sys_close(fd);
	return -1;
}

static void handshake_read(struct probe *probe, int fd)
{
	int error = 0;
	socklen_t length = sizeof(error);

	if (SYS(SYS_getsockopt, fd, SOL_SOCKET, SO_ERROR, &error, &length) < 0 || error)
		probe->answer = PROBE_DOWN;
	else
		probe->answer = PROBE_UP;
}

int probe_begin(struct probe *probe)
{
	return is_loopback(&probe->address) && diag_ask(probe) ? -1 : handshake_begin(probe);
}

bool probe_look(struct probe *probe, int fd)
{
	struct pollfd waiting = { .fd = fd, .events = POLLOUT };
	const struct timespec at_once = { 0, 0 };

	if (SYS(SYS_ppoll, &waiting, 1, &at_once, NULL, 0) <= 0)
		return false;
	handshake_read(probe, fd);
	return true;
}

static int64_t now_ms(void)
{
	return clock_kernel_ns(CLOCK_MONOTONIC) / 1000000;
}

/* Until one is up, all have answered, or the time is over. */
static void handshakes_wait(struct probe *probes, struct pollfd *waiting, unsigned int count,
			    int wait_ms)
{
	int64_t until = now_ms() + wait_ms;
	bool open = true;

	while (open) {
		int64_t left = until - now_ms();
		struct timespec timeout = { left / 1000, left % 1000 * 1000000 };

		open = false;
		for (unsigned int i = 0; i < count; i++)
			open = open || waiting[i].fd >= 0;
		if (!open || left < 0 || SYS(SYS_ppoll, waiting, count, &timeout, NULL, 0) <= 0)
			break;
		for (unsigned int i = 0; i < count; i++) {
			if (waiting[i].fd < 0 || !waiting[i].revents)
				continue;
			handshake_read(&probes[i], waiting[i].fd);
			sys_close(waiting[i].fd);
			waiting[i].fd = -1;
			if (probes[i].answer == PROBE_UP)
				open = false;
		}
	}
}

void probe_ask(struct probe *probes, unsigned int count, int wait_ms)
{
	struct pollfd waiting[PROBES_MAX];
	int saved_errno = errno;
	uint64_t signals;

	/* Our sockets must not be left open by a handler that jumps. */
	sys_signals_block(&signals);
	for (unsigned int i = 0; i < count; i++) {
		waiting[i].events = POLLOUT;
		waiting[i].fd = probe_begin(&probes[i]);
	}
	handshakes_wait(probes, waiting, count, wait_ms);
	for (unsigned int i = 0; i < count; i++)
		if (waiting[i].fd >= 0)
			sys_close(waiting[i].fd);
	sys_signals_restore(&signals);
	errno = saved_errno;
}
