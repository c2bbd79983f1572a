/* SPDX-License-Identifier: MIT */
/* The table of states. */
#include "make.h"

#define BLOCKING 0
#define NONBLOCKING STATE_NONBLOCKING
#define FAILED STATE_FAILED
/* clang-format off */
#define TCP(word, family)                                                                     \
	{ word ", fresh", make_fresh, family, SOCK_STREAM, BLOCKING },                        \
	{ word ", fresh, non-blocking", make_fresh, family, SOCK_STREAM, NONBLOCKING },       \
	{ word ", bound", make_bound, family, SOCK_STREAM, BLOCKING },                        \
	{ word ", listening", make_listening, family, SOCK_STREAM, BLOCKING },                \
	{ word ", listening, visited", make_visited, family, SOCK_STREAM, BLOCKING },         \
	{ word ", accepted", make_accepted, family, SOCK_STREAM, BLOCKING },                  \
	{ word ", connected", make_connected, family, SOCK_STREAM, BLOCKING },                \
	{ word ", connected, non-blocking", make_connected, family, SOCK_STREAM, NONBLOCKING }, \
	{ word ", connected, told", make_told, family, SOCK_STREAM, NONBLOCKING },            \
	{ word ", data queued", make_data, family, SOCK_STREAM, BLOCKING },                   \
	{ word ", data queued, non-blocking", make_data, family, SOCK_STREAM, NONBLOCKING },  \
	{ word ", SHUT_RD", make_shut_read, family, SOCK_STREAM, BLOCKING },                  \
	{ word ", SHUT_WR", make_shut_write, family, SOCK_STREAM, BLOCKING },                 \
	{ word ", SHUT_RDWR", make_shut_both, family, SOCK_STREAM, BLOCKING },                \
	{ word ", peer SHUT_WR", make_peer_shut, family, SOCK_STREAM, BLOCKING },             \
	{ word ", peer closed", make_peer_closed, family, SOCK_STREAM, BLOCKING },            \
	{ word ", peer closed, data queued", make_peer_closed_data, family, SOCK_STREAM, BLOCKING }, \
	{ word ", peer closed, written to", make_broken, family, SOCK_STREAM, BLOCKING },     \
	{ word ", reset", make_reset, family, SOCK_STREAM, BLOCKING },                        \
	{ word ", reset, non-blocking", make_reset, family, SOCK_STREAM, NONBLOCKING },       \
	{ word ", reset, data queued", make_reset_data, family, SOCK_STREAM, BLOCKING },      \
	{ word ", reset, told", make_reset_told, family, SOCK_STREAM, BLOCKING },             \
	{ word ", dissolved", make_dissolved, family, SOCK_STREAM, BLOCKING },                \
	{ word ", connected again", make_connected_again, family, SOCK_STREAM, BLOCKING },    \
	{ word ", connected by a dup", make_connected_by_dup, family, SOCK_STREAM, BLOCKING }, \
	{ word ", replaced by dup2", make_replaced, family, SOCK_STREAM, BLOCKING },          \
	{ word ", replaced unseen", make_replaced_unseen, family, SOCK_STREAM, BLOCKING },    \
	{ word ", mode changed by a dup", make_mode_changed, family, SOCK_STREAM, BLOCKING }, \
	{ word ", connecting", make_connecting, family, SOCK_STREAM, NONBLOCKING },           \
	{ word ", connecting, dissolved", make_connecting_dissolved, family, SOCK_STREAM, NONBLOCKING }, \
	{ word ", refused", make_refused, family, SOCK_STREAM, BLOCKING | FAILED },           \
	{ word ", refused, told", make_refused_told, family, SOCK_STREAM, BLOCKING | FAILED }, \
	{ word ", refused, asked", make_refused_asked, family, SOCK_STREAM, BLOCKING | FAILED }, \
	{ word ", refused, bound", make_refused_bound, family, SOCK_STREAM, BLOCKING | FAILED }, \
	{ word ", refused by a dup", make_refused_through_dup, family, SOCK_STREAM, BLOCKING | FAILED }, \
	{ word ", refused, then connected", make_refused_then_connected, family, SOCK_STREAM, BLOCKING | FAILED }, \
	{ word ", refused, non-blocking", make_refused, family, SOCK_STREAM, NONBLOCKING | FAILED }, \
	{ word ", refused, non-blocking, told", make_refused_told, family, SOCK_STREAM, NONBLOCKING | FAILED }, \
	{ word ", refused, non-blocking, asked", make_refused_asked, family, SOCK_STREAM, NONBLOCKING | FAILED }, \
	{ word ", refused, unblocked", make_refused_unblocked, family, SOCK_STREAM, NONBLOCKING | FAILED }
#define UDP(word, family)                                                                     \
	{ word ", fresh", make_fresh, family, SOCK_DGRAM, BLOCKING },                         \
	{ word ", bound", make_bound, family, SOCK_DGRAM, BLOCKING },                         \
	{ word ", connected", make_connected, family, SOCK_DGRAM, BLOCKING },                 \
	{ word ", connected, non-blocking", make_connected, family, SOCK_DGRAM, NONBLOCKING }, \
	{ word ", data queued", make_datagram, family, SOCK_DGRAM, BLOCKING },                \
	{ word ", dissolved", make_dissolved, family, SOCK_DGRAM, BLOCKING },                 \
	{ word ", connected again", make_connected_again, family, SOCK_DGRAM, BLOCKING },     \
	{ word ", SHUT_WR", make_shut_write, family, SOCK_DGRAM, BLOCKING },                  \
	{ word ", unreachable", make_unreachable, family, SOCK_DGRAM, BLOCKING | FAILED },    \
	{ word ", unreachable, sent", make_unreachable_sent, family, SOCK_DGRAM, BLOCKING | FAILED }, \
	{ word ", unreachable, told", make_unreachable_told, family, SOCK_DGRAM, BLOCKING | FAILED }
