/* SPDX-License-Identifier: MIT */
/* What the stress programs share: numbers that a seed repeats, and a look at the process. */
#ifndef TESTS_STRESS_COMMON_H
#define TESTS_STRESS_COMMON_H

#include <stdint.h>

/* xorshift64*: the same numbers for the same seed. */
static inline uint64_t draw(uint64_t *state, uint64_t below)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return (*state * UINT64_C(0x2545f4914f6cdd1d) >> 33) % below;
}

static inline uint64_t draw_seed(uint64_t seed, uint64_t who)
{
	uint64_t state = (seed + 1) * UINT64_C(0x9e3779b97f4a7c15) ^
			 (who + 1) * UINT64_C(0xbf58476d1ce4e5b9);

	return state ? state : 1;
}

_Noreturn void give_up(const char *what);

int64_t now_ms(void);

/* How many descriptors are open. */
int fds_open(void);
/* What they are tells whose they are. */
void fds_print(void);

/* The bits of a comma-separated list of names, of which there are `count`. */
unsigned int names_parse(char *list, const char *const *names, unsigned int count);

#endif
