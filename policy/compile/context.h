/* SPDX-License-Identifier: MIT */
/*
 * What one compilation carries along: where in the JSON it is, what was wrong so
 * far, and the arrays that become the policy.
 */
#ifndef HOLDFAST_COMPILE_CONTEXT_H
#define HOLDFAST_COMPILE_CONTEXT_H

#include <cjson/cJSON.h>

#include "policy/compile.h"
#include "policy/words.h"

/* The text of a policy, and the compiled policy: at most this many bytes each. */
#define POLICY_SIZE_MAX (4U << 20)
#define PATH_MAX_LENGTH 512

struct array {
	unsigned char *data;
	size_t used; /* bytes */
	size_t capacity;
};

struct compile_context {
	struct policy_errors *errors;
	char path[PATH_MAX_LENGTH];
	size_t path_length;
	bool out_of_memory;
	bool complete;   /* compiling `standard`: every key must be there */
	bool is_profile; /* a shipped profile: no pools, no other profile; rules if complete */

	struct policy header; /* defaults, alerts and store are filled in here */
	struct array strings; /* the bytes of all strings */
	struct array rules, pools, pool_endpoints, prefixes, ports, string_offsets;
	size_t total; /* bytes in all the arrays */
	bool too_large;
};

/* ---- errors.c ---------------------------------------------------------- */

/* Appends ".key" or "[\"odd key\"]" to the path; returns what path_leave() wants back. */
size_t path_enter(struct compile_context *context, const char *key);
size_t path_enter_index(struct compile_context *context, size_t index);
void path_leave(struct compile_context *context, size_t mark);

/* So many errors that more are not kept. */
bool errors_are_enough(const struct compile_context *context);
/* Adds an error at the current path. */
void error_add(struct compile_context *context, const char *message);
/* Adds "found ITEM, expected EXPECTED". */
void error_expected(struct compile_context *context, const cJSON *item, const char *expected);
/* The same, with "; did you mean ...?" when a word is near to the string that was found. */
void error_expected_word(struct compile_context *context, const cJSON *item, const char *expected,
			 const struct words *words);
/* For the path "" and syntax errors. */
void error_add_at(struct compile_context *context, unsigned int line, unsigned int column,
		  const char *message);
/* Describes an item as it was found: "text", 12, true, an object. */
void text_add_item(struct text *text, const cJSON *item);

/* ---- object.c ---------------------------------------------------------- */

/* Says what is wrong if item is no object or array with at least one element. */
bool object_expect(struct compile_context *context, const cJSON *item);
bool list_expect(struct compile_context *context, const cJSON *item, const char *of_what);

/*
 * Finds the members of an object that are named in keys: members[i] is that of
 * keys->list[i], or NULL. Adds an error for every unknown or duplicate key.
 */
void object_members(struct compile_context *context, const cJSON *object, const struct words *keys,
		    const cJSON *members[]);

/* ---- build.c ---------------------------------------------------------- */

/* Appends an element; marks the context if the policy gets too large or memory ends. */
void array_append(struct compile_context *context, struct array *array, const void *element,
		  size_t size);
/* Stores a string; returns its offset in the policy to be. */
uint32_t string_append(struct compile_context *context, const char *text);
/* The finished policy, malloc()ed, or NULL. */
struct policy *policy_build(struct compile_context *context, const char *origin,
			    const char *profile, const struct policy_source *source);
void context_free(struct compile_context *context);

/* ---- settings.c, classify.c, pools.c, rules.c, shipped.c ---------------- */

/*
 * The keys of struct policy_settings that an object may have; one list, for
 * defaults and rules. Members are in that order, as object_members() found them.
 */
#define SETTINGS_MEMBERS 9
extern const char *const settings_members[SETTINGS_MEMBERS];
void settings_compile(struct compile_context *context, const cJSON *const members[],
		      struct policy_settings *settings);
void alerts_compile(struct compile_context *context, const cJSON *alerts);
void store_compile(struct compile_context *context, const cJSON *store);
void classify_compile(struct compile_context *context, const cJSON *classify,
		      struct policy_settings *settings);
void pools_compile(struct compile_context *context, const cJSON *pools);
void rules_compile(struct compile_context *context, const cJSON *rules);
/* Adds the shipped rules of base behind the policy's own; base is NULL for `standard`. */
void shipped_rules_append(struct compile_context *context, const struct policy *base);

/* The name of entry i of classify_errno (or classify_eai); NULL if there is none. */
const char *classify_errno_name(int error);
const char *classify_eai_name(int code_negated);

/* ---- compile.c ---------------------------------------------------------- */

/* A shipped profile: base is `standard`, or NULL when this is `standard` itself. */
struct policy *profile_compile(const char *text, size_t length, const char *name,
			       const struct policy *base, struct policy_errors *errors);

/* For explain: the parsed text, or NULL if it is no JSON object. Free with cJSON_Delete(). */
cJSON *policy_parse(struct compile_context *context, const char *text, size_t length);

#endif
