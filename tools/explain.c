/* SPDX-License-Identifier: MIT */
/* holdfast explain: which rule, which values from where, and what they lead to. */
#include "tools/explain.h"

#include <bsd/string.h>
#include <errno.h>
#include <getopt.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <unistd.h>

#include "tools/error_word.h"
#include "tools/holdfast.h"
#include "tools/program.h"

struct arguments {
	const char *policy, *program, *host, *target, *error;
	bool json;
};

static bool options_parse(struct arguments *arguments, int argc, char *argv[])
{
	static const struct option long_options[] = {
		{ "policy", required_argument, NULL, 'p' },
		{ "program", required_argument, NULL, 'P' },
		{ "host", required_argument, NULL, 'h' },
		{ "json", no_argument, NULL, 'j' },
		{ 0 },
	};
	int option;

	while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		switch (option) {
		case 'p':
			arguments->policy = optarg;
			break;
		case 'P':
			arguments->program = optarg;
			break;
		case 'h':
			arguments->host = optarg;
			break;
		case 'j':
			arguments->json = true;
			break;
		default:
			return false;
		}
	}
	if (argc - optind < 1 || argc - optind > 2) {
		fputs("holdfast explain: expected a destination and, perhaps, an error\n", stderr);
		return false;
	}
	arguments->target = argv[optind];
	arguments->error = argc - optind == 2 ? argv[optind + 1] : "ECONNREFUSED";
	return true;
}

static void override_note(const char *name, const char *value, void *data)
{
	struct explanation *explanation = data;

	if (explanation->override_count == EXPLAIN_OVERRIDES)
		return;
	/* name is the caller's own buffer: the environment has the same text for good. */
	explanation->overrides[explanation->override_count].variable = value - strlen(name) - 1;
	explanation->overrides[explanation->override_count].value = value;
	explanation->override_count++;
}

static int policy_load(struct explanation *explanation, const char *given)
{
	struct policy_errors errors;
	enum policy_file_result result = policy_file_read(&explanation->file, given, &errors);
	char line[POLICY_LINE_SIZE];

	for (size_t i = 0; i < errors.count; i++) {
		policy_error_format(&errors.list[i], explanation->file.origin, line, sizeof(line));
		fprintf(stderr, "holdfast: %s\n", line);
	}
	policy_errors_free(&errors);
	if (result != POLICY_FILE_OK)
		return result == POLICY_FILE_MISSING ? EX_NOINPUT : EX_DATAERR;
	if (!policy_file_override(explanation->file.policy, line, sizeof(line), override_note,
				  explanation)) {
		fprintf(stderr, "holdfast: %s\n", line);
		return EX_DATAERR;
	}
	return EX_OK;
}

/* What the shim would see as AT_EXECFN and as /proc/self/exe. */
static void program_set(struct explanation *explanation, const char *name)
{
	static struct program program; /* large: a path for every interpreter */
	char *real;

	if (!name)
		return;
	explanation->program = name;
	program_inspect(&program, name);
	strlcpy(explanation->exec_path, program.path[program.exec_path],
		sizeof(explanation->exec_path));
	real = realpath(program.path[program.count - 1], NULL);
	strlcpy(explanation->exe, real ? real : name, sizeof(explanation->exe));
	free(real);
}

struct policy_destination explanation_destination(const struct explanation *explanation,
						  unsigned int address)
{
	const struct target *target = &explanation->target;
	struct policy_destination destination = {
		.exec_path = explanation->exec_path[0] ? explanation->exec_path : NULL,
		.exe_path = explanation->exe[0] ? explanation->exe : NULL,
		.host = explanation->host,
		.unix_path = target->kind == ENDPOINT_UNIX ? target->path : NULL,
		.port = target->port,
		.is_unix = target->kind == ENDPOINT_UNIX,
	};

	if (address < target->address_count) {
		memcpy(destination.address, target->addresses[address].bytes, 16);
		destination.scope_id = target->addresses[address].scope_id;
	}
	return destination;
}

const char *explanation_match_words(const struct explanation *explanation, enum policy_match match)
{
	static const char *const words[] = {
		[MATCH_OK] = NULL,
		[MATCH_PROGRAMS] = "the program is none of its programs",
		[MATCH_HOSTS] = "the host is none of its hosts",
		[MATCH_HOST_UNKNOWN] = "it names hosts, and the address has no known name",
		[MATCH_ADDRESSES] = "the address is none of its addresses",
		[MATCH_PORTS] = "the port is none of its ports",
		[MATCH_PATHS] = "the path is none of its paths",
		[MATCH_NO_PATHS] = "it has no paths, which AF_UNIX needs",
	};

	if (match == MATCH_PROGRAMS && !explanation->program)
		return "it names programs, and no --program was given";
	if (match == MATCH_ADDRESSES && explanation->operation == OPERATION_RESOLVE)
		return "it names addresses, and a lookup has none yet";
	if (match == MATCH_ADDRESSES && !explanation->target.address_count &&
	    explanation->target.kind != ENDPOINT_UNIX)
		return "it names addresses, and the host's are not known";
	return words[match];
}

