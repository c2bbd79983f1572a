/* SPDX-License-Identifier: MIT */
#include "endpoint.h"

#include <netinet/in.h>
#include <string.h>
#include <sys/un.h>

_Static_assert(sizeof(struct sockaddr_un) - sizeof(sa_family_t) <=
		       sizeof(((struct endpoint *)0)->bytes),
	       "a path fits whole");

/* The kernel takes a sockaddr_in6 without its scope (RFC 2133), 24 bytes. */
#define IPV6_LENGTH_MIN offsetof(struct sockaddr_in6, sin6_scope_id)

/* ---- from addresses ----------------------------------------------------- */

static bool from_ipv4(struct endpoint *endpoint, const struct sockaddr *address, socklen_t length)
{
	struct sockaddr_in in;

	if (length < sizeof(in))
		return false;
	memcpy(&in, address, sizeof(in));
	endpoint->port = ntohs(in.sin_port);
	endpoint->length = 4;
	memcpy(endpoint->bytes, &in.sin_addr, 4);
	return true;
}

static bool from_ipv6(struct endpoint *endpoint, const struct sockaddr *address, socklen_t length)
{
	struct sockaddr_in6 in = { .sin6_scope_id = 0 };

	if (length < IPV6_LENGTH_MIN)
		return false;
	memcpy(&in, address, length < sizeof(in) ? length : sizeof(in));
	endpoint->port = ntohs(in.sin6_port);
	if (IN6_IS_ADDR_V4MAPPED(&in.sin6_addr)) {
		endpoint->length = 4;
		memcpy(endpoint->bytes, &in.sin6_addr.s6_addr[12], 4);
		return true;
	}
	endpoint->is_ipv6 = 1;
	endpoint->scope_id = in.sin6_scope_id;
	endpoint->length = 16;
	memcpy(endpoint->bytes, &in.sin6_addr, 16);
	return true;
}

/* An abstract name keeps its leading NUL, which tells it from a path that begins with "@". */
static bool from_unix(struct endpoint *endpoint, const struct sockaddr *address, socklen_t length)
{
	const char *path = (const char *)address + offsetof(struct sockaddr_un, sun_path);
	size_t size = length - offsetof(struct sockaddr_un, sun_path);

	if (length < offsetof(struct sockaddr_un, sun_path))
		return false;
	if (size > sizeof(endpoint->bytes))
		size = sizeof(endpoint->bytes);
	if (size && path[0])
		size = strnlen(path, size);
	endpoint->kind = ENDPOINT_UNIX;
	endpoint->length = (uint8_t)size;
	memcpy(endpoint->bytes, path, size);
	return true;
}

bool endpoint_from_sockaddr(struct endpoint *endpoint, enum endpoint_kind kind,
			    const struct sockaddr *address, socklen_t length)
{
	sa_family_t family;

	memset(endpoint, 0, sizeof(*endpoint));
	if (!address || length < sizeof(family))
		return false;
	memcpy(&family, address, sizeof(family));
	endpoint->kind = (uint8_t)kind;
	switch (family) {
	case AF_INET:
		return from_ipv4(endpoint, address, length);
	case AF_INET6:
		return from_ipv6(endpoint, address, length);
	case AF_UNIX:
		return from_unix(endpoint, address, length);
	default:
		return false;
	}
}

socklen_t endpoint_to_sockaddr(const struct endpoint *endpoint, int family,
			       struct sockaddr_storage *address)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons(endpoint->port) };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = htons(endpoint->port) };

	memset(address, 0, sizeof(*address));
	if ((endpoint->kind != ENDPOINT_TCP && endpoint->kind != ENDPOINT_UDP) ||
	    (endpoint->is_ipv6 && family != AF_INET6))
		return 0;
	if (family == AF_INET) {
		memcpy(&v4.sin_addr, endpoint->bytes, 4);
		memcpy(address, &v4, sizeof(v4));
		return sizeof(v4);
	}
	if (endpoint->is_ipv6) {
		memcpy(&v6.sin6_addr, endpoint->bytes, 16);
		v6.sin6_scope_id = endpoint->scope_id;
	} else {
		memset(v6.sin6_addr.s6_addr + 10, 0xff, 2);
		memcpy(v6.sin6_addr.s6_addr + 12, endpoint->bytes, 4);
	}
	memcpy(address, &v6, sizeof(v6));
	return sizeof(v6);
}

