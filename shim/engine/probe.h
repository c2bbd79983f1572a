/* SPDX-License-Identifier: MIT */
/*
 * Whether somebody listens, asked so that the listening program never sees it.
 *
 * On loopback the kernel is asked through NETLINK_SOCK_DIAG: no packet is sent.
 * Elsewhere a socket with TCP_DEFER_ACCEPT and SO_LINGER {1, 0} goes through half
 * a handshake: it becomes established at the SYN-ACK and delays its own ACK;
 * closed at once it sends RST instead, and accept() on the other side never
 * returns it.  Raw system calls; async-signal-safe; errno is kept.
 */
#ifndef HOLDFAST_ENGINE_PROBE_H
#define HOLDFAST_ENGINE_PROBE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

enum probe_answer {
	PROBE_UP,
	PROBE_DOWN,
	PROBE_SILENT /* no answer within the time given */
};

struct probe {
	struct sockaddr_storage address;
	socklen_t length;
	enum probe_answer answer; /* out */
};

/* Asks all at once and waits for at most wait_ms for all of them. */
void probe_ask(struct probe *probes, unsigned int count, int wait_ms);

/*
 * One at a time, without waiting: -1 with the answer, or the fd of a question that
 * is under way. probe_look() tells whether it has been answered; the fd is the
 * caller's to close.
 */
int probe_begin(struct probe *probe);
bool probe_look(struct probe *probe, int fd);

#define PROBES_MAX 16

#endif
