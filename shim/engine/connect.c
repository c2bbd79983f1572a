/* SPDX-License-Identifier: MIT */
#include "connect.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/un.h>

#include "engine.h"
#include "operation.h"
#include "shim/libc.h"
#include "shim/log.h"
#include "shim/sys.h"
#include "signals.h"
#include "target.h"
#include "tcp.h"

#define SECOND_NS INT64_C(1000000000)

/* One connect() call that is being served. */
struct call {
	struct connection *connection;
	const struct policy_settings *settings;
	const struct sockaddr *peer;
	socklen_t length;
	int fd;
	uint32_t ticket;         /* of the operation */
	uint64_t cookie;         /* of the socket, asked after the first failure */
	int saved_errno;         /* given back on success */
	int64_t caller_limit_ns; /* CLOCK_MONOTONIC, by SO_SNDTIMEO; INT64_MAX: none */
	uint64_t previous_delay_ns;
	bool said; /* the line on the terminal */
};

static int64_t call_elapsed(const struct call *call)
{
	int64_t elapsed = clock_ns() - call->connection->began_ns;

	return elapsed > 0 ? elapsed : 0;
}

static void attention_set(struct connection *connection, uint32_t bits)
{
	atomic_fetch_or_explicit(&connection->attention, bits, memory_order_relaxed);
}

static void attention_clear(struct connection *connection, uint32_t bits)
{
	atomic_fetch_and_explicit(&connection->attention, ~bits, memory_order_relaxed);
}

/* Closed by another thread, and the number perhaps given to another socket? */
static bool call_is_current(const struct call *call)
{
	return operation_ticket(call->connection) == call->ticket && call->cookie &&
	       socket_cookie(call->fd) == call->cookie;
}

/* ---- SO_SNDTIMEO, borrowed to bound a blocking attempt ----------------------------- */

/*
 * The caller's value is kept in the connection before it is replaced, and the
 * attention bit makes the next call give it back if this one is left by a jump.
 */
static void send_timeout_borrow(struct call *call, int64_t bound_ns)
{
	struct connection *connection = call->connection;
	struct timeval bound = {
		.tv_sec = (time_t)(bound_ns / SECOND_NS),
		.tv_usec = (suseconds_t)(bound_ns % SECOND_NS / 1000),
	};

	/* Zero would mean for ever. */
	if (bound_ns < 1000)
		bound = (struct timeval){ .tv_usec = 1 };
	if (!(connection->attention & ATTENTION_SEND_TIMEOUT) &&
	    !send_timeout_get(call->fd, &connection->send_timeout))
		return;
	attention_set(connection, ATTENTION_SEND_TIMEOUT);
	send_timeout_set(call->fd, &bound);
}

void engine_attend(struct connection *connection, int fd)
{
	if (!(connection->attention & ATTENTION_SEND_TIMEOUT) || !connection_owned(connection))
		return;
	send_timeout_set(fd, &connection->send_timeout);
	attention_clear(connection, ATTENTION_SEND_TIMEOUT);
}

/* ---- one attempt --------------------------------------------------------------------- */

/*
 * A bounded attempt; ETIME when the bound cut it. With SO_SNDTIMEO the kernel does
 * not restart after handlers with SA_RESTART, so that is done here, with what is
 * left of the bound.
 */
static int attempt_bounded(struct call *call, int64_t bound_ns)
{
	int64_t until = clock_ns() + bound_ns;
	int error;

	do {
		send_timeout_borrow(call, until - clock_ns());
		error = LIBC(connect)(call->fd, call->peer, call->length) < 0 ? errno : 0;
	} while (error == EINTR && signals_restart());
	engine_attend(call->connection, call->fd);
	/* EALREADY where the wait that timed out was a second one for the same attempt;
	 * EAGAIN is what AF_UNIX says of a full backlog, in its own time. */
	return error == EINPROGRESS || error == EALREADY ? ETIME : error;
}

/*
 * A blocking attempt of at most bound_ns; 0 or the errno. ETIMEDOUT when the bound
 * cut it, EINPROGRESS when the caller's own SO_SNDTIMEO, counted from the
 * beginning of the call, came first.
 */
