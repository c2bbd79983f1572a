/* SPDX-License-Identifier: MIT */
/* What a thread does: a socket's life, drawn from the thread's generator. */
#include "stress.h"

#include <errno.h>
#include <poll.h>
#include <sys/wait.h>

/* The threads use each other's sockets. */
#define CALLS_UNSEEN
#include "calls.h"

#define CHILD_CONNECTS 3
#define WAIT_MS 20

/* What a guarded connect can come to besides 0 and errno. */
#define LEFT_BY_JUMP (-1)

static _Thread_local struct worker *self;

/* ---- signals ------------------------------------------------------------------------- */

static void on_signal(int signal)
{
}

static void on_jump(int signal)
{
	if (self && atomic_exchange(&self->may_jump, false))
		siglongjmp(self->back, 1);
}

void acts_prepare(void)
{
	struct sigaction restarting = { .sa_handler = on_signal, .sa_flags = SA_RESTART };
	struct sigaction interrupting = { .sa_handler = on_signal };
	struct sigaction jumping = { .sa_handler = on_jump, .sa_flags = SA_RESTART };

	sigaction(SIGNAL_RESTARTING, &restarting, NULL);
	sigaction(SIGNAL_INTERRUPTING, &interrupting, NULL);
	sigaction(SIGNAL_JUMP, &jumping, NULL);
	signal(SIGPIPE, SIG_IGN);
}

/* While it is blocked, every handler that could run restarts: a held connect goes on. */
static void interrupting_block(bool blocked)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGNAL_INTERRUPTING);
	pthread_sigmask(blocked ? SIG_BLOCK : SIG_UNBLOCK, &set, NULL);
}

/* ---- one socket ---------------------------------------------------------------------- */

static void outcome_note(enum outcome outcome, int error)
{
	if (error >= 0 && error < ERRORS)
		atomic_store_explicit(&stress.shared->outcomes[outcome][error], 1,
				      memory_order_relaxed);
}

/* With RST: nothing stays behind in TIME_WAIT. Nobody may use it any more. */
static void socket_end(int fd)
{
	const struct linger hard = { 1, 0 };

	if (self && atomic_load(&self->lent) == fd) {
		atomic_store(&self->lent, -1);
		while (atomic_load(&self->borrowers))
			sched_yield();
	}
	call_setsockopt(fd, SO_LINGER, &hard, sizeof(hard));
	call_close(fd);
}

static void socket_cancelled(void *argument)
{
	stack_left();
	COUNT(cancelled);
	socket_end(*(int *)argument);
}

static const struct sockaddr_in *server_draw(uint64_t *random)
{
	enum server server = (enum server)draw(random, SERVER_COUNT);

	if ((server == SERVER_DEAD && !MAY(dead)) || (server == SERVER_FLAP && !MAY(flap)))
		server = SERVER_UP;
	return &stress.servers[server];
}

/*
 * connect(), which may be cancelled or jumped out of, but not both: out of a
 * cancellation's own unwinding nobody may jump. 0, errno or LEFT_BY_JUMP.
 */
static int connect_guarded(struct worker *worker, int fd, const struct sockaddr_in *server)
{
	volatile int result = LEFT_BY_JUMP;
	bool jumps = MAY(jump) && draw(&worker->random, 2);
	int state;

	if (sigsetjmp(worker->back, 1) == 0) {
		if (MAY(cancel) && !jumps)
			pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &state);
		atomic_store(&worker->may_jump, jumps);
		result = call_connect(fd, (const struct sockaddr *)server, sizeof(*server)) < 0
				 ? errno
				 : 0;
	} else {
		/* libc makes a thread cancellable at any instruction while it waits in connect(),
		 * and a jump leaves it so: then a cancellation runs no cleanup handler. */
		pthread_setcanceltype(PTHREAD_CANCEL_DEFERRED, NULL);
		COUNT(jumped);
		result = LEFT_BY_JUMP;
	}
	atomic_store(&worker->may_jump, false);
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
	return result;
}

/* The outcome of a connect that was not waited for; -1: none yet. */
static int connect_await(int fd)
{
	struct pollfd look = { .fd = fd, .events = POLLOUT };
	int error = -1;

	COUNT(pending);
	if (poll(&look, 1, WAIT_MS) > 0 && call_error(fd, &error) == 0)
		outcome_note(OUTCOME_LATER, error);
	return error;
}

