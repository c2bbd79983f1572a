/* SPDX-License-Identifier: MIT */
/*
 * Names that a program looks up in one process and connects to in another, as
 * lynx, elinks and lftp do, and in one family at a time.  The names come out of a
 * hosts file (names.sh): both.test is ::1 and 127.0.0.1, two.test is 127.0.0.3
 * and 127.0.0.2, other.test is 127.0.0.3 alone.
 */
#include <netdb.h>
#include <pthread.h>

#include "net.h"
#include "peek.h"

#define ATTEMPTS_OF_RULE 3
/* Nothing is retried but where the rule for two.test says so. */
#define POLICY_RULE                                                                         \
	"{\"version\":1,\"defaults\":{\"strategies\":{\"network\":{\"decision\":\"none\"}," \
	"\"temporary\":{\"decision\":\"none\"}}},\"rules\":[{\"name\":\"rule\",\"match\":{" \
	"\"hosts\":[\"two.test\"]},\"strategies\":{\"network\":{\"decision\":\"backoff\","  \
	"\"max_retries\":2,\"base_delay\":\"10ms\",\"backoff_factor\":1,\"jitter\":0}}}]}"

/* A program's own way of having addresses fetched by a child: a word for each. */
struct answer {
	unsigned int count;
	struct sockaddr_storage addresses[8];
};

static struct answer look_up(const char *host, int family)
{
	const struct addrinfo hints = { .ai_family = family, .ai_socktype = SOCK_STREAM };
	struct addrinfo *list = NULL;
	struct answer answer = { 0 };

	REQUIRE(getaddrinfo(host, NULL, &hints, &list) == 0);
	for (struct addrinfo *one = list; one && answer.count < 8; one = one->ai_next)
		memcpy(&answer.addresses[answer.count++], one->ai_addr, one->ai_addrlen);
	freeaddrinfo(list);
	return answer;
}

/* The child may itself leave it to a child. */
static struct answer look_up_in_child(const char *host, int family, int generations)
{
	struct answer answer = { 0 };
	int ends[2];
	pid_t pid;

	if (generations == 0)
		return look_up(host, family);
	REQUIRE(pipe(ends) == 0);
	pid = fork();
	REQUIRE(pid >= 0);
	if (pid == 0) {
		answer = look_up_in_child(host, family, generations - 1);
		check_exit(write(ends[1], &answer, sizeof(answer)) == sizeof(answer) ? 0 : 1);
	}
	close(ends[1]);
	EXPECT_IS(read(ends[0], &answer, sizeof(answer)), sizeof(answer));
	close(ends[0]);
	EXPECT_IS(child_wait(pid), 0);
	return answer;
}

/* connect() to the answer's address of that number, at that port; 0 or the errno. */
static int connect_to(struct answer *answer, unsigned int number, uint16_t port)
{
	struct sockaddr_storage *address = &answer->addresses[number];
	int fd = socket(address->ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int error;

	REQUIRE(number < answer->count && fd >= 0);
	/* The port lies at the same place in both families. */
	((struct sockaddr_in *)address)->sin_port = htons(port);
	error = connect(fd, (struct sockaddr *)address, sizeof(*address)) < 0 ? errno : 0;
	close(fd);
	return error;
}

/* A port on which nobody listens, at none of the addresses. */
static uint16_t port_unused(void)
{
	struct server server = server_bind(AF_INET);

	return server_port(&server);
}

/* ---- which name an address belongs to ------------------------------------------------------ */

static void expect_attempts(struct answer *answer, unsigned int attempts)
{
	EXPECT_IS(answer->count, 2);
	EXPECT_ERROR(connect_to(answer, 1, port_unused()), ECONNREFUSED);
	EXPECT_COUNT(attempts, attempts);
}

static void nobody_asked(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET };
	struct answer answer = { .count = 2 };

	inet_pton(AF_INET, "127.0.0.2", &address.sin_addr);
	memcpy(&answer.addresses[1], &address, sizeof(address));
	expect_attempts(&answer, 1);
}

static void a_child_asked(void)
{
	struct answer answer = look_up_in_child("two.test", AF_UNSPEC, 1);

	expect_attempts(&answer, ATTEMPTS_OF_RULE);
}

static void a_grandchild_asked(void)
{
	struct answer answer = look_up_in_child("two.test", AF_UNSPEC, 2);

	expect_attempts(&answer, ATTEMPTS_OF_RULE);
}

static void *look_up_thread(void *data)
{
	*(struct answer *)data = look_up_in_child("two.test", AF_UNSPEC, 1);
	return NULL;
}

static void a_threads_child_asked(void)
{
	struct answer answer;
	pthread_t thread;

	REQUIRE(pthread_create(&thread, NULL, look_up_thread, &answer) == 0);
	pthread_join(thread, NULL);
	expect_attempts(&answer, ATTEMPTS_OF_RULE);
}

