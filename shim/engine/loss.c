/* SPDX-License-Identifier: MIT */
#include "loss.h"

#include <errno.h>

#include "call.h"
#include "engine.h"
#include "keep.h"
#include "operation.h"
#include "pending.h"
#include "policy/text.h"
#include "shim/sys.h"
#include "tcp.h"

bool error_is_loss(int error)
{
	return error == ECONNRESET || error == EPIPE || error == ETIMEDOUT ||
	       error == ECONNABORTED || error == EHOSTUNREACH || error == ENETUNREACH ||
	       error == ENETDOWN || error == EHOSTDOWN || error == ENETRESET;
}

/* ---- what is known of it -------------------------------------------------------------- */

/*
 * Bytes of the present TCP connection were read past our hooks, by stdio or io_uring: which of
 * what was sent they answered is not known. The end of the stream counts as one; after a reset
 * without an end before it the errno is ECONNRESET.
 */
static bool is_read_unseen(const struct connection *connection, int fd, bool may_have_ended,
			   uint64_t received_before)
{
	uint64_t sent, received, arrived;

	return connection_bytes(connection, &sent, &received) && tcp_bytes_received(fd, &arrived) &&
	       arrived > received - received_before + (uint64_t)socket_unread(fd) + may_have_ended;
}

/* Only TCP is made anew. */
static bool is_immovable(const struct connection *connection)
{
	return connection->record->endpoint.kind != ENDPOINT_TCP;
}

static void loss_describe(struct connection *connection, int fd, int error, enum loss_finder finder,
			  const struct keep *keep, struct policy_loss *loss)
{
	uint64_t sent = 1, received = 0;
	bool may_have_ended = error != ECONNRESET || finder == LOSS_BY_WAIT;
	bool is_waited_for = finder != LOSS_BY_SEND && keep_is_answered(connection);

	connection_bytes(connection, &sent, &received);
	*loss = (struct policy_loss){
		/* Another process, stdio and splice() move bytes that no hook has counted. */
		.bytes_moved = sent + received + (uint64_t)socket_unread(fd) + tcp_has_moved(fd),
		.is_shared = connection->is_shared,
		.is_half_closed = connection->is_half_closed,
		.is_answered = socket_unread(fd) > 0 || is_waited_for ||
			       is_read_unseen(connection, fd, may_have_ended,
					      keep->received_before),
		.is_immovable = is_immovable(connection),
	};
	keep_describe(connection, fd, loss);
}

/* How often it was tried to make the connection anew, the last time. */
static uint32_t last_tries(const struct connection *connection)
{
	const struct call *call = &connection->pending->call;

	return call->pooled ? call->pool.round : connection->attempts;
}

/*
 * A loss that follows on others without a byte that moved is one more of the same. One that
 * was asked for says nothing of the connection before it.
 */
static void loss_count(const struct connection *connection, struct keep *keep,
		       uint64_t acknowledged, bool is_forced)
{
	uint64_t sent, received = 0;
	bool moved = acknowledged > 0 || is_forced;

	if (connection_bytes(connection, &sent, &received))
		moved = moved || received != keep->received_then;
	if (moved || !keep->rebuilds) {
		keep->rebuilds = 0;
		keep->lost_at_ns = clock_ns();
	} else {
		/* Its first try is counted. */
		keep->rebuilds += last_tries(connection) - 1;
	}
	keep->received_then = received;
}

static void loss_decide(struct connection *connection, int fd, int error, enum loss_finder finder,
			const struct keep *keep, struct operation_failure *failure)
{
	const struct policy_settings *settings = connection_settings(connection);
	struct policy_loss loss;
	struct policy_situation situation = {
		.operation = OPERATION_RECONNECT,
		.error = error ? error : ECONNRESET,
		.attempt = keep->rebuilds,
		.elapsed_ns = (uint64_t)(clock_ns() - keep->lost_at_ns),
		.random = random_draw(),
		.loss = &loss,
	};

	loss_describe(connection, fd, error, finder, keep, &loss);
	failure_classify(failure, settings, situation.error,
			 policy_classify(settings, AF_INET, situation.error));
	situation.category = (uint8_t)failure->category;
	failure->verdict = policy_decide(engine.policy, connection->rule, &situation);
}

