/* SPDX-License-Identifier: MIT */
/* A preload that does nothing: what any preload costs at the start of a process. */
extern int bench_empty;
int bench_empty;
