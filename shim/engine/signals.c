/* SPDX-License-Identifier: MIT */
#include "signals.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>

bool signals_restart(void)
{
	int saved_errno = errno;
	struct sigaction action;
	sigset_t blocked;
	bool restart = true;

	pthread_sigmask(SIG_SETMASK, NULL, &blocked);
	for (int signal = 1; signal < _NSIG && restart; signal++) {
		/* Refused for the two that libc keeps for itself. */
		if (sigismember(&blocked, signal) || sigaction(signal, NULL, &action) < 0)
			continue;
		if (action.sa_handler != SIG_DFL && action.sa_handler != SIG_IGN)
			restart = action.sa_flags & SA_RESTART;
	}
	errno = saved_errno;
	return restart;
}