static void loss_tell(struct connection *connection, const struct operation_failure *failure,
		      uint64_t acknowledged)
{
	uint64_t sent = 0, received;
	struct text text;
	char detail[100];

	connection_bytes(connection, &sent, &received);
	text_begin(&text, detail, sizeof(detail));
	text_add(&text, "written ");
	text_add_integer(&text, sent);
	text_add(&text, ", acknowledged ");
	/* The end of the output is acknowledged, too. */
	text_add_integer(&text, acknowledged < sent ? acknowledged : sent);
	text_add(&text, ", unanswered ");
	text_add_integer(&text, connection_unanswered(connection));
	operation_lost(connection, failure, detail);
}

/* ---- what is done about it ---------------------------------------------------------------- */

/* Begins the operation by which it is made anew. False if that cannot be done. */
static bool rebuild_begin(struct connection *connection, int fd, const struct keep *keep,
			  uint64_t delay_ns)
{
	uint32_t generation = connection->generation, in_use = connection->slot->in_use;
	struct endpoint_record *record = connection_record(connection);
	struct sockaddr_storage peer;
	struct call call = {
		.connection = connection,
		.settings = connection_settings(connection),
		.peer = (const struct sockaddr *)&peer,
		.fd = fd,
		.cookie = socket_cookie(fd),
		.caller_limit_ns = INT64_MAX,
		.previous_delay_ns = delay_ns,
		.tries_before = keep->rebuilds,
	};

	if (in_use)
		record = &engine.store.file->endpoints[in_use - 1];
	call.length = endpoint_to_sockaddr(&record->endpoint, socket_family(fd), &peer);
	return call.length && call.cookie && pending_rebuild(&call, generation, delay_ns);
}

/* Bytes of the connection whose end is being told: before the socket forgets them. */
static uint64_t acknowledged_find(int fd)
{
	uint64_t bytes = 0;

	tcp_bytes_acknowledged(fd, &bytes);
	return bytes;
}

static bool loss_rebuild(struct connection *connection, int fd, int error, struct keep *keep,
			 const struct operation_failure *failure, uint64_t acknowledged)
{
	atomic_store(&keep->error, error);
	if (connection->attention & ATTENTION_KEPT)
		keep_rewind(connection, acknowledged, &connection_settings(connection)->transfer);
	if (!rebuild_begin(connection, fd, keep, failure->verdict.delay_ns)) {
		keep_abandon(connection);
		return false;
	}
	keep->received_before = keep->received_then;
	keep->rebuilds++;
	return true;
}

/* error: 0 for an end. True if the connection is being made anew. */
static bool loss_judge(struct connection *connection, int fd, int error, enum loss_finder finder,
		       bool is_forced)
{
	struct keep *keep = connection_keep(connection);
	uint64_t acknowledged = acknowledged_find(fd);
	struct operation_failure failure;
	bool again;

	if (!keep)
		return false;
	loss_count(connection, keep, acknowledged, is_forced);
	loss_decide(connection, fd, error, finder, keep, &failure);
	again = verdict_is_retry(&failure.verdict);
	if (is_forced && !again)
		operation_rebuild_denied(connection, &failure);
	else
		loss_tell(connection, &failure, acknowledged);
	return again && loss_rebuild(connection, fd, error, keep, &failure, acknowledged);
}

/* One thread is told of a loss first; with signals blocked, so that nothing jumps away with it. */
static bool loss_claim(struct connection *connection, uint64_t *signals)
{
	uint8_t none = LOSS_NONE;

	sys_signals_block(signals);
	if (atomic_compare_exchange_strong(&connection->loss, &none, LOSS_BUSY))
		return true;
	sys_signals_restore(signals);
	return false;
}

static void loss_settle(struct connection *connection, enum loss loss, const uint64_t *signals)
{
	atomic_store(&connection->loss, (uint8_t)loss);
	sys_signals_restore(signals);
}

