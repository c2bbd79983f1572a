/* SPDX-License-Identifier: MIT */
#include "connection.h"

#include <errno.h>
#include <sys/resource.h>
#include <sys/un.h>

#include "drain.h"
#include "engine.h"
#include "fd_table.h"
#include "keep.h"
#include "operation.h"
#include "pending.h"
#include "shim/sys.h"
#include "shim/words.h"
#include "tcp.h"
#include "tended.h"
#include "watch.h"

/*
 * Slots, and the connections that go with them.  Those of the store, and spare
 * ones in memory for when it has no more: a full disk costs the view of a
 * connection, not its protection, and its bytes are counted in the endpoint's
 * record.  A forked child that attaches gets its own, and goes on seeing its copy
 * of the old ones through the fds that it inherited.
 */
struct slots {
	struct store *store;
	struct connection *connections;
	void *_Atomic pendings; /* struct pending, a slot each; made when first needed */
	void *_Atomic paths;    /* struct sockaddr_un */
	void *_Atomic keeps;    /* struct keep */
};

static struct store spare_store;
static struct slots own = { .store = &engine.store }, spare = { .store = &spare_store };

/* The word that stands for the store's as long as there is none. */
static _Atomic uint32_t nothing_wanted;
struct reconnects reconnects = { .word = &nothing_wanted };

/* Of what only some connections need, for every slot; the kernel gives memory to what is used. */
static void *slots_memory(void *_Atomic *memory, size_t size)
{
	void *made, *expected = NULL;

	if (atomic_load_explicit(memory, memory_order_acquire))
		return atomic_load_explicit(memory, memory_order_acquire);
	made = sys_memory(SLOTS_PER_PROCESS * size);
	if (made && !atomic_compare_exchange_strong(memory, &expected, made)) {
		sys_munmap(made, SLOTS_PER_PROCESS * size);
		made = expected;
	}
	return made;
}

bool connections_attach(void)
{
	spare.connections = NULL;
	spare.pendings = spare.paths = spare.keeps = NULL;
	own.pendings = own.paths = own.keeps = NULL;
	own.connections = sys_memory(SLOTS_PER_PROCESS * sizeof(*own.connections));
	reconnects.word = &engine.store.file->reconnects_wanted;
	reconnects.seen = engine.store.file->reconnects_wanted;
	return own.connections != NULL;
}

bool connection_owned(const struct connection *connection)
{
	int32_t pid;

	return engine_memory(&pid) == MEMORY_OWN && connection->owner == pid;
}

static struct slots *slots_of(const struct connection *connection)
{
	return connection->spare ? &spare : &own;
}

static size_t slot_number(const struct connection *connection)
{
	return (size_t)(connection - slots_of(connection)->connections);
}

struct sockaddr *connection_path(struct connection *connection)
{
	struct sockaddr_un *paths = slots_memory(&slots_of(connection)->paths,
						 sizeof(struct sockaddr_un));

	return paths ? (struct sockaddr *)&paths[slot_number(connection)] : NULL;
}

struct pending *connection_pending(struct connection *connection)
{
	struct pending *pendings;

	if (connection->pending)
		return connection->pending;
	pendings = slots_memory(&slots_of(connection)->pendings, sizeof(struct pending));
	if (!pendings)
		return NULL;
	connection->pending = &pendings[slot_number(connection)];
	return connection->pending;
}

struct keep *connection_keep(struct connection *connection)
{
	struct keep *keeps = slots_memory(&slots_of(connection)->keeps, sizeof(struct keep));

	return keeps ? &keeps[slot_number(connection)] : NULL;
}

struct keep *connection_kept(const struct connection *connection)
{
	struct keep *keeps = atomic_load_explicit(&slots_of(connection)->keeps,
						  memory_order_acquire);

	return keeps ? &keeps[slot_number(connection)] : NULL;
}

struct endpoint_record *connection_record(const struct connection *connection)
{
	return connection->spare ? connection->record
				 : &engine.store.file->endpoints[connection->slot->endpoint];
}

