/* SPDX-License-Identifier: MIT */
/*
 * Error numbers to categories: the one table.  Zero means "not documented for a
 * network call", which is `unknown`.
 */
#include <errno.h>
#include <netdb.h>
#include <sys/socket.h>

#include "policy.h"

#define IS(category) (CATEGORY_##category + 1)

static const uint8_t errno_categories[ERRNO_LIMIT] = {
	[ECONNREFUSED] = IS(NETWORK),
	[ETIMEDOUT] = IS(NETWORK),
	[EHOSTUNREACH] = IS(NETWORK),
	[ENETUNREACH] = IS(NETWORK),
	[ENETDOWN] = IS(NETWORK),
	[EHOSTDOWN] = IS(NETWORK),
	[ECONNRESET] = IS(NETWORK),
	[ECONNABORTED] = IS(NETWORK),
	[EPIPE] = IS(NETWORK),

	[ENOBUFS] = IS(SYSTEM),
	[ENOMEM] = IS(SYSTEM),
	[EADDRNOTAVAIL] = IS(SYSTEM),

	[EACCES] = IS(AUTH),
	[EPERM] = IS(AUTH),

	/* What connect, send, recv, read and write document beyond that. */
	[EADDRINUSE] = IS(PERMANENT),
	[EAFNOSUPPORT] = IS(PERMANENT),
	[EAGAIN] = IS(PERMANENT),
	[EBADF] = IS(PERMANENT),
	[EDESTADDRREQ] = IS(PERMANENT),
	[EFAULT] = IS(PERMANENT),
	[EINVAL] = IS(PERMANENT),
	[EIO] = IS(PERMANENT),
	[ELOOP] = IS(PERMANENT),
	[EMSGSIZE] = IS(PERMANENT),
	[ENAMETOOLONG] = IS(PERMANENT),
	[ENETRESET] = IS(PERMANENT),
	[ENOENT] = IS(PERMANENT),
	[ENOTCONN] = IS(PERMANENT),
	[ENOTDIR] = IS(PERMANENT),
	[ENOTSOCK] = IS(PERMANENT),
	[EOPNOTSUPP] = IS(PERMANENT),
	[EPROTONOSUPPORT] = IS(PERMANENT),
	[EPROTOTYPE] = IS(PERMANENT),
	[ESHUTDOWN] = IS(PERMANENT),
};

/* On AF_UNIX these say "the server is not there yet", or "its backlog is full". */
static const uint8_t unix_categories[ERRNO_LIMIT] = {
	[EAGAIN] = IS(TEMPORARY),
	[ENOENT] = IS(TEMPORARY),
	[ECONNREFUSED] = IS(TEMPORARY),
};

/* Indexed by -code. EAI_SYSTEM is for the caller: errno says what it was. */
static const uint8_t eai_categories[EAI_LIMIT] = {
	[-EAI_AGAIN] = IS(TEMPORARY),    [-EAI_ADDRFAMILY] = IS(PERMANENT),
	[-EAI_BADFLAGS] = IS(PERMANENT), [-EAI_FAIL] = IS(PERMANENT),
	[-EAI_FAMILY] = IS(PERMANENT),   [-EAI_MEMORY] = IS(PERMANENT),
	[-EAI_NODATA] = IS(PERMANENT),   [-EAI_NONAME] = IS(PERMANENT),
	[-EAI_OVERFLOW] = IS(PERMANENT), [-EAI_SERVICE] = IS(PERMANENT),
	[-EAI_SOCKTYPE] = IS(PERMANENT),
};

static enum policy_category category_of(uint8_t entry)
{
	return entry ? (enum policy_category)(entry - 1) : CATEGORY_UNKNOWN;
}

enum policy_category policy_classify(const struct policy_settings *settings, int family, int error)
{
	if (error < 0 || error >= ERRNO_LIMIT)
		return CATEGORY_UNKNOWN;
	if (settings->classify_errno[error])
		return category_of(settings->classify_errno[error]);
	if (family == AF_UNIX && unix_categories[error])
		return category_of(unix_categories[error]);
	return category_of(errno_categories[error]);
}

enum policy_category policy_classify_eai(const struct policy_settings *settings, int code)
{
	if (code >= 0)
		return CATEGORY_UNKNOWN;
	/* GNU's codes for getaddrinfo_a() are documented, and nothing to wait for. */
	if (code <= -EAI_LIMIT)
		return CATEGORY_PERMANENT;
	if (settings->classify_eai[-code])
		return category_of(settings->classify_eai[-code]);
	return category_of(eai_categories[-code]);
}
