/* SPDX-License-Identifier: MIT */
/* What an ELF file's headers say about loading it. Any class and byte order. */
#ifndef HOLDFAST_TOOL_ELF_FILE_H
#define HOLDFAST_TOOL_ELF_FILE_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

struct elf_file {
	uint8_t class;              /* ELFCLASS32 or ELFCLASS64 */
	uint8_t byte_order;         /* ELFDATA2LSB or ELFDATA2MSB */
	uint16_t machine;           /* EM_* */
	bool is_go;                 /* built by the Go toolchain */
	char interpreter[PATH_MAX]; /* PT_INTERP, "" if there is none: static */
};

/* False if fd is not a readable ELF file. The file offset is not used. */
bool elf_file_read(struct elf_file *elf, int fd);

/* "x86-64", "aarch64"; else "machine 243" in buffer. */
const char *elf_machine_name(uint16_t machine, char buffer[24]);

#endif