static int attempt_make(struct call *call, uint64_t bound_ns)
{
	bool limited = call->caller_limit_ns != INT64_MAX;
	int64_t left = limited ? call->caller_limit_ns - clock_ns() : INT64_MAX;
	bool ours = bound_ns != DURATION_OFF && (int64_t)bound_ns < left;
	int error;

	if (!ours && !limited)
		return LIBC(connect)(call->fd, call->peer, call->length) < 0 ? errno : 0;
	error = attempt_bounded(call, ours ? (int64_t)bound_ns : left);
	if (error != ETIME)
		return error;
	if (!ours)
		return EINPROGRESS;
	/* As after a timeout of the kernel's: nothing is under way. */
	tcp_reset(call->fd);
	return ETIMEDOUT;
}

static int attempt_again(struct call *call)
{
	struct connection *connection = call->connection;
	uint64_t bound = policy_attempt_bound(call->settings, connection->attempts,
					      (uint64_t)call_elapsed(call));
	int error;

	if (call->peer->sa_family != AF_UNIX)
		tcp_reset(call->fd);
	error = attempt_make(call, bound);
	if (!error && connection->is_stream && call->peer->sa_family != AF_UNIX &&
	    tcp_is_self_connected(call->fd)) {
		tcp_reset(call->fd);
		error = ECONNREFUSED;
	}
	return error;
}

/*
 * The program must see a signal: EINTR, and the kernel, asked whether it is
 * connecting, must say yes from here on. What it says at once is the outcome.
 */
static int attempt_begin(struct call *call)
{
	int error;

	if (call->peer->sa_family != AF_UNIX)
		tcp_reset(call->fd);
	error = connect_start(call->fd, call->peer, call->length);
	return error == EINPROGRESS || error == EAGAIN ? EINTR : error;
}

/* ---- holding ----------------------------------------------------------------------------- */

static void wait_say(struct call *call, int error, int64_t until_ns)
{
	enum policy_category category = policy_classify(call->settings, call->peer->sa_family,
							error);
	uint32_t retries = call->settings->strategies[category].max_retries;
	struct line line;

	call->said = true;
	line_begin(&line);
	line_add(&line, "waiting for ");
	line_add_endpoint(&line, &call->connection->record->endpoint);
	line_add(&line, ": ");
	line_add_error(&line, error);
	line_add(&line, ", attempt ");
	line_add_number(&line, call->connection->attempts);
	if (retries != RETRIES_UNLIMITED) {
		line_add(&line, " of ");
		line_add_number(&line, (uint64_t)retries + 1);
	}
	line_add(&line, " in ");
	line_add_wait(&line, (uint64_t)(until_ns - clock_ns()));
	log_notice(&line);
}

/* Sleeps until a time of CLOCK_MONOTONIC; 0, or EINTR if the program must see the signal. */
static int sleep_until(int64_t until_ns)
{
	for (;;) {
		int64_t left = until_ns - clock_ns();
		struct timespec timeout = { left / SECOND_NS, left % SECOND_NS };

		if (left <= 0)
			return 0;
		if (LIBC(ppoll)(NULL, 0, &timeout, NULL) < 0 && errno == EINTR &&
		    !signals_restart())
			return EINTR;
	}
}

static int hold(struct call *call, int error, uint64_t delay_ns)
{
	int64_t began = clock_ns();
	int64_t until = began + (int64_t)delay_ns;
	int64_t say_at = call->connection->began_ns + SECOND_NS;
	int interrupted = 0;

	if (!call->said && say_at < until && config_get()->notice && log_on_terminal()) {
		interrupted = sleep_until(say_at);
		if (!interrupted)
			wait_say(call, error, until);
	}
	if (!interrupted)
		interrupted = sleep_until(until);
	operation_waited(call->connection, clock_ns() - began);
	return interrupted;
}

/* ---- the decision ------------------------------------------------------------------------- */

static uint64_t random_draw(void)
{
	uint64_t random;

	if (sys_getrandom(&random, sizeof(random)) != sizeof(random))
		random = (uint64_t)clock_ns() * UINT64_C(0x9e3779b97f4a7c15);
	return random;
}

