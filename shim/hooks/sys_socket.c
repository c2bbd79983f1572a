/* SPDX-License-Identifier: MIT */
/* sys/socket.h */
#include <limits.h>
#include <netinet/in.h>
#include <string.h>

#include "fortify.h"
#include "shim/engine/connect.h"
#include "shim/engine/engine.h"
#include "shim/engine/options.h"
#include "shim/engine/transfer.h"
#include "shim/libc.h"

/* Sockets that connect() may be asked to manage; of the others nothing is remembered. */
static unsigned int kind_of(int domain, int type, int protocol)
{
	unsigned int mode = type & SOCK_NONBLOCK ? FD_NONBLOCKING : 0;
	int base = type & ~(SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (domain == AF_UNIX)
		return base == SOCK_STREAM ? FD_STREAM | mode : 0;
	if (domain != AF_INET && domain != AF_INET6)
		return 0;
	if (base == SOCK_STREAM && (!protocol || protocol == IPPROTO_TCP))
		return FD_STREAM | mode;
	if (base == SOCK_DGRAM && (!protocol || protocol == IPPROTO_UDP))
		return FD_DATAGRAM | mode;
	return 0;
}

HOOK int socket(int domain, int type, int protocol)
{
	int fd = LIBC(socket)(domain, type, protocol);

	if (fd >= 0) {
		unsigned int kind = kind_of(domain, type, protocol);

		if (kind && domain != AF_UNIX)
			engine_network_seen();
		fd_opened(fd, kind);
	}
	return fd;
}

HOOK int socketpair(int domain, int type, int protocol, int fds[2])
{
	int result = LIBC(socketpair)(domain, type, protocol, fds);

	if (result == 0) {
		fd_opened(fds[0], 0);
		fd_opened(fds[1], 0);
	}
	return result;
}

HOOK int accept(int fd, struct sockaddr *peer, socklen_t *length)
{
	int accepted = LIBC(accept)(fd, peer, length);

	if (accepted >= 0)
		fd_opened(accepted, 0);
	return accepted;
}

HOOK int accept4(int fd, struct sockaddr *peer, socklen_t *length, int flags)
{
	int accepted = LIBC(accept4)(fd, peer, length, flags);

	if (accepted >= 0)
		fd_opened(accepted, 0);
	return accepted;
}

HOOK int connect(int fd, const struct sockaddr *peer, socklen_t length)
{
	return engine_connect(fd, peer, length);
}

HOOK int bind(int fd, const struct sockaddr *own, socklen_t length)
{
	return engine_bind(fd, own, length);
}

HOOK int shutdown(int fd, int how)
{
	return engine_shutdown(fd, how);
}

HOOK int getsockopt(int fd, int level, int name, void *value, socklen_t *length)
{
	return engine_getsockopt(fd, level, name, value, length);
}

HOOK int setsockopt(int fd, int level, int name, const void *value, socklen_t length)
{
	struct connection *connection = connection_of(fd);
	int result;

	if (connection)
		engine_attend(connection, fd);
	if (__builtin_expect(!option_is_lost(level, name), 1))
		return LIBC(setsockopt)(fd, level, name, value, length);
	result = LIBC(setsockopt)(fd, level, name, value, length);
	if (result == 0)
		options_note(fd, name, value, length);
	return result;
}

BEHIND ssize_t send_again(int fd, const void *data, size_t size, int flags)
{
	return SEND_BYTES(fd, flags, data, size, LIBC(send)(fd, data, size, flags));
}

BEHIND ssize_t send_finish(const struct transfer_call *call, ssize_t result)
{
	return FINISH(sent, call, true, result,
		      send_again(call->fd, call->data, call->size, call->flags));
}

BEHIND ssize_t send_managed(int fd, const void *data, size_t size, int flags,
			    struct connection *connection, libc_send_t *next)
{
	if (transfer_wants(connection))
		return send_again(fd, data, size, flags);
	return ONCE(send, sent, connection, fd, data, size, flags, next(fd, data, size, flags));
}

HOOK ssize_t send(int fd, const void *data, size_t size, int flags)
{
	return HOT(send, fd, data, size, flags);
}

HOOK ssize_t sendto(int fd, const void *data, size_t size, int flags, const struct sockaddr *peer,
		    socklen_t length)
{
	if (__builtin_expect(flags & MSG_FASTOPEN, 0) && fd_kind(fd) & FD_STREAM)
		return engine_send_connecting(fd, NULL, data, size, flags, peer, length);
	return SEND_BYTES(fd, flags, data, size, LIBC(sendto)(fd, data, size, flags, peer, length));
}

/* A connection that another process gets, too, is never made anew behind its back. */
static void fds_sent(const struct msghdr *message)
{
	struct msghdr copy = *message;
	int fd;

	for (struct cmsghdr *part = CMSG_FIRSTHDR(&copy); part; part = CMSG_NXTHDR(&copy, part)) {
		if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t at = 0; CMSG_LEN(at + sizeof(fd)) <= part->cmsg_len; at += sizeof(fd)) {
			memcpy(&fd, CMSG_DATA(part) + at, sizeof(fd));
			fd_shared(fd);
		}
	}
}

