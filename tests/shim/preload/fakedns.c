/* SPDX-License-Identifier: MIT */
#include "fakedns.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>

static const struct fakedns_answer *script;
static unsigned int script_length;
static _Atomic unsigned int calls;
static struct addrinfo *_Atomic given;

void fakedns_script(const struct fakedns_answer *answers, unsigned int count)
{
	script = answers;
	script_length = count;
	calls = 0;
	given = NULL;
}

unsigned int fakedns_calls(void)
{
	return calls;
}

const struct addrinfo *fakedns_given(void)
{
	return given;
}

static const struct fakedns_answer *answer_next(void)
{
	unsigned int number = calls++;

	if (!script_length)
		return NULL;
	return &script[number < script_length ? number : script_length - 1];
}

int getaddrinfo(const char *host, const char *service, const struct addrinfo *hints,
		struct addrinfo **result)
{
	int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
	const struct fakedns_answer *answer = answer_next();
	int code;

	if (answer && answer->code) {
		errno = answer->error;
		return answer->code;
	}
	*(void **)&real = dlsym(RTLD_NEXT, "getaddrinfo");
	code = real(answer ? "127.0.0.1" : host, service, hints, result);
	if (code == 0)
		given = *result;
	return code;
}

struct hostent *gethostbyname(const char *host)
{
	const struct fakedns_answer *answer = answer_next();
	struct hostent *(*real)(const char *);

	if (answer && answer->code) {
		errno = answer->error;
		h_errno = answer->code;
		return NULL;
	}
	*(void **)&real = dlsym(RTLD_NEXT, "gethostbyname");
	return real(answer ? "127.0.0.1" : host);
}
