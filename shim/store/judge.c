/* SPDX-License-Identifier: MIT */
/* Whether the process that wrote a file is still there. */
#include <signal.h>
#include <string.h>

#include "fold.h"
#include "identity.h"
#include "shim/sys.h"

#define PROC_PATH_SIZE 48

static void proc_path(char path[PROC_PATH_SIZE], int32_t pid, const char *file)
{
	strcpy(decimal_write(stpcpy(path, "/proc/"), (uint32_t)pid), file);
}

struct proc_stat {
	char state;
	uint64_t threads;
	uint64_t start_ticks;
};

static bool proc_stat_read(struct proc_stat *stat, int32_t pid)
{
	char path[PROC_PATH_SIZE], text[1024];
	const char *at;

	proc_path(path, pid, "/stat");
	if (file_text(path, text, sizeof(text)) <= 0)
		return false;
	at = strrchr(text, ')'); /* the name before it may hold anything */
	if (!at || at[1] != ' ')
		return false;
	stat->state = at[2];
	at += 2;
	for (int field = 3; field <= 22; field++) {
		uint64_t number = 0;

		for (; *at && *at != ' '; at++)
			number = number * 10 + (uint64_t)(*at - '0');
		if (field == 20)
			stat->threads = number;
		if (field == 22)
			stat->start_ticks = number;
		if (*at == ' ')
			at++;
		else if (field < 22)
			return false;
	}
	return true;
}

/* Whether a process began after the file was made: then it is another one. */
static bool is_younger(const struct proc_stat *stat, int64_t boottime_ns)
{
	int64_t ticks_per_second = sysconf(_SC_CLK_TCK);

	/* Times in /proc are cut to whole ticks, so one that began before is never later. */
	return (int64_t)stat->start_ticks > boottime_ns / (1000000000 / ticks_per_second);
}

/* ---- does it still map its file? ------------------------------------------- */

enum mapped { MAPPED_YES, MAPPED_NO, MAPPED_UNKNOWN };

/* A scan of /proc/PID/maps that needs no whole line in memory. */
struct maps_scan {
	uint64_t inode;                   /* looked for: field 5 */
	char name[PROCESS_NAME_SIZE + 1]; /* or this in the path; begins with its only slash */
	uint64_t number;
	size_t matched;
	int field;
	bool in_gap;
	bool found;
};

static void maps_scan_char(struct maps_scan *scan, char c)
{
	if (c == '\n') {
		scan->field = 1;
		scan->number = 0;
		scan->matched = 0;
		scan->in_gap = false;
		return;
	}
	if (c == ' ') {
		if (scan->field == 5 && !scan->in_gap && scan->number == scan->inode)
			scan->found = true;
		scan->in_gap = true;
		return;
	}
	if (scan->in_gap) {
		scan->field++;
		scan->number = 0;
		scan->in_gap = false;
	}
	if (scan->field == 5)
		scan->number = scan->number * 10 + (uint64_t)(c - '0');
	scan->matched = c == scan->name[scan->matched] ? scan->matched + 1 : c == scan->name[0];
	if (!scan->name[scan->matched]) {
		scan->found = true;
		scan->matched = 0;
	}
}

/*
 * By inode, or by the file's name: an overlay file system can show another inode
 * in maps than in stat, and the nonce in the name is as good.
 */
static enum mapped process_maps(const struct process_identity *identity, uint64_t inode)
{
	struct maps_scan scan = { .inode = inode, .field = 1 };
	char path[PROC_PATH_SIZE], buffer[4096];
	bool empty = true;
	ssize_t n;

	scan.name[0] = '/';
	process_file_name(scan.name + 1, identity->pid, identity->nonce);
	proc_path(path, identity->pid, "/maps");
	int fd = sys_openat(AT_FDCWD, path, O_RDONLY, 0);
	if (fd < 0)
		return MAPPED_UNKNOWN;
	while (!scan.found && (n = sys_read(fd, buffer, sizeof(buffer))) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			empty = true;
			break;
		}
		empty = false;
		for (ssize_t i = 0; i < n && !scan.found; i++)
			maps_scan_char(&scan, buffer[i]);
	}
	sys_close(fd);
	/* Nothing at all: the first thread has ended, and others may go on. */
	return scan.found ? MAPPED_YES : empty ? MAPPED_UNKNOWN : MAPPED_NO;
}

/* ---- the verdict --------------------------------------------------------------- */

static enum process_liveness process_gone(const struct process_file *file)
{
	return atomic_load_explicit(&file->state, memory_order_relaxed) == PROCESS_EXITED
		       ? PROCESS_ENDED
		       : PROCESS_VANISHED;
}

static bool process_is_of(int32_t pid, uint32_t uid)
{
	char path[PROC_PATH_SIZE];
	struct stat status;

	proc_path(path, pid, "");
	/* Root's processes change their user; root can read all maps and need not ask. */
	return uid == 0 || sys_fstatat(AT_FDCWD, path, &status, 0) < 0 || status.st_uid == uid;
}

/* Same pid namespace, and as far as the clock tells same boot. */
static enum process_liveness process_judge_here(const struct process_file *file, uint64_t inode)
{
	const struct process_identity *identity = &file->identity;
	enum mapped mapped = MAPPED_NO;
	struct proc_stat stat;

	if (!proc_stat_read(&stat, identity->pid)) {
		/* Gone, or hidden from us (hidepid). */
		bool gone = kill(identity->pid, 0) < 0 && errno == ESRCH;

		return gone ? process_gone(file) : PROCESS_ALIVE;
	}
	if (stat.state == 'Z' || stat.state == 'X') {
		/* The first thread alone can have ended. */
		return stat.threads > 1 ? PROCESS_ALIVE : process_gone(file);
	}
	/* Twice, since mappings move while they are listed. */
	for (int i = 0; i < 2 && mapped == MAPPED_NO; i++)
		mapped = process_maps(identity, inode);
	if (mapped == MAPPED_YES)
		return PROCESS_ALIVE;
	if (is_younger(&stat, identity->boottime_ns))
		return process_gone(file);
	/* exec put another image in its place. */
	if (mapped == MAPPED_NO)
		return PROCESS_ENDED;
	/* Not to be read: it must be believed, unless it is somebody else's. */
	return process_is_of(identity->pid, identity->uid) ? PROCESS_ALIVE : process_gone(file);
}

enum process_liveness process_judge(const struct process_file *file, uint64_t inode)
{
	enum process_liveness liveness = PROCESS_UNKNOWN;
	uint64_t proc_device = identity_proc_device();
	int saved = errno;

	/* Of an earlier boot, which nothing outlives, in whatever namespace. */
	if (file->identity.boottime_ns > identity_boottime_ns())
		liveness = process_gone(file);
	else if (proc_device && file->identity.proc_device == proc_device)
		liveness = process_judge_here(file, inode);
	errno = saved;
	return liveness;
}
