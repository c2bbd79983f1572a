#!/bin/bash
# SPDX-License-Identifier: MIT
# Programs built on event loops, and blocking ones with timers, by a name with two addresses and
# a server that is up from the start, on the first, the last or both: each says and does what it
# does without holdfast, nothing is held, and at most 5 ms are added.
# TIMEOUT: 400
# SERIAL
. "$(dirname "$0")/../lib.sh"
. "$TOP/tests/programs/loops.bash"
enter_world "$@"

at_once=2 # one for each processor of a small machine; those with many threads alone
placements=(first last all)
rounds_least=3
rounds_most=60 # of the timing; the machine's noise only ever adds time
rounds_us=20000000
added_us=5000
noise=10 # a tenth of a run: java and git compute for longer than 5 ms, and never equally long
# Should anything be held after all, then not for long.
export HOLDFAST_BASE_DELAY=100ms HOLDFAST_MAX_RETRIES=3

# least_of VARIABLE PREFIX...: one run of $name; VARIABLE is its time in us if that is the least.
least_of() {
	local -n least=$1
	local begin us
	shift
	begin=${EPOCHREALTIME/./}
	"${name}_client" "$@" >/dev/null 2>&1 </dev/null
	us=$((${EPOCHREALTIME/./} - begin))
	[ "$us" -gt "$least" ] || least=$us
}

# What may be with holdfast, of a run that takes $1 us without.
limit_us() {
	echo $(($1 + $1 / noise + added_us))
}

job() {
	local name=$1 ipv4=${1}_ipv4 i began with=999999999 without=999999999
	place "$2"
	start_server "${name}_server"
	wait_for_port "$PORT" >"$result.server"
	client_run "$name"
	job_save "$result.bare"
	client_run "$name" hf
	job_save "$result.ours"
	# See judge().
	if [ "$2" = first ] && [ -n "${!ipv4:-}" ]; then return; fi
	# With each, turn by turn, until the quickest ones are close enough.
	began=${EPOCHREALTIME/./}
	for ((i = 0; i < rounds_most; i++)); do
		[ "$((${EPOCHREALTIME/./} - began))" -lt "$rounds_us" ] || break
		least_of without env -u LD_PRELOAD
		least_of with env "LD_PRELOAD=$SHIM"
		[ "$i" -lt "$rounds_least" ] || [ "$with" -gt "$(limit_us "$without")" ] || break
	done
	echo "with=$with without=$without" >"$result.times"
}

judge() {
	local name=$1 what="$1, up on $2" result=$work/result-$1-$2 status words reached
	local with=0 without=0 failed_before=$lib_failed varies=${1}_varies ipv4=${1}_ipv4
	job_load "$result.bare"
	status=$STATUS words=$WORDS reached=$REACHED
	[ "$2" != all ] || is "$reached" yes "$what: reached without holdfast"
	job_load "$result.ours"
	is "$REACHED $STATUS" "$reached $status" "$what: reached, and exit code, as without holdfast"
	[ -n "${!varies:-}" ] || is "$WORDS" "$words" "$what: words as without holdfast"
	at_least "$(counter operations)" 1 "$what: managed"
	if [ "$2" = first ] && [ -n "${!ipv4:-}" ]; then
		# It never hears of the address that answers, nor can holdfast from it.
		at_least "$(counter failures)" 1 "$what: held, and failed"
		judged "$name" up "$failed_before" same
		return
	fi
	# shellcheck disable=SC1090 # written by the job
	. "$result.times"
	at_most "$(counter backoff_seconds)" 0 "$what: nothing is held"
	# What loading costs is in it, and measured finely by `make bench`.
	at_most "$with" "$(limit_us "$without")" \
		"$what: at most 5 ms more ($without us without, $with us with)"
	[ "$lib_failed" -eq "$failed_before" ] || diag "$(jq -c .totals <<<"$STATS")"
	judged "$name" up "$failed_before" same
}

ready_programs
cases=() alone=()
for name in "${ready[@]}"; do
	threads=${name}_threads
	for placement in "${placements[@]}"; do
		if [ -z "${!threads:-}" ]; then
			cases+=("$name $placement")
		else
			alone+=("$name $placement")
		fi
	done
done
run_jobs "$at_once" job "${cases[@]}"
run_jobs 1 job "${alone[@]}"
for case in "${cases[@]}" "${alone[@]}"; do
	# shellcheck disable=SC2086 # two words
	judge $case
done
print_table up
done_testing
