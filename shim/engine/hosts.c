/* SPDX-License-Identifier: MIT */
#include "hosts.h"

#include <arpa/inet.h>
#include <stdatomic.h>
#include <string.h>
#include <strings.h>

#include "names_table.h"
#include "shim/sys.h"

#define HOSTS_MAX 65536
/* How many names beside one address are looked at. */
#define NAMES_MAX 32
#define MISS_MS 1000

/*
 * Found when the program was loaded, if c-ares came with it or with any library
 * that it was linked to. dlsym() would find one that was opened later as well, but
 * allocates where there is none.
 */
extern int ares_library_init(int flags) __attribute__((weak));

/* ---- the file ----------------------------------------------------------------------- */

/* Read in small pieces, since the stack may be a small one for signals. */
struct hosts {
	int fd;
	uint32_t offset;          /* of the next piece */
	uint32_t begin, end;      /* of what is left of this one */
	bool line_ended;          /* its last word was given */
	bool ended;               /* it was the last line */
	char word[NAME_SIZE_MAX]; /* "" for one that is too long or cut, which is no name */
	char piece[512];
};

static void hosts_rewind(struct hosts *hosts)
{
	hosts->offset = hosts->begin = hosts->end = 0;
	hosts->line_ended = true;
	hosts->ended = false;
}

#define END (-1)

static int byte_next(struct hosts *hosts)
{
	ssize_t got;

	if (hosts->begin < hosts->end)
		return (unsigned char)hosts->piece[hosts->begin++];
	if (hosts->offset >= HOSTS_MAX)
		return END;
	got = sys_pread(hosts->fd, hosts->piece, sizeof(hosts->piece), hosts->offset);
	if (got <= 0)
		return END;
	hosts->offset += (uint32_t)got;
	hosts->begin = 1;
	hosts->end = (uint32_t)got;
	return (unsigned char)hosts->piece[0];
}

static bool is_blank(int byte)
{
	return byte != END && byte != '\n' && byte <= ' ';
}

/* The next word of the line; false if there is none. */
static bool word_next(struct hosts *hosts)
{
	size_t length = 0;
	int byte = ' ';

	if (hosts->line_ended)
		return false;
	while (is_blank(byte))
		byte = byte_next(hosts);
	for (; byte > ' ' && byte != '#'; byte = byte_next(hosts))
		if (length++ < sizeof(hosts->word))
			hosts->word[length - 1] = (char)byte;
	if (byte == '#')
		while (byte != '\n' && byte != END)
			byte = byte_next(hosts);
	hosts->ended = byte == END;
	hosts->line_ended = byte == END || byte == '\n';
	if (length >= sizeof(hosts->word) || (hosts->ended && hosts->offset >= HOSTS_MAX))
		hosts->word[0] = '\0';
	else
		hosts->word[length] = '\0';
	return length > 0;
}

/* "fe80::1%2". Interfaces by name stand for no number here: any scope is theirs. */
static bool address_parse(struct name_address *address, char *text)
{
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6 };
	struct sockaddr_in v4 = { .sin_family = AF_INET };
	char *scope = strchr(text, '%');

	if (inet_pton(AF_INET, text, &v4.sin_addr) == 1)
		return name_address_from(address, (struct sockaddr *)&v4, sizeof(v4));
	if (scope) {
		*scope++ = '\0';
		for (; *scope >= '0' && *scope <= '9'; scope++)
			v6.sin6_scope_id = v6.sin6_scope_id * 10 + (uint32_t)(*scope - '0');
		if (*scope)
			v6.sin6_scope_id = 0;
	}
	return inet_pton(AF_INET6, text, &v6.sin6_addr) == 1 &&
	       name_address_from(address, (struct sockaddr *)&v6, sizeof(v6));
}

/* Goes on to the next line that begins with an address. */
static bool line_next(struct hosts *hosts, struct name_address *address)
{
	for (;;) {
		while (word_next(hosts))
			;
		if (hosts->ended)
			return false;
		hosts->line_ended = false;
		if (word_next(hosts) && address_parse(address, hosts->word))
			return true;
	}
}

/* ---- names and addresses --------------------------------------------------------------- */

/* FNV-1a; names of any case are the same. */
static uint64_t word_hash(const char *word)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);

	for (; *word; word++) {
		unsigned char byte = (unsigned char)*word;

		hash = (hash ^ (byte >= 'A' && byte <= 'Z' ? byte + 32u : byte)) *
		       UINT64_C(0x100000001b3);
	}
	return hash;
}

/* Names, as their hashes: their texts would not fit on a small stack. */
struct names {
	uint64_t hashes[NAMES_MAX];
	unsigned int count;
};

