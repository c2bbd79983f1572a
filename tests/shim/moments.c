/* SPDX-License-Identifier: MIT */
/* The first network use of a process at unusual moments, and by many threads at once. */
#include <pthread.h>
#include <sys/mman.h>

#include "alarm.h"
#include "net.h"
#include "peek.h"

static struct server the_server;
static volatile int handler_result = 1;

static void connect_handler(int signal)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	int saved_errno = errno;

	handler_result = server_connect(&the_server, fd);
	close(fd);
	errno = saved_errno;
}

static void in_handler(void)
{
	the_server = server_bind(AF_INET);
	signal(SIGUSR1, connect_handler);
	server_listen_after(&the_server, 300);
	raise(SIGUSR1);
	EXPECT_IS(handler_result, 0);
	EXPECT_COUNT(operations, 1);
	EXPECT_COUNT(recovered, 1);
	EXPECT_COUNTS_ADD_UP();
}

/* The handler interrupts a connect() of the thread itself that is held. */
static void in_handler_of_held(void)
{
	struct server late = server_bind(AF_INET);
	int fd = stream_socket(&late);

	the_server = server_listening(AF_INET);
	handle(SIGALRM, connect_handler, SA_RESTART);
	alarm(1);
	server_listen_after(&late, 1500);
	EXPECT_IS(server_connect(&late, fd), 0);
	EXPECT_IS(handler_result, 0);
	EXPECT_COUNT(operations, 2);
	EXPECT_COUNT(succeeded, 2);
	EXPECT_COUNT(recovered, 1);
}

static void exit_handler(void)
{
	int fd = stream_socket(&the_server);

	EXPECT_IS(server_connect(&the_server, fd), 0);
	EXPECT_COUNT(operations, 2);
	if (check_failures)
		check_exit(1);
}

static void at_exit(void)
{
	struct pair pair;

	the_server = server_listening(AF_INET);
	pair = pair_connect(&the_server);
	atexit(exit_handler);
	EXPECT(pair.client >= 0);
}

static void first_exit_handler(void)
{
	int fd = stream_socket(&the_server);

	EXPECT_IS(server_connect(&the_server, fd), 0);
	EXPECT_COUNT(operations, 1);
	EXPECT_COUNT(recovered, 1);
	if (check_failures)
		check_exit(1);
}

static void first_at_exit(void)
{
	the_server = server_bind(AF_INET);
	server_listen_after(&the_server, 250);
	atexit(first_exit_handler);
}

/* ---- threads ------------------------------------------------------------------------------ */

static pthread_barrier_t together;

static void *first_run(void *data)
{
	int fd = stream_socket(&the_server);

	pthread_barrier_wait(&together);
	return (void *)(intptr_t)server_connect(&the_server, fd);
}

static void first_of_many(void)
{
	pthread_t threads[8];
	void *result;

	the_server = server_bind(AF_INET);
	pthread_barrier_init(&together, NULL, 8);
	server_listen_after(&the_server, 300);
	for (int i = 0; i < 8; i++)
		REQUIRE(pthread_create(&threads[i], NULL, first_run, NULL) == 0);
	for (int i = 0; i < 8; i++) {
		pthread_join(threads[i], &result);
		EXPECT_IS((intptr_t)result, 0);
	}
	EXPECT_COUNT(operations, 8);
	EXPECT_COUNT(recovered, 8);
	EXPECT_COUNTS_ADD_UP();
	if (preloaded())
		EXPECT_IS(peek_all().processes, 1);
}

#define THREADS 64
#define ROUNDS 60

static void *accept_run(void *data)
{
	char buffer[64];

	for (;;) {
		int fd = accept(the_server.fd, NULL, NULL);
		ssize_t n = recv(fd, buffer, sizeof(buffer), 0);

		send(fd, buffer, n > 0 ? (size_t)n : 0, MSG_NOSIGNAL);
		close(fd);
	}
	return NULL;
}

static void *busy_run(void *data)
{
	struct linger linger = { 1, 0 };
	char buffer[64] = { 0 };
	intptr_t failed = 0;

	for (int i = 0; i < ROUNDS; i++) {
		int fd = stream_socket(&the_server);

		setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
		failed += server_connect(&the_server, fd) != 0;
		failed += send(fd, buffer, 17, 0) != 17;
		failed += recv(fd, buffer, sizeof(buffer), MSG_WAITALL) != 17;
		failed += close(fd) != 0;
	}
	return (void *)failed;
}

