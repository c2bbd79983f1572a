/* SPDX-License-Identifier: MIT */
/*
 * What a hosts file says of an address, for programs that read it by themselves:
 * well-formed files, odd ones and any bytes at all.  The engine's own files are
 * compiled in; no preload is needed.
 */
#include "check.h"

/* What the included files stand on. */
#include "shim/config.h"
#include "shim/store/clock.h"

static struct config config = { .enabled = true };

const struct config *config_get(void)
{
	return &config;
}

int64_t clock_kernel_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

#include "shim/engine/names.c"
#include "shim/engine/names_table.c"
#include "shim/engine/hosts.c"

/* ---- files and questions ------------------------------------------------------------------ */

static const char *file_path(void)
{
	static char path[512];

	if (!path[0])
		snprintf(path, sizeof(path), "%s/hosts", getenv("CHECK_DIR"));
	return path;
}

static void file_write(const char *bytes, size_t size)
{
	int fd = open(file_path(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	REQUIRE(fd >= 0 && write(fd, bytes, size) == (ssize_t)size);
	close(fd);
}

static struct name_address parsed(const char *text)
{
	struct name_address address = { 0 };
	char copy[80];

	snprintf(copy, sizeof(copy), "%s", text);
	REQUIRE(address_parse(&address, copy));
	return address;
}

/* "NAME: ADDRESS ADDRESS" as the table has them then; "-" if nothing was learned. */
static const char *learned(const char *address)
{
	static char text[2048];
	struct name_address wanted = parsed(address), addresses[NAME_ADDRESSES];
	char host[NAME_SIZE_MAX], one[INET6_ADDRSTRLEN];
	struct name name;
	uint32_t index;
	size_t length;
	bool is_learned;

	errno = EDOM;
	is_learned = hosts_learn_file(file_path(), &wanted);
	EXPECT_ERRNO(EDOM);
	EXPECT_IS(is_learned, name_find(&wanted, &name, &index));
	if (!is_learned)
		return "-";
	REQUIRE(name_host(&name, host) && name_addresses(&name, addresses));
	length = (size_t)snprintf(text, sizeof(text), "%s:", host);
	for (uint32_t i = 0; i < name.count; i++) {
		bool is_v6 = addresses[i].is_ipv6;

		inet_ntop(is_v6 ? AF_INET6 : AF_INET, addresses[i].bytes + (is_v6 ? 0 : 12), one,
			  sizeof(one));
		length += (size_t)snprintf(text + length, sizeof(text) - length, " %s", one);
		if (addresses[i].scope_id)
			length += (size_t)snprintf(text + length, sizeof(text) - length, "%%%u",
						   addresses[i].scope_id);
	}
	return text;
}

static void expect_learned(const char *address, const char *expected, const char *what, int line)
{
	const char *got = learned(address);

	if (strcmp(got, expected) == 0)
		return;
	check_say("%s:%d: %s: got \"%s\", expected \"%s\"", __FILE__, line, what, got, expected);
	check_failures++;
}

struct example {
	const char *file;
	const char *address;
	const char *expected;
};

/* Each in a process of its own, so that its table is empty. */
static void expect_examples(const struct example *examples, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++) {
		pid_t pid = fork();

		if (pid == 0) {
			file_write(examples[i].file, strlen(examples[i].file));
			expect_learned(examples[i].address, examples[i].expected, examples[i].file,
				       __LINE__);
			check_exit(check_failures ? 1 : 0);
		}
		EXPECT_IS(child_wait(pid), 0);
	}
}
#define EXPECT_EXAMPLES(examples) \
	expect_examples(examples, sizeof(examples) / sizeof((examples)[0]))

/* ---- cases ------------------------------------------------------------------------------------ */

#define USUAL                                         \
	"127.0.0.1\tlocalhost\n"                      \
	"127.0.1.1\tmachine.example.org machine\n"    \
	"\n"                                          \
	"# for hosts that know IPv6\n"                \
	"::1\tlocalhost ip6-localhost ip6-loopback\n" \
	"ff02::1\tip6-allnodes\n"                     \
	"10.0.0.1 both.test first\n"                  \
	"2001:db8::1 both.test\n"                     \
	"10.0.0.2 both.test second\n"

static void usual_files(void)
{
	static const struct example examples[] = {
		{ USUAL, "127.0.0.1", "localhost: 127.0.0.1 ::1" },
		{ USUAL, "::1", "localhost: 127.0.0.1 ::1" },
		{ USUAL, "127.0.1.1", "machine.example.org: 127.0.1.1" },
		{ USUAL, "10.0.0.1", "both.test: 10.0.0.1 2001:db8::1 10.0.0.2" },
		{ USUAL, "10.0.0.2", "both.test: 10.0.0.1 2001:db8::1 10.0.0.2" },
		{ USUAL, "2001:db8::1", "both.test: 10.0.0.1 2001:db8::1 10.0.0.2" },
		{ USUAL, "10.0.0.3", "-" },
		{ USUAL, "::", "-" },
		{ "", "127.0.0.1", "-" },
	};

	EXPECT_EXAMPLES(examples);
}

static void several_names(void)
{
	static const struct example examples[] = {
		/* One that has other addresses is preferred, wherever it stands. */
		{ "10.0.0.1 alone both\n10.0.0.2 both\n", "10.0.0.1", "both: 10.0.0.1 10.0.0.2" },
		{ "10.0.0.1 alone\n10.0.0.1 both\n10.0.0.2 both\n", "10.0.0.1",
		  "both: 10.0.0.1 10.0.0.2" },
		{ "10.0.0.2 both\n10.0.0.1 alone both\n", "10.0.0.1", "both: 10.0.0.2 10.0.0.1" },
		{ "10.0.0.2 second first\n10.0.0.1 first second\n", "10.0.0.1",
		  "first: 10.0.0.2 10.0.0.1" },
		{ "10.0.0.1 first second\n", "10.0.0.1", "first: 10.0.0.1" },
		{ "10.0.0.1 one\n10.0.0.1 one two\n", "10.0.0.1", "one: 10.0.0.1" },
		{ "10.0.0.1 Name\n10.0.0.2 nAME\n", "10.0.0.1", "Name: 10.0.0.1 10.0.0.2" },
		{ "10.0.0.1 a a a\n10.0.0.1 a\n10.0.0.2 a\n10.0.0.2 a\n", "10.0.0.2",
		  "a: 10.0.0.1 10.0.0.2" },
	};

	EXPECT_EXAMPLES(examples);
}

static void odd_files(void)
{
	static const struct example examples[] = {
		{ "10.0.0.1 a\r\n10.0.0.2 a\r\n", "10.0.0.1", "a: 10.0.0.1 10.0.0.2" },
		{ "10.0.0.1 a\n10.0.0.2 a", "10.0.0.2", "a: 10.0.0.1 10.0.0.2" },
		{ " \t10.0.0.1\v\fa\t\t b \n\n\n \n", "10.0.0.1", "a: 10.0.0.1" },
		{ "10.0.0.1 a#b\n10.0.0.2 b # a\n#10.0.0.3 a\n", "10.0.0.1", "a: 10.0.0.1" },
		{ "10.0.0.1 a#b\n10.0.0.2 b # a\n#10.0.0.3 a\n", "10.0.0.3", "-" },
		{ "10.0.0.1#a\n10.0.0.1\n10.0.0.1 #\n10.0.0.1", "10.0.0.1", "-" },
		{ "# 10.0.0.1 a", "10.0.0.1", "-" },
		{ "a 10.0.0.1\n10.0.0 a\n10.0.0.1.2 a\n10.0.0.1: a\n1.2.3.4.a a\n:::: a\n",
		  "10.0.0.1", "-" },
		{ "10.0.0.1a b\n010.0.0.1 b\n", "10.0.0.1", "-" },
		{ "2001:DB8:0::1 a\n2001:db8::2 a\n", "2001:db8::1", "a: 2001:db8::1 2001:db8::2" },
		{ "::ffff:10.0.0.1 a\n10.0.0.2 a\n", "10.0.0.1", "a: 10.0.0.1 10.0.0.2" },
		{ "fe80::1%2 a\nfe80::1%3 b\n", "fe80::1%2", "a: fe80::1%2" },
		{ "fe80::1%2 a\nfe80::1%3 b\n", "fe80::1%3", "b: fe80::1%3" },
		{ "fe80::1%2 a\nfe80::2%2 a\n", "fe80::1", "a: fe80::1%2 fe80::2%2" },
		{ "fe80::1%eth0 a\n10.0.0.1 a\n", "fe80::1%7", "a: fe80::1 10.0.0.1" },
		{ "fe80::1% a\nfe80::1%2x b\n", "fe80::1", "a: fe80::1" },
		{ "fe80::1%2x a\n", "fe80::1%7", "a: fe80::1" },
		{ "10.0.0.1%2 a\n", "10.0.0.1", "-" },
	};

	EXPECT_EXAMPLES(examples);
}

/* A pattern as often as it takes, into memory. */
static size_t repeat(char *to, const char *pattern, size_t size)
{
	size_t length = 0, step = strlen(pattern);

	for (; length + step <= size; length += step)
		memcpy(to + length, pattern, step);
	return length;
}

static char big[200000];

static void nul_bytes(void)
{
	static const char file[] = "10.0.0.1 a\0b\n\0\0 10.0.0.2\0b\0\n\0";

	file_write(file, sizeof(file));
	expect_learned("10.0.0.1", "b: 10.0.0.1 10.0.0.2", "a NUL between words", __LINE__);
}

static void long_lines(void)
{
	size_t length;

	/* A word too long for a name is none, and the line goes on. */
	length = (size_t)sprintf(big, "10.0.0.1 ");
	length += repeat(big + length, "x", NAME_SIZE_MAX);
	length += (size_t)sprintf(big + length, " a\n10.0.0.2 a\n");
	file_write(big, length);
	expect_learned("10.0.0.1", "a: 10.0.0.1 10.0.0.2", "a long word", __LINE__);
	/* Nor is one too long for an address. */
	length = repeat(big, "1", 3000);
	length += (size_t)sprintf(big + length, " b\n10.0.0.3 b\n");
	file_write(big, length);
	expect_learned("10.0.0.3", "b: 10.0.0.3", "a long address", __LINE__);
	/* Many names, the last of which counts for the other line. */
	length = (size_t)sprintf(big, "10.0.0.4 ");
	length += repeat(big + length, "c ", 30000);
	length += (size_t)sprintf(big + length, "d\n10.0.0.5 d\n#");
	length += repeat(big + length, "#", 20000);
	length += (size_t)sprintf(big + length, "\n10.0.0.6 d\n");
	file_write(big, length);
	expect_learned("10.0.0.4", "d: 10.0.0.4 10.0.0.5 10.0.0.6", "a long line", __LINE__);
}

/* However the file is cut into pieces, its words are whole. */
static void borders_of_pieces(void)
{
	static const char lines[] = "10.77.0.1 one.test two.test\n2001:db8:77::1 two.test\n";

	for (size_t shift = 0; shift < 1100; shift++) {
		pid_t pid;

		if (shift % 3 && (shift < 420 || shift > 640))
			continue;
		pid = fork();
		if (pid == 0) {
			memset(big, '#', shift);
			if (shift)
				big[shift - 1] = '\n';
			memcpy(big + shift, lines, sizeof(lines) - 1);
			file_write(big, shift + sizeof(lines) - 1);
			expect_learned("10.77.0.1", "two.test: 10.77.0.1 2001:db8:77::1",
				       "a shifted file", __LINE__);
			check_exit(check_failures ? 1 : 0);
		}
		if (!EXPECT_IS(child_wait(pid), 0))
			return;
	}
}

/* Only the beginning counts, and what its end cuts is no name. */
static void large_files(void)
{
	size_t length = repeat(big, "10.0.0.9 nine.test\n", sizeof(big) - 100);

	sprintf(big + length, "10.0.0.1 a\n");
	memcpy(big, "10.0.0.2 b\n10.0.0.3 b\n#", 23);
	file_write(big, length + 11);
	expect_learned("10.0.0.1", "-", "a line beyond the limit", __LINE__);
	expect_learned("10.0.0.2", "b: 10.0.0.2 10.0.0.3", "a line before it", __LINE__);
	memset(big, '\n', sizeof(big));
	memcpy(big + HOSTS_MAX - 10, "10.0.0.1 abcde\n", 15);
	file_write(big, HOSTS_MAX + 100);
	expect_learned("10.0.0.1", "-", "a name across the limit", __LINE__);
	memcpy(big + HOSTS_MAX - 13, "10.0.0.1 abc\n10.0.0.1 d\n", 24);
	file_write(big, HOSTS_MAX + 100);
	expect_learned("10.0.0.1", "abc: 10.0.0.1", "a name before the limit", __LINE__);
}

static void many_addresses(void)
{
	size_t length = 0;

	for (int i = 1; i <= 30; i++)
		length += (size_t)sprintf(big + length, "10.0.0.%d a\n10.0.0.%d a\n", i, i);
	file_write(big, length);
	expect_learned("10.0.0.30",
		       "a: 10.0.0.1 10.0.0.2 10.0.0.3 10.0.0.4 10.0.0.5 10.0.0.6 10.0.0.7 10.0.0.8 "
		       "10.0.0.9 10.0.0.10 10.0.0.11 10.0.0.12 10.0.0.13 10.0.0.14 10.0.0.15 "
		       "10.0.0.30",
		       "thirty addresses", __LINE__);
	expect_learned("10.0.0.3",
		       "a: 10.0.0.1 10.0.0.2 10.0.0.3 10.0.0.4 10.0.0.5 10.0.0.6 10.0.0.7 10.0.0.8 "
		       "10.0.0.9 10.0.0.10 10.0.0.11 10.0.0.12 10.0.0.13 10.0.0.14 10.0.0.15 "
		       "10.0.0.16",
		       "thirty addresses", __LINE__);
	/* More names than are looked at: the first ones are. */
	length = (size_t)sprintf(big, "10.1.0.1");
	for (int i = 0; i < 100; i++)
		length += (size_t)sprintf(big + length, " n%d", i);
	length += (size_t)sprintf(big + length, "\n10.1.0.2 n99\n10.1.0.3 n20\n");
	file_write(big, length);
	expect_learned("10.1.0.1", "n20: 10.1.0.1 10.1.0.3", "a hundred names", __LINE__);
}

/* Nothing that could block or is no file. */
static void no_files(void)
{
	struct name_address wanted = parsed("10.0.0.1");
	int64_t began = now_ms();
	int fds = open("/dev/null", O_RDONLY);

	close(fds);
	errno = EDOM;
	EXPECT(!hosts_learn_file("/nonexistent/hosts", &wanted));
	EXPECT(!hosts_learn_file("/", &wanted));
	EXPECT(!hosts_learn_file("/dev/zero", &wanted));
	unlink(file_path());
	REQUIRE(mkfifo(file_path(), 0600) == 0);
	errno = EDOM;
	EXPECT(!hosts_learn_file(file_path(), &wanted));
	EXPECT_ERRNO(EDOM);
	EXPECT_WITHIN(now_ms() - began, 0, 1000);
	/* All is closed again. */
	EXPECT_IS(open("/dev/null", O_RDONLY), fds);
}

static void any_bytes(void)
{
	static const char alphabet[] = "1111000::.%#\n\n \t\r\0abAB";

	srandom(11);
	for (int round = 0; round < 400; round++) {
		size_t size = (size_t)random() % 3000;
		struct name_address wanted = parsed(round % 2 ? "1.1.1.1" : "1::1");

		for (size_t i = 0; i < size; i++)
			big[i] = round % 5 ? alphabet[(size_t)random() % (sizeof(alphabet) - 1)]
					   : (char)random();
		file_write(big, size);
		hosts_learn_file(file_path(), &wanted);
	}
}

/* This program has no c-ares. */
static void without_c_ares(void)
{
	struct name_address wanted = parsed("127.0.0.1");

	EXPECT(!hosts_learn(&wanted));
	EXPECT(!names_known());
}

#define CASE(name, run)                  \
	{                                \
		name, run, NULL, NULL, 0 \
	}

static const struct check_case cases[] = {
	CASE("a hosts file as they are", usual_files),
	CASE("several names of an address", several_names),
	CASE("comments, blanks, ends of lines, scopes, garbage", odd_files),
	CASE("NUL bytes", nul_bytes),
	CASE("long lines and words", long_lines),
	CASE("borders of the pieces that are read", borders_of_pieces),
	CASE("large files", large_files),
	CASE("many addresses and names", many_addresses),
	CASE("what is no file", no_files),
	CASE("any bytes", any_bytes),
	CASE("without c-ares nothing is read", without_c_ares),
};

CHECK_MAIN(cases)
