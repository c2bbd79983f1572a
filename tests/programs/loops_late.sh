#!/bin/bash
# SPDX-License-Identifier: MIT
# Programs built on event loops, and blocking ones with timers, whose server comes 2 s after they
# asked for it: by address, and by a name with two addresses with the server on the first, the last
# or both. Each program that reaches such a server when it is up from the start reaches it late.
# TIMEOUT: 300
. "$(dirname "$0")/../lib.sh"
. "$TOP/tests/programs/loops.bash"
enter_world "$@"

at_once=6
late_seconds=2
placements=(literal first last all)
declare -A columns=([literal]="late" [first]="late on the first" [last]="late on the last"
	[all]="late on both")
write_policy "$work/patient.json" 60 200ms 1

# Without holdfast and the server up, then under it and the server late.
job() {
	local name=$1
	place "$2"
	start_server "${name}_server"
	wait_for_port "$PORT" >"$result.server"
	client_run "$name"
	job_save "$result.bare"
	stop_server
	PORT=$SECOND_PORT
	start_server server_after_attempt "$late_seconds" "${name}_server"
	HOLDFAST_POLICY=$work/patient.json client_run "$name" hf
	sum "$EPOCHREALTIME" "-$(cat "$result.began" 2>/dev/null)" >"$result.after"
	job_save "$result.ours"
}

judge() {
	local name=$1 placement=$2 what="$1, late, $2" result=$work/result-$1-$2 status words
	local bare_seconds failed_before=$lib_failed
	job_load "$result.bare"
	status=$STATUS words=$WORDS bare_seconds=$SECONDS_TAKEN
	case $placement in
	literal | all) is "$REACHED" yes "$what: reached without holdfast when it is up" ;;
	esac
	[ "$lib_failed" -eq "$failed_before" ] || diag "$words"
	if [ "$REACHED" = no ]; then
		# The program knows one address only, and the server is on the other.
		job_load "$result.ours"
		is "$STATUS" "$status" "$what: exit code as without holdfast"
		is "$WORDS" "$words" "$what: words as without holdfast"
		judged "$name" "${columns[$placement]}" "$failed_before" same
		return
	fi
	job_load "$result.ours"
	is "$REACHED $STATUS" "yes $status" "$what: reached"
	if [ "$placement" = literal ]; then
		is "$(counter recovered)" 1 "$what: one operation recovered"
	else
		at_least "$(($(counter recovered) + $(counter fallbacks)))" 1 "$what: held"
	fi
	is "$(counter failures)" 0 "$what: no failure was told"
	at_least "$SECONDS_TAKEN" "$late_seconds" "$what: not before its server"
	at_most_about "$(cat "$result.after")" "$bare_seconds" "$what: soon after its server"
	[ "$lib_failed" -eq "$failed_before" ] ||
		diag "$WORDS" "$(jq -c .totals <<<"$STATS")"
	judged "$name" "${columns[$placement]}" "$failed_before" recovered
}

is "$(getent ahosts both.test | awk '$2 == "STREAM" { print $1 }' | xargs)" "::1 127.0.0.1" \
	"both.test: addresses in order"
ready_programs
cases=()
for name in "${ready[@]}"; do
	for placement in "${placements[@]}"; do
		cases+=("$name $placement")
	done
done
run_jobs "$at_once" job "${cases[@]}"
for case in "${cases[@]}"; do
	# shellcheck disable=SC2086 # two words
	judge $case
done
print_table "late" "late on the first" "late on the last" "late on both"
done_testing
