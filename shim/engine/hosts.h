/* SPDX-License-Identifier: MIT */
/*
 * Names that nobody asked libc for.  c-ares (aria2) reads the hosts file and asks
 * name servers by itself; what the file says of an address can be read again, and
 * a name's addresses in it are siblings as if they had been looked up.  What a
 * name server said is not known to us.
 */
#ifndef HOLDFAST_ENGINE_HOSTS_H
#define HOLDFAST_ENGINE_HOSTS_H

#include <stdbool.h>

#include "names.h"

/*
 * Learns the name that c-ares may have found this address by, if the process has
 * c-ares: of the names that stand beside the address in /etc/hosts the first that
 * has other addresses too, else the first.  True if the table now has a name with
 * this address. Called after a failure, when name_find() knows nothing; a miss is
 * remembered for a second. Async-signal-safe, errno is kept.
 */
bool hosts_learn(const struct name_address *address);

/* The same from any file, whether there is c-ares or not. The first 64 KiB count. */
bool hosts_learn_file(const char *path, const struct name_address *address);

#endif
