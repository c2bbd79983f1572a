#!/bin/bash
# SPDX-License-Identifier: MIT
# Lookups are held through EAI_AGAIN and counted as operations of their own; their results reach
# the program unchanged, and tell holdfast which addresses a name has.
. "$(dirname "$0")/../lib.sh"
printf '127.0.0.1 localhost\n127.0.0.1 four.test\n::1 six.test\n' >"$TMPDIR/hosts"
enter_hosts "$TMPDIR/hosts" "$@"

fakedns=$TMPDIR/libfakedns.so
"${CC:-cc}" -std=gnu11 -D_GNU_SOURCE -Wall -Wextra -fPIC -shared -o "$fakedns" \
	"$TOP/tests/shim/preload/fakedns.c" || fail "fakedns.c compiles"

SHIM=$SHIM:$fakedns "$BUILD/tests/shim/resolve" >"$TMPDIR/cases"
sed '/^1\.\./d' "$TMPDIR/cases"
lib_count=$(grep -cE '^(not )?ok ' "$TMPDIR/cases")
lib_failed=$(grep -c '^not ok ' "$TMPDIR/cases")
is "$(sed -n 's/^1\.\.//p' "$TMPDIR/cases")" "$lib_count" "all cases ran"

# events_of CASE: what one case of the program leaves behind, an event a line.
events_of() {
	local policy='{ "version": 1, "defaults": { "strategies": { "temporary": {
		"decision": "backoff", "max_retries": 3, "base_delay": "100ms", "backoff_factor": 1,
		"jitter": 0 } } } }'
	export HOLDFAST_STATE_DIR=$TMPDIR/events-$1
	LD_PRELOAD=$SHIM:$fakedns HOLDFAST_POLICY=$policy "$BUILD/tests/shim/resolve" "$1" >&2
	"$HOLDFAST" events --json |
		jq -r '[.event, .operation, .endpoint, .error, .attempt] |
			map(tostring) | join(" ")'
}

is "$(events_of "EAI_AGAIN is waited out")" \
	"resolve_retry resolve name:late.test EAI_AGAIN 1
resolve_retry resolve name:late.test EAI_AGAIN 2
resolve_recovered resolve name:late.test null 3" "events of a lookup that recovers"
like "$(events_of "EAI_AGAIN for ever: told after max_retries")" \
	"resolve_retry resolve name:dead.test EAI_AGAIN 3
resolve_failed resolve name:dead.test EAI_AGAIN 4" "events of one that does not"
HOLDFAST_STATE_DIR="$TMPDIR/events-EAI_AGAIN is waited out"
is "$(stats_value recovered name:late.test)" 1 "statistics are by the name"
done_testing
