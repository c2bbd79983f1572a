/* SPDX-License-Identifier: MIT */
#include "options.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>

#include "shim/sys.h"
#include "tcp.h"

/* Hardly any program sets one. The oldest are forgotten. */
#define NOTES 64

struct note {
	_Atomic uint64_t cookie; /* of the socket; 0: free, or being written */
	_Atomic int32_t name;
	_Atomic int32_t value;
};

static struct note notes[NOTES];
static _Atomic uint32_t noted;

static struct note *note_find(uint64_t cookie, int name)
{
	for (int i = 0; i < NOTES; i++)
		if (notes[i].cookie == cookie && notes[i].name == name)
			return &notes[i];
	return NULL;
}

void options_note(int fd, int name, const void *value, socklen_t length)
{
	uint64_t cookie = socket_cookie(fd);
	struct note *note;
	int number;

	if (!cookie || length < sizeof(number))
		return;
	memcpy(&number, value, sizeof(number));
	note = note_find(cookie, name);
	if (note) {
		note->value = number;
		return;
	}
	note = &notes[atomic_fetch_add(&noted, 1) % NOTES];
	note->cookie = 0;
	note->name = name;
	note->value = number;
	note->cookie = cookie;
}

void options_restore(int fd)
{
	uint64_t cookie = noted ? socket_cookie(fd) : 0;
	int saved_errno = errno;

	for (int i = 0; cookie && i < NOTES; i++) {
		int value = notes[i].value;

		if (notes[i].cookie == cookie)
			SYS(SYS_setsockopt, fd, IPPROTO_TCP, notes[i].name, &value, sizeof(value));
	}
	errno = saved_errno;
}
