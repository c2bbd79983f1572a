/* SPDX-License-Identifier: MIT */
/*
 * stress SECONDS SEED ACT,ACT...: prints what was told to the threads, one sum a line,
 * every outcome that was seen, and how many descriptors were lost.
 *
 * A thread's decisions come from its own generator, seeded by SEED and its number;
 * only how they interleave is the scheduler's.
 */
#include "stress.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>

/* The threads use each other's sockets. */
#define CALLS_UNSEEN
#include "calls.h"

struct stress stress;

/* ---- threads, and who disturbs them -------------------------------------------------- */

static void *worker_run(void *argument)
{
	struct worker *worker = argument;
	int state;

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
	while (!atomic_load(&stress.over))
		worker_act(worker);
	return NULL;
}

static void worker_start(struct worker *worker)
{
	if (pthread_create(&worker->thread, NULL, worker_run, worker) != 0)
		give_up("pthread_create");
}

static void worker_disturb(struct worker *worker, uint64_t *random)
{
	static const int signals[] = { SIGNAL_RESTARTING, SIGNAL_INTERRUPTING, SIGNAL_JUMP };
	uint64_t choice = draw(random, 64);

	if (choice == 0 && MAY(cancel)) {
		pthread_cancel(worker->thread);
		pthread_join(worker->thread, NULL);
		worker_start(worker);
	} else if (choice < 32 && MAY(signal)) {
		pthread_kill(worker->thread, signals[draw(random, 2)]);
	} else if (MAY(jump)) {
		pthread_kill(worker->thread, signals[2]);
	}
}

static void workers_run(int64_t end_ms)
{
	const struct timespec pause = { 0, 300000 };
	uint64_t random = draw_seed(stress.seed, WORKERS);

	for (unsigned int i = 0; i < WORKERS; i++) {
		stress.workers[i].index = i;
		stress.workers[i].random = draw_seed(stress.seed, i);
		atomic_init(&stress.workers[i].lent, -1);
	}
	for (unsigned int i = 0; i < WORKERS; i++)
		worker_start(&stress.workers[i]);
	while (now_ms() < end_ms) {
		nanosleep(&pause, NULL);
		worker_disturb(&stress.workers[draw(&random, WORKERS)], &random);
	}
	atomic_store(&stress.over, true);
	for (unsigned int i = 0; i < WORKERS; i++)
		pthread_join(stress.workers[i].thread, NULL);
}

/* ---- the command line, and what is printed ------------------------------------------- */

static const char *const acts[ACT_COUNT] = {
#define NAME(name) #name,
	STRESS_ACTS(NAME)
#undef NAME
};

static void sums_print(void)
{
#define PRINT(name) printf(#name " %" PRIu64 "\n", atomic_load(&stress.shared->sums.name));
	STRESS_SUMS(PRINT)
#undef PRINT
}

static void outcomes_print(void)
{
	static const char *const names[OUTCOME_COUNT] = { "connect", "non-blocking connect",
							  "SO_ERROR", "send" };

	for (unsigned int outcome = 0; outcome < OUTCOME_COUNT; outcome++)
		for (int error = 0; error < ERRORS; error++)
			if (atomic_load(&stress.shared->outcomes[outcome][error]))
				printf("outcome %s: %s\n", names[outcome],
				       error ? strerrorname_np(error) : "0");
}

int main(int argc, char **argv)
{
	int before, lost;
	pid_t servers;

	if (argc != 4) {
		fprintf(stderr, "usage: stress SECONDS SEED ACT,ACT...\n");
		return 64;
	}
	stress.seed = strtoull(argv[2], NULL, 10);
	stress.acts = names_parse(argv[3], acts, ACT_COUNT);
	stress.shared = mmap(NULL, sizeof(*stress.shared), PROT_READ | PROT_WRITE,
			     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (stress.shared == MAP_FAILED)
		give_up("mmap");
	acts_prepare();
	servers = servers_start();
	before = fds_open();
	workers_run(now_ms() + strtol(argv[1], NULL, 10) * 1000);
	sums_print();
	outcomes_print();
	lost = fds_open() - before;
	printf("lost %d\n", lost);
	if (lost)
		fds_print();
	kill(servers, SIGKILL);
	waitpid(servers, NULL, 0);
	return 0;
}
