/* SPDX-License-Identifier: MIT */
/* What holdfast explain found out, between finding it out and showing it. */
#ifndef HOLDFAST_TOOL_EXPLAIN_H
#define HOLDFAST_TOOL_EXPLAIN_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

#include "policy/compile.h"
#include "tools/policy_file.h"
#include "tools/schedule.h"
#include "tools/target.h"

#define EXPLAIN_OVERRIDES 64

struct explanation {
	const char *host;         /* what hosts rules are matched against, or NULL */
	const char *program;      /* as given, or NULL */
	char exec_path[PATH_MAX]; /* what AT_EXECFN would be for it, or "" */
	char exe[PATH_MAX];       /* what /proc/self/exe would name for it, or "" */
	struct target target;
	struct policy_file file; /* file.policy has the overrides in it */
	struct {
		const char *variable; /* NAME=VALUE, the environment's own text */
		const char *value;    /* what is behind the = of it */
	} overrides[EXPLAIN_OVERRIDES];
	size_t override_count;

	/* With the target's first address, but in a lookup, which has none yet. */
	struct policy_destination destination;
	int rule;              /* for that destination */
	const char *unmanaged; /* why nothing is retried whatever the error, or NULL */

	enum policy_operation operation;
	int error;
	enum policy_category category;
	enum policy_decision decision;
	struct schedule schedule; /* unless unmanaged */
};

/* destination with another of the target's addresses in it. */
struct policy_destination explanation_destination(const struct explanation *explanation,
						  unsigned int address);

/* Why a rule does not match, in words; NULL for MATCH_OK. */
const char *explanation_match_words(const struct explanation *explanation, enum policy_match match);

/* The name of a rule, "rule 3" in buffer for one without, "defaults" for RULE_NONE. */
const char *explanation_rule_name(const struct explanation *explanation, int rule, char buffer[32]);

/* "standard", "profile", ...: where a value came from. */
const char *explanation_layer_name(enum policy_layer layer);

/* What the program is told in the end, for one extreme. */
const char *explanation_cause_words(enum policy_cause cause);

/* The pool that connects go to instead of the destination; NULL: to none. */
const struct policy_pool *explanation_pool(const struct explanation *explanation);
/* "first", "round_robin", ... */
const char *explanation_balance(const struct policy_pool *pool);
/* Its endpoints in the listed order, false past the last. */
bool explanation_endpoint(const struct explanation *explanation, const struct policy_pool *pool,
			  uint32_t index, char text[ENDPOINT_TEXT_SIZE]);

void explanation_show_text(const struct explanation *explanation);
/* False when out of memory. */
bool explanation_show_json(const struct explanation *explanation);

#endif
