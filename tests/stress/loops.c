/* SPDX-License-Identifier: MIT */
/*
 * loops SECONDS SEED ACT,ACT...: prints what was told to the threads, one sum a line,
 * every outcome that was seen, and how many descriptors were lost. With `hold` each
 * team works through one batch only, and what the process cost meanwhile is printed.
 */
#include "loops.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct loops loops;

/* ---- threads -------------------------------------------------------------------------------- */

static const unsigned int team_sizes[TEAMS] = { 3, 2, 1, 1, 1 };

static void *worker_run(void *argument)
{
	struct worker *worker = argument;
	struct team *team = worker->team;

	for (;;) {
		/* All of a team go on, or none. */
		if (worker->rank == 0)
			team->stops = atomic_load(&loops.over);
		pthread_barrier_wait(&team->barrier);
		if (team->stops)
			return NULL;
		team_play(worker, team);
		if (MAY(hold))
			return NULL;
	}
}

static void workers_start(void)
{
	struct worker *worker = loops.workers;

	for (unsigned int i = 0; i < TEAMS; i++) {
		struct team *team = &loops.teams[i];

		team->size = MAY(team) ? team_sizes[i] : 1;
		loops.worker_count += team->size;
		team->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (team->bell < 0 || pthread_barrier_init(&team->barrier, NULL, team->size) != 0)
			give_up("a team");
		for (unsigned int rank = 0; rank < team->size; rank++, worker++) {
			worker->team = team;
			worker->rank = rank;
			worker->random = draw_seed(loops.seed, (uint64_t)(worker - loops.workers));
		}
	}
	for (unsigned int i = 0; i < loops.worker_count; i++)
		if (pthread_create(&loops.workers[i].thread, NULL, worker_run, &loops.workers[i]))
			give_up("pthread_create");
}

/* ---- who disturbs and watches them -------------------------------------------------------------- */

static void worker_disturb(struct worker *worker, uint64_t *random)
{
	static const int signals[] = { SIGNAL_RESTARTING, SIGNAL_INTERRUPTING };

	if (MAY(jump) && draw(random, 2))
		pthread_kill(worker->thread, SIGNAL_JUMP);
	else if (MAY(signal))
		pthread_kill(worker->thread, signals[draw(random, 2)]);
}

static void stuck_report(const struct team *team)
{
	for (unsigned int i = 0; i < loops.worker_count; i++)
		if (loops.workers[i].team == team)
			fprintf(stderr, "stuck: team %d, thread %u: %s\n",
				(int)(team - loops.teams), loops.workers[i].rank,
				atomic_load(&loops.workers[i].doing));
}

/* Who is not woken by the bell either will never be. */
static void teams_watch(void)
{
	for (unsigned int i = 0; i < TEAMS; i++) {
		struct team *team = &loops.teams[i];
		int64_t began = atomic_load(&team->batch.began_ms);
		int64_t took = began ? now_ms() - began : 0;

		if (took > 2 * PATIENCE_MS) {
			stuck_report(team);
			_exit(3);
		}
		if (took > PATIENCE_MS && !atomic_load(&team->batch.over))
			batch_over(team);
	}
}

static void workers_disturb(int64_t end_ms)
{
	const struct timespec pause = { 0, 300000 };
	uint64_t random = draw_seed(loops.seed, WORKERS);

	while (now_ms() < end_ms) {
		nanosleep(&pause, NULL);
		worker_disturb(&loops.workers[draw(&random, loops.worker_count)], &random);
		teams_watch();
	}
}

static void workers_join(void)
{
	const struct timespec pause = { 0, 10000000 };

	atomic_store(&loops.over, true);
	for (unsigned int i = 0; i < loops.worker_count; i++)
		while (pthread_tryjoin_np(loops.workers[i].thread, NULL) != 0) {
			nanosleep(&pause, NULL);
			teams_watch();
		}
}

/* ---- what it costs while nothing happens ------------------------------------------------------- */

#define HELD (TEAMS * BATCH_MAX)
#define HOLD_MS 2000

static uint64_t cpu_us(void)
{
	struct timespec used;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
	return (uint64_t)used.tv_sec * 1000000 + (uint64_t)used.tv_nsec / 1000;
}

static void hold_measure(void)
{
	const struct timespec pause = { 0, 10000000 }, hold = { HOLD_MS / 1000, 0 };
	const struct sums *sums = &loops.shared->sums;
	int64_t limit_ms = now_ms() + PATIENCE_MS;
	uint64_t before;

	while (atomic_load(&sums->started) < HELD && now_ms() < limit_ms)
		nanosleep(&pause, NULL);
	before = cpu_us();
	nanosleep(&hold, NULL);
	printf("cpu_permille %" PRIu64 "\n", (cpu_us() - before) / HOLD_MS);
	printf("held %" PRIu64 "\n", atomic_load(&sums->started) - atomic_load(&sums->failed) -
					     atomic_load(&sums->succeeded) -
					     atomic_load(&sums->reset));
}

/* ---- the command line, and what is printed ------------------------------------------------------ */

static const char *const acts[ACT_COUNT] = {
#define NAME(name) #name,
	LOOPS_ACTS(NAME)
#undef NAME
};

static void sums_print(void)
{
#define PRINT(name) printf(#name " %" PRIu64 "\n", atomic_load(&loops.shared->sums.name));
	LOOPS_SUMS(PRINT)
#undef PRINT
}

static const char *error_name(int error)
{
	if (error == ERROR_END)
		return "end";
	return error ? strerrorname_np(error) : "0";
}

static void outcomes_print(void)
{
	static const char *const servers[SERVER_COUNT] = { "up", "flap", "dead" };
	static const char *const tellers[TELLER_COUNT] = {
#define NAME(name) #name,
		LOOPS_TELLERS(NAME)
#undef NAME
	};

	for (unsigned int i = 0; i < SERVER_COUNT * TELLER_COUNT; i++)
		for (int error = 0; error < ERRORS; error++) {
			unsigned int server = i / TELLER_COUNT, teller = i % TELLER_COUNT;

			if (loops.shared->outcomes[server][teller][error])
				printf("outcome %s %s %s\n", servers[server], tellers[teller],
				       error_name(error));
		}
}

static void loops_run(int64_t seconds)
{
	workers_start();
	if (MAY(hold))
		hold_measure();
	else
		workers_disturb(now_ms() + seconds * 1000);
	workers_join();
	for (unsigned int i = 0; i < TEAMS; i++)
		close(loops.teams[i].bell);
}

int main(int argc, char **argv)
{
	int before, lost;
	pid_t servers;

	if (argc != 4) {
		fprintf(stderr, "usage: loops SECONDS SEED ACT,ACT...\n");
		return 64;
	}
	loops.seed = strtoull(argv[2], NULL, 10);
	loops.acts = names_parse(argv[3], acts, ACT_COUNT);
	loops.shared = mmap(NULL, sizeof(*loops.shared), PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (loops.shared == MAP_FAILED)
		give_up("mmap");
	waits_prepare();
	servers = servers_start();
	before = fds_open();
	loops_run(strtol(argv[1], NULL, 10));
	sums_print();
	outcomes_print();
	lost = fds_open() - before;
	printf("lost_fds %d\n", lost);
	if (lost)
		fds_print();
	kill(servers, SIGKILL);
	waitpid(servers, NULL, 0);
	return 0;
}
