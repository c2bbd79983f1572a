/* SPDX-License-Identifier: MIT */
/* A socket's beginning and its end. */
#include "loops.h"

#include <errno.h>

#include "loops_calls.h"

static bool told_once(const struct batch *batch)
{
	return batch->trigger == TRIGGER_EDGE || batch->trigger == TRIGGER_ONESHOT;
}

uint32_t seat_events(const struct batch *batch, const struct seat *seat)
{
	static const uint32_t triggers[TRIGGER_COUNT] = { 0, EPOLLET, EPOLLONESHOT,
							  EPOLLEXCLUSIVE };
	bool reads = seat->way == TELLER_recv || seat->way == TELLER_read;

	return (reads ? EPOLLIN : EPOLLOUT) | triggers[batch->trigger];
}

static void seat_control(const struct team *team, const struct seat *seat, int operation, int fd)
{
	struct epoll_event event = { .events = seat_events(&team->batch, seat) };

	event.data.u64 = (uint64_t)(seat - team->batch.seats);
	if (call_epoll_ctl(team->batch.set, operation, fd, &event) < 0)
		seat_report(operation == EPOLL_CTL_ADD   ? "refused ADD"
			    : operation == EPOLL_CTL_DEL ? "refused DEL"
							 : "refused MOD",
			    COUNT(refused), team, seat);
}

static void seat_register(const struct team *team, struct seat *seat, int fd)
{
	if (team->batch.set < 0)
		return;
	seat_control(team, seat, EPOLL_CTL_ADD, fd);
	seat->registered = fd;
}

void seat_put_back(struct team *team, struct seat *seat, bool rearm)
{
	struct batch *batch = &team->batch;
	uint32_t pending = batch->set < 0 ? SEAT_LONE : SEAT_PENDING, expected;

	/* Armed while it is still ours: afterwards the number can be another socket's. */
	do {
		if (rearm && told_once(batch) && seat->registered >= 0)
			seat_control(team, seat, EPOLL_CTL_MOD, seat->registered);
		atomic_store(&seat->state, pending);
		rearm = true;
		expected = pending;
	} while (atomic_exchange(&seat->seen, false) &&
		 atomic_compare_exchange_strong(&seat->state, &expected, SEAT_TAKEN));
}

/* ---- opening ------------------------------------------------------------------------------- */

static int copy_make(int fd)
{
	int copy = call_dup(fd);

	if (copy < 0)
		give_up("dup");
	return copy;
}

static int socket_make(uint64_t *random)
{
	uint64_t choice = draw(random, 3);
	int fd = call_socket(SOCK_STREAM | SOCK_CLOEXEC | (choice == 0 ? SOCK_NONBLOCK : 0));

	if (fd < 0)
		give_up("socket");
	if (choice == 1)
		call_mode_fcntl(fd, true);
	else if (choice == 2)
		call_mode_ioctl(fd, true);
	return fd;
}

static enum server server_draw(uint64_t *random)
{
	enum server server = (enum server)draw(random, SERVER_COUNT);

	if (MAY(hold))
		return SERVER_DEAD;
	if ((server == SERVER_DEAD && !MAY(dead)) || (server == SERVER_FLAP && !MAY(flap)))
		return SERVER_UP;
	return server;
}

/* What the set and the children allow: a registration must not outlive its socket. */
static enum duplicate duplicate_draw(const struct batch *batch, uint64_t *random)
{
	enum duplicate duplicate = (enum duplicate)draw(random, DUP_COUNT);

	if (!MAY(dup) || draw(random, 2))
		return DUP_NONE;
	if (duplicate == DUP_ORPHANED && (MAY(fork) || told_once(batch)))
		return DUP_SPARE;
	if (batch->set < 0 && duplicate != DUP_SWITCHED)
		return DUP_SPARE;
	return duplicate;
}

static void seat_draw(struct worker *worker, const struct batch *batch, struct seat *seat)
{
	seat->server = server_draw(&worker->random);
	seat->way = (enum teller)draw(&worker->random, WAY_COUNT);
	seat->duplicate = duplicate_draw(batch, &worker->random);
	seat->fd = socket_make(&worker->random);
	seat->registered = -1;
	seat->copy = -1;
	seat->seen = false;
}

/* The copies that are made once the connect is under way; the set learns of it at the latest. */
static void seat_settle_fds(const struct team *team, struct seat *seat)
{
	if (seat->duplicate == DUP_SWITCHED) {
		int copy = copy_make(seat->fd);

		call_close(seat->fd);
		seat->fd = copy;
	}
	if (seat->registered < 0)
		seat_register(team, seat,
			      seat->duplicate == DUP_REGISTERED ? seat->copy : seat->fd);
	if (seat->duplicate == DUP_ORPHANED) {
		int copy = copy_make(seat->fd);

		call_close(seat->fd);
		seat->fd = copy;
		seat->registered = -1;
	}
}

static void seat_connect(struct worker *worker, struct team *team, struct seat *seat)
{
	const struct sockaddr_in *server = &loops.servers[seat->server];
	bool blocking = MAY(blocking) && draw(&worker->random, 16) == 0;

	COUNT(started);
	if (call_connect(seat->fd, (const struct sockaddr *)server, sizeof(*server)) == 0)
		errno = 0;
	if (errno != EINPROGRESS) {
		outcome_note(seat->server, TELLER_at_once, errno);
		if (errno)
			COUNT(failed);
		else
			COUNT(succeeded);
		seat_end(worker, team, seat);
	} else if (blocking && seat->registered < 0) {
		seat_ask_blocking(worker, team, seat);
	} else {
		seat_settle_fds(team, seat);
		atomic_store(&seat->stamp, atomic_fetch_add(&loops.clock, 1) + 1);
		seat_put_back(team, seat, false);
	}
}

void seat_open(struct worker *worker, struct team *team)
{
	struct batch *batch = &team->batch;
	unsigned int index = atomic_fetch_add(&batch->next, 1);
	struct seat *seat = &batch->seats[index < BATCH_MAX ? index : 0];

	if (index >= batch->total)
		return;
	atomic_store(&seat->state, SEAT_OPENING);
	seat_draw(worker, batch, seat);
	if (seat->duplicate == DUP_SPARE || seat->duplicate == DUP_REGISTERED)
		seat->copy = copy_make(seat->fd);
	if (seat->duplicate != DUP_SWITCHED && draw(&worker->random, 3) == 0)
		seat_register(team, seat,
			      seat->duplicate == DUP_REGISTERED ? seat->copy : seat->fd);
	seat_connect(worker, team, seat);
}

/* ---- ending -------------------------------------------------------------------------------- */

/* With RST: nothing stays behind in TIME_WAIT. */
static void fd_end(int fd)
{
	const struct linger hard = { 1, 0 };

	call_setsockopt(fd, SO_LINGER, &hard, sizeof(hard));
	call_close(fd);
}

void seat_end(struct worker *worker, struct team *team, struct seat *seat)
{
	/* A child's copy would keep the registration alive, and closing alone would not end it. */
	if (seat->registered >= 0 && (MAY(fork) || draw(&worker->random, 2)))
		seat_control(team, seat, EPOLL_CTL_DEL, seat->registered);
	if (seat->copy >= 0)
		call_close(seat->copy);
	fd_end(seat->fd);
	atomic_store(&seat->stamp, atomic_fetch_add(&loops.clock, 1) + 1);
	atomic_store(&seat->state, SEAT_ENDED);
	if (atomic_fetch_sub(&team->batch.left, 1) == 1)
		batch_over(team);
}
