/* SPDX-License-Identifier: MIT */
/* Making and leaving the process file. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "identity.h"
#include "shim/sys.h"
#include "store.h"

#define NAME_SIZE (1 + PROCESS_NAME_SIZE)

int64_t store_now_ns(void)
{
	return clock_kernel_ns(CLOCK_REALTIME_COARSE);
}

static void identity_fill(struct process_identity *identity, const char *program,
			  uint32_t parent_nonce)
{
	const char *slash = strrchr(program, '/');
	const char *name = slash ? slash + 1 : program;
	identity->proc_device = identity_proc_device();
	identity->boottime_ns = identity_boottime_ns();
	identity->started_at_ns = clock_kernel_ns(CLOCK_REALTIME);
	identity->pid = sys_getpid();
	identity->uid = sys_geteuid();
	identity->parent_nonce = parent_nonce;
	if (sys_getrandom(&identity->nonce, sizeof(identity->nonce)) < 0)
		identity->nonce = (uint32_t)identity->started_at_ns ^ (uint32_t)identity->pid << 16;
	identity->nonce |= identity->nonce == 0;
	memcpy(identity->program, name, strnlen(name, PROGRAM_NAME_SIZE - 1));
}

static void file_fill(struct process_file *file, const struct process_identity *identity)
{
	file->version = STORE_VERSION;
	file->size = sizeof(*file);
	file->identity = *identity;
	atomic_init(&file->state, PROCESS_RUNNING);
	atomic_init(&file->slots_reserved, SLOTS_PER_CHUNK);
	atomic_init(&file->updated_at_ns, identity->started_at_ns);
	for (uint32_t i = 0; i < STORE_OPERATIONS; i++) {
		file->endpoints[i].endpoint.kind = ENDPOINT_OTHER;
		file->endpoints[i].operation = i;
		atomic_init(&file->endpoints[i].state, RECORD_READY);
	}
	file->magic = STORE_MAGIC_PROCESS;
}

/* The name while the file is being made: readers skip those with a dot. */
static void name_format(char name[NAME_SIZE], const struct process_identity *identity)
{
	name[0] = '.';
	process_file_name(name + 1, identity->pid, identity->nonce);
}

static struct process_file *file_map(int fd)
{
	struct process_file *file = sys_mmap(NULL, sizeof(*file), PROT_READ | PROT_WRITE,
					     MAP_SHARED, fd, 0);

	if (file == MAP_FAILED)
		return NULL;
	/* Read-ahead into a sparse file of this size makes the first touch cost 2 ms on ext4. */
	sys_madvise(file, sizeof(*file), MADV_RANDOM);
	return file;
}

