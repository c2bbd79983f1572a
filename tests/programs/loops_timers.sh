#!/bin/bash
# SPDX-License-Identifier: MIT
# A program's own connect timer is never exceeded: a server that refuses for longer than that
# is, under holdfast, what a silent one is without: the same words at the same time. What was
# given up before the policy's limits is counted as abandoned.
# TIMEOUT: 240
. "$(dirname "$0")/../lib.sh"
. "$TOP/tests/programs/loops.bash"
enter_world "$@"

at_once=6
slack_seconds=1.0
write_policy "$work/patient.json" 60 200ms 1
# Those without a timer for connecting of their own, or of the test's.
untimed=" git_https redis_cli mosquitto_sub "

# Without holdfast a silent server, then under it one that never comes.
job_timer() {
	TIMER=$2
	place literal
	start_server silent_server
	wait_for_port "$PORT" >"$result.server"
	client_run "$1"
	job_save "$result.bare"
	stop_server
	HOLDFAST_POLICY=$work/patient.json client_run "$1" hf
	job_save "$result.ours"
}

judge_timer() {
	local name=$1 what="$1, timer" result=$work/result-$1-$2 status words bare_seconds
	local failed_before=$lib_failed
	job_load "$result.bare"
	status=$STATUS words=$WORDS bare_seconds=$SECONDS_TAKEN
	is "$REACHED" no "$what: without holdfast nothing is reached"
	at_least "$bare_seconds" "$2" "$what: without holdfast the timer runs out"
	job_load "$result.ours"
	is "$STATUS" "$status" "$what: exit code as at a silent server"
	is "$WORDS" "$words" "$what: words as at a silent server"
	at_least "$SECONDS_TAKEN" "$2" "$what: not before the timer"
	at_most "$SECONDS_TAKEN" "$(sum "$bare_seconds" "$slack_seconds")" "$what: and not after it"
	at_least "$(counter abandoned)" 1 "$what: counted as abandoned"
	is "$(counter failures)" 0 "$what: not as failed"
	[ "$lib_failed" -eq "$failed_before" ] || diag "$(jq -c .totals <<<"$STATS")"
	judged "$name" "own timer" "$failed_before" kept
}

# A first address that is silent and a last one that is up: whoever tries them side by side, or
# leaves the first after a while of its own, does so under holdfast, and no later.
side_by_side=" curl git_https node_http "
job_silent() {
	HOST=both.test ADDRESSES=(::1)
	start_server silent_server
	wait_for_port "$PORT" >"$result.server"
	ADDRESSES=(127.0.0.1)
	start_server "${1}_server"
	until nc.openbsd -z 127.0.0.1 "$PORT"; do sleep 0.05; done
	client_run "$1"
	job_save "$result.bare"
	client_run "$1" hf
	job_save "$result.ours"
}

judge_silent() {
	local what="$1, first address silent" result=$work/result-$1-silent bare_seconds
	job_load "$result.bare"
	bare_seconds=$SECONDS_TAKEN
	is "$REACHED" yes "$what: without holdfast the last is reached"
	job_load "$result.ours"
	is "$REACHED" yes "$what: under holdfast too"
	at_most "$SECONDS_TAKEN" "$(sum "$bare_seconds" "$slack_seconds")" "$what: and no later"
}

# node leaves an address after 250 ms: the first is held no longer, the last until the server comes.
job_node() {
	HOST=both.test ADDRESSES=(::1 127.0.0.1)
	start_server server_after_attempt 1 "${1}_server"
	HOLDFAST_POLICY=$work/patient.json client_run "$1" hf
	job_save "$result.ours"
	"$HOLDFAST" events --json >"$result.events"
}

judge_node() {
	local result=$work/result-$1-node held failed_before=$lib_failed
	job_load "$result.ours"
	is "$REACHED" yes "$1: reached through an address that it gave up, or the last"
	held=$(jq -s 'def ms: (.time[0:19] + "Z" | fromdate) * 1000 + (.time[20:23] | tonumber);
		map(select(.endpoint | startswith("tcp:[::1]"))) |
		(map(select(.event == "abandoned"))[0] | ms) - (.[0] | ms)' "$result.events")
	at_least "$held" 150 "$1: the first address is held"
	at_most "$held" 600 "$1: for the 250 ms that it gives an address"
	[ "$lib_failed" -eq "$failed_before" ] || diag "$(cat "$result.events")"
}

job() {
	case $2 in
	silent) job_silent "$1" ;;
	node) job_node "$1" ;;
	*) job_timer "$1" "$2" ;;
	esac
}

ready_programs
cases=()
for name in "${ready[@]}"; do
	if [[ $untimed == *" $name "* ]]; then
		cells["$name,own timer"]=none
	elif [ "$name" = psql ]; then
		cases+=("$name 2") # the least that it takes
	else
		cases+=("$name 1")
	fi
	[[ $side_by_side != *" $name "* ]] || cases+=("$name silent")
	[ "$name" != node_http ] || cases+=("$name node")
done
run_jobs "$at_once" job "${cases[@]}"
for case in "${cases[@]}"; do
	case $case in
	*" silent") judge_silent "${case% *}" ;;
	*" node") judge_node "${case% *}" ;;
	*) judge_timer "${case% *}" "${case#* }" ;;
	esac
done
print_table "own timer"
done_testing
