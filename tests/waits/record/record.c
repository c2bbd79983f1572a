/* SPDX-License-Identifier: MIT */
/*
 * recorder WORLD [NUMBER...]: asks every question, or those of these numbers, with
 * every way to wait, and prints a line each:
 *	NUMBER | WAY | WANTED | QUESTION -> connect RESULT ERRNO; WORD: ANSWER; ...
 * Every question is a process of its own. They sleep more than they work, so many
 * run at a time.
 */
#include "record.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define AT_A_TIME 240
#define CASE_SECONDS 12

struct entry {
	const struct way *way;
	const struct question *question;
	unsigned int number;
	bool wanted;
	pid_t pid;
	char *record;
};

static struct entry *entries;
static unsigned int entry_count;

static bool is_asked(const struct way *way, const struct question *question)
{
	return (way->typical || !(question->flags & ASK_TYPICAL)) &&
	       (way->is_epoll || !(question->flags & ASK_EPOLL));
}

static void entries_make(void)
{
	unsigned int most = way_count * question_count;
	char *records = mmap(NULL, (size_t)most * RECORD_SIZE, PROT_READ | PROT_WRITE,
			     MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	entries = calloc(most, sizeof(*entries));
	if (!entries || records == MAP_FAILED)
		give_up("memory");
	for (unsigned int i = 0; i < most; i++) {
		struct entry *entry = &entries[entry_count];

		entry->way = &ways[i / question_count];
		entry->question = &questions[i % question_count];
		entry->number = i;
		entry->record = records + (size_t)i * RECORD_SIZE;
		if (is_asked(entry->way, entry->question))
			entry_count++;
	}
}

static bool has_ipv6(void)
{
	struct sockaddr_in6 address = { .sin6_family = AF_INET6,
					.sin6_addr = IN6ADDR_LOOPBACK_INIT };
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool has = fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0;

	close(fd);
	return has;
}

/* The families take turns: IPv4, IPv6, IPv4 on a socket of IPv6. */
static int family_of(const struct entry *entry, bool ipv6)
{
	const int families[] = { AF_INET, AF_INET6, 0 };

	return ipv6 ? families[entry->number % 3] : AF_INET;
}

static _Noreturn void entry_run(const struct entry *entry, enum world world, int family)
{
	struct subject s = { .world = world, .way = entry->way, .want = entry->question->want };

	record = entry->record;
	alarm(CASE_SECONDS);
	words_begin();
	world_make(&s, family);
	s.fd = socket(family == AF_INET ? AF_INET : AF_INET6,
		      SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	s.registered = s.fd;
	way_begin(&s);
	if (s.way->is_epoll && s.way->before)
		way_control(&s, EPOLL_CTL_ADD, s.want, s.way->trigger);
	say(" connect:");
	ask_connect(&s);
	world_begin(&s);
	say(";");
	if (s.way->is_epoll && !s.way->before)
		way_control(&s, EPOLL_CTL_ADD, s.want, s.way->trigger);
	words_say(&s, entry->question->words);
	say(" end");
	_exit(0);
}

static void entry_ended(pid_t pid, int status)
{
	for (unsigned int i = 0; i < entry_count; i++) {
		if (entries[i].pid != pid)
			continue;
		record = entries[i].record;
		if (WIFSIGNALED(status))
			say(" ENDED BY %s", sigabbrev_np(WTERMSIG(status)));
		else if (status)
			say(" ENDED WITH %d", WEXITSTATUS(status));
	}
}

static void reap(unsigned int *running)
{
	int status = 0;
	pid_t pid = wait(&status);

	if (pid <= 0)
		give_up("wait");
	(*running)--;
	entry_ended(pid, status);
}

static void entries_run(enum world world)
{
	bool ipv6 = has_ipv6();
	unsigned int running = 0;

	for (unsigned int i = 0; i < entry_count; i++) {
		if (!entries[i].wanted)
			continue;
		if (running == AT_A_TIME)
			reap(&running);
		entries[i].pid = fork();
		if (entries[i].pid == 0)
			entry_run(&entries[i], world, family_of(&entries[i], ipv6));
		running++;
	}
	while (running > 0)
		reap(&running);
}

static void entry_print(const struct entry *entry)
{
	unsigned int want = entry->question->want;

	printf("%u | %s | %s%s%s%s | %s ->%s\n", entry->number, entry->way->name,
	       want & WANT_IN ? "IN " : "", want & WANT_URGENT ? "PRI " : "",
	       want & WANT_OUT ? "OUT " : "", want & WANT_HANGUP ? "RDHUP " : "",
	       entry->question->words, entry->record);
}

static void entries_choose(enum world world, char **numbers)
{
	bool fails = world == WORLD_DEAD || world == WORLD_SLOW_DEAD;

	for (unsigned int i = 0; i < entry_count; i++) {
		entries[i].wanted = !numbers[0];
		for (char **number = numbers; *number; number++)
			entries[i].wanted |= (unsigned int)atoi(*number) == entries[i].number;
		if (fails && entries[i].question->flags & ASK_GOOD)
			entries[i].wanted = false;
	}
}

int main(int argc, char **argv)
{
	unsigned int world = 0;

	while (argc > 1 && world < WORLD_COUNT && strcmp(argv[1], world_names[world]) != 0)
		world++;
	if (argc < 2 || world == WORLD_COUNT) {
		fprintf(stderr, "usage: recorder up|silent|slow|slow-dead|late|dead [NUMBER...]\n");
		return 64;
	}
	entries_make();
	entries_choose(world, argv + 2);
	entries_run(world);
	for (unsigned int i = 0; i < entry_count; i++)
		if (entries[i].wanted)
			entry_print(&entries[i]);
	return 0;
}
