/* SPDX-License-Identifier: MIT */
#include "tools/elf_file.h"

#include <byteswap.h>
#include <elf.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Damaged headers may claim anything: no table is read beyond these. */
#define SEGMENTS_LIMIT 256
#define SECTIONS_LIMIT 4096
#define NOTES_LIMIT 4096
#define NAMES_LIMIT (1024 * 1024)

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define NATIVE_BYTE_ORDER ELFDATA2LSB
#else
#define NATIVE_BYTE_ORDER ELFDATA2MSB
#endif

struct reader {
	int fd;
	bool is_64;
	bool swapped;
	/* Of the file header, in native order. */
	uint64_t segments, sections;
	uint32_t segment_size, segment_count;
	uint32_t section_size, section_count, section_names;
};

struct segment {
	uint32_t type;
	uint64_t offset, size;
};

struct section {
	uint32_t name;
	uint64_t offset, size;
};

static bool bytes_read(const struct reader *reader, uint64_t offset, void *bytes, size_t size)
{
	return offset <= INT64_MAX &&
	       pread(reader->fd, bytes, size, (off_t)offset) == (ssize_t)size;
}

/* A field of 2, 4 or 8 bytes in the file's byte order. */
static uint64_t field(const struct reader *reader, const void *at, size_t size)
{
	uint16_t half;
	uint32_t word;
	uint64_t xword;

	if (size == sizeof(half)) {
		memcpy(&half, at, sizeof(half));
		return reader->swapped ? bswap_16(half) : half;
	}
	if (size == sizeof(word)) {
		memcpy(&word, at, sizeof(word));
		return reader->swapped ? bswap_32(word) : word;
	}
	memcpy(&xword, at, sizeof(xword));
	return reader->swapped ? bswap_64(xword) : xword;
}