static void failure_decide(struct call *call, int error, struct operation_failure *failure)
{
	struct connection *connection = call->connection;
	struct policy_situation situation = {
		.operation = OPERATION_CONNECT,
		.error = error,
		.attempt = connection->attempts,
		.previous_delay_ns = call->previous_delay_ns,
		.elapsed_ns = (uint64_t)call_elapsed(call),
		.random = random_draw(),
	};

	failure->error = error;
	failure->category = policy_classify(call->settings, call->peer->sa_family, error);
	failure->decision = call->settings->strategies[failure->category].decision;
	situation.category = (uint8_t)failure->category;
	failure->verdict = policy_decide(engine.policy, connection->rule, &situation);
}

/* The caller asked for less patience than the policy has: one last attempt at its end. */
static bool caller_limit_apply(const struct call *call, uint64_t *delay_ns)
{
	int64_t left = call->caller_limit_ns - clock_ns();

	if (left <= 0)
		return false;
	if (*delay_ns > (uint64_t)left)
		*delay_ns = (uint64_t)left;
	return true;
}

static int call_end(const struct call *call, int error)
{
	errno = error ? error : call->saved_errno;
	return error ? -1 : 0;
}

/* What attempt_again() or a wait said that ends the call without being a failure. */
static bool outcome_is_final(struct call *call, int error)
{
	if (error && error != EINTR && error != EINPROGRESS && error != EALREADY)
		return false;
	call->connection->reported = !error;
	if (!error)
		operation_succeed(call->connection, call->ticket);
	else
		attention_set(call->connection, ATTENTION_PENDING);
	return true;
}

/* One failed attempt: waits and makes the next. True when the call is at its end, with *error. */
static bool failure_serve(struct call *call, int *error)
{
	struct operation_failure failure;
	bool interrupted;

	operation_attempt_failed(call->connection, *error);
	failure_decide(call, *error, &failure);
	if (failure.verdict.action == VERDICT_PASS_ON ||
	    failure.verdict.action == VERDICT_GIVE_UP) {
		operation_fail(call->connection, call->ticket, &failure);
		return true;
	}
	if (!caller_limit_apply(call, &failure.verdict.delay_ns)) {
		operation_abandon(call->connection, call->ticket);
		return true;
	}
	call->previous_delay_ns = failure.verdict.delay_ns;
	operation_retry(call->connection, &failure);
	interrupted = hold(call, *error, failure.verdict.delay_ns) == EINTR;
	if (!call_is_current(call)) {
		operation_abandon(call->connection, call->ticket);
		return true;
	}
	*error = interrupted ? attempt_begin(call) : attempt_again(call);
	return outcome_is_final(call, *error);
}

static int64_t caller_limit(const struct connection *connection, int fd)
{
	struct timeval timeout;

	if (!send_timeout_get(fd, &timeout) || (!timeout.tv_sec && !timeout.tv_usec))
		return INT64_MAX;
	return connection->began_ns + timeout.tv_sec * SECOND_NS + timeout.tv_usec * 1000;
}

/* The first attempt failed. */
static __attribute__((noinline, cold)) int connect_recover(struct call *call, int error)
{
	struct connection *connection = call->connection;
	struct operation_failure failure;

	if (outcome_is_final(call, error))
		return call_end(call, error);
	connection->nonblocking = fd_is_nonblocking(call->fd);
	call->cookie = connection->nonblocking ? 0 : socket_cookie(call->fd);
	if (!call->cookie) {
		operation_attempt_failed(connection, error);
		failure_decide(call, error, &failure);
		failure.verdict = (struct policy_verdict){ .action = VERDICT_PASS_ON };
		operation_fail(connection, call->ticket, &failure);
		return call_end(call, error);
	}
	if (call->caller_limit_ns == INT64_MAX)
		call->caller_limit_ns = caller_limit(connection, call->fd);
	while (!failure_serve(call, &error))
		;
	return call_end(call, error);
}

/* ---- the call --------------------------------------------------------------------------------- */

