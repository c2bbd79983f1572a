/* SPDX-License-Identifier: MIT */
#include "clock.h"

#include <errno.h>
#include <link.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#include <sys/auxv.h>

#include "shim/sys.h"

typedef int clock_function(clockid_t clock, struct timespec *time);

static int clock_by_call(clockid_t clock, struct timespec *time)
{
	int saved_errno = errno;
	int result = (int)SYS(SYS_clock_gettime, clock, time);

	errno = saved_errno;
	return result;
}

/* Where things are in the object that the kernel maps into every process. */
struct vdso {
	const ElfW(Sym) * symbols;
	const char *names;
	const ElfW(Word) * hash; /* the second word is the number of symbols */
};

static bool vdso_tables(struct vdso *vdso, const char *image, uintptr_t base,
			const ElfW(Phdr) * dynamic_segment)
{
	const ElfW(Dyn) *dynamic = (const void *)(image + dynamic_segment->p_offset);

	for (; dynamic->d_tag != DT_NULL; dynamic++) {
		const void *table = (const void *)(base + dynamic->d_un.d_ptr);

		if (dynamic->d_tag == DT_SYMTAB)
			vdso->symbols = table;
		else if (dynamic->d_tag == DT_STRTAB)
			vdso->names = table;
		else if (dynamic->d_tag == DT_HASH)
			vdso->hash = table;
	}
	return vdso->symbols && vdso->names && vdso->hash;
}

static clock_function *vdso_find(void)
{
	const char *image = (const char *)getauxval(AT_SYSINFO_EHDR);
	const ElfW(Ehdr) *header = (const void *)image;
	const ElfW(Phdr) * segment, *dynamic = NULL;
	struct vdso vdso = { 0 };
	uintptr_t base = 0;

	if (!image)
		return clock_by_call;
	segment = (const void *)(image + header->e_phoff);
	for (unsigned int i = 0; i < header->e_phnum; i++) {
		if (segment[i].p_type == PT_LOAD && !base)
			base = (uintptr_t)image + segment[i].p_offset - segment[i].p_vaddr;
		else if (segment[i].p_type == PT_DYNAMIC)
			dynamic = &segment[i];
	}
	if (!base || !dynamic || !vdso_tables(&vdso, image, base, dynamic))
		return clock_by_call;
	for (unsigned int i = 0; i < vdso.hash[1]; i++) {
		const ElfW(Sym) *symbol = &vdso.symbols[i];

		if (symbol->st_shndx != SHN_UNDEF &&
		    strcmp(vdso.names + symbol->st_name, "__vdso_clock_gettime") == 0)
			return (clock_function *)(base + symbol->st_value);
	}
	return clock_by_call;
}

int64_t clock_kernel_ns(clockid_t clock)
{
	static clock_function *_Atomic function;
	clock_function *get = atomic_load_explicit(&function, memory_order_relaxed);
	struct timespec now = { 0, 0 };

	if (__builtin_expect(!get, 0)) {
		get = vdso_find();
		atomic_store_explicit(&function, get, memory_order_relaxed);
	}
	get(clock, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}
