/* SPDX-License-Identifier: MIT */
/*
 * How much of a set of select() the kernel looks at: no more than the process has room for
 * fds, which grows with them. Whoever asks for getdtablesize() fds, or for a million, has
 * nothing behind the set that is theirs to read or to write.
 *
 * Async-signal-safe; errno is kept.
 */
#ifndef HOLDFAST_ENGINE_SELECT_LIMIT_H
#define HOLDFAST_ENGINE_SELECT_LIMIT_H

/* count, not negative, or what the kernel makes of it; -1 if that cannot be found out. */
int select_limit(int count);

#endif
