/* SPDX-License-Identifier: MIT */
#include "log.h"

#include <errno.h>
#include <netdb.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sys.h"

void line_begin(struct line *line)
{
	text_begin(&line->text, line->bytes, sizeof(line->bytes));
}

void line_add(struct line *line, const char *words)
{
	text_add(&line->text, words);
}

void line_add_number(struct line *line, uint64_t number)
{
	text_add_integer(&line->text, number);
}

void line_add_endpoint(struct line *line, const struct endpoint *endpoint)
{
	char string[ENDPOINT_TEXT_SIZE];

	endpoint_format(endpoint, string);
	line_add(line, string);
}

void line_add_wait(struct line *line, uint64_t ns)
{
	uint64_t ms = ns / 1000000;

	if (ms < 1000) {
		line_add_number(line, ms);
		line_add(line, " ms");
	} else if (ms < 120000) {
		line_add_number(line, ms / 1000);
		line_add(line, ".");
		line_add_number(line, ms % 1000 / 100);
		line_add(line, " s");
	} else {
		line_add_number(line, ms / 60000);
		line_add(line, " min");
	}
}

void line_add_error(struct line *line, int error)
{
	const char *name = error == EAI_AGAIN ? "EAI_AGAIN" : strerrorname_np(error);

	if (name)
		line_add(line, name);
	else
		line_add_number(line, (uint64_t)(uint32_t)error);
}

bool log_wanted(enum config_log level)
{
	return level <= config_get()->log;
}

/* A program may have closed fd 2 and opened a file of its own under that number. */
static bool stderr_unchanged(void)
{
	const struct config *config = config_get();
	struct stat status;

	return sys_fstat(STDERR_FILENO, &status) == 0 && config->stderr_inode != 0 &&
	       status.st_dev == config->stderr_device && status.st_ino == config->stderr_inode;
}

/* Writes without letting a closed pipe or a limit of the file's size kill the program: the
 * signal that our own write raised is taken back, one that was pending before stays. */
static void stderr_write(const char *bytes, size_t length)
{
	const struct timespec at_once = { 0, 0 };
	sigset_t deadly, raised, before, pending;
	int sig = 0;

	sigemptyset(&deadly);
	sigaddset(&deadly, SIGPIPE);
	sigaddset(&deadly, SIGXFSZ);
	sigpending(&pending);
	pthread_sigmask(SIG_BLOCK, &deadly, &before);
	if (sys_write(STDERR_FILENO, bytes, length) < 0)
		sig = errno == EPIPE ? SIGPIPE : errno == EFBIG ? SIGXFSZ : 0;
	if (sig && !sigismember(&pending, sig)) {
		sigemptyset(&raised);
		sigaddset(&raised, sig);
		while (SYS(SYS_rt_sigtimedwait, &raised, NULL, &at_once, _NSIG / 8) < 0 &&
		       errno == EINTR)
			;
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static void line_write(const struct line *line)
{
	static const char prefix[] = "holdfast: ";
	char bytes[sizeof(prefix) + LINE_SIZE];
	size_t length = sizeof(prefix) - 1;
	int saved_errno = errno;

	memcpy(bytes, prefix, length);
	memcpy(bytes + length, line->bytes, line->text.length);
	length += line->text.length;
	bytes[length++] = '\n';
	if (stderr_unchanged())
		stderr_write(bytes, length);
	errno = saved_errno;
}

void log_write(enum config_log level, const struct line *line)
{
	if (log_wanted(level))
		line_write(line);
}

bool log_on_terminal(void)
{
	int saved_errno = errno;
	bool terminal = isatty(STDERR_FILENO);

	errno = saved_errno;
	return terminal;
}

void log_notice(const struct line *line)
{
	if (config_get()->log != LOG_OFF)
		line_write(line);
}
