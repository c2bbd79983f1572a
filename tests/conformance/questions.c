/* SPDX-License-Identifier: MIT */
/*
 * The table of questions.  Each is a row of words that are said one after the
 * other to a socket just brought into the state; words.c says what they do.
 */
#include "conform.h"

/* clang-format off */
const char *const questions[] = {
	/* options */
	"so_error", "so_error so_error", "so_type", "so_acceptconn", "so_domain", "so_protocol",
	"so_sndtimeo", "tcp_state", "keepalive so_keepalive", "so_error tcp_state",
	"so_error_short", "so_error_empty", "so_error_nowhere", "option_unknown", "level_unknown",
	"set_unknown", "sndtimeo so_sndtimeo",
	/* names */
	"getpeername", "getpeername_short", "getpeername_nowhere", "getsockname", "getsockname_short",
	"so_error getpeername", "getpeername so_error",
	/* waiting */
	"poll", "poll_nothing", "select", "epoll", "epoll_edge", "so_error poll", "poll so_error poll",
	"so_error select", "so_error epoll", "getpeername poll",
	/* receiving */
	"read", "read read", "readv", "recv", "recv recv", "recv_peek recv", "recv_nothing recv",
	"recv_errqueue", "recvfrom", "recvmsg", "so_error recv", "recv so_error", "recv send send",
	"recv poll", "fionread", "recv fionread",
	/* sending */
	"write", "write write", "writev", "send", "send send send", "send_nosignal", "send_nothing",
	"sendmsg", "sendto_server", "sendto_nowhere", "so_error send", "send so_error", "send recv",
	"send poll", "send outq", "sendfile",
	/* connecting, and whom one can ask what came of it */
	"connect", "connect connect", "connect connect connect", "connect so_error", "connect getpeername",
	"connect getsockname", "connect poll", "connect send", "connect recv", "connect tcp_state",
	"connect so_error connect", "connect poll so_error poll getpeername", "so_error connect",
	"so_error connect connect", "poll connect", "connect_other", "connect_other getpeername",
	"connect_unspec", "connect_unspec getpeername", "connect_unspec so_error", "connect_unspec poll",
	"connect_unspec connect getpeername", "connect_unspec connect_other send",
	"connect_nowhere", "connect_short", "connect_empty", "connect_long", "connect_family",
	"connect_strange", "nonblock connect poll", "nonblock connect so_error", "nonblock connect connect",
	"nonblock connect getpeername so_error", "block connect", "block connect so_error",
	"block so_error connect", "block connect connect connect", "fionbio_on connect", "fionbio_off connect",
	/* connecting where it is refused */
	"connect_dead", "connect_dead so_error", "connect_dead so_error so_error", "connect_dead connect_dead",
	"connect_dead getpeername", "connect_dead getsockname", "connect_dead poll", "connect_dead so_error poll",
	"connect_dead select", "connect_dead epoll", "connect_dead send", "connect_dead recv",
	"connect_dead tcp_state", "connect_dead shut_wr", "connect_dead connect", "connect_dead connect send",
	"connect_dead connect_server getpeername poll send",
	"connect_dead so_error connect_server getpeername so_error", "connect_dead so_sndtimeo getfl",
	"connect_dead dup so_error getpeername", "connect_dead bind", "connect_dead listen",
	"nonblock connect_dead so_error so_error", "nonblock connect_dead poll so_error poll",
	"nonblock connect_dead connect_dead connect_dead", "nonblock connect_dead getpeername so_error",
	"nonblock connect_dead recv so_error", "nonblock connect_dead send so_error",
	"nonblock connect_dead so_error connect_server", "nonblock connect_dead epoll epoll_edge",
	/* shutting down and closing */
	"shut_rd", "shut_wr", "shut_rdwr", "shut_strange", "shut_rd shut_rd", "shut_wr shut_wr", "shut_wr send",
	"shut_rd recv", "shut_rdwr poll", "shut_wr poll", "shut_rdwr getpeername", "shut_wr tcp_state",
	"shut_rdwr connect", "shut_wr so_error", "shut_rd so_error recv", "connect shut_wr send",
	"close", "close close", "close so_error", "close getpeername", "close poll", "close connect", "close send",
	"close recv", "close dup", "close_range so_error",
	/* serving */
	"bind", "bind bind", "bind_short", "listen", "listen poll", "listen connect", "bind connect getsockname",
	"accept", "accept_strange",
	/* other names of the socket */
	"dup", "dup so_error", "dup getpeername", "dup poll", "dup send", "dup recv", "dup connect",
	"dup connect first getpeername", "connect dup getpeername send", "dup close first so_error",
	"dup close first getpeername send", "dup shut_wr first send", "dup2", "dup2 getpeername so_error",
	"dup2 close first so_error", "dup2_self", "dup2_self so_error", "dup3", "dup3 connect", "dup3_self",
	"dup2_nowhere", "dupfd", "dupfd getpeername", "dupfd_cloexec", "dupfd_cloexec close first send",
	"connect_dead dup connect_dead first so_error",
	/* modes */
	"getfl", "getfd", "nonblock getfl", "block getfl", "fionbio_on getfl", "fionbio_off getfl", "connect getfl",
	/* other processes */
	"fork so_error", "fork getpeername join getpeername", "fork poll join poll", "fork send join so_error",
	"fork recv join recv", "fork connect join getpeername", "fork connect so_error join so_error",
	"fork close join so_error", "fork close join getpeername send", "fork shut_wr join send",
	"fork connect_dead join so_error", "fork connect_unspec join getpeername", "connect fork send join send",
	"fork dup close join poll", "vfork_close so_error", "vfork_close getpeername connect",
	/* what sockets cannot do, and plain facts */
	"fstat", "lseek", "isatty", "pread", "fsync",
};
/* clang-format on */
const unsigned int question_count = sizeof(questions) / sizeof(questions[0]);
