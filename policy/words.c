/* SPDX-License-Identifier: MIT */
/* Names of the enums, finding a name, and guessing which one was meant. */
#include "words.h"

#include <string.h>

#include "policy.h"

static const char *const operations[OPERATION_COUNT] = {
	[OPERATION_CONNECT] = "connect",
	[OPERATION_RESOLVE] = "resolve",
	[OPERATION_RECONNECT] = "reconnect",
};
static const char *const categories[CATEGORY_COUNT] = {
	[CATEGORY_NETWORK] = "network",     [CATEGORY_RATE_LIMIT] = "rate_limit",
	[CATEGORY_DATA] = "data",           [CATEGORY_SYSTEM] = "system",
	[CATEGORY_TEMPORARY] = "temporary", [CATEGORY_PERMANENT] = "permanent",
	[CATEGORY_AUTH] = "auth",           [CATEGORY_UNKNOWN] = "unknown",
};
static const char *const decisions[DECISION_COUNT] = {
	[DECISION_NONE] = "none",
	[DECISION_IMMEDIATE] = "immediate",
	[DECISION_DELAY] = "delay",
	[DECISION_BACKOFF] = "backoff",
};
static const char *const verdicts[] = {
	[VERDICT_RETRY_NOW] = "retry_now",
	[VERDICT_RETRY_AFTER] = "retry_after",
	[VERDICT_NEXT_ENDPOINT] = "next_endpoint",
	[VERDICT_PASS_ON] = "pass_on",
	[VERDICT_GIVE_UP] = "give_up",
};
static const char *const causes[CAUSE_COUNT] = {
	[CAUSE_NONE] = "none",         [CAUSE_CATEGORY] = "category", [CAUSE_LIMIT] = "limit",
	[CAUSE_DEADLINE] = "deadline", [CAUSE_BUDGET] = "budget",     [CAUSE_BREAKER] = "breaker",
	[CAUSE_UNSAFE] = "unsafe",     [CAUSE_BUFFER] = "buffer",     [CAUSE_FALLBACK] = "fallback",
};
static const char *const jitters[] = { "ratio", "full", "equal", "decorrelated" };
static const char *const siblings[] = { "probe", "walk" };
static const char *const replays[] = { "never", "unsent", "unanswered", "one_way" };
static const char *const balances[] = { "first", "round_robin", "random", "sticky" };
static const char *const when_opens[] = { "wait", "fail" };
static const char *const actions[] = { "manage", "bypass" };

#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

const struct words category_words = { categories, COUNT(categories) };
const struct words decision_words = { decisions, COUNT(decisions) };
const struct words jitter_words = { jitters, COUNT(jitters) };
const struct words ratioless_jitter_words = { jitters + 1, COUNT(jitters) - 1 };
const struct words siblings_words = { siblings, COUNT(siblings) };
const struct words replay_words = { replays, COUNT(replays) };
const struct words balance_words = { balances, COUNT(balances) };
const struct words when_open_words = { when_opens, COUNT(when_opens) };
const struct words action_words = { actions, COUNT(actions) };

static const char *name_of(const char *const *names, size_t count, unsigned int i)
{
	return i < count ? names[i] : "?";
}

const char *policy_operation_name(enum policy_operation operation)
{
	return name_of(operations, COUNT(operations), (unsigned int)operation);
}

const char *policy_category_name(enum policy_category category)
{
	return name_of(categories, COUNT(categories), (unsigned int)category);
}

const char *policy_decision_name(enum policy_decision decision)
{
	return name_of(decisions, COUNT(decisions), (unsigned int)decision);
}

const char *policy_verdict_name(enum policy_action_taken action)
{
	return name_of(verdicts, COUNT(verdicts), (unsigned int)action);
}

const char *policy_cause_name(enum policy_cause cause)
{
	return name_of(causes, COUNT(causes), (unsigned int)cause);
}

int word_find(const struct words *words, const char *text, size_t length)
{
	for (size_t i = 0; i < words->count; i++)
		if (strlen(words->list[i]) == length && !memcmp(words->list[i], text, length))
			return (int)i;
	return -1;
}

#define DISTANCE_MAX_LENGTH 48

static unsigned int least(unsigned int a, unsigned int b)
{
	return a < b ? a : b;
}

unsigned int edit_distance(const char *a, const char *b, unsigned int limit)
{
	/* Three rows of the table: the swap of neighbours looks two rows back. */
	unsigned int rows[3][DISTANCE_MAX_LENGTH + 1];
	size_t a_length = strnlen(a, DISTANCE_MAX_LENGTH + 1);
	size_t b_length = strnlen(b, DISTANCE_MAX_LENGTH + 1);

	if (a_length > DISTANCE_MAX_LENGTH || b_length > DISTANCE_MAX_LENGTH)
		return limit;
	for (size_t j = 0; j <= b_length; j++)
		rows[0][j] = (unsigned int)j;
	for (size_t i = 1; i <= a_length; i++) {
		unsigned int *row = rows[i % 3];
		const unsigned int *above = rows[(i + 2) % 3];

		row[0] = (unsigned int)i;
		for (size_t j = 1; j <= b_length; j++) {
			row[j] = least(least(above[j], row[j - 1]) + 1,
				       above[j - 1] + (a[i - 1] != b[j - 1]));
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				row[j] = least(row[j], rows[(i + 1) % 3][j - 2] + 1);
		}
	}
	return least(rows[a_length % 3][b_length], limit);
}

int word_nearest(const struct words *words, const char *text)
{
	unsigned int best = UINT32_MAX;
	int nearest = -1;

	for (size_t i = 0; i < words->count; i++) {
		unsigned int allowed = (unsigned int)strlen(words->list[i]) / 3;
		unsigned int distance = edit_distance(text, words->list[i], allowed + 1);

		if (distance <= allowed && distance < best) {
			best = distance;
			nearest = (int)i;
		}
	}
	return nearest;
}
