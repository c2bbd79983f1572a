/* SPDX-License-Identifier: MIT */
/* Receiving and sending. */
#include "say.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/uio.h>
#include <unistd.h>

/* ---- receiving ----------------------------------------------------------------------- */

static void answer_bytes(long result, const char *bytes)
{
	if (result > 0)
		answer(" \"%.*s\"", result > 4 ? 0 : (int)result, bytes);
}

void say_read(struct subject *s, const struct word *word)
{
	char bytes[16];
	long result = CALL(read(s->fd, bytes, sizeof(bytes)));

	answer_bytes(result, bytes);
}

void say_readv(struct subject *s, const struct word *word)
{
	char bytes[16];
	struct iovec vector[2] = { { bytes, 2 }, { bytes + 2, 14 } };
	long result = CALL(readv(s->fd, vector, 2));

	answer_bytes(result, bytes);
}

/* a: flags; b: how many bytes less than 16 */
void say_recv(struct subject *s, const struct word *word)
{
	char bytes[16];
	long result = CALL(
		recv(s->fd, bytes, sizeof(bytes) - (size_t)word->b, (int)word->a | MSG_DONTWAIT));

	answer_bytes(result, bytes);
}

void say_recvfrom(struct subject *s, const struct word *word)
{
	union address address = { 0 };
	socklen_t length = sizeof(address);
	char bytes[16], text[128];
	long result = CALL(
		recvfrom(s->fd, bytes, sizeof(bytes), MSG_DONTWAIT, &address.any, &length));

	answer_bytes(result, bytes);
	if (result < 0)
		return;
	place_name(s->world, &address, length, text, sizeof(text));
	answer(" from %s", text);
}

void say_recvmsg(struct subject *s, const struct word *word)
{
	char bytes[16];
	struct iovec vector = { bytes, sizeof(bytes) };
	struct msghdr message = { .msg_iov = &vector, .msg_iovlen = 1 };
	long result = CALL(recvmsg(s->fd, &message, MSG_DONTWAIT));

	answer_bytes(result, bytes);
	if (result >= 0)
		answer(" flags %x", (unsigned int)message.msg_flags);
}

void say_fionread(struct subject *s, const struct word *word)
{
	int waiting = -1;

	if (CALL(ioctl(s->fd, (unsigned long)word->a, &waiting)) == 0)
		answer(" says %d", waiting);
}

/* ---- sending ------------------------------------------------------------------------- */

void say_write(struct subject *s, const struct word *word)
{
	CALL(write(s->fd, "x", 1));
}

void say_writev(struct subject *s, const struct word *word)
{
	struct iovec vector[2] = { { (char[]){ 'x' }, 1 }, { (char[]){ 'y' }, 1 } };

	CALL(writev(s->fd, vector, 2));
}

void say_send(struct subject *s, const struct word *word)
{
	CALL(send(s->fd, "x", (size_t)word->b, (int)word->a | MSG_DONTWAIT));
}

void say_sendmsg(struct subject *s, const struct word *word)
{
	struct iovec vector = { (char[]){ 'x' }, 1 };
	struct msghdr message = { .msg_iov = &vector, .msg_iovlen = 1 };

	CALL(sendmsg(s->fd, &message, MSG_DONTWAIT));
}

void say_sendto_server(struct subject *s, const struct word *word)
{
	const struct place *server = &s->world->server;

	CALL(sendto(s->fd, "x", 1, MSG_DONTWAIT, &server->address.any, server->length));
}

void say_sendto_nowhere(struct subject *s, const struct word *word)
{
	CALL(sendto(s->fd, nowhere, 1, MSG_DONTWAIT, nowhere, 0));
}

void say_sendfile(struct subject *s, const struct word *word)
{
	int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	off_t offset = 0;

	CALL(sendfile(s->fd, file, &offset, 1));
	close(file);
}