/* A connect that the kernel has under way already is asked about, not begun. */
static int connect_again(struct connection *connection, int fd, const struct sockaddr *peer,
			 socklen_t length)
{
	int result = LIBC(connect)(fd, peer, length);
	int error = result < 0 ? errno : 0;

	connection->reported = !error;
	if (!error || error == EISCONN)
		engine_settle(connection, fd, 0);
	else if (error != EALREADY && error != EINPROGRESS && error != EINTR)
		engine_settle(connection, fd, error);
	return result;
}

void engine_settle(struct connection *connection, int fd, int error)
{
	const struct policy_settings *settings = policy_settings(engine.policy, connection->rule);
	int family = connection->record->endpoint.kind == ENDPOINT_UNIX ? AF_UNIX : AF_INET;
	struct operation_failure failure = { .error = error };
	uint32_t ticket = operation_ticket(connection);
	int saved_errno = errno;

	if (!connection_owned(connection))
		return;
	attention_clear(connection, ATTENTION_PENDING);
	if (!error) {
		operation_succeed(connection, ticket);
	} else if (ticket) {
		operation_attempt_failed(connection, error);
		failure.category = policy_classify(settings, family, error);
		failure.decision = settings->strategies[failure.category].decision;
		failure.verdict.action = VERDICT_PASS_ON;
		operation_fail(connection, ticket, &failure);
	}
	errno = saved_errno;
}

/* connect(AF_UNSPEC) dissolves an association; what fd stood for is over. */
static int connect_dissolve(int fd, const struct sockaddr *peer, socklen_t length)
{
	int result = LIBC(connect)(fd, peer, length);

	if (result == 0)
		fd_closing(fd);
	return result;
}

static int connect_managed(struct call *call, struct connection *before)
{
	uint64_t bound = DURATION_OFF;
	bool connected = before && before->is_stream && !operation_ticket(before) &&
			 before->slot->state == SLOT_CONNECTED;
	struct target target;
	int error = 0;

	/* Most likely EISCONN, or the success that only the program's wait has told so far: no
	 * operation. Else the entry was stale. */
	if (connected) {
		error = LIBC(connect)(call->fd, call->peer, call->length) < 0 ? errno : 0;
		if (error == EISCONN || error == EALREADY || (!error && !before->reported)) {
			before->reported = 1;
			return call_end(call, error);
		}
	}
	if (!target_find(&target, call->fd, call->peer, call->length)) {
		if (connected)
			return call_end(call, error);
		fd_closing(call->fd);
		return LIBC(connect)(call->fd, call->peer, call->length);
	}
	call->connection = connection_open(call->fd, target.record, target.rule, target.owner);
	if (!call->connection)
		return connected ? call_end(call, error)
				 : LIBC(connect)(call->fd, call->peer, call->length);
	call->connection->is_stream = target.is_stream;
	call->settings = policy_settings(engine.policy, target.rule);
	call->ticket = operation_begin(call->connection);
	if (call->settings->connect.first_attempt_bounded && target.is_stream &&
	    !(fd_kind(call->fd) & FD_NONBLOCKING)) {
		call->caller_limit_ns = caller_limit(call->connection, call->fd);
		bound = policy_attempt_bound(call->settings, 1, 0);
	}
	if (!connected)
		error = bound == DURATION_OFF
				? (LIBC(connect)(call->fd, call->peer, call->length) < 0 ? errno
											 : 0)
				: attempt_make(call, bound);
	if (__builtin_expect(error == 0, 1)) {
		call->connection->reported = 1;
		operation_succeed(call->connection, call->ticket);
		return 0;
	}
	return connect_recover(call, error);
}

int engine_connect(int fd, const struct sockaddr *peer, socklen_t length)
{
	struct call call = {
		.fd = fd,
		.peer = peer,
		.length = length,
		.saved_errno = errno,
		.caller_limit_ns = INT64_MAX,
	};
	struct connection *before = connection_of(fd);

	if (!peer || length < sizeof(sa_family_t))
		return LIBC(connect)(fd, peer, length);
	if (before && peer->sa_family == AF_UNSPEC)
		return connect_dissolve(fd, peer, length);
	if (!target_is_ours(peer, length) || !engine_ready())
		return LIBC(connect)(fd, peer, length);
	if (before && before->attention & ATTENTION_PENDING && connection_owned(before))
		return connect_again(before, fd, peer, length);
	return connect_managed(&call, before);
}
