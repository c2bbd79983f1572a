/* SPDX-License-Identifier: MIT */
/*
 * Every key with its value and the layer that it came from.  A key belongs to the
 * highest layer that names it; a profile's figures that equal `standard`'s are
 * shown as standard's, since nothing would change without that profile.
 */
#include <stdlib.h>
#include <string.h>

#include "keys.h"

/* What a value is compared with, to tell its layer. */
struct layers {
	const struct policy_settings *effective;
	const struct policy_settings *below;   /* the defaults, which a rule refines */
	const struct policy_settings *written; /* without the environment's overrides */
	const struct policy_settings *profile;
	const struct policy_settings *standard;
	const cJSON *defaults, *rule; /* NULL without a file or a rule */
	void (*visit)(const struct policy_key_value *, void *);
	void *data;
};

static const cJSON *member(const cJSON *object, const char *name)
{
	return object ? cJSON_GetObjectItemCaseSensitive(object, name) : NULL;
}

/* The key in a layer's object; category is NULL outside of strategies. */
static bool is_named(const cJSON *layer, const char *section, const char *category,
		     const char *name)
{
	const cJSON *object = member(layer, section);

	return member(category ? member(object, category) : object, name) != NULL;
}

/* overridden: by the environment. profile_differs: from standard, in this key. */
static enum policy_layer layer_of(const struct layers *layers, const char *section,
				  const char *category, const char *name, bool overridden,
				  bool profile_differs)
{
	if (overridden)
		return LAYER_ENVIRONMENT;
	if (is_named(layers->rule, section, category, name))
		return LAYER_RULE;
	if (is_named(layers->defaults, section, category, name))
		return LAYER_DEFAULTS;
	return profile_differs ? LAYER_PROFILE : LAYER_STANDARD;
}

static const void *base_of(const struct policy_settings *settings, int category)
{
	return category < 0 ? (const void *)settings : &settings->strategies[category];
}

static void key_visit(const struct layers *layers, const struct key *key, int category)
{
	struct policy_key_value value = { .acted_on = key->acted_on };
	const char *section = section_names[key->section];
	const char *word = category < 0 ? NULL : category_words.list[category];
	const void *effective = base_of(layers->effective, category);
	char name[64];
	struct text text;

	text_begin(&text, name, sizeof(name));
	text_add(&text, section);
	text_add(&text, ".");
	if (word) {
		text_add(&text, word);
		text_add(&text, ".");
	}
	text_add(&text, key->name);
	value.key = name;
	text_begin(&text, value.value, sizeof(value.value));
	value_format(key, effective, &text);
	value.layer = layer_of(layers, section, word, key->name,
			       !value_equal(key, effective, base_of(layers->written, category)),
			       !value_equal(key, base_of(layers->profile, category),
					    base_of(layers->standard, category)));
	layers->visit(&value, layers->data);
}

/* Entries of one of the classify arrays that are not the built-in ones. */
static void classify_visit(const struct layers *layers, const uint8_t *entries,
			   const uint8_t *default_entries, const uint8_t *profile_entries,
			   size_t count, const char *(*name_of)(int))
{
	for (size_t i = 0; i < count; i++) {
		struct policy_key_value value = { .acted_on = true };
		const char *error = name_of((int)i);
		char name[64];
		struct text text;

		if (!entries[i] || !error)
			continue;
		text_begin(&text, name, sizeof(name));
		text_add(&text, "classify.");
		text_add(&text, error);
		value.key = name;
		text_begin(&text, value.value, sizeof(value.value));
		text_add_quoted(&text, category_words.list[entries[i] - 1]);
		value.layer = layer_of(layers, "classify", NULL, error, false, true);
		/* Named by an alias such as EWOULDBLOCK: the layers' own entries tell. */
		if (value.layer == LAYER_PROFILE && entries[i] != profile_entries[i])
			value.layer = entries[i] != default_entries[i] ? LAYER_RULE
								       : LAYER_DEFAULTS;
		layers->visit(&value, layers->data);
	}
}

static void settings_visit(const struct layers *layers)
{
	for (size_t i = 0; i < KEY_ROWS && keys[i].section < SECTION_STRATEGY; i++)
		key_visit(layers, &keys[i], -1);
	for (int category = 0; category < CATEGORY_COUNT; category++)
		for (size_t i = 0; i < KEY_ROWS; i++)
			if (keys[i].section == SECTION_STRATEGY)
				key_visit(layers, &keys[i], category);
	classify_visit(layers, layers->effective->classify_errno, layers->below->classify_errno,
		       layers->profile->classify_errno, ERRNO_LIMIT, classify_errno_name);
	classify_visit(layers, layers->effective->classify_eai, layers->below->classify_eai,
		       layers->profile->classify_eai, EAI_LIMIT, classify_eai_name);
}

void policy_explain(const struct policy *policy, int rule, const char *text, size_t length,
		    void (*visit)(const struct policy_key_value *, void *), void *data)
{
	struct policy_errors errors = { 0 };
	struct compile_context context = { .errors = &errors };
	const struct policy *standard = policy_profile("standard");
	const struct policy *profile = policy_profile(policy_string(policy, policy->profile));
	struct policy *written = NULL;
	struct layers layers = { .visit = visit, .data = data };
	cJSON *root = NULL;

	if (text) {
		written = policy_compile(text, length, "", NULL, &errors);
		policy_errors_free(&errors);
		root = policy_parse(&context, text, length);
		layers.defaults = member(root, "defaults");
		if (rule != RULE_NONE)
			layers.rule = cJSON_GetArrayItem(member(root, "rules"), rule);
	}
	/* A policy that is no longer what the text says: its own values are all there is. */
	layers.effective = policy_settings(policy, rule);
	layers.below = &policy->defaults;
	layers.profile = profile ? &profile->defaults : &standard->defaults;
	layers.standard = &standard->defaults;
	layers.written = written ? policy_settings(written, rule)
			 : text  ? layers.effective
				 : layers.profile;
	settings_visit(&layers);
	policy_errors_free(&errors);
	cJSON_Delete(root);
	free(written);
}