static void socket_talk(struct worker *worker, int fd)
{
	char byte = 'x';
	int copy = -1;

	if (draw(&worker->random, 3) == 0)
		copy = call_dup(fd);
	outcome_note(OUTCOME_SEND, call_send(fd, &byte, 1, MSG_NOSIGNAL) < 0 ? errno : 0);
	call_recv(copy < 0 ? fd : copy, &byte, 1, MSG_DONTWAIT);
	if (copy >= 0)
		call_close(copy);
}

static void connect_judge(struct worker *worker, int fd, int result, bool nonblocking)
{
	if (result == LEFT_BY_JUMP)
		return;
	outcome_note(nonblocking ? OUTCOME_NONBLOCKING : OUTCOME_BLOCKING, result);
	if (!nonblocking && result == 0)
		COUNT(succeeded);
	else if (!nonblocking && result != EINTR)
		COUNT(failed);
	if (result == EINTR || result == EINPROGRESS)
		result = connect_await(fd);
	if (result == 0)
		socket_talk(worker, fd);
}

static void act_connect(struct worker *worker)
{
	const struct sockaddr_in *server = server_draw(&worker->random);
	bool nonblocking = draw(&worker->random, 3) == 0;
	int fd = call_socket(SOCK_STREAM | SOCK_CLOEXEC | (nonblocking ? SOCK_NONBLOCK : 0));
	int result;

	if (fd < 0)
		give_up("socket");
	interrupting_block(draw(&worker->random, 2));
	if (MAY(share) && draw(&worker->random, 2))
		atomic_store(&worker->lent, fd);
	COUNT(started);
	pthread_cleanup_push(socket_cancelled, &fd);
	result = connect_guarded(worker, fd, server);
	pthread_cleanup_pop(0);
	connect_judge(worker, fd, result, nonblocking);
	socket_end(fd);
}

/* ---- other threads' sockets, and children -------------------------------------------- */

static void socket_borrowed(struct worker *worker, int fd)
{
	const struct timeval limit = { 1, 0 };
	char byte = 'y';
	int error;

	switch (draw(&worker->random, 5)) {
	case 0:
		call_send(fd, &byte, 1, MSG_NOSIGNAL | MSG_DONTWAIT);
		break;
	case 1:
		call_recv(fd, &byte, 1, MSG_DONTWAIT);
		break;
	case 2:
		call_error(fd, &error);
		break;
	case 3:
		call_setsockopt(fd, SO_SNDTIMEO, &limit, sizeof(limit));
		break;
	default:
		COUNT(again);
		call_connect(fd, (const struct sockaddr *)server_draw(&worker->random),
			     sizeof(struct sockaddr_in));
		break;
	}
}

static void act_borrow(struct worker *worker)
{
	struct worker *lender = &stress.workers[draw(&worker->random, WORKERS)];
	int fd;

	if (lender == worker)
		return;
	atomic_fetch_add(&lender->borrowers, 1);
	fd = atomic_load(&lender->lent);
	if (fd >= 0)
		socket_borrowed(worker, fd);
	atomic_fetch_sub(&lender->borrowers, 1);
}

/* Only async-signal-safe functions, as in any child of a program with threads. */
static _Noreturn void child_run(uint64_t random)
{
	self = NULL;
	for (int i = 0; i < CHILD_CONNECTS; i++) {
		bool nonblocking = draw(&random, 2);
		int fd = call_socket(SOCK_STREAM | SOCK_CLOEXEC |
				     (nonblocking ? SOCK_NONBLOCK : 0));
		const struct sockaddr_in *server = server_draw(&random);
		int result;

		COUNT(started);
		result = call_connect(fd, (const struct sockaddr *)server, sizeof(*server));
		if (!nonblocking && result == 0)
			COUNT(succeeded);
		else if (!nonblocking && errno != EINTR)
			COUNT(failed);
		else if (result < 0)
			connect_await(fd);
		socket_end(fd);
	}
	call_exit(0);
}

static void act_fork(struct worker *worker)
{
	uint64_t random = draw_seed(stress.seed, draw(&worker->random, UINT32_MAX));
	int status = 0;
	pid_t pid = fork();

	if (pid == 0)
		child_run(random);
	if (pid < 0)
		give_up("fork");
	COUNT(children);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (status)
		COUNT(broken);
}

void worker_act(struct worker *worker)
{
	uint64_t choice = draw(&worker->random, 100);

	self = worker;
	if (choice < 2 && MAY(fork))
		act_fork(worker);
	else if (choice < 40 && MAY(share))
		act_borrow(worker);
	else
		act_connect(worker);
}