HOOK ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
	ssize_t result;

	if (__builtin_expect(flags & MSG_FASTOPEN, 0) && fd_kind(fd) & FD_STREAM && message)
		return engine_send_connecting(fd, message, NULL, 0, flags, message->msg_name,
					      message->msg_namelen);
	result = SEND_MESSAGE(fd, flags, message);
	/* Only what was sent could be read: a wrong pointer is the kernel's to refuse. */
	if (__builtin_expect(result >= 0 && message && message->msg_controllen, 0))
		fds_sent(message);
	return result;
}

/* Of a call that counts messages, not bytes: the first `count` of them were moved. */
static ssize_t messages_bytes(const struct mmsghdr *messages, ssize_t count)
{
	ssize_t bytes = 0;

	for (ssize_t i = 0; i < count; i++)
		bytes += messages[i].msg_len;
	return bytes;
}

static size_t message_size(const struct msghdr *message)
{
	size_t size = 0;

	for (size_t i = 0; i < message->msg_iovlen; i++)
		size += message->msg_iov[i].iov_len;
	return size;
}

/* Each by itself, so that it can be kept; as the kernel does it, up to one that goes in part. */
static int messages_send(int fd, struct mmsghdr *messages, unsigned int count, int flags)
{
	int saved_errno = errno, sent = 0;

	while (sent < (int)count && sent < IOV_MAX) {
		struct mmsghdr *message = &messages[sent];
		ssize_t size = SEND_MESSAGE(fd, flags, &message->msg_hdr);

		if (size < 0 && sent == 0)
			return -1;
		if (size < 0)
			break;
		message->msg_len = (unsigned int)size;
		sent++;
		if ((size_t)size < message_size(&message->msg_hdr))
			break;
	}
	errno = saved_errno;
	return sent;
}

HOOK int sendmmsg(int fd, struct mmsghdr *messages, unsigned int count, int flags)
{
	struct connection *connection = connection_of(fd);
	struct transfer_before before;
	ssize_t result;

	if (!connection)
		return LIBC(sendmmsg)(fd, messages, count, flags);
	do {
		result = -1;
		if (!transfer_begin(connection, fd, flags, true, &before))
			break;
		if (transfer_may_keep(connection, &before) && transfer_keeps(connection))
			return messages_send(fd, messages, count, flags);
		result = LIBC(sendmmsg)(fd, messages, count, flags);
	} while (transfer_end(connection, fd, flags, true, &before, &result));
	transfer_sent(connection, messages_bytes(messages, result));
	return (int)result;
}

/* Bytes that stay in the queue are not received. */
static bool only_looks(int flags)
{
	return flags & MSG_PEEK;
}