/* Names are stored in lower case: a name's spelling does not make it another destination. */
void endpoint_from_name(struct endpoint *endpoint, const char *host)
{
	memset(endpoint, 0, sizeof(*endpoint));
	endpoint->kind = ENDPOINT_NAME;
	while (host[endpoint->length] && endpoint->length < sizeof(endpoint->bytes)) {
		char c = host[endpoint->length];

		endpoint->bytes[endpoint->length++] = (uint8_t)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a'
										     : c);
	}
}

bool endpoint_equal(const struct endpoint *a, const struct endpoint *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

uint32_t endpoint_hash(const struct endpoint *endpoint)
{
	const uint8_t *bytes = (const uint8_t *)endpoint;
	size_t size = offsetof(struct endpoint, bytes) + endpoint->length;
	uint32_t hash = UINT32_C(2166136261);

	if (size > sizeof(*endpoint))
		size = sizeof(*endpoint);
	for (size_t i = 0; i < size; i++)
		hash = (hash ^ bytes[i]) * UINT32_C(16777619);
	return hash;
}

/* ---- to text ---------------------------------------------------------------- */

struct text {
	char *start;
	size_t length;
	size_t size; /* including the terminating NUL */
};

/* All of it or nothing, so that a cut never leaves half an escape or character. */
static bool text_add(struct text *text, const char *bytes, size_t length)
{
	if (text->length + length >= text->size)
		return false;
	memcpy(text->start + text->length, bytes, length);
	text->length += length;
	text->start[text->length] = '\0';
	return true;
}

static void text_add_string(struct text *text, const char *string)
{
	text_add(text, string, strlen(string));
}

static void text_add_number(struct text *text, uint32_t number, unsigned int base)
{
	char digits[10];
	size_t at = sizeof(digits);

	do {
		digits[--at] = "0123456789abcdef"[number % base];
		number /= base;
	} while (number);
	text_add(text, digits + at, sizeof(digits) - at);
}

/* Length of the printable UTF-8 character at bytes; 0 if there is none. */
static size_t utf8_printable(const uint8_t *bytes, size_t length)
{
	static const struct {
		uint8_t mask, lead;
		size_t length;
		uint32_t first; /* below it the form is overlong */
	} forms[] = {
		{ 0x80, 0x00, 1, 0x20 },
		{ 0xe0, 0xc0, 2, 0xa0 }, /* 0x80 to 0x9f are control characters */
		{ 0xf0, 0xe0, 3, 0x800 },
		{ 0xf8, 0xf0, 4, 0x10000 },
	};

	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		if ((bytes[0] & forms[i].mask) != forms[i].lead)
			continue;
		if (forms[i].length > length)
			return 0;
		uint32_t code = bytes[0] & (uint8_t)~forms[i].mask;
		for (size_t k = 1; k < forms[i].length; k++) {
			if ((bytes[k] & 0xc0) != 0x80)
				return 0;
			code = code << 6 | (bytes[k] & 0x3f);
		}
		bool refused = code < forms[i].first || code == 0x7f || code > 0x10ffff ||
			       (code >= 0xd800 && code <= 0xdfff) || code == 0x2028 ||
			       code == 0x2029 || (code >= 0x202a && code <= 0x202e) ||
			       (code >= 0x2066 && code <= 0x2069);
		return refused ? 0 : forms[i].length;
	}
	return 0;
}

static bool text_add_hex(struct text *text, uint8_t byte)
{
	const char *digits = "0123456789abcdef";
	const char escape[4] = { '\\', 'x', digits[byte >> 4], digits[byte & 15] };

	return text_add(text, escape, sizeof(escape));
}

