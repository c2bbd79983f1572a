/* SPDX-License-Identifier: MIT */
#include "datagram.h"

#include <errno.h>
#include <sys/socket.h>

#include "engine.h"
#include "operation.h"

/*
 * In a forked child too: what is counted are words of its parent's file, as the
 * bytes are that it sends.
 */
void datagram_failed(struct connection *connection, int error)
{
	const struct policy_settings *settings = connection_settings(connection);
	int saved_errno = errno;

	/* EPIPE is what the program itself brought about, by shutdown(). */
	if (error != EPIPE && policy_classify(settings, AF_INET, error) == CATEGORY_NETWORK)
		operation_attempt_failed(connection, error);
	errno = saved_errno;
}
