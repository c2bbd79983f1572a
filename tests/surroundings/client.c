/* SPDX-License-Identifier: MIT */
/*
 * client WORD...: a client that first does something unusual to itself, as its words say, one
 * after the other.  What came of each connect is a line on standard output; the exit code is 3
 * if one of them failed, 70 if a word could not be done.  The server is 127.0.0.1:PORT of
 * the environment, which answers a line with "pong".
 */
#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "filter.h"

static int failures;
static int output = STDOUT_FILENO;

static void say(const char *words)
{
	dprintf(output, "%s\n", words);
}

static struct sockaddr_in server_address(unsigned int host)
{
	struct sockaddr_in address = { .sin_family = AF_INET };
	const char *port = getenv("PORT");

	address.sin_port = htons((unsigned short)atoi(port ? port : "0"));
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK + host);
	return address;
}

/* One connection, one question, one answer; said unless it is what everybody expects. */
static void exchange(int fd, unsigned int host, bool quiet)
{
	struct sockaddr_in address = server_address(host);
	char answer[16] = "";

	errno = 0;
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		say(strerrorname_np(errno));
		failures++;
	} else if (errno != 0) {
		say("errno was changed");
		failures++;
	} else if (send(fd, "ping\n", 5, 0) != 5 || recv(fd, answer, 5, MSG_WAITALL) != 5) {
		say("lost");
		failures++;
	} else if (!quiet) {
		answer[4] = '\0';
		say(answer);
	}
	close(fd);
}

static bool word_connect(const char *value)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int high;

	if (fd < 0)
		return false;
	/* connect=N: under a number of at least N */
	if (value) {
		high = fcntl(fd, F_DUPFD_CLOEXEC, atoi(value));
		close(fd);
		fd = high;
	}
	if (fd < 0)
		return false;
	exchange(fd, 0, false);
	return true;
}

/* hosts=N: one connection to each of so many addresses. */
static bool word_hosts(const char *value)
{
	int before = failures;

	for (unsigned int i = 0; i < (unsigned int)atoi(value); i++)
		exchange(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), i, true);
	say(failures == before ? "all pong" : "not all pong");
	return true;
}

/* open=N: so many connections that stay open. Says nothing. */
static bool word_open(const char *value)
{
	struct sockaddr_in address = server_address(0);

	for (int i = 0; i < atoi(value); i++) {
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

		if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
		    send(fd, "ping\n", 5, 0) != 5) {
			failures++;
			return true;
		}
	}
	return true;
}

/* The program's own file under the lowest free number; what is said from now on goes there. */
static bool word_file(const char *value)
{
	output = open(value, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	return output >= 0;
}

static bool word_loop(const char *value)
{
	for (int fd = atoi(value); fd < 1024; fd++)
		close(fd);
	return true;
}

static bool word_closefrom(const char *value)
{
	closefrom(atoi(value));
	return true;
}

static bool word_range(const char *value)
{
	return close_range((unsigned int)atoi(value), ~0u, 0) == 0;
}

/* As many daemons do it. */
static bool word_listed(const char *value)
{
	DIR *directory = opendir("/proc/self/fd");
	struct dirent *entry;

	while (directory && (entry = readdir(directory)))
		if (entry->d_name[0] != '.' && atoi(entry->d_name) >= atoi(value) &&
		    atoi(entry->d_name) != dirfd(directory))
			close(atoi(entry->d_name));
	return directory && closedir(directory) == 0;
}

static bool word_chdir(const char *value)
{
	return chdir(value) == 0;
}

static bool word_chroot(const char *value)
{
	return chroot(value) == 0 && chdir("/") == 0;
}

static bool word_unset(const char *value)
{
	return unsetenv(value) == 0;
}

static bool word_user(const char *value)
{
	unsigned int id = (unsigned int)atoi(value);

	return setgroups(0, NULL) == 0 && setgid(id) == 0 && setuid(id) == 0;
}

/* The rest of the words is the child's; the parent waits and takes its exit code. */
static bool word_fork(const char *value)
{
	int status;
	pid_t pid = fork();

	if (pid == 0)
		return true;
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return false;
	exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}

/* pause=FILE: makes FILE.ready, and goes on when FILE is there. */
static bool word_pause(const char *value)
{
	const struct timespec tick = { 0, 10000000 };
	char ready[4096];
	int fd;

	snprintf(ready, sizeof(ready), "%s.ready", value);
	fd = open(ready, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 || close(fd) < 0)
		return false;
	for (int i = 0; i < 3000 && access(value, F_OK) < 0; i++)
		nanosleep(&tick, NULL);
	return access(value, F_OK) == 0;
}

/* forbid=CALL:ERRNO; EPERM, ENOSYS, or KILL */
static bool word_forbid(const char *value)
{
	char name[32];
	int error = strstr(value, ":KILL") ? 0 : strstr(value, ":ENOSYS") ? ENOSYS : EPERM;

	snprintf(name, sizeof(name), "%.*s", (int)strcspn(value, ":"), value);
	return filter_forbid(name, error);
}

static const struct {
	const char *name;
	bool (*act)(const char *value);
} words[] = {
	{ "connect", word_connect }, { "hosts", word_hosts },   { "open", word_open },
	{ "file", word_file },       { "loop", word_loop },     { "closefrom", word_closefrom },
	{ "range", word_range },     { "listed", word_listed }, { "chdir", word_chdir },
	{ "chroot", word_chroot },   { "unset", word_unset },   { "user", word_user },
	{ "fork", word_fork },       { "pause", word_pause },   { "forbid", word_forbid },
};

static bool act(const char *word)
{
	size_t length = strcspn(word, "=");

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strlen(words[i].name) == length && memcmp(words[i].name, word, length) == 0)
			return words[i].act(word[length] ? word + length + 1 : NULL);
	return false;
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		/* run PROGRAM...: become it. */
		if (strcmp(argv[i], "run") == 0 && argv[i + 1]) {
			execvp(argv[i + 1], argv + i + 1);
			return 70;
		}
		if (!act(argv[i])) {
			dprintf(STDERR_FILENO, "client: %s: %s\n", argv[i], strerror(errno));
			return 70;
		}
	}
	return failures ? 3 : 0;
}
