/* SPDX-License-Identifier: MIT */
/* A batch: its threads open the sockets, wait for them, ask those that have an event. */
#include "loops.h"

#include <errno.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "loops_calls.h"

#define BELL UINT64_MAX
#define CHILD_BATCHES 2

/* ---- the beginning -------------------------------------------------------------------------- */

static int set_make(int watched, uint64_t data)
{
	struct epoll_event event = { .events = EPOLLIN, .data.u64 = data };
	int set = call_epoll_create();

	if (set < 0 || call_epoll_ctl(set, EPOLL_CTL_ADD, watched, &event) < 0)
		give_up("a set");
	return set;
}

static void batch_draw(struct worker *worker, const struct team *team, struct batch *batch)
{
	/* One array of pollfds cannot follow what another thread opens and closes. */
	unsigned int media = team->size > 1 ? MEDIUM_POLL : MEDIUM_COUNT;

	batch->total = 1 + (unsigned int)draw(&worker->random, BATCH_MAX);
	batch->window = 1 + (unsigned int)draw(&worker->random, batch->total);
	if (MAY(hold))
		batch->total = batch->window = BATCH_MAX;
	batch->medium = (enum medium)draw(&worker->random, media);
	batch->trigger = (enum trigger)draw(&worker->random, TRIGGER_COUNT);
	batch->patience = draw(&worker->random, 8) ? (enum patience)draw(&worker->random, 2)
						   : PATIENCE_SHORT;
	if (MAY(hold) && batch->patience == PATIENCE_SHORT)
		batch->patience = PATIENCE_LONG;
	batch->waits_first = draw(&worker->random, 2);
}

static void batch_prepare(struct worker *worker, struct team *team)
{
	struct batch *batch = &team->batch;
	uint64_t rings;

	for (unsigned int i = 0; i < BATCH_MAX; i++)
		atomic_store(&batch->seats[i].state, SEAT_UNUSED);
	batch_draw(worker, team, batch);
	while (read(team->bell, &rings, sizeof(rings)) > 0)
		;
	batch->set = batch->outer = -1;
	if (batch->medium == MEDIUM_EPOLL || batch->medium == MEDIUM_NESTED)
		batch->set = set_make(team->bell, BELL);
	if (batch->medium == MEDIUM_NESTED)
		batch->outer = set_make(batch->set, 0);
	batch->next = 0;
	batch->left = batch->total;
	batch->over = false;
	batch->began_ms = now_ms();
	COUNT(batches);
}

/* ---- the end -------------------------------------------------------------------------------- */

void batch_over(struct team *team)
{
	uint64_t one = 1;

	/* Rung first: who sees that it is over may begin the next. */
	if (write(team->bell, &one, sizeof(one)) < 0)
		give_up("the bell");
	atomic_store(&team->batch.over, true);
}

/* Whether there was an outcome that nobody was told, or none yet. */
static void seat_lose(struct worker *worker, struct team *team, struct seat *seat)
{
	int error = 0;

	call_error(seat->fd, &error);
	seat_report(error ? "lost though it failed" : "lost", COUNT(lost), team, seat);
	seat_end(worker, team, seat);
}

/* The patience is over, or all have ended: those that nobody was woken for are lost. */
static void batch_finish(struct worker *worker, struct team *team)
{
	uint64_t took = (uint64_t)(now_ms() - team->batch.began_ms);
	_Atomic uint64_t *slowest = &loops.shared->sums.slowest_ms;
	struct batch *batch = &team->batch;

	/* None are to be opened any more. */
	for (unsigned int i = atomic_exchange(&batch->next, BATCH_MAX); i < batch->total; i++)
		atomic_fetch_sub(&batch->left, 1);
	while (atomic_load(&batch->left)) {
		for (unsigned int i = 0; i < batch->total; i++) {
			uint32_t pending = batch->set < 0 ? SEAT_LONE : SEAT_PENDING;

			if (!atomic_compare_exchange_strong(&batch->seats[i].state, &pending,
							    SEAT_TAKEN))
				continue;
			seat_lose(worker, team, &batch->seats[i]);
		}
		sched_yield();
	}
	batch->began_ms = 0;
	if (took > atomic_load(slowest))
		atomic_store(slowest, took);
	if (batch->outer >= 0)
		call_close(batch->outer);
	if (batch->set >= 0)
		call_close(batch->set);
}

/* ---- between ------------------------------------------------------------------------------- */

static bool seat_take(struct seat *seat, bool own)
{
	uint32_t pending = SEAT_PENDING, lone = SEAT_LONE;

	return atomic_compare_exchange_strong(&seat->state, &pending, SEAT_TAKEN) ||
	       (own && atomic_compare_exchange_strong(&seat->state, &lone, SEAT_TAKEN));
}

static void seat_event(struct worker *worker, struct team *team, struct seat *seat, uint64_t since)
{
	uint32_t state = atomic_load(&seat->state);
	bool once = team->batch.trigger == TRIGGER_EDGE || team->batch.trigger == TRIGGER_ONESHOT;

	if (state == SEAT_ENDED && since > atomic_load(&seat->stamp))
		seat_report("stale", COUNT(stale), team, seat);
	/* It will not be told again: whoever has it looks once more. */
	if ((state == SEAT_OPENING || state == SEAT_TAKEN) && once) {
		atomic_store(&seat->seen, true);
		state = atomic_load(&seat->state);
		if ((state != SEAT_PENDING && state != SEAT_LONE) ||
		    !atomic_exchange(&seat->seen, false))
			return;
	}
	if (seat_take(seat, true))
		seat_ask(worker, team, seat, since);
}

