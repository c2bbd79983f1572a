/* SPDX-License-Identifier: MIT */
/*
 * profile-embed DIR: compiles the shipped profiles and prints them as C source.
 * standard.json comes first and names every key; the others refine it.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "context.h"

#define PROFILES_MAX 32
#define SUFFIX ".json"
#define STANDARD_FILE "standard" SUFFIX

/* One run makes the profiles and ends: what it has made is never given back. */
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wanalyzer-malloc-leak"
#endif

struct embedded {
	char *name;
	struct policy *policy;
};

static struct embedded profiles[PROFILES_MAX];
static unsigned int profile_count;

/* In the generator a profile exists as soon as it is compiled. */
const struct policy *policy_profile(const char *name)
{
	for (unsigned int i = 0; i < profile_count; i++)
		if (!strcmp(profiles[i].name, name))
			return profiles[i].policy;
	return NULL;
}

const char *policy_profile_name(unsigned int i)
{
	return i < profile_count ? profiles[i].name : NULL;
}

static char *file_read(const char *path, size_t *length)
{
	FILE *file = fopen(path, "rb");
	char *text = malloc(POLICY_SIZE_MAX);

	if (!file || !text) {
		perror(path);
		exit(EX_NOINPUT);
	}
	*length = fread(text, 1, POLICY_SIZE_MAX, file);
	if (ferror(file)) {
		perror(path);
		exit(EX_IOERR);
	}
	fclose(file);
	return text;
}

static void profile_add(const char *directory, const char *file)
{
	struct policy_errors errors;
	struct embedded profile;
	char path[4096], line[2048], *text;
	size_t length;

	if (profile_count == PROFILES_MAX) {
		fprintf(stderr, "profile-embed: more than %d profiles\n", PROFILES_MAX);
		exit(EX_DATAERR);
	}
	snprintf(path, sizeof(path), "%s/%s", directory, file);
	text = file_read(path, &length);
	profile.name = strndup(file, strlen(file) - strlen(SUFFIX));
	profile.policy = profile.name ? profile_compile(text, length, profile.name,
							policy_profile("standard"), &errors)
				      : NULL;
	free(text);
	if (!profile.policy) {
		for (size_t i = 0; profile.name && i < errors.count; i++) {
			policy_error_format(&errors.list[i], path, line, sizeof(line));
			fprintf(stderr, "%s\n", line);
		}
		exit(EX_DATAERR);
	}
	profiles[profile_count++] = profile;
}

static int is_refinement(const struct dirent *entry)
{
	size_t length = strlen(entry->d_name), suffix = strlen(SUFFIX);

	return length > suffix && !strcmp(entry->d_name + length - suffix, SUFFIX) &&
	       strcmp(entry->d_name, STANDARD_FILE) != 0;
}

static void profiles_add(const char *directory)
{
	struct dirent **entries;
	int count = scandir(directory, &entries, is_refinement, alphasort);

	if (count < 0) {
		perror(directory);
		exit(EX_NOINPUT);
	}
	profile_add(directory, STANDARD_FILE);
	for (int i = 0; i < count; i++) {
		profile_add(directory, entries[i]->d_name);
		free(entries[i]);
	}
	free(entries);
}

static void bytes_print(unsigned int index)
{
	const unsigned char *bytes = (const unsigned char *)profiles[index].policy;

	printf("static const _Alignas(8) unsigned char profile_%u[] = {", index);
	for (size_t i = 0; i < profiles[index].policy->size; i++)
		printf("%s%u,", i % 20 ? "" : "\n\t", bytes[i]);
	printf("\n};\n\n");
}

static void source_print(void)
{
	printf("/* Made by profile-embed from the shipped profiles. */\n"
	       "#include <string.h>\n\n#include \"policy/policy.h\"\n\n");
	for (unsigned int i = 0; i < profile_count; i++)
		bytes_print(i);
	printf("static const struct {\n\tconst char *name;\n\tconst unsigned char *bytes;\n"
	       "} profiles[] = {\n");
	for (unsigned int i = 0; i < profile_count; i++)
		printf("\t{ \"%s\", profile_%u },\n", profiles[i].name, i);
	printf("};\n#define PROFILE_COUNT (sizeof(profiles) / sizeof(profiles[0]))\n\n"
	       "const struct policy *policy_profile(const char *name)\n{\n"
	       "\tfor (size_t i = 0; i < PROFILE_COUNT; i++)\n"
	       "\t\tif (!strcmp(profiles[i].name, name))\n"
	       "\t\t\treturn (const struct policy *)(const void *)profiles[i].bytes;\n"
	       "\treturn NULL;\n}\n\n"
	       "const char *policy_profile_name(unsigned int i)\n{\n"
	       "\treturn i < PROFILE_COUNT ? profiles[i].name : NULL;\n}\n");
}

int main(int argc, char **argv)
{
	if (argc != 2) {
		fprintf(stderr, "usage: profile-embed DIR > profiles.c\n");
		return EX_USAGE;
	}
	profiles_add(argv[1]);
	source_print();
	for (unsigned int i = 0; i < profile_count; i++) {
		free(profiles[i].name);
		free(profiles[i].policy);
	}
	return fflush(stdout) || ferror(stdout) ? EX_IOERR : EX_OK;
}