size_t text_escape(char *out, size_t size, const void *bytes, size_t length, bool reversible)
{
	struct text text = { .start = out, .size = size };
	const uint8_t *in = bytes;

	out[0] = '\0';
	for (size_t i = 0; i < length;) {
		size_t n = utf8_printable(in + i, length - i);
		bool added = n == 1 && in[i] == '\\' && reversible ? text_add(&text, "\\\\", 2)
			     : n ? text_add(&text, (const char *)in + i, n)
				 : text_add_hex(&text, in[i]);

		if (!added)
			break;
		i += n ? n : 1;
	}
	return text.length;
}

static void format_ipv4(struct text *text, const uint8_t bytes[4])
{
	for (int i = 0; i < 4; i++) {
		if (i)
			text_add_string(text, ".");
		text_add_number(text, bytes[i], 10);
	}
}

/* RFC 5952: the first longest run of two or more zero groups becomes "::". */
static void format_ipv6(struct text *text, const uint8_t bytes[16])
{
	int best = 8, best_length = 1;

	for (int i = 0; i < 8;) {
		int end = i;

		while (end < 8 && !bytes[2 * end] && !bytes[2 * end + 1])
			end++;
		if (end - i > best_length) {
			best = i;
			best_length = end - i;
		}
		i = end + 1;
	}
	for (int i = 0; i < 8; i++) {
		if (i == best) {
			text_add_string(text, "::");
			i += best_length - 1;
			continue;
		}
		if (i && i != best + best_length)
			text_add_string(text, ":");
		text_add_number(text, (uint32_t)bytes[2 * i] << 8 | bytes[2 * i + 1], 16);
	}
}

static void format_inet(struct text *text, const struct endpoint *endpoint)
{
	if (endpoint->is_ipv6) {
		text_add_string(text, "[");
		format_ipv6(text, endpoint->bytes);
		if (endpoint->scope_id) {
			text_add_string(text, "%");
			text_add_number(text, endpoint->scope_id, 10);
		}
		text_add_string(text, "]:");
	} else {
		format_ipv4(text, endpoint->bytes);
		text_add_string(text, ":");
	}
	text_add_number(text, endpoint->port, 10);
}

static void format_bytes(struct text *text, const uint8_t *bytes, size_t length)
{
	text->length += text_escape(text->start + text->length, text->size - text->length, bytes,
				    length, true);
}

static void format_unix(struct text *text, const uint8_t *bytes, size_t length)
{
	if (!length)
		return;
	if (bytes[0] == '\0')
		text_add_string(text, "@");
	else if (bytes[0] == '@')
		text_add_hex(text, '@');
	else
		format_bytes(text, bytes, 1);
	format_bytes(text, bytes + 1, length - 1);
}

size_t endpoint_format(const struct endpoint *endpoint, char out[ENDPOINT_TEXT_SIZE])
{
	static const char *const prefixes[] = {
		[ENDPOINT_OTHER] = "other", [ENDPOINT_TCP] = "tcp:",   [ENDPOINT_UDP] = "udp:",
		[ENDPOINT_UNIX] = "unix:",  [ENDPOINT_NAME] = "name:",
	};
	struct text text = { .start = out, .size = ENDPOINT_TEXT_SIZE };
	size_t length = endpoint->length;

	out[0] = '\0';
	if (length > sizeof(endpoint->bytes))
		length = sizeof(endpoint->bytes);
	if (endpoint->kind > ENDPOINT_NAME) {
		text_add_string(&text, "unknown");
		return text.length;
	}
	text_add_string(&text, prefixes[endpoint->kind]);
	switch (endpoint->kind) {
	case ENDPOINT_TCP:
	case ENDPOINT_UDP:
		format_inet(&text, endpoint);
		break;
	case ENDPOINT_UNIX:
		format_unix(&text, endpoint->bytes, length);
		break;
	case ENDPOINT_NAME:
		format_bytes(&text, endpoint->bytes, length);
		break;
	default:
		break;
	}
	return text.length;
}
