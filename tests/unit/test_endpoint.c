/* SPDX-License-Identifier: MIT */
/*
 * Proves that an endpoint's text is canonical (RFC 5952), tells different
 * endpoints apart and never carries a control character, and that what a program
 * passes to connect() cannot make us read beyond it.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "shim/store/endpoint.h"

static struct endpoint inet6(const char *address, uint16_t port, uint32_t scope)
{
	struct sockaddr_in6 in = { .sin6_family = AF_INET6,
				   .sin6_port = htons(port),
				   .sin6_scope_id = scope };
	struct endpoint endpoint;

	assert_int_equal(inet_pton(AF_INET6, address, &in.sin6_addr), 1);
	assert_true(endpoint_from_sockaddr(&endpoint, ENDPOINT_TCP, (struct sockaddr *)&in,
					   sizeof(in)));
	return endpoint;
}

static struct endpoint inet4(enum endpoint_kind kind, const char *address, uint16_t port)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(port) };
	struct endpoint endpoint;

	assert_int_equal(inet_pton(AF_INET, address, &in.sin_addr), 1);
	assert_true(endpoint_from_sockaddr(&endpoint, kind, (struct sockaddr *)&in, sizeof(in)));
	return endpoint;
}

static struct endpoint unix_bytes(const char *path, size_t size)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	struct endpoint endpoint;

	memcpy(un.sun_path, path, size);
	assert_true(
		endpoint_from_sockaddr(&endpoint, ENDPOINT_UNIX, (struct sockaddr *)&un,
				       (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size)));
	return endpoint;
}

static void assert_text(const struct endpoint *endpoint, const char *expected)
{
	char text[ENDPOINT_TEXT_SIZE];
	size_t length = endpoint_format(endpoint, text);

	assert_string_equal(text, expected);
	assert_int_equal(length, strlen(expected));
}

/* The examples of RFC 5952, sections 1 to 5. */
static void ipv6_is_canonical(void **state)
{
	static const struct {
		const char *given, *expected;
	} cases[] = {
		{ "2001:db8:0:0:1:0:0:1", "tcp:[2001:db8::1:0:0:1]:80" },
		{ "2001:0db8:0:0:1:0:0:1", "tcp:[2001:db8::1:0:0:1]:80" },
		{ "2001:db8::0:1", "tcp:[2001:db8::1]:80" },
		{ "2001:db8:0000:1:1:1:1:1", "tcp:[2001:db8:0:1:1:1:1:1]:80" },
		{ "2001:db8:aaaa:bbbb:cccc:dddd:eeee:AAAA",
		  "tcp:[2001:db8:aaaa:bbbb:cccc:dddd:eeee:aaaa]:80" },
		{ "2001:0:0:1:0:0:0:1", "tcp:[2001:0:0:1::1]:80" },
		{ "::", "tcp:[::]:80" },
		{ "::1", "tcp:[::1]:80" },
		{ "1::", "tcp:[1::]:80" },
		{ "0:1:2:3:4:5:6:7", "tcp:[0:1:2:3:4:5:6:7]:80" },
		{ "1:0:0:2:0:0:3:4", "tcp:[1::2:0:0:3:4]:80" },
		{ "::ffff:192.0.2.7", "tcp:192.0.2.7:80" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct endpoint endpoint = inet6(cases[i].given, 80, 0);

		assert_text(&endpoint, cases[i].expected);
	}
}

static void addresses_have_their_text(void **state)
{
	struct endpoint endpoint = inet6("fe80::1", 22, 2);

	assert_text(&endpoint, "tcp:[fe80::1%2]:22");
	endpoint = inet6("fe80::1", 65535, 4294967295U);
	assert_text(&endpoint, "tcp:[fe80::1%4294967295]:65535");
	endpoint = inet4(ENDPOINT_TCP, "10.0.0.5", 5432);
	assert_text(&endpoint, "tcp:10.0.0.5:5432");
	endpoint = inet4(ENDPOINT_UDP, "255.255.255.255", 53);
	assert_text(&endpoint, "udp:255.255.255.255:53");
}

static void mapped_is_ipv4(void **state)
{
	struct endpoint mapped = inet6("::ffff:10.0.0.5", 5432, 7);
	struct endpoint plain = inet4(ENDPOINT_TCP, "10.0.0.5", 5432);
	struct endpoint other = inet4(ENDPOINT_UDP, "10.0.0.5", 5432);

	assert_true(endpoint_equal(&mapped, &plain));
	assert_int_equal(endpoint_hash(&mapped), endpoint_hash(&plain));
	assert_false(endpoint_equal(&plain, &other));
}

static void unix_paths_are_escaped(void **state)
{
	struct endpoint endpoint = unix_bytes("/run/x.sock", 12);

	assert_text(&endpoint, "unix:/run/x.sock");
	endpoint = unix_bytes("\0name", 5);
	assert_text(&endpoint, "unix:@name");
	endpoint = unix_bytes("\0a\0b", 4);
	assert_text(&endpoint, "unix:@a\\x00b");
	endpoint = unix_bytes("@name", 5);
	assert_text(&endpoint, "unix:\\x40name");
	endpoint = unix_bytes("/a\nb\033[31m\x7f", 11);
	assert_text(&endpoint, "unix:/a\\x0ab\\x1b[31m\\x7f");
	endpoint = unix_bytes("/a\\x0a", 6);
	assert_text(&endpoint, "unix:/a\\\\x0a");
	endpoint = unix_bytes("/caf\xc3\xa9", 6);
	assert_text(&endpoint, "unix:/caf\xc3\xa9");
	/* No UTF-8: a lone byte, an overlong slash, a surrogate, a C1 control, a right-to-left mark. */
	endpoint = unix_bytes("/\xe9\xc0\xaf\xed\xa0\x80\xc2\x9b\xe2\x80\xae", 12);
	assert_text(&endpoint, "unix:/\\xe9\\xc0\\xaf\\xed\\xa0\\x80\\xc2\\x9b\\xe2\\x80\\xae");
	endpoint = unix_bytes("", 0);
	assert_text(&endpoint, "unix:");
}

static void long_texts_are_cut_between_characters(void **state)
{
	char path[108], text[ENDPOINT_TEXT_SIZE];
	struct endpoint endpoint;
	size_t length;

	memset(path, '\n', sizeof(path));
	endpoint = unix_bytes(path, sizeof(path));
	length = endpoint_format(&endpoint, text);
	assert_int_equal(length, strlen(text));
	assert_true(length < ENDPOINT_TEXT_SIZE);
	/* "unix:" and 30 escapes of four make 125; no fourth of an escape follows. */
	assert_int_equal(length, 125);
	assert_string_equal(text + 121, "\\x0a");
	memset(path, 'a', sizeof(path));
	endpoint = unix_bytes(path, sizeof(path));
	assert_int_equal(endpoint_format(&endpoint, text), 5 + 108);
}

static void names_are_lower_case_and_cut(void **state)
{
	char host[300];
	struct endpoint endpoint, same;

	endpoint_from_name(&endpoint, "DB.Example.org");
	assert_text(&endpoint, "name:db.example.org");
	endpoint_from_name(&same, "db.example.ORG");
	assert_true(endpoint_equal(&endpoint, &same));
	memset(host, 'x', sizeof(host) - 1);
	host[sizeof(host) - 1] = '\0';
	endpoint_from_name(&endpoint, host);
	assert_int_equal(endpoint.length, sizeof(endpoint.bytes));
}

static void short_and_foreign_addresses_are_refused(void **state)
{
	struct sockaddr_in in = { .sin_family = AF_INET };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };
	struct sockaddr netlink = { .sa_family = AF_NETLINK };
	struct endpoint endpoint;

	assert_false(endpoint_from_sockaddr(&endpoint, ENDPOINT_TCP, (struct sockaddr *)&in,
					    sizeof(in) - 1));
	assert_false(endpoint_from_sockaddr(&endpoint, ENDPOINT_TCP, (struct sockaddr *)&in6, 23));
	/* The kernel takes an address without its scope. */
	assert_true(endpoint_from_sockaddr(&endpoint, ENDPOINT_TCP, (struct sockaddr *)&in6, 24));
	assert_false(endpoint_from_sockaddr(&endpoint, ENDPOINT_TCP, (struct sockaddr *)&in, 1));
	assert_false(endpoint_from_sockaddr(&endpoint, ENDPOINT_TCP, NULL, 16));
	assert_false(endpoint_from_sockaddr(&endpoint, ENDPOINT_TCP, &netlink, sizeof(netlink)));
}

