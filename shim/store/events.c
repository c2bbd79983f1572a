/* SPDX-License-Identifier: MIT */
/* Adding to the ring of events that all processes of a state directory share. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shim/sys.h"
#include "store.h"

static bool ring_is_ours(const struct event_file *ring)
{
	return ring->magic == STORE_MAGIC_EVENTS && ring->version == STORE_VERSION &&
	       ring->size == sizeof(*ring) && ring->event_size == sizeof(struct store_event) &&
	       ring->capacity == EVENTS_IN_RING;
}

static struct event_file *ring_map(int fd)
{
	struct event_file *ring;

	ring = sys_mmap(NULL, sizeof(*ring), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (ring == MAP_FAILED)
		return NULL;
	sys_madvise(ring, sizeof(*ring), MADV_RANDOM);
	return ring;
}

/* An existing ring, if it is whole and of this version; set_aside: it is not. */
static struct event_file *ring_open(int directory, bool *set_aside)
{
	int fd = sys_openat(directory, "events", O_RDWR | O_NOFOLLOW | O_CLOEXEC, 0);
	struct event_file *ring = NULL;
	struct stat status;

	*set_aside = false;
	if (fd < 0) {
		*set_aside = errno == ELOOP;
		return NULL;
	}
	if (sys_fstat(fd, &status) < 0 || !S_ISREG(status.st_mode) ||
	    status.st_uid != sys_geteuid() || status.st_size != (off_t)sizeof(*ring)) {
		*set_aside = true;
	} else {
		ring = ring_map(fd);
		if (ring && !ring_is_ours(ring)) {
			sys_munmap(ring, sizeof(*ring));
			ring = NULL;
			*set_aside = true;
		}
	}
	sys_close(fd);
	return ring;
}

/* Makes a new ring under a name of our own and links it in: who comes second takes the first's. */
static void ring_create(int directory, const struct process_identity *identity)
{
	static const char hex[] = "0123456789abcdef";
	char name[] = ".events-00000000";
	struct event_file *ring;
	int fd;

	for (int i = 0; i < 8; i++)
		name[8 + i] = hex[identity->nonce >> (28 - 4 * i) & 15];
	fd = sys_openat(directory, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return;
	if (sys_reserve(fd, sizeof(*ring))) {
		ring = ring_map(fd);
		if (ring) {
			ring->version = STORE_VERSION;
			ring->size = sizeof(*ring);
			ring->event_size = sizeof(struct store_event);
			ring->capacity = EVENTS_IN_RING;
			ring->magic = STORE_MAGIC_EVENTS;
			sys_munmap(ring, sizeof(*ring));
			linkat(directory, name, directory, "events", 0);
		}
	}
	sys_unlinkat(directory, name, 0);
	sys_close(fd);
}

static struct event_file *ring_attach(struct store *store)
{
	struct event_file *ring, *expected = NULL;
	const char *problem;
	bool set_aside;
	int directory;

	ring = atomic_load_explicit(&store->events, memory_order_acquire);
	if (ring || !store->on_disk)
		return ring;
	directory = directory_open(store->directory, false, &problem);
	if (directory < 0)
		return NULL;
	ring = ring_open(directory, &set_aside);
	if (!ring) {
		if (set_aside)
			sys_renameat(directory, "events", directory, "events.bad");
		ring_create(directory, &store->file->identity);
		ring = ring_open(directory, &set_aside);
	}
	sys_close(directory);
	if (ring && !atomic_compare_exchange_strong(&store->events, &expected, ring)) {
		sys_munmap(ring, sizeof(*ring));
		ring = expected;
	}
	return ring;
}

void store_event_add(struct store *store, struct store_event *event)
{
	const struct process_identity *identity = &store->file->identity;
	int saved_errno = errno;
	struct event_file *ring = ring_attach(store);
	struct event_slot *slot;
	uint64_t number;

	event->time_ns = store_now_ns();
	event->pid = identity->pid;
	event->nonce = identity->nonce;
	memcpy(event->program, identity->program, sizeof(event->program));
	atomic_store_explicit(&store->file->updated_at_ns, event->time_ns, memory_order_relaxed);
	if (!ring) {
		atomic_fetch_add_explicit(&store->file->events_lost, 1, memory_order_relaxed);
	} else {
		number = atomic_fetch_add_explicit(&ring->next, 1, memory_order_relaxed);
		slot = &ring->slots[number % EVENTS_IN_RING];
		atomic_store_explicit(&slot->ticket, 0, memory_order_relaxed);
		atomic_thread_fence(memory_order_release);
		slot->event = *event;
		atomic_store_explicit(&slot->checksum, event_checksum(event, number + 1),
				      memory_order_relaxed);
		atomic_store_explicit(&slot->ticket, number + 1, memory_order_release);
	}
	errno = saved_errno;
}
