/* SPDX-License-Identifier: MIT */
/* Addresses, prefixes, endpoints and ports, from text. */
#include "address.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "policy/words.h"

#define PORT_MAX 65535
#define MAPPED_BITS 96U

static const uint8_t mapped_prefix[12] = { [10] = 0xff, [11] = 0xff };

static bool say(char expected[ADDRESS_MESSAGE_SIZE], const char *what)
{
	snprintf(expected, ADDRESS_MESSAGE_SIZE, "%s", what);
	return false;
}

/* "1.2.3.4", "::1" or "fe80::1%2" of length bytes; *is_ipv6 is false for v4-mapped, too. */
static bool address_parse(const char *text, size_t length, uint8_t address[16], uint32_t *scope_id,
			  bool *is_ipv6)
{
	char copy[INET6_ADDRSTRLEN];
	const char *scope = memchr(text, '%', length);
	size_t address_length = scope ? (size_t)(scope - text) : length;
	uint64_t id = 0;

	if (address_length >= sizeof(copy))
		return false;
	memcpy(copy, text, address_length);
	copy[address_length] = '\0';
	if (scope && !integer_parse(scope + 1, length - address_length - 1, UINT32_MAX, &id))
		return false;
	*scope_id = (uint32_t)id;
	memcpy(address, mapped_prefix, sizeof(mapped_prefix));
	*is_ipv6 = inet_pton(AF_INET, copy, address + sizeof(mapped_prefix)) != 1;
	if (!*is_ipv6)
		return !scope;
	if (inet_pton(AF_INET6, copy, address) != 1 || (scope && id == 0))
		return false;
	*is_ipv6 = memcmp(address, mapped_prefix, sizeof(mapped_prefix)) != 0;
	return *is_ipv6 || !scope;
}

/* Clears the bits behind the prefix; true if there were any. */
static bool host_bits_clear(uint8_t address[16], uint32_t bits)
{
	uint8_t found = 0;

	for (uint32_t i = 0; i < 16; i++) {
		uint32_t kept = bits > 8 * i ? bits - 8 * i : 0;
		uint8_t mask = kept >= 8 ? 0 : (uint8_t)(0xffU >> kept);

		found |= address[i] & mask;
		address[i] &= (uint8_t)~mask;
	}
	return found != 0;
}

static bool say_network(char expected[ADDRESS_MESSAGE_SIZE], const struct policy_prefix *prefix,
			bool as_ipv4)
{
	char text[INET6_ADDRSTRLEN], scope[16] = "";

	inet_ntop(as_ipv4 ? AF_INET : AF_INET6, prefix->address + (as_ipv4 ? 12 : 0), text,
		  sizeof(text));
	if (prefix->scope_id)
		snprintf(scope, sizeof(scope), "%%%u", prefix->scope_id);
	snprintf(expected, ADDRESS_MESSAGE_SIZE,
		 "no bits behind the prefix; the network is \"%s%s/%u\"", text, scope,
		 prefix->bits - (as_ipv4 ? MAPPED_BITS : 0));
	return false;
}

bool prefix_parse(const char *text, struct policy_prefix *prefix,
		  char expected[ADDRESS_MESSAGE_SIZE])
{
	const char *slash = strchr(text, '/');
	size_t length = slash ? (size_t)(slash - text) : strlen(text);
	/* ::ffff:10.0.0.0/104 counts its bits as IPv6 does, 10.0.0.0/8 does not. */
	bool as_ipv4 = !memchr(text, ':', length), is_ipv6;
	uint64_t max = as_ipv4 ? 32 : 128, bits = max;

	if (!address_parse(text, length, prefix->address, &prefix->scope_id, &is_ipv6))
		return say(expected, "an address or network such as \"10.0.0.0/8\" or \"::1\"");
	if (slash && !integer_parse(slash + 1, strlen(slash + 1), max, &bits))
		return say(expected, as_ipv4 ? "a prefix length from 0 to 32"
					     : "a prefix length from 0 to 128");
	prefix->bits = (uint32_t)bits + (as_ipv4 ? MAPPED_BITS : 0);
	if (host_bits_clear(prefix->address, prefix->bits))
		return say_network(expected, prefix, as_ipv4);
	return true;
}

static bool port_parse(const char *text, size_t length, uint16_t *port)
{
	uint64_t number;

	if (!integer_parse(text, length, PORT_MAX, &number) || number == 0)
		return false;
	*port = (uint16_t)number;
	return true;
}

bool pool_endpoint_parse(const char *text, struct policy_pool_endpoint *endpoint,
			 char expected[ADDRESS_MESSAGE_SIZE])
{
	const char *colon = strrchr(text, ':');
	const char *end = colon;
	bool bracketed = text[0] == '[', is_ipv6;

	if (bracketed) {
		end = strchr(++text, ']');
		colon = end && end[1] == ':' ? end + 1 : NULL;
	}
	/* An IPv6 address without brackets could end anywhere. */
	if (!colon || bracketed != (memchr(text, ':', (size_t)(end - text)) != NULL) ||
	    !address_parse(text, (size_t)(end - text), endpoint->address, &endpoint->scope_id,
			   &is_ipv6))
		return say(expected, "ADDRESS:PORT such as \"10.0.0.5:8080\" or \"[::1]:80\"");
	endpoint->is_ipv6 = is_ipv6;
	if (!port_parse(colon + 1, strlen(colon + 1), &endpoint->port))
		return say(expected, "a port from 1 to 65535 behind the last colon");
	return true;
}

bool ports_parse(const char *text, struct policy_ports *ports, char expected[ADDRESS_MESSAGE_SIZE])
{
	const char *dash = strchr(text, '-');
	size_t length = dash ? (size_t)(dash - text) : strlen(text);
	const char *high = dash ? dash + 1 : text;

	if (!port_parse(text, length, &ports->low) || !port_parse(high, strlen(high), &ports->high))
		return say(expected, "ports from 1 to 65535 such as 5432 or \"6000-6010\"");
	if (ports->low <= ports->high)
		return true;
	snprintf(expected, ADDRESS_MESSAGE_SIZE, "the lower port first: \"%u-%u\"", ports->high,
		 ports->low);
	return false;
}
