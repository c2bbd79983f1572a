/* SPDX-License-Identifier: MIT */
/* The table of questions, asked after connect() has said that it is in progress. */
#include "record.h"

const struct question questions[] = {
	/* One way to hear of the outcome each, and what everything else says then. */
	{ WANT_OUT, "wait so_error tail", 0 },
	{ WANT_OUT, "wait connect tail", 0 },
	{ WANT_OUT, "wait getpeername read tail", 0 },
	{ WANT_OUT, "wait read tail", 0 },
	{ WANT_OUT, "wait write tail", 0 },
	{ WANT_OUT, "wait send tail", 0 },
	{ WANT_OUT, "wait recv tail", 0 },
	{ WANT_OUT, "wait recvmsg tail", 0 },
	{ WANT_OUT, "wait so_error so_error tail", 0 },
	{ WANT_OUT, "wait tail", 0 },
	{ WANT_ALL, "wait so_error tail", 0 },
	{ WANT_ALL, "wait again read again so_error again tail", 0 },
	{ WANT_IN, "long so_error tail", 0 },
	{ 0, "long so_error tail", 0 },

	/* Asked before any wait. */
	{ WANT_OUT, "so_error wait so_error tail", 0 },
	{ WANT_OUT, "connect wait connect tail", 0 },
	{ WANT_OUT, "look getpeername read write so_error look wait so_error tail", 0 },

	/* At every tick. */
	{ WANT_OUT, "tick_connect tail", 0 },
	{ WANT_OUT, "tick_error tail", 0 },
	{ WANT_OUT, "tick_zero so_error tail", 0 },
	{ WANT_OUT, "tick_short connect tail", 0 },
	{ WANT_OUT, "tick_all tail", ASK_GOOD },
	{ WANT_ALL, "tick_all tail", ASK_GOOD | ASK_TYPICAL },

	/* Given up, or begun anew. */
	{ WANT_OUT, "shut_wr again look so_error look read write connect again look", 0 },
	{ WANT_OUT, "shut_rdwr again look so_error look read write connect again look", 0 },
	{ WANT_OUT, "close again wait100 again", 0 },
	{ WANT_OUT, "wait so_error connect connect rearm wait so_error tail", 0 },
	{ WANT_OUT, "wait connect connect rearm wait so_error tail", 0 },
	{ WANT_OUT, "connect_unspec look so_error look connect wait so_error tail", 0 },

	/* Registrations. */
	{ WANT_OUT, "mod_none wait100 rearm wait so_error tail", ASK_EPOLL },
	{ WANT_OUT, "wait again rearm again so_error rearm again tail", ASK_EPOLL },
	{ WANT_OUT, "mod_all wait so_error tail", ASK_EPOLL },
	{ WANT_OUT, "del wait100 add wait so_error tail", ASK_EPOLL },
	{ WANT_OUT, "wait100 del add rearm wait so_error del again add again tail", ASK_EPOLL },

	/* By another name. */
	{ WANT_OUT, "dup wait so_error tail", 0 },
	{ WANT_OUT, "dup close_first wait so_error tail", 0 },
	{ WANT_OUT, "dup2 wait connect tail", ASK_TYPICAL },

	/* What may differ, and is the same again afterwards. */
	{ WANT_OUT, "shown_before wait100 shown_before rearm wait so_error shown tail",
	  ASK_TYPICAL },

	/* What few programs do. */
	{ WANT_OUT, "wait readv tail", ASK_TYPICAL },
	{ WANT_OUT, "wait recv_peek recv_peek recv tail", ASK_TYPICAL },
	{ WANT_OUT, "wait recv_dontwait tail", ASK_TYPICAL },
	{ WANT_OUT, "wait recv_errqueue tail", ASK_TYPICAL },
	{ WANT_OUT, "wait recvfrom tail", ASK_TYPICAL },
	{ WANT_OUT, "wait writev tail", ASK_TYPICAL },
	{ WANT_OUT, "wait write_nothing tail", ASK_TYPICAL },
	{ WANT_OUT, "wait send_nosignal tail", ASK_TYPICAL },
	{ WANT_OUT, "wait send_dontwait tail", ASK_TYPICAL },
	{ WANT_OUT, "wait send_nothing tail", ASK_TYPICAL },
	{ WANT_OUT, "wait sendto tail", ASK_TYPICAL },
	{ WANT_OUT, "wait sendmsg tail", ASK_TYPICAL },
	{ WANT_OUT,
	  "recv send recvmsg sendmsg readv writev send_nothing recv_peek sendto wait tail",
	  ASK_TYPICAL },
	{ WANT_OUT, "so_error_short wait so_error_short so_error tail", ASK_TYPICAL },
	{ WANT_OUT, "connect_other wait connect_other tail", ASK_TYPICAL },
	{ WANT_OUT, "keepalive wait so_error tail", ASK_TYPICAL },
	{ WANT_OUT, "fionread outq wait fionread outq tail", ASK_TYPICAL },
	{ WANT_OUT, "shut_rd again look so_error look connect_end", ASK_TYPICAL },
	{ WANT_OUT, "bind wait so_error bind tail", ASK_TYPICAL },
	{ WANT_OUT, "listen wait so_error tail", ASK_TYPICAL },
	{ WANT_OUT, "accept wait accept tail", ASK_TYPICAL },
};
const unsigned int question_count = sizeof(questions) / sizeof(questions[0]);