static unsigned int names_index(const struct names *names, uint64_t hash)
{
	unsigned int i = 0;

	while (i < names->count && names->hashes[i] != hash)
		i++;
	return i;
}

/* The names on lines with this address, in order. */
static void names_of(struct hosts *hosts, const struct name_address *wanted, struct names *names)
{
	struct name_address address;

	hosts_rewind(hosts);
	names->count = 0;
	while (line_next(hosts, &address))
		while (name_address_equal(&address, wanted) && word_next(hosts)) {
			uint64_t hash = word_hash(hosts->word);

			if (hosts->word[0] && names->count < NAMES_MAX &&
			    names_index(names, hash) == names->count)
				names->hashes[names->count++] = hash;
		}
}

/* The first of them that has another address too, else the first. */
static uint64_t names_choose(struct hosts *hosts, const struct name_address *wanted,
			     const struct names *names)
{
	struct name_address address;
	unsigned int best = names->count, at;

	hosts_rewind(hosts);
	while (line_next(hosts, &address))
		while (!name_address_equal(&address, wanted) && word_next(hosts)) {
			at = names_index(names, word_hash(hosts->word));
			if (at < best)
				best = at;
		}
	return names->hashes[best < names->count ? best : 0];
}

static void address_add(struct name_address addresses[NAME_ADDRESSES], uint32_t *count,
			uint32_t room, const struct name_address *address)
{
	for (uint32_t i = 0; i < *count; i++)
		if (name_address_equal(&addresses[i], address))
			return;
	if (*count < room)
		addresses[(*count)++] = *address;
}

/* The name's text, and all its addresses, of which the wanted one is in any case one. */
static uint32_t addresses_of(struct hosts *hosts, uint64_t hash, const struct name_address *wanted,
			     struct name_address addresses[NAME_ADDRESSES],
			     char host[NAME_SIZE_MAX])
{
	struct name_address address;
	uint32_t count = 0;
	bool has_wanted = false;

	hosts_rewind(hosts);
	while (line_next(hosts, &address))
		while (word_next(hosts)) {
			if (word_hash(hosts->word) != hash)
				continue;
			if (!count)
				memcpy(host, hosts->word, sizeof(hosts->word));
			has_wanted |= name_address_equal(&address, wanted);
			/* The last place is kept for it. */
			address_add(addresses, &count, NAME_ADDRESSES - 1u + has_wanted, &address);
			break;
		}
	return has_wanted ? count : 0;
}

bool hosts_learn_file(const char *path, const struct name_address *address)
{
	struct name_address addresses[NAME_ADDRESSES];
	char host[NAME_SIZE_MAX];
	int saved_errno = errno;
	struct hosts hosts;
	struct names names;
	struct name name;
	uint32_t count = 0, index;
	uint64_t signals;

	/* No handler may jump away while the file is open. */
	sys_signals_block(&signals);
	/* A pipe or a terminal in its place is not waited for. */
	hosts.fd = sys_openat(AT_FDCWD, path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0);
	if (hosts.fd >= 0) {
		names_of(&hosts, address, &names);
		if (names.count)
			count = addresses_of(&hosts, names_choose(&hosts, address, &names), address,
					     addresses, host);
		sys_close(hosts.fd);
	}
	if (count)
		name_learn_addresses(host, addresses, count);
	sys_signals_restore(&signals);
	errno = saved_errno;
	return count && name_find(address, &name, &index);
}

/* ---- misses ------------------------------------------------------------------------------ */

/* The file need not be read for every retry, nor for each of a thousand sockets. */
static _Atomic uint64_t misses[8]; /* milliseconds, and the upper half of the address's hash */

static uint64_t address_hash(const struct name_address *address)
{
	uint64_t halves[2];

	memcpy(halves, address->bytes, sizeof(halves));
	return (halves[0] ^ halves[1] * 3) * UINT64_C(0x9e3779b97f4a7c15);
}

bool hosts_learn(const struct name_address *address)
{
	uint64_t hash, word;
	_Atomic uint64_t *miss;
	uint32_t now;

	if (!ares_library_init)
		return false;
	hash = address_hash(address);
	miss = &misses[hash >> 61];
	word = atomic_load_explicit(miss, memory_order_relaxed);
	now = name_milliseconds(name_now_ns());
	if (word >> 32 == hash >> 32 && now - (uint32_t)word < MISS_MS)
		return false;
	if (hosts_learn_file("/etc/hosts", address))
		return true;
	atomic_store_explicit(miss, hash >> 32 << 32 | now, memory_order_relaxed);
	return false;
}