/* A member of the 32- or the 64-bit struct, whichever the file has. */
#define FIELD(reader, buffer, type, member)                                                 \
	((reader)->is_64                                                                    \
		 ? field((reader), (const char *)(buffer) + offsetof(Elf64_##type, member), \
			 sizeof(((Elf64_##type *)0)->member))                               \
		 : field((reader), (const char *)(buffer) + offsetof(Elf32_##type, member), \
			 sizeof(((Elf32_##type *)0)->member)))

static bool segment_read(const struct reader *reader, uint32_t i, struct segment *segment)
{
	char bytes[sizeof(Elf64_Phdr)];
	size_t size = reader->is_64 ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr);

	if (!bytes_read(reader, reader->segments + (uint64_t)i * reader->segment_size, bytes, size))
		return false;
	segment->type = (uint32_t)FIELD(reader, bytes, Phdr, p_type);
	segment->offset = FIELD(reader, bytes, Phdr, p_offset);
	segment->size = FIELD(reader, bytes, Phdr, p_filesz);
	return true;
}

static bool section_read(const struct reader *reader, uint32_t i, struct section *section)
{
	char bytes[sizeof(Elf64_Shdr)];
	size_t size = reader->is_64 ? sizeof(Elf64_Shdr) : sizeof(Elf32_Shdr);

	if (!bytes_read(reader, reader->sections + (uint64_t)i * reader->section_size, bytes, size))
		return false;
	section->name = (uint32_t)FIELD(reader, bytes, Shdr, sh_name);
	section->offset = FIELD(reader, bytes, Shdr, sh_offset);
	section->size = FIELD(reader, bytes, Shdr, sh_size);
	return true;
}

static void interpreter_read(const struct reader *reader, const struct segment *segment,
			     struct elf_file *elf)
{
	size_t size = segment->size < sizeof(elf->interpreter) ? (size_t)segment->size
							       : sizeof(elf->interpreter) - 1;

	if (bytes_read(reader, segment->offset, elf->interpreter, size))
		elf->interpreter[size] = '\0';
	else
		elf->interpreter[0] = '\0';
}

/* The note that the Go linker writes: owner "Go", type 4, the build ID. */
static bool note_is_go(const struct reader *reader, const struct segment *segment)
{
	char bytes[NOTES_LIMIT];
	size_t size = segment->size < sizeof(bytes) ? (size_t)segment->size : sizeof(bytes);
	size_t at = 0;

	if (!bytes_read(reader, segment->offset, bytes, size))
		return false;
	while (at + sizeof(Elf64_Nhdr) <= size) {
		uint64_t name_size = field(reader, bytes + at, 4);
		uint64_t data_size = field(reader, bytes + at + 4, 4);

		at += sizeof(Elf64_Nhdr);
		if (name_size == 4 && at + 4 <= size && !memcmp(bytes + at, "Go\0", 4))
			return true;
		if (name_size > size || data_size > size)
			return false;
		at += ((name_size + 3) & ~UINT64_C(3)) + ((data_size + 3) & ~UINT64_C(3));
	}
	return false;
}

/* External linking drops the Go note from the segments, and keeps this section. */
static bool sections_have_go(const struct reader *reader)
{
	struct section names, section;
	bool found = false;
	char *text;

	if (reader->section_count > SECTIONS_LIMIT ||
	    reader->section_names >= reader->section_count ||
	    !section_read(reader, reader->section_names, &names) || names.size > NAMES_LIMIT)
		return false;
	text = calloc(1, names.size + 1);
	if (text && bytes_read(reader, names.offset, text, names.size)) {
		for (uint32_t i = 0; i < reader->section_count && !found; i++)
			found = section_read(reader, i, &section) && section.name < names.size &&
				(!strcmp(text + section.name, ".go.buildinfo") ||
				 !strcmp(text + section.name, ".note.go.buildid"));
	}
	free(text);
	return found;
}

static bool header_read(struct reader *reader, struct elf_file *elf)
{
	char bytes[sizeof(Elf64_Ehdr)] = { 0 };

	if (!bytes_read(reader, 0, bytes, sizeof(Elf32_Ehdr)) || memcmp(bytes, ELFMAG, SELFMAG))
		return false;
	elf->class = (uint8_t)bytes[EI_CLASS];
	elf->byte_order = (uint8_t)bytes[EI_DATA];
	reader->is_64 = elf->class == ELFCLASS64;
	reader->swapped = elf->byte_order != NATIVE_BYTE_ORDER;
	if (reader->is_64 && !bytes_read(reader, 0, bytes, sizeof(Elf64_Ehdr)))
		return false;
	elf->machine = (uint16_t)FIELD(reader, bytes, Ehdr, e_machine);
	reader->segments = FIELD(reader, bytes, Ehdr, e_phoff);
	reader->segment_size = (uint32_t)FIELD(reader, bytes, Ehdr, e_phentsize);
	reader->segment_count = (uint32_t)FIELD(reader, bytes, Ehdr, e_phnum);
	reader->sections = FIELD(reader, bytes, Ehdr, e_shoff);
	reader->section_size = (uint32_t)FIELD(reader, bytes, Ehdr, e_shentsize);
	reader->section_count = (uint32_t)FIELD(reader, bytes, Ehdr, e_shnum);
	reader->section_names = (uint32_t)FIELD(reader, bytes, Ehdr, e_shstrndx);
	return true;
}

bool elf_file_read(struct elf_file *elf, int fd)
{
	struct reader reader = { .fd = fd };
	struct segment segment;

	*elf = (struct elf_file){ 0 };
	if (!header_read(&reader, elf))
		return false;
	for (uint32_t i = 0; i < reader.segment_count && i < SEGMENTS_LIMIT; i++) {
		if (!segment_read(&reader, i, &segment))
			break;
		if (segment.type == PT_INTERP)
			interpreter_read(&reader, &segment, elf);
		else if (segment.type == PT_NOTE && note_is_go(&reader, &segment))
			elf->is_go = true;
	}
	if (!elf->is_go)
		elf->is_go = sections_have_go(&reader);
	return true;
}

const char *elf_machine_name(uint16_t machine, char buffer[24])
{
	static const struct {
		uint16_t machine;
		const char *name;
	} names[] = {
		{ EM_386, "i386" },        { EM_X86_64, "x86-64" }, { EM_ARM, "arm" },
		{ EM_AARCH64, "aarch64" }, { EM_RISCV, "riscv" },   { EM_PPC64, "ppc64" },
		{ EM_S390, "s390" },       { EM_MIPS, "mips" },     { EM_LOONGARCH, "loongarch" },
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (names[i].machine == machine)
			return names[i].name;
	}
	snprintf(buffer, 24, "machine %u", machine);
	return buffer;
}