static void a_relative_asked(void)
{
	struct answer answer;
	int ends[2];
	pid_t pid;

	/* A daemon of two workers, of which one looks up for the other. */
	REQUIRE(pipe(ends) == 0);
	pid = fork();
	if (pid == 0) {
		if (read(ends[0], &answer, sizeof(answer)) != sizeof(answer))
			check_exit(2);
		check_exit(connect_to(&answer, 1, port_unused()) == ECONNREFUSED ? 0 : 3);
	}
	answer = look_up_in_child("two.test", AF_UNSPEC, 1);
	REQUIRE(write(ends[1], &answer, sizeof(answer)) == sizeof(answer));
	EXPECT_IS(child_wait(pid), 0);
	EXPECT_COUNT(attempts, ATTEMPTS_OF_RULE);
}

/* The process's own lookup of that address is what its rule goes by, before any worker's. */
static void another_worker_asked_for_another_name(void)
{
	struct answer answer = look_up("two.test", AF_UNSPEC);

	look_up_in_child("other.test", AF_UNSPEC, 1);
	EXPECT_IS(answer.count, 2);
	EXPECT_ERROR(connect_to(&answer, 0, port_unused()), ECONNREFUSED);
	EXPECT_COUNT(attempts, ATTEMPTS_OF_RULE);
}

/* Whoever is unprivileged tells nobody who is not where to connect. */
static void an_unprivileged_child_asked(void)
{
	struct answer answer;
	int ends[2];
	pid_t pid;

	if (geteuid() != 0)
		check_skip("not root");
	REQUIRE(pipe(ends) == 0);
	pid = fork();
	if (pid == 0) {
		if (setuid(65534) < 0)
			check_exit(2);
		answer = look_up("two.test", AF_UNSPEC);
		check_exit(write(ends[1], &answer, sizeof(answer)) == sizeof(answer) ? 0 : 1);
	}
	EXPECT_IS(child_wait(pid), 0);
	EXPECT_IS(read(ends[0], &answer, sizeof(answer)), sizeof(answer));
	expect_attempts(&answer, 1);
}

/* ---- the addresses of one name --------------------------------------------------------------- */

/*
 * The server is on the second address only, and the program walks: it is told of the
 * first one's refusal at once, since the second answers.
 */
