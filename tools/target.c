/* SPDX-License-Identifier: MIT */
#include "tools/target.h"

#include <arpa/inet.h>
#include <bsd/stdlib.h>
#include <bsd/string.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

static void address_add(struct target *target, const struct sockaddr *from)
{
	struct target_address *address = &target->addresses[target->address_count];

	if (target->address_count == TARGET_ADDRESSES)
		return;
	if (from->sa_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const void *)from;

		memcpy(address->bytes, &in6->sin6_addr, 16);
		address->scope_id = in6->sin6_scope_id;
		address->is_ipv6 = !IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr);
	} else if (from->sa_family == AF_INET) {
		const struct sockaddr_in *in = (const void *)from;

		memset(address->bytes + 10, 0xff, 2);
		memcpy(address->bytes + 12, &in->sin_addr, 4);
	} else {
		return;
	}
	if (address->is_ipv6)
		inet_ntop(AF_INET6, address->bytes, address->text, sizeof(address->text));
	else
		inet_ntop(AF_INET, address->bytes + 12, address->text, sizeof(address->text));
	target->address_count++;
}

/* Fills in the addresses; returns what getaddrinfo does. */
static int host_look_up(struct target *target, int flags)
{
	const struct addrinfo hints = {
		.ai_family = AF_UNSPEC,
		.ai_socktype = target->kind == ENDPOINT_UDP ? SOCK_DGRAM : SOCK_STREAM,
		.ai_flags = flags,
	};
	struct addrinfo *list;
	int result = getaddrinfo(target->host, NULL, &hints, &list);

	if (result)
		return result;
	for (const struct addrinfo *at = list; at; at = at->ai_next)
		address_add(target, at->ai_addr);
	freeaddrinfo(list);
	return 0;
}

/* Cuts text at its port; false if it is neither HOST:PORT nor [ADDRESS]:PORT. */
static bool host_port_split(char *text, char **host, char **port)
{
	char *colon = strrchr(text, ':'), *bracket = strchr(text, ']');

	if (!colon || colon == text)
		return false;
	*port = colon + 1;
	*host = text;
	*colon = '\0';
	if (text[0] != '[')
		return !strchr(text, ':');
	*host = text + 1;
	if (!bracket || bracket + 1 != colon)
		return false;
	*bracket = '\0';
	return true;
}

static bool unix_parse(struct target *target, const char *path, char *error, size_t error_size)
{
	target->kind = ENDPOINT_UNIX;
	if (path[0] != '/' && path[0] != '@') {
		snprintf(error, error_size,
			 "\"%s\", expected an absolute path or @NAME after unix:", path);
		return false;
	}
	strlcpy(target->path, path, sizeof(target->path));
	return true;
}

bool target_parse(struct target *target, const char *text, char *error, size_t error_size)
{
	char copy[TARGET_TEXT_SIZE], *host, *port;
	const char *wrong;

	*target = (struct target){ .kind = ENDPOINT_TCP };
	if (!strncmp(text, "unix:", 5))
		return unix_parse(target, text + 5, error, error_size);
	if (!strncmp(text, "udp:", 4))
		target->kind = ENDPOINT_UDP;
	strlcpy(copy, !strncmp(text, "tcp:", 4) || !strncmp(text, "udp:", 4) ? text + 4 : text,
		sizeof(copy));
	if (!host_port_split(copy, &host, &port)) {
		snprintf(error, error_size,
			 "\"%s\", expected HOST:PORT, [ADDRESS]:PORT or unix:PATH", text);
		return false;
	}
	target->port = (uint16_t)strtonum(port, 1, UINT16_MAX, &wrong);
	if (wrong) {
		snprintf(error, error_size, "port \"%s\" of \"%s\", expected a number in 1..65535",
			 port, text);
		return false;
	}
	strlcpy(target->host, host, sizeof(target->host));
	target->is_numeric = !host_look_up(target, AI_NUMERICHOST);
	if (!target->is_numeric)
		target->lookup_error = host_look_up(target, 0);
	return true;
}