bool connection_bytes(const struct connection *connection, uint64_t *sent, uint64_t *received)
{
	const struct connection_slot *slot = connection->slot;

	if (connection->spare)
		return false;
	*sent = slot->sent_bytes - slot->sent_base;
	*received = slot->received_bytes - slot->received_base;
	return true;
}

uint64_t connection_unanswered(const struct connection *connection)
{
	const struct connection_slot *slot = connection->slot;
	uint64_t sent, received, answered;

	if (!connection_bytes(connection, &sent, &received))
		return 0;
	answered = slot->answered_bytes - slot->sent_base;
	return received && answered <= sent ? sent - answered : sent;
}

struct connection *connection_at(uint32_t index)
{
	return own.connections && index < engine.store.file->slots_used ? &own.connections[index]
									: NULL;
}

void reconnects_look(void)
{
	struct connection *connection;
	uint32_t word;

	/* A vfork child would look in its parent's stead. */
	if (engine_memory(NULL) == MEMORY_BORROWED)
		return;
	/* What is asked for meanwhile is looked for again; so is all after a jump out of here. */
	word = *reconnects.word;
	for (uint32_t i = 0; (connection = connection_at(i)); i++)
		if (connection->slot && connection->slot->reconnect_wanted &&
		    connection_owned(connection))
			attention_set(connection, ATTENTION_WANTED);
	reconnects.seen = word;
}

int connection_fd_next(const struct connection *connection, int fd)
{
	for (fd++; fd < FD_CHUNKS * FDS_PER_CHUNK; fd++) {
		if (!fd_chunk(fd))
			fd += FDS_PER_CHUNK - fd % FDS_PER_CHUNK - 1;
		else if (connection_of(fd) == connection)
			return fd;
	}
	return -1;
}

int connection_fd(const struct connection *connection)
{
	int fd = connection->slot->fd;

	return connection_of(fd) == connection ? fd : connection_fd_next(connection, -1);
}

/* Nobody asked for the outcome of a connect that was left under way, but there may be one. */
static void operation_close(struct connection *connection, int fd)
{
	uint32_t ticket;

	if (connection->attention & ATTENTION_CONNECT)
		pending_close(connection, fd);
	ticket = operation_ticket(connection);
	if (ticket && connection->is_stream && tcp_is_connected(fd))
		operation_succeed(connection, ticket);
	else if (ticket)
		operation_abandon(connection, ticket);
}

/* One fd fewer stands for it. A forked child's copy just forgets. */
static void connection_drop(struct connection *connection, int fd, int32_t pid)
{
	if (connection->owner != pid)
		return;
	if (atomic_fetch_sub_explicit(&connection->fds, 1, memory_order_acq_rel) != 1) {
		if (connection->attention & ATTENTION_PENDING)
			pending_renumber(connection, fd);
		return;
	}
	operation_close(connection, fd);
	tending_end(connection);
	keep_forget(connection);
	/* One that failed goes on saying so. */
	if (connection->slot->state != SLOT_FAILED)
		operation_state(connection, SLOT_DISCONNECTED);
	store_slot_release(connection->spare ? &spare_store : &engine.store,
			   connection->slot_index);
}

static void fd_forget(int fd)
{
	struct connection *connection;
	int32_t pid;
	enum engine_memory memory = engine_memory(&pid);

	if (memory == MEMORY_BORROWED)
		return;
	connection = fd_exchange(fd, NULL);
	if (connection && memory == MEMORY_OWN)
		connection_drop(connection, fd, pid);
}

/* A vfork child closes its own numbers, in memory that is its parent's. */
static void registrations_forget(int fd)
{
	uint64_t signals;

	if (!watch_is_known(fd) || engine_memory(NULL) == MEMORY_BORROWED)
		return;
	if (!registrations_move()) {
		watch_forget(fd);
		return;
	}
	schedule_lock(&signals);
	watch_forget(fd);
	schedule_unlock(&signals);
}