/* How many an event will come of, or somebody of the team is busy with: he opens the next. */
static unsigned int batch_in_use(const struct batch *batch)
{
	unsigned int count = 0;

	for (unsigned int i = 0; i < batch->total; i++) {
		uint32_t state = atomic_load(&batch->seats[i].state);

		count += state != SEAT_UNUSED && state < SEAT_LEAVING;
	}
	return count;
}

/* As many as may be under way at once. */
static void batch_refill(struct worker *worker, struct team *team)
{
	struct batch *batch = &team->batch;

	while (!atomic_load(&batch->over) && atomic_load(&batch->next) < batch->total &&
	       batch_in_use(batch) < batch->window)
		seat_open(worker, team);
}

/* One of any team is closed while it is pending. Until it has ended its batch cannot. */
static void act_close(struct worker *worker)
{
	struct team *team = worker->child ? worker->team
					  : &loops.teams[draw(&worker->random, TEAMS)];
	struct seat *seat = &team->batch.seats[draw(&worker->random, BATCH_MAX)];

	if (!seat_take(seat, team == worker->team))
		return;
	if (draw(&worker->random, 4) == 0)
		call_shutdown(seat->fd, SHUT_RDWR);
	COUNT(closed);
	/* The team may sleep, or be about to: if none but this was left nobody would open the next. */
	atomic_store(&seat->state, SEAT_LEAVING);
	do
		seat_open(worker, team);
	while (atomic_load(&team->batch.next) < team->batch.total && !batch_in_use(&team->batch));
	seat_end(worker, team, seat);
}

/* Asked without an event. */
static void act_ask(struct worker *worker, struct team *team)
{
	struct seat *seat = &team->batch.seats[draw(&worker->random, BATCH_MAX)];

	if (seat_take(seat, true))
		seat_ask(worker, team, seat, 0);
}

/* Only async-signal-safe functions, as in any child of a program with threads. */
static _Noreturn void child_run(struct worker *parent)
{
	struct team team = { .size = 1 };
	struct worker worker = { .team = &team, .child = true };
	uint64_t before = atomic_load(&loops.shared->sums.lost);

	worker.random = draw_seed(loops.seed, draw(&parent->random, UINT32_MAX));
	/* First of all: some numbers can be newer than the descriptors that came along. */
	for (unsigned int i = 0; i < TEAMS * BATCH_MAX; i++) {
		const struct seat *seat = &loops.teams[i / BATCH_MAX].batch.seats[i % BATCH_MAX];
		uint32_t state = atomic_load(&seat->state);

		if ((state == SEAT_PENDING || state == SEAT_LONE) && draw(&worker.random, 2))
			call_close(seat->fd);
	}
	team.bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	pthread_barrier_init(&team.barrier, NULL, 1);
	for (int i = 0; i < CHILD_BATCHES; i++)
		team_play(&worker, &team);
	call_exit(atomic_load(&loops.shared->sums.lost) != before);
}

static void act_fork(struct worker *worker)
{
	int status = 0;
	pid_t pid = fork();

	if (pid == 0)
		child_run(worker);
	if (pid < 0)
		give_up("fork");
	COUNT(children);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (status)
		COUNT(broken);
}

static void worker_stray(struct worker *worker, struct team *team)
{
	if (MAY(hold))
		return;
	if (MAY(close) && draw(&worker->random, 16) == 0)
		act_close(worker);
	if (draw(&worker->random, 16) == 0)
		act_ask(worker, team);
	if (MAY(pause) && draw(&worker->random, 16) == 0)
		usleep(1000 + (useconds_t)draw(&worker->random, 4000));
	if (MAY(fork) && !worker->child && draw(&worker->random, 256) == 0)
		act_fork(worker);
}

static void batch_run(struct worker *worker, struct team *team)
{
	unsigned int found[BATCH_MAX];
	struct batch *batch = &team->batch;
	bool opens = worker->rank == 0 || !batch->waits_first;

	if (opens && batch->waits_first && team->size > 1)
		usleep(1000);
	while (!atomic_load(&batch->over)) {
		uint64_t since;
		int count;

		if (opens)
			batch_refill(worker, team);
		opens = true;
		worker->doing = "waits";
		since = atomic_load(&loops.clock);
		count = batch_wait(worker, team, found);
		worker->doing = "serves events";
		if (count < 0)
			since = 0;
		for (int i = 0; i < (count < 0 ? -count : count); i++)
			seat_event(worker, team, &batch->seats[found[i]], since);
		/* Nobody watches a child. */
		if (worker->child && now_ms() - batch->began_ms > PATIENCE_MS)
			batch_over(team);
		if (!atomic_load(&batch->over))
			worker_stray(worker, team);
	}
}

void team_play(struct worker *worker, struct team *team)
{
	if (worker->rank == 0)
		batch_prepare(worker, team);
	pthread_barrier_wait(&team->barrier);
	batch_run(worker, team);
	worker->doing = "has finished";
	pthread_barrier_wait(&team->barrier);
	if (worker->rank == 0)
		batch_finish(worker, team);
}