/* The queue of errors is the socket's own affair, connected or not. */
static bool asks_errors(int flags)
{
	return flags & MSG_ERRQUEUE;
}

BEHIND ssize_t recv_again(int fd, void *data, size_t size, int flags)
{
	if (asks_errors(flags))
		return LIBC(recv)(fd, data, size, flags);
	if (only_looks(flags))
		return LOOK(fd, flags, LIBC(recv)(fd, data, size, flags));
	return RECEIVE(fd, flags, LIBC(recv)(fd, data, size, flags));
}

BEHIND ssize_t recv_finish(const struct transfer_call *call, ssize_t result)
{
	return FINISH(received, call, false, result,
		      recv_again(call->fd, (void *)(uintptr_t)call->data, call->size, call->flags));
}

BEHIND ssize_t recv_managed(int fd, void *data, size_t size, int flags,
			    struct connection *connection, libc_recv_t *next)
{
	if (asks_errors(flags) || only_looks(flags) || transfer_wants(connection))
		return recv_again(fd, data, size, flags);
	return ONCE(recv, received, connection, fd, data, size, flags, next(fd, data, size, flags));
}

HOOK ssize_t recv(int fd, void *data, size_t size, int flags)
{
	return HOT(recv, fd, data, size, flags);
}

HOOK ssize_t __recv_chk(int fd, void *data, size_t size, size_t room, int flags)
{
	if (asks_errors(flags))
		return LIBC(__recv_chk)(fd, data, size, room, flags);
	if (only_looks(flags))
		return LOOK(fd, flags, LIBC(__recv_chk)(fd, data, size, room, flags));
	return RECEIVE(fd, flags, LIBC(__recv_chk)(fd, data, size, room, flags));
}

HOOK ssize_t recvfrom(int fd, void *data, size_t size, int flags, struct sockaddr *peer,
		      socklen_t *length)
{
	if (asks_errors(flags))
		return LIBC(recvfrom)(fd, data, size, flags, peer, length);
	if (only_looks(flags))
		return LOOK(fd, flags, LIBC(recvfrom)(fd, data, size, flags, peer, length));
	return RECEIVE(fd, flags, LIBC(recvfrom)(fd, data, size, flags, peer, length));
}

HOOK ssize_t __recvfrom_chk(int fd, void *data, size_t size, size_t room, int flags,
			    struct sockaddr *peer, socklen_t *length)
{
	if (asks_errors(flags))
		return LIBC(__recvfrom_chk)(fd, data, size, room, flags, peer, length);
	if (only_looks(flags))
		return LOOK(fd, flags,
			    LIBC(__recvfrom_chk)(fd, data, size, room, flags, peer, length));
	return RECEIVE(fd, flags, LIBC(__recvfrom_chk)(fd, data, size, room, flags, peer, length));
}

HOOK ssize_t recvmsg(int fd, struct msghdr *message, int flags)
{
	if (asks_errors(flags))
		return LIBC(recvmsg)(fd, message, flags);
	if (only_looks(flags))
		return LOOK(fd, flags, LIBC(recvmsg)(fd, message, flags));
	return RECEIVE(fd, flags, LIBC(recvmsg)(fd, message, flags));
}

HOOK int recvmmsg(int fd, struct mmsghdr *messages, unsigned int count, int flags,
		  struct timespec *timeout)
{
	struct connection *connection = connection_of(fd);
	struct transfer_before before;
	ssize_t result;

	if (!connection || asks_errors(flags))
		return LIBC(recvmmsg)(fd, messages, count, flags, timeout);
	do {
		result = -1;
		if (!transfer_begin(connection, fd, flags, false, &before))
			break;
		result = LIBC(recvmmsg)(fd, messages, count, flags, timeout);
	} while (transfer_end(connection, fd, flags, false, &before, &result));
	if (!only_looks(flags))
		transfer_received(connection, messages_bytes(messages, result));
	return (int)result;
}