/* Rarely needed, so that only then there is memory behind it. */
static bool spare_prepare(void)
{
	if (!spare.connections && store_open_memory(&spare_store))
		spare.connections = sys_memory(SLOTS_PER_PROCESS * sizeof(*spare.connections));
	return spare.connections != NULL;
}

_Static_assert(COUNTER_received_bytes == COUNTER_sent_bytes + MOVED_RECEIVED, "side by side");
_Static_assert(offsetof(struct connection_slot, received_bytes) ==
		       offsetof(struct connection_slot, sent_bytes) +
			       MOVED_RECEIVED * sizeof(uint64_t),
	       "side by side");

/* A connection whose slot is in the store, or, if that is full, in memory. */
static struct connection *connection_take(uint32_t record)
{
	struct endpoint_record *counted = &engine.store.file->endpoints[record];
	uint32_t index = store_slot_take(&engine.store, record);
	bool is_spare = index == SLOT_NONE;
	struct slots *slots = is_spare ? &spare : &own;
	struct connection *connection;
	struct connection_slot *slot;

	if (is_spare && spare_prepare())
		index = store_slot_take(&spare_store, record);
	if (index == SLOT_NONE)
		return NULL;
	connection = &slots->connections[index];
	slot = &slots->store->file->slots[index];
	STORE(connection->slot, slot);
	STORE(connection->record, counted);
	STORE(connection->moved_bytes,
	      is_spare ? &counted->counters[COUNTER_sent_bytes] : &slot->sent_bytes);
	STORE(connection->slot_index, index);
	STORE(connection->spare, is_spare);
	return connection;
}

/*
 * Duplicates are the same socket under another number: those that stand for the connection
 * that it had before, and those that stand for none. What else a number stands for is
 * another thread's, which has been given it meanwhile.
 */
static void connection_share(struct connection *connection, struct connection *before, int fd,
			     int32_t owner)
{
	uint64_t cookie = socket_cookie(fd);
	struct connection *present;
	int other = -1;

	while ((other = fd_duplicate_next(fd, cookie, before, other)) >= 0) {
		present = connection_of(other);
		if (present && present != before)
			continue;
		atomic_fetch_add_explicit(&connection->fds, 1, memory_order_relaxed);
		if (!fd_replace(other, present, connection))
			atomic_fetch_sub_explicit(&connection->fds, 1, memory_order_relaxed);
		else if (present)
			connection_drop(present, other, owner);
		fd_watch(other);
	}
}

struct connection *connection_open(int fd, uint32_t record, int rule, int32_t owner)
{
	struct connection *connection = connection_take(record);
	struct connection_slot *slot;
	struct connection *before;

	if (!connection)
		return NULL;
	slot = connection->slot;
	/* By a thread that was connecting the socket when another closed it. */
	if (__builtin_expect(LOAD(connection->attention) & ATTENTION_CONNECT, 0))
		pending_close(connection, -1);
	STORE(connection->owner, owner);
	STORE(connection->rule, rule);
	STORE(connection->generation, LOAD(slot->generation));
	STORE(connection->attempts, 0);
	STORE(connection->reported, 0);
	STORE(connection->is_shared, 0);
	STORE(connection->is_half_closed, 0);
	STORE(connection->loss, LOSS_NONE);
	STORE(connection->attention, 0);
	STORE(connection->cookie, 0);
	STORE(connection->fds, 1);
	STORE(slot->fd, fd);
	STORE(slot->rule, rule);
	before = fd_exchange(fd, connection);
	if (fd_kind(fd) & FD_SHARED)
		connection_share(connection, before, fd, owner);
	if (before)
		connection_drop(before, fd, owner);
	if (fd_watch(fd))
		return connection;
	/* Held, it would be reported by a set that it cannot be taken out of. */
	fd_forget(fd);
	return NULL;
}

