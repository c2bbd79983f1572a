#!/bin/bash
# SPDX-License-Identifier: MIT
# `holdfast check` reports every error of every file, one a line, with codes of sysexits.h.
. "$(dirname "$0")/../lib.sh"
cd "$TMPDIR" || exit 1

cat >good.json <<'EOF'
{ "version": 1, "profile": "production",
  "rules": [ { "name": "dns", "match": { "ports": [53] }, "action": "bypass" },
             { "name": "rest" } ] }
EOF
echo '{ "version": 1, "rules": [ { "name": "one" } ] }' >one.json
cat >bad.json <<'EOF'
{ "version": 1,
  "defaults": { "connect": { "deadline": 5 } },
  "rules": [ { "name": "a", "match": { "portz": [53] } } ] }
EOF
printf '{ "version": 1,\n  "rules": [ }\n' >broken.json

capture "$HOLDFAST" check good.json
is "$STATUS" 0 "a good file: exit code"
is "$OUT" "good.json: valid: 2 rules, profile production" "a good file: the line"
is "$ERR" "" "a good file: nothing on standard error"
capture "$HOLDFAST" check one.json
is "$OUT" "one.json: valid: 1 rule, profile standard" "one rule, no profile named"

capture "$HOLDFAST" check bad.json
is "$STATUS" 65 "a bad file: EX_DATAERR"
is "$OUT" "" "a bad file: nothing on standard output"
is "$(wc -l <<<"$ERR")" 2 "a bad file: both of its errors in one run"
like "$ERR" 'bad\.json: \$\.defaults\.connect\.deadline: .*5.*"5s"' \
	"a number without a unit: where, what, the right spelling"
like "$ERR" 'bad\.json: \$\.rules\[0\]\.match\.?.*portz.*ports' \
	"an unknown key: where, what, the nearest"

capture "$HOLDFAST" check broken.json
is "$STATUS" 65 "no JSON: EX_DATAERR"
like "$ERR" '^broken\.json:2' "no JSON: the line of the error"

capture "$HOLDFAST" check nosuch.json
is "$STATUS" 66 "a missing file: EX_NOINPUT"
is "$ERR" "nosuch.json: no such file and no shipped profile" "a missing file: the line"
capture "$HOLDFAST" check ./nosuch.json
is "$ERR" "./nosuch.json: No such file or directory" "a missing path: the line"
capture "$HOLDFAST" check .
like "$STATUS $ERR" '^66 \.: is a directory' "a directory"
capture "$HOLDFAST" check prodution
is "$ERR" 'prodution: no such file and no shipped profile, the nearest is "production"' \
	"a shipped profile misspelt"

capture "$HOLDFAST" check good.json nosuch.json bad.json one.json
is "$STATUS" 65 "several files: a bad one decides"
is "$OUT" "good.json: valid: 2 rules, profile production
one.json: valid: 1 rule, profile standard" "several files: the good ones are all named"
capture "$HOLDFAST" check good.json nosuch.json
is "$STATUS" 66 "several files: one missing"

capture "$HOLDFAST" check - <good.json
is "$STATUS $OUT" "0 -: valid: 2 rules, profile production" "standard input"
capture "$HOLDFAST" check - <bad.json
like "$STATUS $ERR" '^65 -: \$' "standard input with errors"
capture "$HOLDFAST" check "$(cat bad.json)"
like "$STATUS $ERR" '^65 HOLDFAST_POLICY: \$' "the JSON itself"
capture "$HOLDFAST" check
is "$STATUS" 64 "no file is wrong usage"

head -c $((1024 * 1024 + 1)) /dev/zero | tr '\0' ' ' >large.json
capture "$HOLDFAST" check large.json
is "$STATUS $ERR" "66 large.json: is longer than 1048576 bytes" "a file beyond the limit"

if [ -e /dev/full ]; then
	"$HOLDFAST" check good.json >/dev/full
	is $? 74 "output that cannot be written is EX_IOERR"
fi
is "$(find "$HOLDFAST_STATE_DIR" -type f 2>/dev/null)" "" "check writes nothing into the store"

for profile in "$TOP"/policy/profiles/*.json; do
	name=$(basename "$profile" .json)
	check "profile $name, as a file" "$HOLDFAST" check "$profile"
	check "profile $name, by name" "$HOLDFAST" check "$name"
done

done_testing
