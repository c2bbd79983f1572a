/* SPDX-License-Identifier: MIT */
/* netdb.h: which addresses a name has */
#include <netdb.h>

#include "shim/engine/names.h"
#include "shim/engine/resolve.h"
#include "shim/libc.h"

HOOK int getaddrinfo(const char *host, const char *service, const struct addrinfo *hints,
		     struct addrinfo **result)
{
	return engine_getaddrinfo(host, service, hints, result);
}

HOOK struct hostent *gethostbyname(const char *host)
{
	struct hostent *entry = LIBC(gethostbyname)(host);

	if (entry)
		name_learn_hostent(host, entry);
	return entry;
}

HOOK struct hostent *gethostbyname2(const char *host, int family)
{
	struct hostent *entry = LIBC(gethostbyname2)(host, family);

	if (entry)
		name_learn_hostent(host, entry);
	return entry;
}

HOOK int gethostbyname_r(const char *host, struct hostent *entry, char *buffer, size_t size,
			 struct hostent **result, int *error)
{
	int status = LIBC(gethostbyname_r)(host, entry, buffer, size, result, error);

	if (status == 0 && *result)
		name_learn_hostent(host, *result);
	return status;
}

HOOK int gethostbyname2_r(const char *host, int family, struct hostent *entry, char *buffer,
			  size_t size, struct hostent **result, int *error)
{
	int status = LIBC(gethostbyname2_r)(host, family, entry, buffer, size, result, error);

	if (status == 0 && *result)
		name_learn_hostent(host, *result);
	return status;
}
