/* SPDX-License-Identifier: MIT */
#ifndef HOLDFAST_ENGINE_SIGNALS_H
#define HOLDFAST_ENGINE_SIGNALS_H

#include <stdbool.h>

/*
 * Whether an interrupted call would have been restarted without us: true if
 * every handler that could have run on this thread has SA_RESTART. Which one ran
 * cannot be known. Async-signal-safe; some sixty system calls; errno is kept.
 */
bool signals_restart(void);

#endif
