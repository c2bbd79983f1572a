/* SPDX-License-Identifier: MIT */
/*
 * A library that is opened with RTLD_DEEPBIND: it connects, and tells whose
 * deep_marker() it is bound to.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

int deep_marker(void);
int deep_bound(void);
int deep_connect(uint16_t port);

int deep_marker(void)
{
	return 2;
}

int deep_bound(void)
{
	return deep_marker();
}

int deep_connect(uint16_t port)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(port) };
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	int result;

	inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
	result = connect(fd, (struct sockaddr *)&address, sizeof(address));
	close(fd);
	return result;
}
