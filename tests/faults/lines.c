/* SPDX-License-Identifier: MIT */
/*
 * Writes numbered lines to 127.0.0.1, as a program that sends its log does: it never reads, and
 * goes when it has written all.
 *
 *	lines PORT COUNT SEED blocking|poll [BUFFER]
 *
 * BUFFER is the send buffer that it asks for. Without, the kernel takes up to some megabytes, and
 * who writes few lines is gone before it could be told of a failure.
 *
 * A line is a number from 1, filler that depends on the number, and a checksum of both. What one
 * write() is given does not end where a line does. lines_check.py knows the lines, too.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../stress/common.h"

#define FILLER_MIN 20
#define FILLER_KINDS 61
#define LETTERS "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ-+"
#define LETTER_COUNT 64
#define LINE_MAX_BYTES 128
#define WRITE_MAX 20000

static const char pattern[] = LETTERS LETTERS LETTERS;

/* What is not written yet. */
static char waiting[WRITE_MAX + LINE_MAX_BYTES];
static size_t waiting_bytes;

static _Noreturn void fail(const char *what)
{
	fprintf(stderr, "lines: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint32_t adler32(const char *text, size_t length)
{
	uint32_t a = 1, b = 0;

	for (size_t i = 0; i < length; i++) {
		a = (a + (unsigned char)text[i]) % 65521;
		b = (b + a) % 65521;
	}
	return b << 16 | a;
}

static void add_line(uint32_t number)
{
	uint32_t mixed = number * UINT32_C(2654435761) >> 16;
	int length = FILLER_MIN + (int)(mixed % FILLER_KINDS);
	const char *filler = pattern + mixed / FILLER_KINDS % LETTER_COUNT;
	char *line = waiting + waiting_bytes;
	int head = sprintf(line, "%08" PRIu32 " %.*s ", number, length, filler);

	waiting_bytes += (size_t)head;
	waiting_bytes += (size_t)sprintf(line + head, "%08" PRIx32 "\n",
					 adler32(line, (size_t)head));
}

/* As standard output's buffer does it, a line or less, or much. */
static size_t draw_size(uint64_t *random)
{
	switch (draw(random, 4)) {
	case 0:
		return 1 + draw(random, 200);
	case 1:
		return 1 + draw(random, WRITE_MAX);
	default:
		return 4096;
	}
}

static void wait_until_writable(int fd)
{
	struct pollfd wanted = { .fd = fd, .events = POLLOUT };

	while (poll(&wanted, 1, -1) < 0) {
		if (errno != EINTR)
			fail("poll");
	}
}

static void write_all(int fd, const char *data, size_t size)
{
	while (size > 0) {
		ssize_t written = write(fd, data, size);

		if (written >= 0) {
			data += written;
			size -= (size_t)written;
		} else if (errno == EAGAIN) {
			wait_until_writable(fd);
		} else if (errno != EINTR) {
			fail("write");
		}
	}
}

static int open_line(uint16_t port, bool blocking, int buffer)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(port) };
	int fd = socket(AF_INET, SOCK_STREAM | (blocking ? 0 : SOCK_NONBLOCK), 0);
	int error = 0;
	socklen_t length = sizeof(error);

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0)
		fail("socket");
	if (buffer > 0 && setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &buffer, sizeof(buffer)) < 0)
		fail("SO_SNDBUF");
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
		return fd;
	if (errno != EINPROGRESS)
		fail("connect");
	wait_until_writable(fd);
	getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length);
	errno = error;
	if (error)
		fail("connect");
	return fd;
}

int main(int argc, char **argv)
{
	if (argc < 5) {
		fputs("usage: lines PORT COUNT SEED blocking|poll [BUFFER]\n", stderr);
		return 64;
	}
	uint32_t count = (uint32_t)strtoul(argv[2], NULL, 10), next = 1;
	uint64_t random = draw_seed(strtoull(argv[3], NULL, 10), 0);

	/* So that it can say what happened. */
	signal(SIGPIPE, SIG_IGN);
	int fd = open_line((uint16_t)atoi(argv[1]), strcmp(argv[4], "blocking") == 0,
			   argc > 5 ? atoi(argv[5]) : 0);

	while (next <= count || waiting_bytes > 0) {
		size_t size = draw_size(&random);

		while (waiting_bytes < size && next <= count)
			add_line(next++);
		if (size > waiting_bytes)
			size = waiting_bytes;
		write_all(fd, waiting, size);
		waiting_bytes -= size;
		memmove(waiting, waiting + size, waiting_bytes);
	}
	if (close(fd) < 0)
		fail("close");
	return 0;
}
