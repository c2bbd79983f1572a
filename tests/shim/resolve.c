/* SPDX-License-Identifier: MIT */
/*
 * Lookups: getaddrinfo() is tried again on EAI_AGAIN and on nothing else, within
 * the policy's limits and in two threads at most; its results, and those of the
 * gethostbyname() family, reach the program unchanged and tell holdfast the
 * name's addresses.  The answers come from preload/fakedns.c, or out of a hosts
 * file (resolve.sh): four.test is 127.0.0.1, six.test is ::1.
 */
#include "preload/fakedns.h"

#include <dlfcn.h>
#include <pthread.h>

#include "net.h"
#include "peek.h"

/* Strategy `temporary` retries with these keys, and `resolve` has this deadline. */
#define TEMPORARY(keys)                                                                 \
	"\"strategies\":{\"temporary\":{\"decision\":\"backoff\",\"backoff_factor\":1," \
	"\"jitter\":0,\"max_delay\":\"1h\"," keys "}}"
#define POLICY_RESOLVE(deadline, keys)                                       \
	"{\"version\":1,\"defaults\":{\"resolve\":{\"deadline\":\"" deadline \
	"\"}," TEMPORARY(keys) "}}"
#define POLICY_THREE POLICY_RESOLVE("1m", "\"max_retries\":3,\"base_delay\":\"100ms\"")

/* Nothing is retried but where the rule says so. */
#define POLICY_RULE(match, keys)                                                                  \
	"{\"version\":1,\"defaults\":{\"strategies\":{\"network\":{\"decision\":\"none\"},"       \
	"\"temporary\":{\"decision\":\"none\"}}},\"rules\":[{\"name\":\"rule\",\"match\":{" match \
	"}," keys "}]}"
#define POLICY_HOST(host)                                                                      \
	POLICY_RULE("\"hosts\":[\"" host "\"]",                                                \
		    "\"strategies\":{\"network\":{\"decision\":\"backoff\",\"max_retries\":2," \
		    "\"base_delay\":\"10ms\",\"backoff_factor\":1,\"jitter\":0}}")
#define ATTEMPTS_OF_RULE 3

/* ---- the stand-in, which is there only under the preload ---------------------------- */

static void script_answers(const struct fakedns_answer *answers, unsigned int count)
{
	void (*set)(const struct fakedns_answer *, unsigned int);

	*(void **)&set = dlsym(RTLD_DEFAULT, "fakedns_script");
	REQUIRE(set != NULL);
	set(answers, count);
}

/* SCRIPT({ EAI_AGAIN, 0 }, { 0, 0 }) */
#define SCRIPT(...)                                                               \
	do {                                                                      \
		static const struct fakedns_answer answers_[] = { __VA_ARGS__ };  \
                                                                                  \
		script_answers(answers_, sizeof(answers_) / sizeof(answers_[0])); \
	} while (0)

static unsigned int calls_made(void)
{
	unsigned int (*calls)(void);

	*(void **)&calls = dlsym(RTLD_DEFAULT, "fakedns_calls");
	REQUIRE(calls != NULL);
	return calls();
}

static const struct addrinfo *list_given(void)
{
	const struct addrinfo *(*given)(void);

	*(void **)&given = dlsym(RTLD_DEFAULT, "fakedns_given");
	REQUIRE(given != NULL);
	return given();
}

struct lookup {
	int code;
	int error; /* errno */
	int64_t ms;
	struct addrinfo *list;
};

static struct lookup look_up_family(const char *host, int family)
{
	const struct addrinfo hints = { .ai_family = family, .ai_socktype = SOCK_STREAM };
	int64_t began = now_ms();
	struct lookup lookup = { 0 };

	errno = 0;
	lookup.code = getaddrinfo(host, "80", &hints, &lookup.list);
	lookup.error = errno;
	lookup.ms = now_ms() - began;
	return lookup;
}

static struct lookup look_up(const char *host)
{
	return look_up_family(host, AF_UNSPEC);
}

/* ---- what is tried again ------------------------------------------------------------ */

static void recovers(void)
{
	struct lookup lookup;

	SCRIPT({ EAI_AGAIN, 0 }, { EAI_AGAIN, 0 }, { 0, 0 });
	lookup = look_up("late.test");
	EXPECT_IS(lookup.code, 0);
	EXPECT_IS(calls_made(), 3);
	EXPECT_WITHIN(lookup.ms, 200, 2000);
	EXPECT(lookup.list && lookup.list == list_given());
	EXPECT_COUNT(operations, 1);
	EXPECT_COUNT(recovered, 1);
	EXPECT_COUNT(retries, 2);
	EXPECT_COUNT(attempt_failures, 2);
	EXPECT_COUNTS_ADD_UP();
}

