/* SPDX-License-Identifier: MIT */
/*
 * Who a process is, in words that another process can check.  Chosen for what
 * they cost: the first look into /proc/PID makes the kernel build that directory,
 * which takes longer than all else at a process's first connect.  No heap;
 * async-signal-safe.
 */
#ifndef HOLDFAST_STORE_IDENTITY_H
#define HOLDFAST_STORE_IDENTITY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define PROCESS_NAME_SIZE 24
#define PID_SIZE 16

/* Writes a number's digits, not terminated; returns their end. */
char *decimal_write(char *at, uint32_t number);

/* The name of a process file: PID-NONCE, the nonce in 8 hex digits. */
void process_file_name(char name[PROCESS_NAME_SIZE], int32_t pid, uint32_t nonce);

/* A small file, terminated. Returns its length, or -1 with errno. */
ssize_t file_text(const char *path, char *text, size_t size);

/*
 * The device number of /proc, which stands for the pid namespace: each has a
 * /proc of its own. 0 if there is none, or it is one of another namespace, whose
 * numbers mean nothing here.
 */
uint64_t identity_proc_device(void);

/* CLOCK_BOOTTIME, the clock of the start times in /proc. */
int64_t identity_boottime_ns(void);

#endif