/* An odd ticket can be that of the connect, whose failure is no loss. */
bool loss_is_past(const struct connection *connection, uint32_t operation)
{
	const struct keep *keep = connection_kept(connection);

	return connection->operation != operation &&
	       (operation % 2 == 0 || (keep && keep->rebuilds));
}

bool loss_is_mended(const struct connection *connection, uint32_t operation)
{
	return connection->attention & ATTENTION_CONNECT || connection->loss == LOSS_BUSY ||
	       loss_is_past(connection, operation);
}

bool loss_serve(struct connection *connection, int fd, int error, enum loss_finder finder,
		uint32_t operation)
{
	bool is_alive = finder == LOSS_BY_SILENCE || !error;
	int saved_errno = errno;
	uint64_t signals;
	bool again;

	if (!connection_owned(connection))
		return false;
	if (loss_is_mended(connection, operation))
		return true;
	if (connection_of(fd) != connection)
		return false;
	/* A connect that failed goes on saying so. */
	if (connection->slot->state != SLOT_CONNECTED || (!is_alive && !tcp_is_lost(fd)) ||
	    !loss_claim(connection, &signals)) {
		errno = saved_errno;
		return loss_is_mended(connection, operation);
	}
	/* Another thread has been through all of it meanwhile. */
	again = connection->attention & ATTENTION_CONNECT || (!is_alive && !tcp_is_lost(fd)) ||
		loss_judge(connection, fd, error, finder, false);
	loss_settle(connection, again ? LOSS_NONE : LOSS_TOLD, &signals);
	errno = saved_errno;
	return again;
}

static bool is_byteless(const struct connection *connection)
{
	uint64_t sent, received;

	return connection_bytes(connection, &sent, &received) && !sent && !received;
}

bool loss_is_end(const struct connection *connection, int fd)
{
	const struct policy_transfer *transfer = &connection_settings(connection)->transfer;

	if (connection->attention & ATTENTION_KEPT &&
	    (transfer->replay == REPLAY_ONE_WAY || keep_is_unanswered(connection)))
		return !tcp_is_connected_whole(fd);
	/* A reset came behind the end, on a connection on which nothing was ever said. */
	return is_byteless(connection) && !connection->is_half_closed && tcp_is_lost(fd);
}

enum loss_view loss_look(struct connection *connection, int fd)
{
	if ((connection->attention & (ATTENTION_KEPT | ATTENTION_CONNECT)) != ATTENTION_KEPT ||
	    connection->loss == LOSS_TOLD)
		return LOSS_SEEN;
	if (socket_unread(fd))
		return LOSS_EARLY;
	if (!loss_is_end(connection, fd))
		return LOSS_SEEN;
	/* The errno stays where it is, for whoever is told in the end. */
	return loss_serve(connection, fd, tcp_is_lost(fd) ? ECONNRESET : 0, LOSS_BY_WAIT,
			  connection->operation)
		       ? LOSS_HIDDEN
		       : LOSS_SEEN;
}

void loss_force(struct connection *connection, int fd, bool sends)
{
	uint32_t wanted = connection->slot->reconnect_wanted;
	int saved_errno = errno;
	uint64_t signals;

	if (!wanted || !connection_owned(connection) || is_immovable(connection)) {
		/* In a vfork child it is its parent's. */
		if (!engine_memory_is_borrowed())
			attention_clear(connection, ATTENTION_WANTED);
		return;
	}
	/* What was received is delivered first. */
	if (connection->attention & ATTENTION_CONNECT || socket_unread(fd) ||
	    !tcp_is_connected(fd) || !loss_claim(connection, &signals))
		return;
	attention_clear(connection, ATTENTION_WANTED);
	if (atomic_compare_exchange_strong(&connection->slot->reconnect_wanted, &wanted, 0) &&
	    wanted == connection->generation)
		loss_judge(connection, fd, ECONNABORTED, sends ? LOSS_BY_SEND : LOSS_BY_READ, true);
	loss_settle(connection, LOSS_NONE, &signals);
	errno = saved_errno;
}