#define LOCAL(word, type)                                                                     \
	{ word ", fresh", make_fresh, AF_UNIX, type, BLOCKING },                              \
	{ word ", bound", make_bound, AF_UNIX, type, BLOCKING },                              \
	{ word ", listening", make_listening, AF_UNIX, type, BLOCKING },                      \
	{ word ", listening, visited", make_visited, AF_UNIX, type, BLOCKING },               \
	{ word ", accepted", make_accepted, AF_UNIX, type, BLOCKING },                        \
	{ word ", connected", make_connected, AF_UNIX, type, BLOCKING },                      \
	{ word ", connected, non-blocking", make_connected, AF_UNIX, type, NONBLOCKING },     \
	{ word ", connected by a dup", make_connected_by_dup, AF_UNIX, type, BLOCKING },      \
	{ word ", data queued", make_data, AF_UNIX, type, BLOCKING },                         \
	{ word ", SHUT_RD", make_shut_read, AF_UNIX, type, BLOCKING },                        \
	{ word ", SHUT_WR", make_shut_write, AF_UNIX, type, BLOCKING },                       \
	{ word ", SHUT_RDWR", make_shut_both, AF_UNIX, type, BLOCKING },                      \
	{ word ", peer closed", make_peer_closed, AF_UNIX, type, BLOCKING },                  \
	{ word ", peer closed, data queued", make_peer_closed_data, AF_UNIX, type, BLOCKING }, \
	{ word ", refused", make_refused, AF_UNIX, type, BLOCKING | FAILED },                 \
	{ word ", refused, non-blocking", make_refused, AF_UNIX, type, NONBLOCKING | FAILED }, \
	{ word ", absent", make_absent, AF_UNIX, type, BLOCKING | FAILED },                   \
	{ word ", backlog full", make_connecting, AF_UNIX, type, NONBLOCKING | FAILED }
#define PAIR(word, type)                                                                      \
	{ word ", pair", make_pair, AF_UNIX, type, BLOCKING },                                \
	{ word ", pair, data queued", make_pair_data, AF_UNIX, type, BLOCKING },              \
	{ word ", pair, peer closed", make_pair_closed, AF_UNIX, type, BLOCKING }

const struct state states[] = {
	TCP("TCP over IPv4", AF_INET),
	TCP("TCP over IPv6", AF_INET6),
	TCP("TCP v4-mapped", FAMILY_MAPPED),
	/* These wait some milliseconds for each question. */
	{ "TCP over IPv4, interrupted", make_interrupted, AF_INET, SOCK_STREAM, BLOCKING },
	{ "TCP over IPv4, SO_SNDTIMEO over", make_timed_out, AF_INET, SOCK_STREAM, BLOCKING },
	UDP("UDP over IPv4", AF_INET),
	UDP("UDP over IPv6", AF_INET6),
	UDP("UDP v4-mapped", FAMILY_MAPPED),
	LOCAL("AF_UNIX stream", SOCK_STREAM),
	LOCAL("AF_UNIX seqpacket", SOCK_SEQPACKET),
	{ "AF_UNIX datagram, fresh", make_fresh, AF_UNIX, SOCK_DGRAM, BLOCKING },
	{ "AF_UNIX datagram, bound", make_bound, AF_UNIX, SOCK_DGRAM, BLOCKING },
	{ "AF_UNIX datagram, connected", make_connected, AF_UNIX, SOCK_DGRAM, BLOCKING },
	{ "AF_UNIX datagram, data queued", make_datagram, AF_UNIX, SOCK_DGRAM, BLOCKING },
	{ "AF_UNIX datagram, dissolved", make_dissolved, AF_UNIX, SOCK_DGRAM, BLOCKING },
	{ "AF_UNIX datagram, refused", make_refused, AF_UNIX, SOCK_DGRAM, BLOCKING | FAILED },
	{ "AF_UNIX datagram, absent", make_absent, AF_UNIX, SOCK_DGRAM, BLOCKING | FAILED },
	PAIR("AF_UNIX stream", SOCK_STREAM),
	PAIR("AF_UNIX seqpacket", SOCK_SEQPACKET),
	PAIR("AF_UNIX datagram", SOCK_DGRAM),
	{ "closed", make_closed, AF_INET, SOCK_STREAM, BLOCKING },
	{ "closed unseen", make_closed_unseen, AF_INET, SOCK_STREAM, BLOCKING },
	{ "fd -1", make_negative, AF_INET, SOCK_STREAM, BLOCKING },
	{ "fd 2^30", make_beyond, AF_INET, SOCK_STREAM, BLOCKING },
	{ "pipe, reading end", make_pipe_read, AF_INET, SOCK_STREAM, BLOCKING },
	{ "pipe, writing end", make_pipe_write, AF_INET, SOCK_STREAM, BLOCKING },
	{ "file", make_file, AF_INET, SOCK_STREAM, BLOCKING },
	{ "directory", make_directory, AF_INET, SOCK_STREAM, BLOCKING },
	{ "/dev/null", make_null, AF_INET, SOCK_STREAM, BLOCKING },
	{ "eventfd", make_event, AF_INET, SOCK_STREAM, BLOCKING },
};
/* clang-format on */
const unsigned int state_count = sizeof(states) / sizeof(states[0]);