static void walk(struct answer *answer)
{
	struct sockaddr_storage *last = &answer->addresses[1];
	int fd = socket(last->ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t length = sizeof(*last);
	int64_t began = now_ms();
	uint16_t port;

	EXPECT_IS(answer->count, 2);
	REQUIRE(bind(fd, (struct sockaddr *)last, length) == 0 && listen(fd, 5) == 0);
	REQUIRE(getsockname(fd, (struct sockaddr *)last, &length) == 0);
	port = ntohs(((struct sockaddr_in *)last)->sin_port);
	EXPECT_ERROR(connect_to(answer, 0, port), ECONNREFUSED);
	EXPECT_IS(connect_to(answer, 1, port), 0);
	EXPECT_WITHIN(now_ms() - began, 0, 900);
	EXPECT_COUNT(fallbacks, 1);
	EXPECT_COUNT(succeeded, 1);
	EXPECT_COUNT(retries, 0);
}

static void walk_after_a_childs_lookup(void)
{
	struct answer answer = look_up_in_child("two.test", AF_UNSPEC, 1);

	walk(&answer);
}

static struct answer joined(const struct answer *first, const struct answer *second)
{
	struct answer both = { .count = 2 };

	/* For AF_INET glibc takes a file's ::1 for 127.0.0.1, and gives that twice. */
	EXPECT(first->count >= 1 && second->count >= 1);
	both.addresses[0] = first->addresses[0];
	both.addresses[1] = second->addresses[0];
	return both;
}

static void walk_in_families(int first, int second)
{
	struct answer one = look_up("both.test", first), other = look_up("both.test", second);
	struct answer both = joined(&one, &other);

	walk(&both);
}

static void ipv4_then_ipv6(void)
{
	walk_in_families(AF_INET, AF_INET6);
}

static void ipv6_then_ipv4(void)
{
	walk_in_families(AF_INET6, AF_INET);
}

struct question {
	int family;
	bool in_child;
	struct answer answer;
};

static void *ask(void *data)
{
	struct question *question = data;

	question->answer = look_up_in_child("both.test", question->family, question->in_child);
	return NULL;
}

static void ask_at_once(bool in_child)
{
	struct question questions[2] = { { AF_INET6, in_child, { 0 } },
					 { AF_INET, in_child, { 0 } } };
	struct answer both;
	pthread_t threads[2];

	for (int i = 0; i < 2; i++)
		REQUIRE(pthread_create(&threads[i], NULL, ask, &questions[i]) == 0);
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	both = joined(&questions[0].answer, &questions[1].answer);
	walk(&both);
}

static void families_in_threads(void)
{
	ask_at_once(false);
}

static void families_in_children(void)
{
	ask_at_once(true);
}

/* ---- what it costs -------------------------------------------------------------------------------- */

struct mappings {
	unsigned int count;     /* shared and anonymous */
	unsigned int kilobytes; /* of their pages that are there */
};

static struct mappings mappings_shared(void)
{
	struct mappings shared = { 0 };
	FILE *file = fopen("/proc/self/smaps", "re");
	bool inside = false;
	char line[512];
	unsigned int value;

	REQUIRE(file != NULL);
	while (fgets(line, sizeof(line), file)) {
		char mode[8];

		if (sscanf(line, "%*x-%*x %7s", mode) == 1 && strchr(line, '-')) {
			inside = mode[3] == 's' && strstr(line, "/dev/zero (deleted)");
			shared.count += inside;
		} else if (inside && sscanf(line, "Rss: %u", &value) == 1) {
			shared.kilobytes += value;
		}
	}
	fclose(file);
	return shared;
}

static void fork_some(unsigned int count)
{
	while (count--) {
		pid_t pid = fork();

		if (pid == 0)
			check_exit(mappings_shared().count == (preloaded() ? 1 : 0) ? 0 : 1);
		EXPECT_IS(child_wait(pid), 0);
	}
}

static void forks_make_one_mapping(void)
{
	struct mappings shared = mappings_shared();

	EXPECT_IS(shared.count, 0);
	fork_some(3);
	shared = mappings_shared();
	EXPECT_IS(shared.count, preloaded());
	EXPECT_IS(shared.kilobytes, 0);
	EXPECT(access(getenv("HOLDFAST_STATE_DIR"), F_OK) < 0);
}

static void disabled_forks_make_none(void)
{
	pid_t pid = fork();

	if (pid == 0)
		check_exit(0);
	EXPECT_IS(child_wait(pid), 0);
	look_up("two.test", AF_UNSPEC);
	EXPECT_IS(mappings_shared().count, 0);
}

static void on_signal(int number)
{
	pid_t pid = fork();

	(void)number;
	if (pid == 0)
		_exit(7);
	EXPECT_IS(child_wait(pid), 7);
}

/* fork() is one of the functions that a handler may call. */
static void fork_in_a_handler(void)
{
	struct answer answer;

	signal(SIGUSR1, on_signal);
	errno = EDOM;
	raise(SIGUSR1);
	EXPECT_ERRNO(EDOM);
	answer = look_up_in_child("two.test", AF_UNSPEC, 1);
	expect_attempts(&answer, ATTEMPTS_OF_RULE);
}

static const struct check_case cases[] = {
	{ "an address that nobody looked up follows no rule of a host", nobody_asked, POLICY_RULE,
	  NULL, 0 },
	{ "looked up in a child", a_child_asked, POLICY_RULE, NULL, 0 },
	{ "looked up in a grandchild", a_grandchild_asked, POLICY_RULE, NULL, 0 },
	{ "looked up in a child that a thread forked", a_threads_child_asked, POLICY_RULE, NULL,
	  0 },
	{ "looked up by a process with the same parent", a_relative_asked, POLICY_RULE, NULL, 0 },
	{ "looked up in a child that gave root up: not known", an_unprivileged_child_asked,
	  POLICY_RULE, NULL, 0 },
	{ "a relative's lookup of another name on the same address changes no rule",
	  another_worker_asked_for_another_name, POLICY_RULE, NULL, 0 },
	{ "looked up in a child: the addresses are one destination", walk_after_a_childs_lookup,
	  POLICY_PATIENT, NULL, CHECK_ALSO_PLAIN },
	{ "asked for AF_INET, then AF_INET6: one destination", ipv4_then_ipv6, POLICY_PATIENT, NULL,
	  CHECK_ALSO_PLAIN },
	{ "asked for AF_INET6, then AF_INET: one destination", ipv6_then_ipv4, POLICY_PATIENT, NULL,
	  CHECK_ALSO_PLAIN },
	{ "asked for both in two threads: one destination", families_in_threads, POLICY_PATIENT,
	  NULL, CHECK_ALSO_PLAIN },
	{ "asked for both in two children: one destination", families_in_children, POLICY_PATIENT,
	  NULL, CHECK_ALSO_PLAIN },
	{ "fork makes one mapping for all, and no page of it", forks_make_one_mapping,
	  POLICY_PATIENT, NULL, CHECK_ALSO_PLAIN },
	{ "HOLDFAST_ENABLED=0: fork and lookups make none", disabled_forks_make_none,
	  POLICY_PATIENT, "HOLDFAST_ENABLED=0", CHECK_ALSO_PLAIN },
	{ "fork in a signal handler", fork_in_a_handler, POLICY_RULE, NULL, 0 },
};

CHECK_MAIN(cases)
