/* SPDX-License-Identifier: MIT */
/* The top level of a policy, and the way from text to block. */
#include "policy/compile.h"

#include <stdlib.h>
#include <string.h>

#include "context.h"
#include "syntax.h"

#define STANDARD "standard"

/* In the order in which they are compiled: what refers comes after what is referred to. */
enum {
	TOP_VERSION,
	TOP_DEFAULTS,
	TOP_ALERTS,
	TOP_STORE,
	TOP_PROFILE_KEYS,
	TOP_PROFILE = TOP_PROFILE_KEYS,
	TOP_POOLS,
	TOP_RULES,
	TOP_KEYS
};
static const char *const top_keys[TOP_KEYS] = {
	"version", "defaults", "alerts", "store", "profile", "pools", "rules",
};

static void version_check(struct compile_context *context, const cJSON *version)
{
	size_t mark;

	if (!version) {
		error_add(context, "found no key \"version\", expected \"version\": 1");
		return;
	}
	mark = path_enter(context, "version");
	if (!cJSON_IsNumber(version) || version->valuedouble != 1)
		error_expected(context, version, "1");
	path_leave(context, mark);
}

/* The layer below the file: the profile that it names, or else `standard`. */
static const struct policy *profile_choose(struct compile_context *context, const cJSON *profile)
{
	const char *names[32];
	struct words words = { names, 0 };
	const struct policy *chosen = NULL;
	char expected[256];
	struct text text;
	size_t mark;

	if (!profile)
		return policy_profile(STANDARD);
	if (cJSON_IsString(profile))
		chosen = policy_profile(profile->valuestring);
	if (chosen)
		return chosen;
	while (words.count < 32 && policy_profile_name((unsigned int)words.count)) {
		names[words.count] = policy_profile_name((unsigned int)words.count);
		words.count++;
	}
	mark = path_enter(context, "profile");
	text_begin(&text, expected, sizeof(expected));
	text_add_words(&text, &words);
	error_expected_word(context, profile, expected, &words);
	path_leave(context, mark);
	/* The rest of the file can be checked all the same. */
	return policy_profile(STANDARD);
}

static void base_apply(struct compile_context *context, const struct policy *base)
{
	context->header.defaults = base->defaults;
	context->header.alerts = base->alerts;
	context->header.store = base->store;
	/* Every other profile than `standard` chose its attempt_timeout. */
	if (strcmp(policy_string(base, base->profile), STANDARD))
		context->header.defaults.connect.first_attempt_bounded = 1;
}

static void defaults_compile(struct compile_context *context, const cJSON *defaults)
{
	const struct words words = { settings_members, SETTINGS_MEMBERS };
	const cJSON *members[SETTINGS_MEMBERS];

	if (!object_expect(context, defaults))
		return;
	object_members(context, defaults, &words, members);
	settings_compile(context, members, &context->header.defaults);
}

static void top_compile(struct compile_context *context, const cJSON *const members[])
{
	static void (*const compile[TOP_KEYS])(struct compile_context *, const cJSON *) = {
		[TOP_DEFAULTS] = defaults_compile, [TOP_ALERTS] = alerts_compile,
		[TOP_STORE] = store_compile,       [TOP_POOLS] = pools_compile,
		[TOP_RULES] = rules_compile,
	};

	for (size_t i = 0; i < TOP_KEYS; i++) {
		size_t mark;

		if (!compile[i] || !members[i])
			continue;
		mark = path_enter(context, top_keys[i]);
		compile[i](context, members[i]);
		path_leave(context, mark);
	}
}

cJSON *policy_parse(struct compile_context *context, const char *text, size_t length)
{
	struct syntax_error error;
	cJSON *root;

	if (length > POLICY_SIZE_MAX) {
		error_add_at(context, 0, 0, "found more than 4 MiB of text, expected a policy");
		return NULL;
	}
	if (!syntax_check(text, length, &error)) {
		error_add_at(context, error.line, error.column, error.message);
		return NULL;
	}
	root = cJSON_ParseWithLength(text, length);
	if (!root)
		context->out_of_memory = true;
	if (root && !object_expect(context, root)) {
		cJSON_Delete(root);
		return NULL;
	}
	return root;
}

static void failures_add(struct compile_context *context)
{
	/* Said at the top, where it belongs to the file and not to a key. */
	if (context->out_of_memory)
		error_add_at(context, 0, 0, "out of memory");
	else if (context->too_large)
		error_add_at(context, 0, 0,
			     "found a policy that is larger than 4 MiB when compiled, "
			     "expected fewer rules");
}

/* Only `standard`, which all others refine, ships rules. */
static void top_members(struct compile_context *context, const cJSON *root,
			const cJSON *members[TOP_KEYS])
{
	const bool all = !context->is_profile || context->complete;
	const struct words keys = { top_keys, all ? TOP_KEYS : TOP_PROFILE_KEYS };

	object_members(context, root, &keys, members);
	if (context->is_profile && (members[TOP_PROFILE] || members[TOP_POOLS]))
		error_add(context, "found a profile or pools, expected neither in a shipped one");
}

static struct policy *compile(struct compile_context *context, const char *text, size_t length,
			      const char *origin, const char *profile_name,
			      const struct policy *base, const struct policy_source *source)
{
	const cJSON *members[TOP_KEYS] = { NULL };
	struct policy *policy = NULL;
	cJSON *root;

	memcpy(context->path, "$", sizeof("$"));
	context->path_length = 1;
	root = policy_parse(context, text, length);
	if (root) {
		top_members(context, root, members);
		version_check(context, members[TOP_VERSION]);
		if (!context->is_profile)
			base = profile_choose(context, members[TOP_PROFILE]);
		if (base)
			base_apply(context, base);
		if (base && !context->is_profile)
			profile_name = policy_string(base, base->profile);
		top_compile(context, members);
		shipped_rules_append(context, base);
		if (context->errors->count == 0)
			policy = policy_build(context, origin, profile_name, source);
	}
	failures_add(context);
	cJSON_Delete(root);
	context_free(context);
	return policy;
}

struct policy *policy_compile(const char *text, size_t length, const char *origin,
			      const struct policy_source *source, struct policy_errors *errors)
{
	struct compile_context context = { .errors = errors };

	*errors = (struct policy_errors){ 0 };
	return compile(&context, text, length, origin, STANDARD, NULL, source);
}

struct policy *profile_compile(const char *text, size_t length, const char *name,
			       const struct policy *base, struct policy_errors *errors)
{
	struct compile_context context = { .errors = errors,
					   .is_profile = true,
					   .complete = !base };

	*errors = (struct policy_errors){ 0 };
	return compile(&context, text, length, "", name, base, NULL);
}
