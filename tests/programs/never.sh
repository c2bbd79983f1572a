#!/bin/bash
# SPDX-License-Identifier: MIT
# A server that never comes up: after the policy's retries a program ends with the exit code
# and the words that it would have had at once without holdfast.
# TIMEOUT: 180
. "$(dirname "$0")/../lib.sh"
. "$TOP/tests/programs/table.bash"

cat >"$work/policy.json" <<'EOT'
{
	"version": 1,
	"defaults": {
		"strategies": {
			"network": {
				"decision": "backoff", "max_retries": 2, "base_delay": "100ms",
				"max_delay": "1s", "backoff_factor": 2.0, "jitter": 0
			}
		}
	}
}
EOT
budget_seconds=0.3 # 100 ms and 200 ms
attempts_each=3

# What differs from run to run whatever it is run under: dates and process ids.
normalise() {
	sed -E -e 's/[0-9]{4}[-\/][0-9]{2}[-\/][0-9]{2} [0-9:]{8}/DATE/g' \
		-e 's/socat\[[0-9]+\]/socat[PID]/g'
}

for name in "${programs[@]}"; do
	if reason=$(program_missing "$name"); then
		skip "$name" "$reason"
		continue
	fi
	if ! program_setup "$name"; then
		fail "$name: setup"
		continue
	fi
	free_port
	export HOLDFAST_STATE_DIR=$work/state-$name
	capture run_with_timeout 30 "${name}_client"
	expected_status=$STATUS
	expected=$(normalise <<<"$OUT"$'\n'"$ERR")
	bare_seconds=$SECONDS_TAKEN
	HOLDFAST_POLICY=$work/policy.json capture run_with_timeout 30 "${name}_client" hf
	is "$STATUS" "$expected_status" "$name: exit code as without holdfast"
	is "$(normalise <<<"$OUT"$'\n'"$ERR")" "$expected" "$name: words as without holdfast"
	at_least "$SECONDS_TAKEN" "$budget_seconds" "$name: not before the policy's budget"
	endpoint=tcp:127.0.0.1:$PORT
	failures=$(stats_value failures "$endpoint")
	# A program may try again by itself; each of its connects has a budget.
	at_least "${failures:-0}" 1 "$name: counted as failed"
	at_most "$SECONDS_TAKEN" \
		"$(awk -v b="$bare_seconds" -v f="${failures:-0}" 'BEGIN { print b + 2 + f * 0.5 }')" \
		"$name: no longer than the policy's budget"
	is "$(stats_value attempts "$endpoint")" $((${failures:-0} * attempts_each)) \
		"$name: $attempts_each attempts an operation"
	is "$(stats_value retries_denied.limit "$endpoint")" "${failures:-0}" \
		"$name: denied by the limit"
done
done_testing
