#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Proves that the JSON Schema accepts every shipped profile and the example policy, and
# refuses what the compiler refuses, but for what a schema cannot say.
. "$(dirname "$0")/../lib.sh"

"$PYTHON" -c 'import jsonschema' 2>/dev/null ||
	skip_all "python3-jsonschema is not installed"

# validate POINTER FILE: 0 valid, 1 not, 2 no JSON.
validate() {
	"$PYTHON" - "$TOP/policy/schema.json" "$1" "$2" <<-'END'
		import json
		import sys
		import jsonschema

		with open(sys.argv[1], encoding="utf-8") as file:
		    schema = json.load(file)
		jsonschema.Draft7Validator.check_schema(schema)
		if sys.argv[2]:
		    schema["properties"] = schema["definitions"][sys.argv[2]]["properties"]
		    schema["required"] = schema["definitions"][sys.argv[2]]["required"]
		try:
		    with open(sys.argv[3], encoding="utf-8") as file:
		        policy = json.load(file)
		except ValueError:
		    sys.exit(2)
		for error in jsonschema.Draft7Validator(schema).iter_errors(policy):
		    print(error.json_path, error.message)
		    sys.exit(1)
	END
}

for profile in "$TOP"/policy/profiles/*.json; do
	name=$(basename "$profile" .json)
	kind=profile
	if [ "$name" = standard ]; then kind=standard; fi
	check "profile $name is valid" validate $kind "$profile"
done
# Only `standard` ships rules, and they have neither a pool nor settings.
like "$(validate profile "$TOP/policy/profiles/standard.json")" "'rules' was unexpected" \
	"rules in another profile are refused"
sed 's/"action": "bypass"/"action": "bypass", "connect": {}/' \
	"$TOP/policy/profiles/standard.json" >"$TMPDIR/settings.json"
like "$(validate standard "$TMPDIR/settings.json")" "rules\[0\].*'connect' was unexpected" \
	"settings in a shipped rule are refused"
check "the example policy is valid" validate "" "$TOP/tests/policy/example.json"

# What needs a look at two values, at a list of names, or at more than a pattern can hold.
beyond_a_schema="
base-above-max max-below-merged-base zero-base decision-needs-base overlap-above-buffer record-above-buffer
classify-unknown-error classify-no-failure classify-twice classify-eai-system
duration-too-long duration-too-short ports-reversed host-bits
prefix-too-long paths-and-ports duplicate-rule-name unknown-pool misspelt-pool
duplicate-key pool-twice nul-escape lone-surrogate half-surrogate"

refused=0
for policy in "$TOP"/tests/policy/malformed/*.json; do
	name=$(basename "$policy" .json)
	case " ${beyond_a_schema//$'\n'/ } " in *" ${name#*-} "*) continue ;; esac
	output=$(validate "" "$policy" 2>&1)
	status=$?
	case $status in
	1 | 2) refused=$((refused + 1)) ;;
	*) fail "$name is refused" "exit code $status" "$output" ;;
	esac
done
at_least "$refused" 60 "the schema refuses the malformed policies"

done_testing
