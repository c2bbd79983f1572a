/* SPDX-License-Identifier: MIT */
/*
 * The table of names by itself, with a clock that the test turns.  The engine's own
 * files are compiled in; no preload is needed.
 */
#ifndef TESTS_SHIM_NAMES_ENGINE_H
#define TESTS_SHIM_NAMES_ENGINE_H

#include "check.h"

/* What the included files stand on. */
#include "shim/config.h"
#include "shim/store/clock.h"

static struct config config = { .enabled = true };
static _Atomic int64_t clock_now_ns = INT64_C(1000000000000);

const struct config *config_get(void)
{
	return &config;
}

int64_t clock_kernel_ns(clockid_t clock)
{
	(void)clock;
	return clock_now_ns;
}

#include "shim/engine/names.c"
#include "shim/engine/names_table.c"

#define SECONDS(n) ((int64_t)(n)*1000000000)
#define PORT 80

static inline void clock_turn(int64_t ns)
{
	clock_now_ns += ns;
}

/* ---- lookups and questions -------------------------------------------------------------- */

static inline struct name_address parsed(const char *text)
{
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6 };
	struct sockaddr_in v4 = { .sin_family = AF_INET };
	struct name_address address = { 0 };

	if (inet_pton(AF_INET, text, &v4.sin_addr) == 1)
		name_address_from(&address, (struct sockaddr *)&v4, sizeof(v4));
	else if (inet_pton(AF_INET6, text, &v6.sin6_addr) == 1)
		name_address_from(&address, (struct sockaddr *)&v6, sizeof(v6));
	else
		REQUIRE(!"an address");
	return address;
}

/* getaddrinfo() in that family gave these addresses, separated by blanks. */
static inline void look_up(const char *host, int family, const char *answer)
{
	struct sockaddr_storage peers[20] = { 0 };
	struct addrinfo list[20] = { 0 };
	char *copy = strdup(answer), *rest = copy, *word;
	unsigned int count = 0;

	while ((word = strsep(&rest, " "))) {
		bool is_v6 = strchr(word, ':');
		struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&peers[count];
		struct sockaddr_in *v4 = (struct sockaddr_in *)&peers[count];

		peers[count].ss_family = is_v6 ? AF_INET6 : AF_INET;
		REQUIRE(inet_pton(peers[count].ss_family, word,
				  is_v6 ? (void *)&v6->sin6_addr : &v4->sin_addr) == 1);
		list[count].ai_addr = (struct sockaddr *)&peers[count];
		list[count].ai_addrlen = is_v6 ? sizeof(*v6) : sizeof(*v4);
		if (count)
			list[count - 1].ai_next = &list[count];
		count++;
	}
	errno = EDOM;
	name_learn_addrinfo(host, family, list);
	EXPECT_ERRNO(EDOM);
	free(copy);
}

/* The name and the number of its addresses, "a.test 2"; "-" if the address is none's. */
static inline const char *answer_of(const char *address)
{
	static char text[NAME_SIZE_MAX + 16];
	struct name_address wanted = parsed(address);
	char host[NAME_SIZE_MAX];
	struct name name;
	uint32_t index;

	if (!name_find(&wanted, &name, &index))
		return "-";
	REQUIRE(index < name.count && name_host(&name, host));
	snprintf(text, sizeof(text), "%s %u", host, name.count);
	return text;
}

static inline void expect_answer(const char *address, const char *expected, int line)
{
	const char *got = answer_of(address);

	if (strcmp(got, expected) == 0)
		return;
	check_say("%s:%d: %s is of \"%s\", expected \"%s\"", __FILE__, line, address, got,
		  expected);
	check_failures++;
}
#define EXPECT_NAME(address, expected) expect_answer(address, expected, __LINE__)

static inline struct name name_of(const char *address, uint32_t *index)
{
	struct name_address wanted = parsed(address);
	struct name name;

	REQUIRE(name_find(&wanted, &name, index));
	return name;
}

/* connect() to the address: the addresses that were tried before it in this walk. */
static inline uint32_t walk_to(const char *address)
{
	uint32_t index;
	struct name name = name_of(address, &index);

	return name_walk(&name, index);
}

/* Runs body in a forked child, whose expectations count. */
static inline void in_child(void (*body)(void))
{
	pid_t pid = fork();

	REQUIRE(pid >= 0);
	if (pid == 0) {
		body();
		check_exit(check_failures ? 1 : 0);
	}
	EXPECT_IS(child_wait(pid), 0);
}

static inline void look_up_number(unsigned int number)
{
	char host[32], address[32];

	snprintf(host, sizeof(host), "host-%u.test", number);
	snprintf(address, sizeof(address), "10.1.%u.%u", number / 256, number % 256);
	look_up(host, AF_UNSPEC, address);
}

static inline void expect_number(unsigned int number, bool known, int line)
{
	char expected[32], address[32];

	snprintf(expected, sizeof(expected), "host-%u.test 1", number);
	snprintf(address, sizeof(address), "10.1.%u.%u", number / 256, number % 256);
	expect_answer(address, known ? expected : "-", line);
}

#define CASE(name, run)                  \
	{                                \
		name, run, NULL, NULL, 0 \
	}

#endif