/* A new file of nothing but zeros; -1 and errno if there is one already or no space. */
static int file_make(int processes, const char *name)
{
	int fd = sys_openat(processes, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
	int error;

	if (fd < 0)
		return -1;
	/* Reserved before it is mapped: touching a page that a full disk cannot back is SIGBUS. */
	if (sys_size_allowed(sizeof(struct process_file)) && sys_reserve(fd, PROCESS_FIRST_BYTES) &&
	    sys_ftruncate(fd, sizeof(struct process_file)) == 0)
		return fd;
	error = errno;
	sys_unlinkat(processes, name, 0);
	sys_close(fd);
	errno = error;
	return -1;
}

static bool file_has_name(int processes, int fd, const char *name)
{
	struct stat status, named;

	return sys_fstat(fd, &status) == 0 &&
	       sys_fstatat(processes, name, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
	       named.st_ino == status.st_ino;
}

/* Whether nobody has written to it. Its first page tells: the others would cost a fault each. */
static bool page_is_zero(struct process_file *file)
{
	const uint64_t *words = (const uint64_t *)(const void *)file;
	uint64_t bits = 0;

	/* Written to first, or the page would be faulted in twice. */
	atomic_store_explicit(&file->reconnects_wanted, 0, memory_order_relaxed);
	for (size_t i = 0; i < 4096 / sizeof(*words); i++)
		bits |= words[i];
	return bits == 0;
}

/* Gives the file, still of zeros, to this process, and then its name. NULL if name is another's. */
static struct process_file *file_take(int processes, int fd, const char *name,
				      const struct process_identity *identity, uint64_t *inode)
{
	struct process_file *file;
	char own_name[NAME_SIZE];
	struct stat status;

	if (!file_has_name(processes, fd, name) || sys_fstat(fd, &status) < 0)
		return NULL;
	file = file_map(fd);
	if (!file)
		return NULL;
	if (!page_is_zero(file)) {
		sys_munmap(file, sizeof(*file));
		return NULL;
	}
	file_fill(file, identity);
	*inode = status.st_ino;
	name_format(own_name, identity);
	if (sys_renameat(processes, name, processes, own_name + 1) == 0)
		return file;
	sys_munmap(file, sizeof(*file));
	return NULL;
}

static struct process_file *file_create(int processes, const struct process_identity *identity,
					uint64_t *inode)
{
	struct process_file *file;
	char name[NAME_SIZE];
	int error, fd;

	name_format(name, identity);
	fd = file_make(processes, name);
	if (fd < 0)
		return NULL;
	file = file_take(processes, fd, name, identity, inode);
	error = errno;
	if (!file)
		sys_unlinkat(processes, name, 0);
	sys_close(fd);
	errno = error;
	return file;
}

/* ---- spare files ---------------------------------------------------------------- */

/*
 * Making a file takes longer than all else at a process's first connect, so a
 * process that ends leaves one for the next.
 */
static const char *const spares[] = { ".spare-0", ".spare-1", ".spare-2", ".spare-3" };
#define SPARES (sizeof(spares) / sizeof(spares[0]))

static bool spare_is_whole(int fd)
{
	struct stat status;

	return sys_fstat(fd, &status) == 0 && S_ISREG(status.st_mode) &&
	       status.st_uid == sys_geteuid() && status.st_size == sizeof(struct process_file) &&
	       (uint64_t)status.st_blocks * 512 >= PROCESS_FIRST_BYTES;
}

/* Under the file's lock. What nobody can use is in everybody's way. */
static struct process_file *spare_use(int processes, int fd, const char *name,
				      const struct process_identity *identity, uint64_t *inode)
{
	struct process_file *file = NULL;

	if (spare_is_whole(fd))
		file = file_take(processes, fd, name, identity, inode);
	if (!file && file_has_name(processes, fd, name))
		sys_unlinkat(processes, name, 0);
	return file;
}

/*
 * Several may open the same spare. Only who has its lock may take its name from
 * it, by renaming or unlinking; who gets the lock after that finds that it has
 * another name by now, or none, and looks further.
 */
static struct process_file *spare_take(int processes, const struct process_identity *identity,
				       uint64_t *inode)
{
	struct process_file *file = NULL;

	for (unsigned int i = 0; i < SPARES && !file; i++) {
		int fd = sys_openat(processes, spares[i], O_RDWR | O_NOFOLLOW | O_NONBLOCK, 0);

		if (fd < 0)
			continue;
		if (sys_flock(fd, LOCK_EX | LOCK_NB) == 0)
			file = spare_use(processes, fd, spares[i], identity, inode);
		sys_close(fd);
	}
	return file;
}

void store_spare(int directory)
{
	const char *problem;
	int processes = directory_open_sub(directory, "process", false, &problem);
	int fd = -1;

	if (processes < 0)
		return;
	for (unsigned int i = 0; i < SPARES && fd < 0; i++) {
		fd = file_make(processes, spares[i]);
		if (fd < 0 && errno != EEXIST)
			break;
	}
	if (fd >= 0)
		sys_close(fd);
	sys_close(processes);
}

static struct process_file *memory_create(const struct process_identity *identity)
{
	struct process_file *file = sys_mmap(NULL, sizeof(*file), PROT_READ | PROT_WRITE,
					     MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (file == MAP_FAILED)
		return NULL;
	file_fill(file, identity);
	atomic_init(&file->slots_reserved, SLOTS_PER_PROCESS);
	return file;
}

bool store_open_memory(struct store *store)
{
	const struct process_identity nobody = { 0 };

	store->file = memory_create(&nobody);
	store->on_disk = false;
	store_forget_free(store);
	return store->file != NULL;
}

bool store_open(struct store *store, int directory, const char *program, uint32_t parent_nonce,
		const char **problem)
{
	struct process_identity identity = { 0 };
	struct process_file *file = NULL;
	int processes = -1;
	int error = errno;

	identity_fill(&identity, program, parent_nonce);
	if (directory >= 0) {
		processes = directory_open_sub(directory, "process", true, problem);
		error = errno;
	}
	if (processes >= 0) {
		file = spare_take(processes, &identity, &store->inode);
		if (!file)
			file = file_create(processes, &identity, &store->inode);
		*problem = "cannot make a file in it";
		error = errno;
		sys_close(processes);
	}
	store->on_disk = file != NULL;
	if (!file)
		file = memory_create(&identity);
	store_forget_free(store);
	store->file = file;
	errno = error;
	return store->on_disk;
}

/* Opens STATE/process by the path; -1 with errno. */
static int processes_open(const struct store *store)
{
	const char *problem;
	int directory = directory_open(store->directory, false, &problem);
	int processes, error;

	if (directory < 0)
		return -1;
	processes = directory_open_sub(directory, "process", false, &problem);
	error = errno;
	sys_close(directory);
	errno = error;
	return processes;
}

bool store_space_reserve(struct store *store, uint32_t slots)
{
	struct stat status;
	char name[NAME_SIZE];
	bool reserved = false;
	int saved_errno = errno;
	int processes = processes_open(store);
	int fd;

	if (processes < 0)
		goto out;
	name_format(name, &store->file->identity);
	fd = sys_openat(processes, name + 1, O_RDWR | O_NOFOLLOW | O_CLOEXEC, 0);
	sys_close(processes);
	if (fd < 0)
		goto out;
	/* Another file under our name would be somebody's to truncate. */
	if (sys_fstat(fd, &status) == 0 && status.st_ino == store->inode)
		reserved = sys_reserve(fd, offsetof(struct process_file, slots) +
						   slots * sizeof(struct connection_slot));
	sys_close(fd);
out:
	errno = saved_errno;
	return reserved;
}

void store_leave(struct store *store)
{
	atomic_store_explicit(&store->file->ended_at_ns, store_now_ns(), memory_order_relaxed);
	atomic_store_explicit(&store->file->state, PROCESS_EXITED, memory_order_release);
}