static void sixty_four_threads(void)
{
	pthread_t threads[THREADS], server;
	void *result;

	the_server = server_listening(AF_INET);
	for (int i = 0; i < 4; i++)
		REQUIRE(pthread_create(&server, NULL, accept_run, NULL) == 0);
	for (int i = 0; i < THREADS; i++)
		REQUIRE(pthread_create(&threads[i], NULL, busy_run, NULL) == 0);
	for (int i = 0; i < THREADS; i++) {
		pthread_join(threads[i], &result);
		EXPECT_IS((intptr_t)result, 0);
	}
	EXPECT_COUNT(operations, THREADS * ROUNDS);
	EXPECT_COUNT(succeeded, THREADS * ROUNDS);
	EXPECT_COUNT(attempts, THREADS * ROUNDS);
	EXPECT_COUNT(sent_bytes, THREADS * ROUNDS * 17);
	EXPECT_COUNT(received_bytes, THREADS * ROUNDS * 17);
	if (preloaded()) {
		/* No more slots than connections at one time. */
		EXPECT_WITHIN(peek_process(getpid())->slots_used, 1, THREADS);
		for (unsigned int i = 0; i < peek_process(getpid())->slots_used; i++)
			EXPECT_IS(peek_process(getpid())->slots[i].state, SLOT_DISCONNECTED);
	}
}

static void *small_stack_run(void *data)
{
	int fd = stream_socket(&the_server);

	return (void *)(intptr_t)server_connect(&the_server, fd);
}

static void small_stack(void)
{
	pthread_attr_t attributes;
	pthread_t thread;
	void *result;

	the_server = server_bind(AF_INET);
	server_listen_after(&the_server, 250);
	pthread_attr_init(&attributes);
	REQUIRE(pthread_attr_setstacksize(&attributes, 16384) == 0);
	REQUIRE(pthread_create(&thread, &attributes, small_stack_run, NULL) == 0);
	pthread_join(thread, &result);
	EXPECT_IS((intptr_t)result, 0);
	EXPECT_COUNT(recovered, 1);
}

/* On a stack of its own of the classic SIGSTKSZ, with nothing mapped below it. */
static void in_handler_on_its_stack(void)
{
	char *memory = mmap(NULL, 65536 + 8192, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	stack_t stack = { .ss_sp = memory + 65536, .ss_size = 8192 };

	the_server = server_bind(AF_INET);
	REQUIRE(mprotect(stack.ss_sp, 8192, PROT_READ | PROT_WRITE) == 0);
	REQUIRE(sigaltstack(&stack, NULL) == 0);
	handle(SIGUSR1, connect_handler, SA_ONSTACK);
	server_listen_after(&the_server, 250);
	raise(SIGUSR1);
	EXPECT_IS(handler_result, 0);
	EXPECT_COUNT(recovered, 1);
}

/* More endpoints than a process has records for: the rest is counted as `other`. */
static void many_endpoints(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET };

	for (int i = 0; i < 300; i++) {
		int fd = socket(AF_INET, SOCK_DGRAM, 0);

		address.sin_port = htons((uint16_t)(1000 + i));
		address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		EXPECT_IS(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
		EXPECT_IS(send(fd, "ab", 2, 0), 2);
		close(fd);
	}
	EXPECT_COUNT(operations, 300);
	EXPECT_COUNT(succeeded, 300);
	EXPECT_COUNT(sent_bytes, 600);
	if (preloaded())
		EXPECT_IS(peek_process(getpid())->endpoints[0].counters[COUNTER_operations],
			  300 - (ENDPOINTS_PER_PROCESS - STORE_OPERATIONS));
}

static const struct check_case cases[] = {
	{ "the first connect of the process in a signal handler: held", in_handler, NULL, NULL, 0 },
	{ "the same on an alternate stack of 8 KiB", in_handler_on_its_stack, NULL, NULL, 0 },
	{ "the first connect in a thread with the smallest stack", small_stack, NULL, NULL, 0 },
	{ "the same where a policy has to be parsed", small_stack, POLICY_PATIENT, NULL, 0 },
	{ "a handler connects while its thread is held", in_handler_of_held, POLICY_PATIENT, NULL,
	  0 },
	{ "connect() in an atexit handler", at_exit, NULL, NULL, CHECK_ALSO_PLAIN },
	{ "the first connect of the process in an atexit handler: held", first_at_exit,
	  POLICY_PATIENT, NULL, 0 },
	{ "eight threads make the first connect together: all held", first_of_many, POLICY_PATIENT,
	  NULL, 0 },
	{ "eight threads make the first connect together, default policy", first_of_many, NULL,
	  NULL, 0 },
	{ "64 threads connect, transfer and close at once: sums exact", sixty_four_threads, NULL,
	  NULL, CHECK_ALSO_PLAIN },
	{ "300 endpoints: sums exact, the rest under `other`", many_endpoints, NULL, NULL,
	  CHECK_ALSO_PLAIN },
};

CHECK_MAIN(cases)
