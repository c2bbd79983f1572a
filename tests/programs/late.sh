#!/bin/bash
# SPDX-License-Identifier: MIT
# Programs that block in connect() and are started while their server is down succeed when
# it comes up, 2 s after their first attempt, with their usual output, and the store says:
# one operation recovered, none failed.
# TIMEOUT: 240
. "$(dirname "$0")/../lib.sh"
. "$TOP/tests/programs/table.bash"

at_once=3 # programs that run at the same time
late_seconds=2

# run_late NAME: leaves what happened in $work/NAME.result, to be read by the caller's shell.
run_late() {
	local name=$1 client begin=${EPOCHREALTIME/./} i attempted=no
	export HOLDFAST_STATE_DIR=$work/state-$name
	"${name}_client" hf >"$work/$name.out" 2>&1 </dev/null &
	client=$!
	for i in {1..300}; do
		if "$HOLDFAST" stats --json 2>/dev/null |
			grep -qE '"attempt_failures":[[:space:]]*[1-9]'; then
			attempted=yes
			break
		fi
		kill -0 "$client" 2>/dev/null || break
		sleep 0.1
	done
	late "$late_seconds" "${name}_server"
	wait "$client"
	local status=$? end=${EPOCHREALTIME/./} endpoint=tcp:127.0.0.1:$PORT
	{
		echo "attempted=$attempted status=$status"
		echo "milliseconds=$(((end - begin) / 1000))"
		echo "recovered='$(stats_value recovered "$endpoint")'"
		echo "operations='$(stats_value operations "$endpoint")'"
		echo "succeeded='$(stats_value succeeded "$endpoint")'"
		echo "failures='$(stats_value failures)'"
	} >"$work/$name.result" 2>"$work/$name.problem"
	stop_server
}

judge() {
	local name=$1 expects=${1}_expects
	local attempted='' status='' milliseconds='' recovered='' operations='' succeeded='' failures=''
	# shellcheck disable=SC1090 # written by run_late
	. "$work/$name.result"
	is "$attempted" yes "$name: held at its first failure"
	is "$status" 0 "$name: exit code 0 with the server $late_seconds s late"
	like "$(grep -E "${!expects}" "$work/$name.out" || cat "$work/$name.out" "$work/$name.problem")" \
		"${!expects}" "$name: its proper output"
	is "$recovered" 1 "$name: one operation recovered"
	is "$operations $succeeded $failures" \
		"$(program_operations "$name") $(program_operations "$name") 0" \
		"$name: operations, succeeded, failures"
	# The second retry of `standard` comes 3.3 s after the start at the latest; the rest is
	# for slow starters. The third would come after 6.3 s.
	at_least "$milliseconds" "$((late_seconds * 1000))" "$name: not before its server"
	at_most "$milliseconds" 9000 "$name: soon after its server"
}

ready=()
for name in "${programs[@]}"; do
	if reason=$(program_missing "$name"); then
		skip "$name" "$reason"
		continue
	fi
	if ! program_setup "$name"; then
		fail "$name: setup"
		continue
	fi
	ready+=("$name")
done

for ((i = 0; i < ${#ready[@]}; i += at_once)); do
	jobs=()
	for name in "${ready[@]:i:at_once}"; do
		free_port
		(
			lib_servers=() lib_own_tmpdir=
			trap lib_exit EXIT
			run_late "$name"
		) &
		jobs+=($!)
	done
	wait "${jobs[@]}"
done
for name in "${ready[@]}"; do
	judge "$name"
done
done_testing
