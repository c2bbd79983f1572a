/* SPDX-License-Identifier: MIT */
/*
 * visit PORT [HOW]: a small client for scripts.  Connects to 127.0.0.1:PORT, says
 * on standard output what came of it, and exits with 0, or with 3 if refused.
 * HOW, before it connects: close2 (standard error closed), file2 (FILE of the
 * environment opened under number 2), twice (connects two times).
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int visit(const char *port)
{
	struct sockaddr_in address = { .sin_family = AF_INET };
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	address.sin_port = htons((unsigned short)atoi(port));
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		printf("%s\n", strerrorname_np(errno));
		return 3;
	}
	printf("connected\n");
	close(fd);
	return 0;
}

int main(int argc, char **argv)
{
	const char *how = argc > 2 ? argv[2] : "";

	if (argc < 2)
		return 64;
	if (strcmp(how, "close2") == 0)
		close(2);
	if (strcmp(how, "file2") == 0) {
		close(2);
		if (open(getenv("FILE"), O_WRONLY | O_CREAT | O_APPEND, 0600) != 2)
			return 70;
	}
	if (strcmp(how, "twice") == 0)
		visit(argv[1]);
	return visit(argv[1]);
}