static void never_recovers(void)
{
	struct lookup lookup;

	SCRIPT({ EAI_AGAIN, 0 });
	lookup = look_up("dead.test");
	EXPECT_IS(lookup.code, EAI_AGAIN);
	EXPECT_IS(calls_made(), 4);
	EXPECT_WITHIN(lookup.ms, 300, 2000);
	EXPECT_COUNT(operations, 1);
	EXPECT_COUNT(failures, 1);
	EXPECT_COUNT(retries_denied_limit, 1);
	EXPECT_COUNTS_ADD_UP();
}

/* Tries at 0, 200 and 400 ms, and the last one at the deadline. */
static void deadline_ends_it(void)
{
	struct lookup lookup;

	SCRIPT({ EAI_AGAIN, 0 });
	lookup = look_up("dead.test");
	EXPECT_IS(lookup.code, EAI_AGAIN);
	EXPECT_IS(calls_made(), 4);
	EXPECT_WITHIN(lookup.ms, 500, 1500);
	EXPECT_COUNT(retries_denied_deadline, 1);
	EXPECT_COUNTS_ADD_UP();
}

/* Every other code is an answer: told at once, with its errno, and no operation of ours. */
static void other_codes(void)
{
	static const int codes[] = { EAI_BADFLAGS, EAI_NONAME,  EAI_FAIL,      EAI_FAMILY,
				     EAI_SOCKTYPE, EAI_SERVICE, EAI_MEMORY,    EAI_SYSTEM,
				     EAI_OVERFLOW, EAI_NODATA,  EAI_ADDRFAMILY };

	for (unsigned int i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
		struct fakedns_answer answer = { codes[i], EMFILE };
		struct lookup lookup;

		script_answers(&answer, 1);
		lookup = look_up("other.test");
		EXPECT_IS(lookup.code, codes[i]);
		EXPECT_ERROR(lookup.error, EMFILE);
		EXPECT_IS(calls_made(), 1);
	}
	EXPECT_COUNT(operations, 0);
}

static void other_code_later(void)
{
	struct lookup lookup;

	SCRIPT({ EAI_AGAIN, 0 }, { EAI_NONAME, 0 });
	lookup = look_up("gone.test");
	EXPECT_IS(lookup.code, EAI_NONAME);
	EXPECT_IS(calls_made(), 2);
	EXPECT_COUNT(operations, 1);
	EXPECT_COUNT(failures, 1);
	EXPECT_COUNT(attempt_failures, 2);
	EXPECT_COUNTS_ADD_UP();
}

/* With EAI_SYSTEM the errno is the message: that of the last call. */
static void system_error_later(void)
{
	struct lookup lookup;

	SCRIPT({ EAI_AGAIN, ECHILD }, { EAI_SYSTEM, EMFILE });
	lookup = look_up("gone.test");
	EXPECT_IS(lookup.code, EAI_SYSTEM);
	EXPECT_ERROR(lookup.error, EMFILE);
}

static void told_at_once(void)
{
	struct lookup lookup;

	SCRIPT({ EAI_AGAIN, 0 });
	lookup = look_up("dead.test");
	EXPECT_IS(lookup.code, EAI_AGAIN);
	EXPECT_IS(calls_made(), 1);
}

static void rule_by_host(void)
{
	SCRIPT({ EAI_AGAIN, 0 });
	EXPECT_IS(look_up("other.test").code, EAI_AGAIN);
	EXPECT_IS(calls_made(), 1);
	SCRIPT({ EAI_AGAIN, 0 });
	EXPECT_IS(look_up("Slow.Test").code, EAI_AGAIN);
	EXPECT_IS(calls_made(), 3);
}

static void numeric_host(void)
{
	struct lookup lookup;

	SCRIPT({ EAI_NONAME, 0 });
	lookup = look_up("127.0.0.300");
	EXPECT_IS(lookup.code, EAI_NONAME);
	EXPECT_IS(calls_made(), 1);
}

/* gethostbyname() has no code that is ours to wait out. */
static void gethostbyname_is_left_alone(void)
{
	SCRIPT({ TRY_AGAIN, ECONNREFUSED });
	errno = 0;
	EXPECT(gethostbyname("dead.test") == NULL);
	EXPECT_ERRNO(ECONNREFUSED);
	EXPECT_IS(h_errno, TRY_AGAIN);
	EXPECT_IS(calls_made(), 1);
	EXPECT_COUNT(operations, 0);
}