void fd_opened(int fd, unsigned int kind)
{
	struct fd_chunk *chunk = kind ? fd_chunk_make(fd) : fd_chunk(fd);

	if (!chunk || engine_memory_is_borrowed())
		return;
	if (connection_of(fd))
		fd_forget(fd);
	registrations_forget(fd);
	fd_kind_set(fd, kind);
}

void fd_dissolved(int fd)
{
	struct connection *connection = connection_of(fd);
	uint64_t cookie;
	int32_t pid;
	int other = -1;

	if (!connection)
		return;
	if (connection->fds > 1 && engine_memory(&pid) == MEMORY_OWN) {
		cookie = socket_cookie(fd);
		while ((other = connection_fd_next(connection, other)) >= 0)
			if (other != fd && socket_cookie(other) == cookie &&
			    fd_replace(other, connection, NULL))
				connection_drop(connection, other, pid);
	}
	fd_forget(fd);
}

void fd_closing(int fd)
{
	struct connection *connection = connection_of(fd);

	if (connection && connection->attention & ATTENTION_KEPT)
		drain_output(connection, fd);
	/* Before it stands for nothing: from here on nobody asks it, see may_be_of(). */
	if (fd_kind(fd) & FD_SHARED && !engine_memory_is_borrowed())
		fd_kind_remove(fd, FD_SHARED);
	if (connection)
		fd_forget(fd);
	registrations_forget(fd);
	/* The next file of this number need not be one that we see made. */
	if (fd_kind(fd) && !engine_memory_is_borrowed())
		fd_kind_set(fd, 0);
}

void fd_range_closing(unsigned int first, unsigned int last)
{
	for (unsigned int number = first / FDS_PER_CHUNK;
	     number < FD_CHUNKS && number <= last / FDS_PER_CHUNK; number++) {
		unsigned int fd = number * FDS_PER_CHUNK;

		if (!atomic_load_explicit(&fd_chunks[number], memory_order_relaxed))
			continue;
		for (unsigned int i = 0; i < FDS_PER_CHUNK; i++, fd++)
			if (fd >= first && fd <= last)
				fd_closing((int)fd);
	}
}

void fd_shared(int fd)
{
	struct connection *connection = connection_of(fd);

	if (connection)
		connection->is_shared = 1;
}

void connections_share(void)
{
	struct connection *connection;

	for (uint32_t i = 0; (connection = connection_at(i)); i++)
		connection->is_shared = 1;
}

/* As dup2() would refuse it. */
static bool is_beyond_limit(int fd)
{
	struct rlimit limit;

	return SYS(SYS_prlimit64, 0, RLIMIT_NOFILE, NULL, &limit) == 0 &&
	       (rlim_t)fd >= limit.rlim_cur;
}

void fd_replacing(int fd, int target)
{
	int saved_errno = errno;

	if (fd != target && connection_of(target) && sys_fcntl(fd, F_GETFD, 0) >= 0 &&
	    !is_beyond_limit(target))
		fd_closing(target);
	errno = saved_errno;
}

void fd_duplicated(int fd, int target)
{
	struct connection *connection = connection_of(fd);
	int32_t pid;
	enum engine_memory memory = engine_memory(&pid);

	if (fd == target || memory == MEMORY_BORROWED)
		return;
	if (fd_kind(fd) & FD_STREAM)
		fd_kind_add(fd, FD_SHARED);
	fd_opened(target, fd_kind(fd));
	if (fd_kind(fd) & FD_SET_OF_FDS)
		watch_duplicated(fd, target);
	if (!connection)
		return;
	atomic_fetch_add_explicit(&connection->fds, 1, memory_order_relaxed);
	if (!fd_chunk_make(target)) {
		atomic_fetch_sub_explicit(&connection->fds, 1, memory_order_relaxed);
		return;
	}
	connection = fd_exchange(target, connection);
	if (connection && memory == MEMORY_OWN)
		connection_drop(connection, target, pid);
}
