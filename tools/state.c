/* SPDX-License-Identifier: MIT */
/* Finding the state directory, and the manners of a command that prints for long. */
#include "tools/state.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

static int code_of_errno(int error)
{
	return error == EACCES || error == EPERM ? EX_NOPERM : EX_NOINPUT;
}

void state_open(struct state_directory *state, const char *state_dir)
{
	const char *problem = NULL;

	*state = (struct state_directory){ .fd = -1, .failed = EX_OK };
	if (state_dir && !state_dir[0]) {
		fputs("holdfast: --state-dir: found \"\", expected a directory\n", stderr);
		state->failed = EX_USAGE;
		return;
	}
	if (!directory_locate(state->path, state_dir ? state_dir : getenv("HOLDFAST_STATE_DIR"),
			      getenv("XDG_STATE_HOME"), getenv("HOME"), geteuid())) {
		fprintf(stderr,
			"holdfast: no state directory: found no absolute HOME and no name of less "
			"than %d bytes, expected HOLDFAST_STATE_DIR or --state-dir\n",
			STORE_PATH_SIZE);
		state->failed = EX_NOINPUT;
		return;
	}
	state->fd = directory_open(state->path, false, &problem);
	if (state->fd >= 0 || errno == ENOENT)
		return;
	state->failed = code_of_errno(errno);
	fprintf(stderr, "holdfast: %s: %s\n", state->path, problem);
}

void state_note_empty(const struct state_directory *state)
{
	fprintf(stderr, "holdfast: %s: %s\n", state->path,
		state->fd < 0 ? "does not exist: nothing was recorded yet"
			      : "nothing was recorded yet");
}

int state_error(const struct state_directory *state, const char *file)
{
	int error = errno;

	fprintf(stderr, "holdfast: %s%s%s: cannot be read: %s\n", state->path, file ? "/" : "",
		file ? file : "", strerror(error));
	return code_of_errno(error);
}

/* ---- output --------------------------------------------------------------- */

bool output_is_coloured(FILE *stream)
{
	const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");

	return isatty(fileno(stream)) && !(no_color && no_color[0]) &&
	       !(term && !strcmp(term, "dumb"));
}

unsigned int output_width(FILE *stream)
{
	struct winsize size;

	if (isatty(fileno(stream)) && ioctl(fileno(stream), TIOCGWINSZ, &size) == 0 && size.ws_col)
		return size.ws_col;
	return 80;
}

bool output_flush(int *code)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return true;
	*code = EX_OK;
	if (errno != EPIPE) {
		fprintf(stderr, "holdfast: cannot write the output: %s\n", strerror(errno));
		*code = EX_IOERR;
	}
	return false;
}

static volatile sig_atomic_t stopped;

static void stop(int signal_number)
{
	stopped = 1;
}

void output_catch_signals(void)
{
	struct sigaction action = { .sa_handler = stop };

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	action.sa_handler = SIG_IGN;
	sigaction(SIGPIPE, &action, NULL);
}

bool output_stopped(void)
{
	return stopped;
}

bool output_reader_gone(void)
{
	struct pollfd out = { .fd = STDOUT_FILENO };

	return poll(&out, 1, 0) == 1 && (out.revents & POLLERR);
}

void output_pause(unsigned int ms)
{
	const struct timespec pause = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L };

	if (!stopped)
		nanosleep(&pause, NULL);
}