/* ---- how many threads are held ------------------------------------------------------ */

static void *look_up_thread(void *argument)
{
	*(struct lookup *)argument = look_up("dead.test");
	return NULL;
}

static void two_threads_at_once(void)
{
	struct lookup held[2], third;
	pthread_t threads[2];

	SCRIPT({ EAI_AGAIN, 0 });
	for (unsigned int i = 0; i < 2; i++)
		REQUIRE(pthread_create(&threads[i], NULL, look_up_thread, &held[i]) == 0);
	while (calls_made() < 2)
		sleep_ms(1);
	sleep_ms(100);
	for (unsigned int i = 0; i < 5; i++) {
		third = look_up("dead.test");
		EXPECT_IS(third.code, EAI_AGAIN);
		EXPECT_WITHIN(third.ms, 0, 300);
	}
	for (unsigned int i = 0; i < 2; i++) {
		pthread_join(threads[i], NULL);
		EXPECT_IS(held[i].code, EAI_AGAIN);
		EXPECT_WITHIN(held[i].ms, 1500, 4000);
	}
	/* Both places are free again. */
	third = look_up("dead.test");
	EXPECT_WITHIN(third.ms, 1500, 4000);
	EXPECT_COUNT(operations, 8);
	EXPECT_COUNTS_ADD_UP();
}

/* ---- results, and what they tell ---------------------------------------------------- */

static void results_are_unchanged(void)
{
	static const char loopback[] = { 127, 0, 0, 1 };
	struct lookup lookup = look_up("four.test");
	struct hostent *entry, space;
	char buffer[1024];
	int error = 0;

	EXPECT_IS(lookup.code, 0);
	REQUIRE(lookup.list != NULL);
	EXPECT_IS(lookup.list->ai_family, AF_INET);
	EXPECT(lookup.list->ai_next == NULL);
	freeaddrinfo(lookup.list);
	EXPECT_IS(look_up("none.test.").code, EAI_AGAIN);

	entry = gethostbyname("four.test");
	REQUIRE(entry != NULL);
	EXPECT(strcmp(entry->h_name, "four.test") == 0);
	EXPECT(memcmp(entry->h_addr_list[0], loopback, 4) == 0 && !entry->h_addr_list[1]);
	EXPECT(gethostbyname2("six.test", AF_INET6)->h_length == 16);

	EXPECT_IS(gethostbyname_r("four.test", &space, buffer, sizeof(buffer), &entry, &error), 0);
	EXPECT(entry == &space && memcmp(space.h_addr_list[0], loopback, 4) == 0);
	EXPECT_IS(gethostbyname_r("four.test", &space, buffer, 8, &entry, &error), ERANGE);
	EXPECT(entry == NULL);
	EXPECT_IS(error, NETDB_INTERNAL);
	EXPECT_IS(gethostbyname2_r("six.test", AF_INET6, &space, buffer, sizeof(buffer), &entry,
				   &error),
		  0);
	EXPECT(entry == &space && space.h_addrtype == AF_INET6);
}

/* A connect that is refused: how often it was tried shows whether the rule was found. */
static void expect_attempts(int family, unsigned int attempts)
{
	struct server server = server_bind(family);

	EXPECT(server_connect(&server, stream_socket(&server)) < 0);
	EXPECT_ERRNO(ECONNREFUSED);
	EXPECT_COUNT(attempts, attempts);
}

static void never_looked_up(void)
{
	expect_attempts(AF_INET, 1);
}

static void told_by_getaddrinfo(void)
{
	EXPECT_IS(look_up("four.test").code, 0);
	expect_attempts(AF_INET, ATTEMPTS_OF_RULE);
}

static void told_by_gethostbyname(void)
{
	EXPECT(gethostbyname("four.test") != NULL);
	expect_attempts(AF_INET, ATTEMPTS_OF_RULE);
}

static void told_by_gethostbyname_r(void)
{
	struct hostent space, *entry = NULL;
	char buffer[1024];
	int error;

	EXPECT_IS(gethostbyname_r("four.test", &space, buffer, sizeof(buffer), &entry, &error), 0);
	expect_attempts(AF_INET, ATTEMPTS_OF_RULE);
}

static void told_by_gethostbyname2(void)
{
	EXPECT(gethostbyname2("six.test", AF_INET6) != NULL);
	expect_attempts(AF_INET6, ATTEMPTS_OF_RULE);
}

