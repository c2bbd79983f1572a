#!/bin/bash
# SPDX-License-Identifier: MIT
# A name with two addresses and a server that comes 2 s late, on the first, the last or both:
# each program that reaches such a server when it is up from the start reaches it late, under
# `probe` and, where it goes on to the next address by itself, under `walk`. If no server comes,
# it ends after one budget, however many addresses there are, and with its usual words.
# TIMEOUT: 300
. "$(dirname "$0")/../lib.sh"
. "$TOP/tests/programs/names.bash"
write_hosts "$TMPDIR/hosts"
enter_hosts "$TMPDIR/hosts" "$@"

at_once=6 # programs that run at the same time
late_seconds=2
walkers=" wget git ssh python3 w3m "

# write_policy FILE SIBLINGS RETRIES DELAY FACTOR
write_policy() {
	cat >"$1" <<-EOT
		{ "version": 1, "defaults": {
			"connect": { "siblings": "$2" },
			"strategies": { "network": { "decision": "backoff", "max_retries": $3,
				"base_delay": "$4", "max_delay": "1h",
				"backoff_factor": $5, "jitter": 0 } } } }
	EOT
}

for siblings in probe walk; do
	write_policy "$work/patient-$siblings.json" "$siblings" 60 200ms 1
	write_policy "$work/short-$siblings.json" "$siblings" 3 300ms 2
done
budget_seconds=2.1 # 300 ms, 600 ms, 1.2 s

# Each run is a job of its own: its result is left in a file, to be judged by the script.
job_save() {
	printf 'STATUS=%q REACHED=%q SECONDS_TAKEN=%q WORDS=%q STATS=%q\n' "$STATUS" "$REACHED" \
		"$SECONDS_TAKEN" "$WORDS" "$("$HOLDFAST" stats --json 2>/dev/null)" >"$1"
}

# job NAME HOST PLACEMENT SIBLINGS: without holdfast and the server up, then late under it; or,
# PLACEMENT being none, both without any server.
job() {
	local name=$1 placement=$3 siblings=$4 kind=patient
	HOST=$2
	result=$work/result-$name-$HOST-$placement-$siblings
	export HOLDFAST_STATE_DIR=$result.state TMPDIR=$result.tmp
	mkdir -p "$TMPDIR"
	if [ "$placement" = none ]; then
		kind=short
	else
		place "$HOST" "$placement"
		start_server "${name}_server"
		wait_for_port "$PORT" >"$result.server"
	fi
	client_run "$name"
	job_save "$result.bare"
	if [ "$placement" != none ]; then
		stop_server
		PORT=$SECOND_PORT
		late "$late_seconds" "${name}_server"
	fi
	HOLDFAST_POLICY=$work/$kind-$siblings.json client_run "$name" hf
	job_save "$result.ours"
}

# job_load FILE: sets the variables of job_save.
job_load() {
	STATUS='' REACHED='' SECONDS_TAKEN='' WORDS='' STATS=''
	# shellcheck disable=SC1090 # written by job_save
	. "$1"
}

counter() {
	jq ".totals.$1" <<<"$STATS"
}

judge_late() {
	local what="$1, $2, $4, late on $3" result=$work/result-$1-$2-$3-$4 status words
	job_load "$result.bare"
	status=$STATUS words=$WORDS
	[ "$3" != all ] || is "$REACHED" yes "$what: reached without holdfast when it is up"
	if [ "$REACHED" = no ]; then
		# The program knows one address only, and the server is on the other.
		job_load "$result.ours"
		is "$STATUS" "$status" "$what: exit code as without holdfast"
		is "$WORDS" "$words" "$what: words as without holdfast"
		return
	fi
	job_load "$result.ours"
	is "$REACHED $STATUS" "yes $status" "$what: reached"
	[ "$REACHED" = yes ] || diag "$WORDS" "$(jq -c .totals <<<"$STATS")"
	at_least "$(($(counter recovered) + $(counter fallbacks)))" 1 "$what: held"
	is "$(counter failures)" 0 "$what: no failure was told"
	at_least "$SECONDS_TAKEN" "$late_seconds" "$what: not before its server"
	at_most "$SECONDS_TAKEN" 7 "$what: soon after its server"
}

judge_never() {
	local what="$1, $2, $4, never" result=$work/result-$1-$2-none-$4 status words bare_seconds
	job_load "$result.bare"
	status=$STATUS words=$WORDS bare_seconds=$SECONDS_TAKEN
	is "$REACHED" no "$what: without holdfast nothing is reached"
	job_load "$result.ours"
	is "$STATUS" "$status" "$what: exit code as without holdfast"
	is "$WORDS" "$words" "$what: words as without holdfast"
	at_least "$SECONDS_TAKEN" "$budget_seconds" "$what: a budget is spent"
	at_most "$SECONDS_TAKEN" \
		"$(awk -v a="$bare_seconds" -v b="$budget_seconds" 'BEGIN { print a + b + 1.8 }')" \
		"$what: and no second one"
	is "$(counter retries)" 3 "$what: max_retries counts rounds over the name"
}

ready_programs
cases=()
for name in "${ready[@]}"; do
	for host in "${!first[@]}"; do
		for siblings in probe walk; do
			[ "$siblings" = probe ] || [[ $walkers == *" $name "* ]] || continue
			for placement in first last all none; do
				cases+=("$name $host $placement $siblings")
			done
		done
	done
done

for ((i = 0; i < ${#cases[@]}; i += at_once)); do
	jobs=()
	for case in "${cases[@]:i:at_once}"; do
		free_port SECOND_PORT
		free_port
		(
			lib_servers=() lib_own_tmpdir=
			trap lib_exit EXIT
			# shellcheck disable=SC2086 # four words
			job $case
		) &
		jobs+=($!)
	done
	wait "${jobs[@]}"
done
for case in "${cases[@]}"; do
	# shellcheck disable=SC2086 # four words
	case $case in
	*" none "*) judge_never $case ;;
	*) judge_late $case ;;
	esac
done
done_testing
