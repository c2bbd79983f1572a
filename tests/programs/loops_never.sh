#!/bin/bash
# SPDX-License-Identifier: MIT
# Programs built on event loops, and blocking ones with timers, whose server never comes: by
# address and by a name with two addresses, each ends as without holdfast, after one budget for
# every connect that it makes by itself.
# TIMEOUT: 240
. "$(dirname "$0")/../lib.sh"
. "$TOP/tests/programs/loops.bash"
enter_world "$@"

at_once=6
write_policy "$work/short.json" 3 300ms 2
budget_ms=2100 # 300, 600, 1200
slack_ms=1800  # less than a second budget

job() {
	local leaves=${1}_leaves silent=
	place "$2"
	# The first address is held for longer than such a program stays with one.
	if [ "$2" = name ] && [ -n "${!leaves:-}" ]; then
		silent=yes ADDRESSES=(::1)
		start_server silent_server
		wait_for_port "$PORT" >"$result.server"
	fi
	client_run "$1"
	job_save "$result.bare"
	[ -z "$silent" ] || stop_server
	HOLDFAST_POLICY=$work/short.json client_run "$1" hf
	job_save "$result.ours"
}

judge() {
	local name=$1 what="$1, never, by $2" result=$work/result-$1-$2 status words bare_seconds
	local tries=${1}_tries parallel=${1}_parallel failed_before=$lib_failed
	tries=${!tries:-1}
	job_load "$result.bare"
	status=$STATUS words=$WORDS bare_seconds=$SECONDS_TAKEN
	is "$REACHED" no "$what: without holdfast nothing is reached"
	job_load "$result.ours"
	is "$STATUS" "$status" "$what: exit code as without holdfast"
	is "$WORDS" "$words" "$what: words as without holdfast"
	at_least "$SECONDS_TAKEN" "${budget_ms}e-3" "$what: a budget is spent"
	at_most "$SECONDS_TAKEN" "$(sum "$bare_seconds" "$bare_seconds" \
		"$((tries * budget_ms + slack_ms))e-3")" "$what: and no more"
	at_least "$(counter failures)" 1 "$what: counted as failed"
	if [ "$2" = name ] && [ -n "${!parallel:-}" ]; then
		at_most "$(counter retries)" "$((3 * ${!parallel} * tries))" "$what: with retries for each address"
	else
		# Rounds over the name are what is counted.
		is "$(counter retries)" "$((3 * tries))" "$what: with all its retries"
	fi
	[ "$lib_failed" -eq "$failed_before" ] || diag "$(jq -c .totals <<<"$STATS")"
	judged "$name" never "$failed_before" same
}

ready_programs
cases=()
for name in "${ready[@]}"; do
	cases+=("$name literal" "$name name")
done
run_jobs "$at_once" job "${cases[@]}"
for case in "${cases[@]}"; do
	# shellcheck disable=SC2086 # two words
	judge $case
done
print_table never
done_testing
