/* SPDX-License-Identifier: MIT */
/*
 * Words that wait and ask again and again. How often depends on time, so each
 * call's answers are written down by themselves, and once where they repeat.
 */
#include "record.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/*
 * Everything is decided in the middle of a tick, not near its end: a held connect after 285 ms
 * or 855 ms, a slow one after 1 s, one that is slow and then held after 1.4 s.
 */
#define TICK_MS 190
#define SHORT_MS 50
#define PAUSE_MS 7
#define LIMIT_MS 6000
#define SILENT_TICKS 6

struct lane {
	const char *name;
	char said[512];
	char last[128];
};

static char *saved;
static char answer[RECORD_SIZE];

/* What is said from here on is one answer. */
static void lane_begin(void)
{
	saved = record;
	record = answer;
	answer[0] = '\0';
}

static void append(char *text, size_t size, const char *more)
{
	size_t length = strlen(text);
	size_t added = strnlen(more, size - 1 - length);

	memcpy(text + length, more, added);
	text[length + added] = '\0';
}

static void lane_end(struct lane *lane)
{
	record = saved;
	if (strncmp(answer, lane->last, sizeof(lane->last) - 1) == 0)
		return;
	lane->last[0] = '\0';
	append(lane->last, sizeof(lane->last), answer);
	if (lane->said[0])
		append(lane->said, sizeof(lane->said), ",");
	append(lane->said, sizeof(lane->said), answer);
}

static int lane_wait(struct subject *s, struct lane *lane, int milliseconds)
{
	int result;

	lane_begin();
	result = s->way->wait(s, milliseconds);
	lane_end(lane);
	return result;
}

static bool lane_connect(struct subject *s, struct lane *lane)
{
	int error;

	lane_begin();
	error = ask_connect(s);
	lane_end(lane);
	return error != EALREADY && error != EINPROGRESS;
}

static int lane_error(struct subject *s, struct lane *lane)
{
	int error;

	lane_begin();
	error = ask_error(s);
	lane_end(lane);
	return error;
}

static void lanes_say(const struct lane *lanes, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++)
		say(" %s[%s ]", lanes[i].name, lanes[i].said);
}

static bool is_over(const struct subject *s, int64_t began, unsigned int ticks)
{
	return now_ms() - began > LIMIT_MS || (s->world == WORLD_SILENT && ticks >= SILENT_TICKS);
}

/* As lynx does: a second connect() at every tick, whatever the wait said. */
void tick_connect(struct subject *s)
{
	struct lane lanes[] = { { .name = "wait" }, { .name = "connect" } };
	int64_t began = now_ms();

	for (unsigned int i = 0; !is_over(s, began, i); i++) {
		lane_wait(s, &lanes[0], TICK_MS);
		if (lane_connect(s, &lanes[1]))
			break;
	}
	lanes_say(lanes, 2);
}

static void tick_until_told(struct subject *s, int milliseconds, int pause_ms, bool ask)
{
	struct lane lanes[] = { { .name = "wait" }, { .name = "so_error" } };
	int64_t began = now_ms();
	int told = 0;

	for (unsigned int i = 0; !told && !is_over(s, began, i); i++) {
		told = lane_wait(s, &lanes[0], milliseconds);
		if (ask)
			lane_error(s, &lanes[1]);
		if (pause_ms)
			raw_pause(pause_ms);
	}
	lanes_say(lanes, ask ? 2 : 1);
}

void tick_error(struct subject *s)
{
	tick_until_told(s, TICK_MS, 0, true);
}

void tick_zero(struct subject *s)
{
	tick_until_told(s, 0, PAUSE_MS, false);
}

void tick_short(struct subject *s)
{
	tick_until_told(s, SHORT_MS, 0, false);
}

/*
 * Everything at every tick, and at one more when it is over: nobody may say that it is
 * before it is, nor that it is not afterwards.
 */
void tick_all(struct subject *s)
{
	static const char *const words[] = { "look_poll",   "look_select", "look_epoll",
					     "so_error",    "getpeername", "read",
					     "send_nothing" };
	enum { WORDS = sizeof(words) / sizeof(words[0]) };
	struct lane lanes[WORDS + 2] = { { .name = "wait" }, { .name = "connect" } };
	int64_t began = now_ms();
	unsigned int rounds = 0;

	for (unsigned int word = 0; word < WORDS; word++)
		lanes[2 + word].name = words[word];
	for (unsigned int i = 0; rounds < 2 && !is_over(s, began, i); i++) {
		lane_wait(s, &lanes[0], TICK_MS);
		for (unsigned int word = 0; word < WORDS; word++) {
			lane_begin();
			word_say(s, words[word]);
			lane_end(&lanes[2 + word]);
		}
		rounds += lane_connect(s, &lanes[1]);
	}
	lanes_say(lanes, WORDS + 2);
}
