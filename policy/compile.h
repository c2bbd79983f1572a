/* SPDX-License-Identifier: MIT */
/*
 * JSON to compiled policy.  Allocates and uses cJSON: never linked into
 * libholdfast.so, but into the tool and into libholdfast-policy.so, which the
 * shim opens, calls once and closes again.
 */
#ifndef HOLDFAST_POLICY_COMPILE_H
#define HOLDFAST_POLICY_COMPILE_H

#include "policy.h"

/* Where the effective value of a key came from, for `holdfast explain`. */
enum policy_layer {
	LAYER_STANDARD, /* the profile `standard`, which every other one refines */
	LAYER_PROFILE,  /* the profile that the file names */
	LAYER_DEFAULTS,
	LAYER_RULE,
	LAYER_ENVIRONMENT
};

struct policy_error {
	char *path;        /* JSON path such as $.rules[2].match.ports[0]; "" for the whole file */
	char *message;     /* what was found, what was expected, the nearest known key */
	unsigned int line; /* of a syntax error, else 0 */
	unsigned int column;
};

struct policy_errors {
	struct policy_error *list;
	size_t count;
};

/*
 * Compiles text[0..length) to a malloc()ed policy of policy->size bytes.
 * source may be NULL. Returns NULL when there are errors; all of them are in
 * errors then.  Not for signal handlers.
 */
struct policy *policy_compile(const char *text, size_t length, const char *origin,
			      const struct policy_source *source, struct policy_errors *errors);
void policy_errors_free(struct policy_errors *errors);

/* A one-line rendering of an error: "FILE: PATH: message". Returns its length as snprintf(). */
int policy_error_format(const struct policy_error *error, const char *file, char *line,
			size_t size);

/*
 * The one entry of libholdfast-policy.so: compiles text into buffer (size bytes).
 * Returns the policy's size, or 0 with the first error, and how many more there
 * are, as one line in message.
 */
size_t holdfast_policy_compile(const char *text, size_t length, const char *origin,
			       const struct policy_source *source, void *buffer, size_t size,
			       char *message, size_t message_size);

/* ---- for explain ---------------------------------------------------------------- */

/* One settable leaf, such as "connect.deadline" or "strategies.network.jitter". */
struct policy_key_value {
	const char *key;
	char value[64];          /* as it would be written in a file */
	enum policy_layer layer; /* where it came from */
	bool acted_on;           /* false: parsed, and nothing acts on it yet */
};

/*
 * Calls visit for every key of a rule (or of the defaults), in a fixed order.
 * text and length as given to policy_compile(); NULL for a shipped profile.
 */
void policy_explain(const struct policy *policy, int rule, const char *text, size_t length,
		    void (*visit)(const struct policy_key_value *, void *), void *data);

#endif
