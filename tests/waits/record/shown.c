/* SPDX-License-Identifier: MIT */
/*
 * What else can be seen of a socket: its own name, TCP_INFO, /proc. While a connect
 * is under way this may differ, so it is written in braces, and only listed.
 */
#include "record.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool is_any(const union address *address)
{
	const struct in6_addr mapped = { .s6_addr = { [10] = 0xff, [11] = 0xff } };

	if (address->any.sa_family == AF_INET)
		return address->v4.sin_addr.s_addr == htonl(INADDR_ANY);
	return IN6_IS_ADDR_UNSPECIFIED(&address->v6.sin6_addr) ||
	       memcmp(&address->v6.sin6_addr, &mapped, sizeof(mapped)) == 0;
}

static void sockname_say(int fd)
{
	union address address = { 0 };
	socklen_t length = sizeof(address);
	in_port_t port;

	if (getsockname(fd, &address.any, &length) < 0) {
		say(" getsockname %s", strerrorname_np(errno));
		return;
	}
	port = address.any.sa_family == AF_INET ? address.v4.sin_port : address.v6.sin6_port;
	say(" getsockname %s:%s,", is_any(&address) ? "any" : "loopback", port ? "port" : "0");
}

static const char *state_name(unsigned int state)
{
	const char *const names[] = {
		[TCP_ESTABLISHED] = "ESTABLISHED",
		[TCP_SYN_SENT] = "SYN_SENT",
		[TCP_CLOSE] = "CLOSE",
	};

	return state < sizeof(names) / sizeof(names[0]) && names[state] ? names[state] : "other";
}

static void tcp_info_say(int fd)
{
	struct tcp_info info = { 0 };
	socklen_t length = sizeof(info);

	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length) < 0)
		say(" TCP_INFO %s", strerrorname_np(errno));
	else
		say(" TCP_INFO %s,", state_name(info.tcpi_state));
}

/* A socket without a port is in none of these tables. They can be long. */
static bool proc_find(const char *table, unsigned long inode, unsigned int *state)
{
	FILE *file = fopen(table, "re");
	char line[256], wanted[24];
	bool found = false;

	snprintf(wanted, sizeof(wanted), " %lu ", inode);
	if (file)
		setvbuf(file, NULL, _IOFBF, 1 << 18);
	while (file && !found && fgets(line, sizeof(line), file))
		found = strstr(line, wanted) && sscanf(line, "%*s %*s %*s %x", state) == 1;
	if (file)
		fclose(file);
	return found;
}

static void proc_say(int fd)
{
	unsigned int state = 0;
	struct stat status;

	if (fstat(fd, &status) < 0)
		say(" fstat %s,", strerrorname_np(errno));
	else if (proc_find("/proc/net/tcp", status.st_ino, &state) ||
		 proc_find("/proc/net/tcp6", status.st_ino, &state))
		say(" /proc/net/tcp %s,", state_name(state));
	else
		say(" /proc/net/tcp no line,");
}

static void fdinfo_say(const struct subject *s)
{
	unsigned int registered = 0;
	char path[64], line[256];
	FILE *file;
	int fd;

	if (s->set < 0)
		return;
	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", s->set);
	file = fopen(path, "re");
	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "tfd: %d", &fd) == 1 && fd == s->registered)
			registered++;
	if (file)
		fclose(file);
	say(" fdinfo %u registrations,", registered);
}

void shown_say(const struct subject *s)
{
	sockname_say(s->fd);
	tcp_info_say(s->fd);
	proc_say(s->fd);
	fdinfo_say(s);
}
