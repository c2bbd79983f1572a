/* SPDX-License-Identifier: MIT */
/* How a socket is brought into a state: the moves, and a maker for each state. */
#ifndef TESTS_CONFORMANCE_MAKE_H
#define TESTS_CONFORMANCE_MAKE_H

#include "conform.h"

void open_socket(struct subject *s);
int connect_to(struct subject *s, const struct place *place);
void dissolve(struct subject *s);
void expect(bool held, const char *what);
void block(struct subject *s, bool blocking);
void error_read(struct subject *s);
void peer_send(struct subject *s);
void peer_close(struct subject *s);
void peer_reset(struct subject *s);

void make_fresh(struct subject *s);
void make_bound(struct subject *s);
void make_listening(struct subject *s);
void make_visited(struct subject *s);
void make_accepted(struct subject *s);
void make_connected(struct subject *s);
void make_told(struct subject *s);
void make_data(struct subject *s);
void make_shut_read(struct subject *s);
void make_shut_write(struct subject *s);
void make_shut_both(struct subject *s);
void make_peer_closed(struct subject *s);
void make_peer_shut(struct subject *s);
void make_peer_closed_data(struct subject *s);
void make_broken(struct subject *s);
void make_reset(struct subject *s);
void make_reset_data(struct subject *s);
void make_reset_told(struct subject *s);
void make_dissolved(struct subject *s);
void make_connected_again(struct subject *s);
void make_connected_by_dup(struct subject *s);
void make_replaced(struct subject *s);
void make_replaced_unseen(struct subject *s);
void make_mode_changed(struct subject *s);
void make_refused(struct subject *s);
void make_refused_told(struct subject *s);
void make_refused_asked(struct subject *s);
void make_refused_bound(struct subject *s);
void make_refused_then_connected(struct subject *s);
void make_refused_unblocked(struct subject *s);
void make_refused_through_dup(struct subject *s);
void make_connecting(struct subject *s);
void make_interrupted(struct subject *s);
void make_timed_out(struct subject *s);
void make_connecting_dissolved(struct subject *s);
void make_unreachable(struct subject *s);
void make_unreachable_sent(struct subject *s);
void make_unreachable_told(struct subject *s);
void make_datagram(struct subject *s);
void make_absent(struct subject *s);
void make_pair(struct subject *s);
void make_pair_data(struct subject *s);
void make_pair_closed(struct subject *s);
void make_closed(struct subject *s);
void make_closed_unseen(struct subject *s);
void make_negative(struct subject *s);
void make_beyond(struct subject *s);
void make_pipe_read(struct subject *s);
void make_pipe_write(struct subject *s);
void make_file(struct subject *s);
void make_directory(struct subject *s);
void make_null(struct subject *s);
void make_event(struct subject *s);

#endif
