/* SPDX-License-Identifier: MIT */
/* Ways of finding out what came of a connect; all of them must tell the same. */
#include "loops.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "loops_calls.h"

#define NOT_YET (-1)
#define GREETING 'g'
#define REPORTED 10

void outcome_note(enum server server, enum teller teller, int error)
{
	if (error >= 0 && error < ERRORS)
		atomic_store_explicit(&loops.shared->outcomes[server][teller][error], 1,
				      memory_order_relaxed);
}

/* ---- the ways: 0, errno or NOT_YET ------------------------------------------------------ */

static bool is_connected(int fd)
{
	struct sockaddr_in peer;
	socklen_t length = sizeof(peer);

	return getpeername(fd, (struct sockaddr *)&peer, &length) == 0;
}

static int sent(ssize_t result)
{
	if (result >= 0)
		return 0;
	return errno == EAGAIN ? NOT_YET : errno;
}

static int received(ssize_t result)
{
	if (result > 0)
		return 0;
	if (result == 0)
		return ERROR_END;
	return errno == EAGAIN ? NOT_YET : errno;
}

static int ask_error(int fd)
{
	int error = 0;

	if (call_error(fd, &error) < 0)
		return errno;
	if (error)
		return error;
	return is_connected(fd) ? 0 : NOT_YET;
}

static int ask_connect(int fd, enum server server)
{
	if (call_connect(fd, (const struct sockaddr *)&loops.servers[server],
			 sizeof(loops.servers[server])) == 0 ||
	    errno == EISCONN)
		return 0;
	return errno == EALREADY || errno == EINPROGRESS ? NOT_YET : errno;
}

static int seat_way(const struct seat *seat)
{
	char byte = 'x';
	int fd = seat->fd;

	switch (seat->way) {
	case TELLER_SO_ERROR:
		return ask_error(fd);
	case TELLER_connect:
		return ask_connect(fd, seat->server);
	case TELLER_send:
		return sent(call_send(fd, &byte, 1, MSG_NOSIGNAL));
	case TELLER_write:
		return sent(call_write(fd, &byte, 1));
	case TELLER_recv:
		return received(call_recv(fd, &byte, 1, 0));
	case TELLER_read:
		return received(call_read(fd, &byte, 1));
	case TELLER_getpeername:
		return is_connected(fd) ? 0 : received(call_recv(fd, &byte, 1, 0));
	case TELLER_at_once:
	case TELLER_greeting:
	case TELLER_blocking:
	case TELLER_wait:
	case TELLER_COUNT:
	default:
		return EINVAL;
	}
}

/* ---- what was told ------------------------------------------------------------------------ */

static void seat_told(const struct seat *seat, enum teller teller, int error)
{
	outcome_note(seat->server, teller, error);
	if (!error)
		COUNT(succeeded);
	else if (error == ECONNRESET || error == EPIPE || error == ERROR_END)
		COUNT(reset);
	else
		COUNT(failed);
}

/* A success is one if the server says so; the one that comes and goes may have gone again. */
static void seat_greet(const struct seat *seat)
{
	struct pollfd look = { .fd = seat->fd, .events = POLLIN };
	char byte = 0;
	int result;

	if (seat->server == SERVER_FLAP || seat->way == TELLER_recv || seat->way == TELLER_read)
		return;
	do
		result = call_poll(&look, 1, PATIENCE_MS);
	while (result < 0 && errno == EINTR);
	if (result == 0)
		outcome_note(seat->server, TELLER_greeting, ETIMEDOUT);
	else
		outcome_note(seat->server, TELLER_greeting,
			     call_recv(seat->fd, &byte, 1, MSG_DONTWAIT) == 1 && byte == GREETING
				     ? 0
				     : errno);
}

void seat_report(const char *what, uint64_t before, const struct team *team,
		 const struct seat *seat)
{
	static const char *const tellers[TELLER_COUNT] = {
#define NAME(name) #name,
		LOOPS_TELLERS(NAME)
#undef NAME
	};
	static const char *const servers[] = { "up", "flap", "dead" };
	static const char *const duplicates[] = { "once", "with a spare", "switched", "orphaned",
						  "registered as a copy" };
	static const char *const media[] = { "epoll", "nested epoll", "poll", "select" };
	static const char *const triggers[] = { "level", "edge", "oneshot", "exclusive" };
	static const char *const patiences[] = { "for ever", "long", "short" };
	const struct batch *batch = &team->batch;

	if (before < REPORTED)
		fprintf(stderr,
			"%s: server %s, asked by %s, %s, %s, %s, waits %s, %u threads, %d of %u, "
			"fd %d\n",
			what, servers[seat->server], tellers[seat->way],
			duplicates[seat->duplicate], media[batch->medium], triggers[batch->trigger],
			patiences[batch->patience], team->size, (int)(seat - batch->seats),
			batch->total, seat->fd);
}

void seat_ask(struct worker *worker, struct team *team, struct seat *seat, uint64_t since)
{
	int error = seat_way(seat);

	if (error == NOT_YET) {
		/* An event that was on its way before the connect tells nothing of it. */
		if (since >= atomic_load(&seat->stamp) && seat->server != SERVER_FLAP)
			seat_report("mute", COUNT(mute), team, seat);
		seat_put_back(team, seat, true);
		return;
	}
	seat_told(seat, seat->way, error);
	if (!error)
		seat_greet(seat);
	seat_end(worker, team, seat);
}

/* ---- waiting by blocking -------------------------------------------------------------------- */

static int blocking_ask(struct worker *worker, const struct seat *seat)
{
	static const char *const names[] = { "blocks in send", "blocks in write", "blocks in recv",
					     "blocks in read", "blocks in connect" };
	uint64_t way = draw(&worker->random, 5);
	char byte = 'x';

	worker->doing = names[way];
	switch (way) {
	case 0:
		return sent(call_send(seat->fd, &byte, 1, MSG_NOSIGNAL));
	case 1:
		return sent(call_write(seat->fd, &byte, 1));
	case 2:
		return received(call_recv(seat->fd, &byte, 1, 0));
	case 3:
		return received(call_read(seat->fd, &byte, 1));
	default:
		return ask_connect(seat->fd, seat->server);
	}
}

void seat_ask_blocking(struct worker *worker, struct team *team, struct seat *seat)
{
	int error;

	if ((draw(&worker->random, 2) ? call_mode_fcntl(seat->fd, false)
				      : call_mode_ioctl(seat->fd, false)) < 0)
		give_up("clearing O_NONBLOCK");
	do
		error = blocking_ask(worker, seat);
	while (error == EINTR && MAY(signal));
	seat_told(seat, TELLER_blocking, error == NOT_YET ? errno : error);
	seat_end(worker, team, seat);
}