/* What lies in a file can be anything. */
static void any_bytes_can_be_formatted(void **state)
{
	struct endpoint endpoint = { .kind = ENDPOINT_OTHER };
	char text[ENDPOINT_TEXT_SIZE + 1];

	srandom(7);
	for (int round = 0; round < 20000; round++) {
		uint8_t *bytes = (uint8_t *)&endpoint;

		for (size_t i = 0; i < sizeof(endpoint); i++)
			bytes[i] = (uint8_t)random();
		if (round % 2)
			endpoint.kind %= ENDPOINT_NAME + 1;
		text[ENDPOINT_TEXT_SIZE] = 'Z';
		size_t length = endpoint_format(&endpoint, text);
		assert_int_equal(length, strlen(text));
		assert_int_equal(text[ENDPOINT_TEXT_SIZE], 'Z');
		for (const char *c = text; *c; c++)
			assert_true((uint8_t)*c >= 0x20 && *c != 0x7f);
		(void)endpoint_hash(&endpoint);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ipv6_is_canonical),
		cmocka_unit_test(addresses_have_their_text),
		cmocka_unit_test(mapped_is_ipv4),
		cmocka_unit_test(unix_paths_are_escaped),
		cmocka_unit_test(long_texts_are_cut_between_characters),
		cmocka_unit_test(names_are_lower_case_and_cut),
		cmocka_unit_test(short_and_foreign_addresses_are_refused),
		cmocka_unit_test(any_bytes_can_be_formatted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
