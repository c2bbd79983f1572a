/* SPDX-License-Identifier: MIT */
/*
 * conform DIRECTORY all|healthy: asks every question in every state and writes the
 * answers to DIRECTORY/STATE-NUMBER/answers, the state's name first, then a line each:
 *	QUESTION -> WORD RESULT ERRNO ...; WORD ...
 * "healthy" leaves out where a connect fails. Each state is a process of its own,
 * so that one which crashes or hangs takes only its own lines along.
 */
#include "conform.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define STATES_AT_A_TIME 12 /* they wait more than they work */
#define LIMIT_MS 90000      /* of all of them */
#define LAST_FD 100         /* of all that a question opens */

char state_directory[64];

static int lowest_fd(void)
{
	int fd = (int)syscall(SYS_fcntl, 0, F_DUPFD_CLOEXEC, 3);

	syscall(SYS_close, fd);
	return fd;
}

static void subject_end(const struct subject *subject, int lowest)
{
	const struct linger hard = { 1, 0 };

	if (subject->peer >= 0)
		raw_close_hard(subject->peer);
	for (int fd = lowest; fd < LAST_FD; fd++) {
		if (syscall(SYS_fcntl, fd, F_GETFD) < 0)
			continue;
		syscall(SYS_setsockopt, fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
		close(fd);
	}
	world_tidy(subject->world);
}

static void pair_run(const struct state *state, const struct world *world, const char *question,
		     int lowest)
{
	struct subject subject = {
		.state = state,
		.world = world,
		.target = &world->server,
		.fd = -1,
		.peer = -1,
	};

	state->make(&subject);
	subject.first = subject.fd;
	question_ask(question, &subject);
	printf("%s ->%s\n", question, answers);
	subject_end(&subject, lowest);
}

static void state_run(const struct state *state, bool healthy)
{
	struct world world;
	int lowest;

	printf("%s\n", state->name);
	answers_make();
	if (!world_make(&world, state->family, state->type)) {
		printf("SKIP no such address here: %s\n", strerrorname_np(errno));
		return;
	}
	lowest = lowest_fd();
	for (unsigned int i = 0; i < question_count; i++)
		if (!healthy || !question_fails(questions[i]))
			pair_run(state, &world, questions[i], lowest);
	printf("the end -> lowest free fd +%d\n", lowest_fd() - lowest);
}

static _Noreturn void state_become(const char *directory, unsigned int number, bool healthy)
{
	int fd;

	snprintf(state_directory, sizeof(state_directory), "%s/%03u", directory, number);
	mkdir(state_directory, 0700);
	chdir(state_directory);
	fd = open("answers", O_WRONLY | O_CREAT | O_TRUNC, 0600);
	if (fd < 0 || dup2(fd, STDOUT_FILENO) < 0)
		give_up(state_directory);
	close(fd);
	state_run(&states[number], healthy);
	fflush(stdout);
	_exit(0);
}

static void state_reap(pid_t pids[], unsigned int number, bool *failed)
{
	int status;

	if (pids[number] <= 0 || waitpid(pids[number], &status, WNOHANG) != pids[number])
		return;
	pids[number] = 0;
	if (!status)
		return;
	fprintf(stderr, "%s: ended with status %d\n", states[number].name, status);
	*failed = true;
}

static unsigned int states_running(pid_t pids[], bool *failed)
{
	unsigned int running = 0;

	for (unsigned int i = 0; i < state_count; i++) {
		state_reap(pids, i, failed);
		running += pids[i] > 0;
	}
	return running;
}

int main(int argc, char **argv)
{
	bool healthy = argc == 3 && strcmp(argv[2], "healthy") == 0;
	pid_t *pids = calloc(state_count, sizeof(*pids));
	bool failed = false;

	if (!pids || argc != 3 || (!healthy && strcmp(argv[2], "all") != 0)) {
		fprintf(stderr, "usage: conform DIRECTORY all|healthy\n");
		return 64;
	}
	for (unsigned int i = 0; i < state_count; i++) {
		if (healthy && states[i].flags & STATE_FAILED)
			continue;
		while (states_running(pids, &failed) >= STATES_AT_A_TIME)
			poll(NULL, 0, 2);
		pids[i] = fork();
		if (pids[i] == 0)
			state_become(argv[1], i, healthy);
	}
	for (int waited = 0; states_running(pids, &failed) > 0; waited += 10) {
		if (waited > LIMIT_MS)
			for (unsigned int i = 0; i < state_count; i++)
				if (pids[i] > 0)
					kill(pids[i], SIGKILL);
		poll(NULL, 0, 10);
	}
	return failed;
}