const char *explanation_rule_name(const struct explanation *explanation, int rule, char buffer[32])
{
	const struct policy *policy = explanation->file.policy;
	const char *name;

	if (rule == RULE_NONE)
		return "defaults";
	name = policy_string(policy, policy_rule(policy, rule)->name);
	if (*name)
		return name;
	snprintf(buffer, 32, "rule %d", rule);
	return buffer;
}

const char *explanation_layer_name(enum policy_layer layer)
{
	static const char *const names[] = {
		[LAYER_STANDARD] = "standard",       [LAYER_PROFILE] = "profile",
		[LAYER_DEFAULTS] = "defaults",       [LAYER_RULE] = "rule",
		[LAYER_ENVIRONMENT] = "environment",
	};

	return names[layer];
}

const char *explanation_cause_words(enum policy_cause cause)
{
	static const char *const words[CAUSE_COUNT] = {
		[CAUSE_NONE] = "it ends",
		[CAUSE_CATEGORY] = "its category is not retried",
		[CAUSE_LIMIT] = "max_retries is reached",
		[CAUSE_DEADLINE] = "the deadline is reached",
		[CAUSE_BUDGET] = "the retry budget is empty",
		[CAUSE_BREAKER] = "the breaker is open",
		[CAUSE_UNSAFE] = "a repetition would not be safe",
		[CAUSE_BUFFER] = "the buffer is full",
		[CAUSE_FALLBACK] = "another address of the name is left",
	};

	return words[cause];
}

static const char *unmanaged_reason(const struct explanation *explanation)
{
	const struct policy *policy = explanation->file.policy;

	if (explanation->rule != RULE_NONE &&
	    policy_rule(policy, explanation->rule)->action == ACTION_BYPASS)
		return "the rule's action is bypass: errors are passed on as they are";
	if (explanation->target.kind == ENDPOINT_UNIX && explanation->rule == RULE_NONE)
		return "no rule has a path for it: AF_UNIX is left alone then";
	if (explanation->target.kind == ENDPOINT_UDP)
		return "UDP is counted and never retried";
	return NULL;
}

static void outcome_find(struct explanation *explanation)
{
	const struct policy *policy = explanation->file.policy;
	const struct policy_settings *settings;
	int family = explanation->target.kind == ENDPOINT_UNIX ? AF_UNIX
		     : explanation->target.address_count &&
				     !explanation->target.addresses[0].is_ipv6
			     ? AF_INET
			     : AF_INET6;

	explanation->operation = explanation->error > 0 ? OPERATION_CONNECT : OPERATION_RESOLVE;
	explanation->destination = explanation_destination(
		explanation, explanation->operation == OPERATION_RESOLVE
				     ? explanation->target.address_count
				     : 0);
	explanation->rule = policy_rule_find(policy, &explanation->destination);
	explanation->unmanaged = unmanaged_reason(explanation);
	settings = policy_settings(policy, explanation->rule);
	explanation->category = explanation->error > 0
					? policy_classify(settings, family, explanation->error)
					: policy_classify_eai(settings, explanation->error);
	explanation->decision = settings->strategies[explanation->category].decision;
	schedule_make(&explanation->schedule, policy, explanation->rule, explanation->operation,
		      explanation->category, explanation->error);
}

/* Progress codes of a connect that goes on or has succeeded: nothing has failed. */
static bool error_is_none(int error)
{
	return error == EINTR || error == EINPROGRESS || error == EALREADY || error == EISCONN;
}

static int explanation_make(struct explanation *explanation, const struct arguments *arguments)
{
	char error[POLICY_LINE_SIZE];
	int result;

	if (!error_word_parse(arguments->error, &explanation->error)) {
		fprintf(stderr,
			"holdfast explain: \"%s\", expected the name or number of an error "
			"such as ECONNREFUSED or EAI_AGAIN\n",
			arguments->error);
		return usage_error("explain");
	}
	if (error_is_none(explanation->error)) {
		fprintf(stderr, "holdfast explain: %s is no failure, and never retried\n",
			arguments->error);
		return EX_USAGE;
	}
	result = policy_load(explanation,
			     arguments->policy ? arguments->policy : getenv("HOLDFAST_POLICY"));
	if (result)
		return result;
	if (!target_parse(&explanation->target, arguments->target, error, sizeof(error))) {
		fprintf(stderr, "holdfast explain: %s\n", error);
		return usage_error("explain");
	}
	program_set(explanation, arguments->program);
	explanation->host = arguments->host;
	if (!explanation->host && explanation->target.host[0] && !explanation->target.is_numeric)
		explanation->host = explanation->target.host;
	outcome_find(explanation);
	return EX_OK;
}

int explain_main(int argc, char *argv[])
{
	static struct explanation explanation; /* too large for a stack */
	struct arguments arguments = { 0 };
	int result;

	if (!options_parse(&arguments, argc, argv))
		return usage_error("explain");
	result = explanation_make(&explanation, &arguments);
	if (result == EX_OK) {
		if (!arguments.json)
			explanation_show_text(&explanation);
		else if (!explanation_show_json(&explanation))
			result = EX_OSERR;
		if (fflush(stdout) || ferror(stdout))
			result = EX_IOERR;
	}
	policy_file_free(&explanation.file);
	return result;
}