static void told_by_gethostbyname2_r(void)
{
	struct hostent space, *entry = NULL;
	char buffer[1024];
	int error;

	EXPECT_IS(gethostbyname2_r("six.test", AF_INET6, &space, buffer, sizeof(buffer), &entry,
				   &error),
		  0);
	expect_attempts(AF_INET6, ATTEMPTS_OF_RULE);
}

/* The last lookup wins: the address is now that of another name. */
static void told_otherwise_later(void)
{
	EXPECT_IS(look_up("four.test").code, 0);
	EXPECT_IS(look_up_family("localhost", AF_INET).code, 0);
	expect_attempts(AF_INET, 1);
}

static const struct check_case cases[] = {
	{ "EAI_AGAIN is waited out", recovers, POLICY_THREE, NULL, 0 },
	{ "EAI_AGAIN for ever: told after max_retries", never_recovers, POLICY_THREE, NULL, 0 },
	{ "EAI_AGAIN for ever: told at resolve.deadline", deadline_ends_it,
	  POLICY_RESOLVE("500ms", "\"max_retries\":\"unlimited\",\"base_delay\":\"200ms\""), NULL,
	  0 },
	{ "every other code is told at once", other_codes, POLICY_THREE, NULL, 0 },
	{ "another code after EAI_AGAIN is told", other_code_later, POLICY_THREE, NULL, 0 },
	{ "EAI_SYSTEM after EAI_AGAIN comes with its own errno", system_error_later, POLICY_THREE,
	  NULL, 0 },
	{ "strategy `temporary` with decision none: told at once", told_at_once,
	  "{\"version\":1,\"defaults\":{\"strategies\":{\"temporary\":{\"decision\":\"none\"}}}}",
	  NULL, 0 },
	{ "EAI_AGAIN classified as permanent: told at once", told_at_once,
	  "{\"version\":1,\"defaults\":{\"classify\":{\"EAI_AGAIN\":\"permanent\"}}}", NULL, 0 },
	{ "a rule that bypasses the program: told at once", told_at_once,
	  "{\"version\":1,\"rules\":[{\"name\":\"us\",\"match\":{\"programs\":[\"resolve\"]},"
	  "\"action\":\"bypass\"}]}",
	  NULL, 0 },
	{ "a rule that bypasses the host: told at once", told_at_once,
	  "{\"version\":1,\"rules\":[{\"name\":\"dead\",\"match\":{\"hosts\":[\"dead.test\"]},"
	  "\"action\":\"bypass\"}]}",
	  NULL, 0 },
	{ "HOLDFAST_ENABLED=0: told at once", told_at_once, POLICY_THREE, "HOLDFAST_ENABLED=0", 0 },
	{ "a rule by hosts is that name's alone", rule_by_host,
	  POLICY_RULE("\"hosts\":[\"slow.test\"]",
		      TEMPORARY("\"max_retries\":2,\"base_delay\":\"10ms\"")),
	  NULL, 0 },
	{ "a malformed address is told at once", numeric_host, POLICY_THREE, NULL, 0 },
	{ "gethostbyname: TRY_AGAIN is told at once", gethostbyname_is_left_alone, POLICY_THREE,
	  NULL, 0 },
	{ "two threads are held, further ones told at once", two_threads_at_once,
	  POLICY_RESOLVE("1m", "\"max_retries\":5,\"base_delay\":\"300ms\""), NULL, 0 },
	{ "results are unchanged", results_are_unchanged,
	  POLICY_RESOLVE("1m", "\"max_retries\":1,\"base_delay\":\"10ms\""), NULL,
	  CHECK_ALSO_PLAIN },
	{ "an address that nobody looked up matches no host", never_looked_up, POLICY_HOST("*"),
	  NULL, 0 },
	{ "getaddrinfo tells a name's addresses", told_by_getaddrinfo, POLICY_HOST("four.test"),
	  NULL, 0 },
	{ "gethostbyname tells them", told_by_gethostbyname, POLICY_HOST("four.test"), NULL, 0 },
	{ "gethostbyname_r tells them", told_by_gethostbyname_r, POLICY_HOST("four.test"), NULL,
	  0 },
	{ "gethostbyname2 tells them", told_by_gethostbyname2, POLICY_HOST("six.test"), NULL, 0 },
	{ "gethostbyname2_r tells them", told_by_gethostbyname2_r, POLICY_HOST("six.test"), NULL,
	  0 },
	{ "the last lookup of an address wins", told_otherwise_later, POLICY_HOST("four.test"),
	  NULL, 0 },
};

CHECK_MAIN(cases)
