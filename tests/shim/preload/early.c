/* SPDX-License-Identifier: MIT */
/*
 * Preloaded behind libholdfast.so, hence constructed before it and destructed
 * after it: connects to 127.0.0.1:$EARLY_PORT at both times, and says on
 * standard error what came of it.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void say(const char *when, const char *what)
{
	char line[100] = "";

	strcat(strcat(strcat(strcat(line, when), " "), what), "\n");
	if (write(STDERR_FILENO, line, strlen(line)) < 0)
		abort();
}

static void connect_and_say(const char *when)
{
	struct sockaddr_in address = { .sin_family = AF_INET };
	const char *port = getenv("EARLY_PORT");
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	address.sin_port = htons((unsigned short)(port ? atoi(port) : 0));
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		say(when, strerrorname_np(errno));
	else
		say(when, write(fd, "x", 1) == 1 ? "connected" : "cannot write");
	close(fd);
}

__attribute__((constructor)) static void early(void)
{
	connect_and_say("constructor");
}

__attribute__((destructor)) static void late(void)
{
	connect_and_say("destructor");
}
