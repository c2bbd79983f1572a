#!/bin/bash
# SPDX-License-Identifier: MIT
# A name with two addresses and a server that is up from the start, on the first, the last or
# both: each program ends as without holdfast, nothing is held, and at most 5 ms are added,
# whether the program goes on to the second address by itself or not.
# TIMEOUT: 400
# SERIAL
. "$(dirname "$0")/../lib.sh"
. "$TOP/tests/programs/names.bash"
write_hosts "$TMPDIR/hosts"
enter_hosts "$TMPDIR/hosts" "$@"

rounds_least=3
rounds_most=80 # of the timing; the machine's noise only ever adds time
added_us=5000
noise=10 # a tenth of a run: ssh and java compute for longer than 5 ms, and never equally long
# Should anything be held after all, then not for long.
export HOLDFAST_BASE_DELAY=100ms HOLDFAST_MAX_RETRIES=3

# One run with each, turn by turn, until the quickest ones are close enough or time is up.
test_time() {
	local what=$1 i begin us with=999999999 without=999999999
	for ((i = 0; i < rounds_most; i++)); do
		begin=${EPOCHREALTIME/./}
		"${name}_client" env -u LD_PRELOAD >/dev/null 2>&1
		us=$((${EPOCHREALTIME/./} - begin))
		[ "$us" -gt "$without" ] || without=$us
		begin=${EPOCHREALTIME/./}
		"${name}_client" env "LD_PRELOAD=$SHIM" >/dev/null 2>&1
		us=$((${EPOCHREALTIME/./} - begin))
		[ "$us" -gt "$with" ] || with=$us
		[ "$i" -lt "$rounds_least" ] ||
			[ "$with" -gt $((without + without / noise + added_us)) ] || break
	done
	# What loading costs is in it, and measured finely by `make bench`.
	at_most "$with" "$((without + without / noise + added_us))" \
		"$what: at most 5 ms more ($without us without, $with us with)"
}

test_placement() {
	local placement=$1 what="$name, $HOST on $1" status words reached
	free_port
	place "$HOST" "$placement"
	start_server "${name}_server"
	if ! wait_for_port "$PORT"; then
		fail "$what: server" "$(cat "$SERVER_LOG")"
		return
	fi
	client_run "$name"
	status=$STATUS words=$WORDS reached=$REACHED
	reached_at[$placement]=$reached
	export HOLDFAST_STATE_DIR=$work/state-$name-$HOST-$placement
	client_run "$name" hf
	is "$REACHED $STATUS" "$reached $status" \
		"$what: reached, and exit code, as without holdfast"
	# What a success says contains figures and times of its own.
	[ "$reached" = yes ] || is "$WORDS" "$words" "$what: words as without holdfast"
	at_least "$(stats_value operations)" 1 "$what: managed"
	at_most "$(stats_value backoff_seconds)" 0 "$what: nothing is held"
	test_time "$what"
	stop_server
}

for HOST in "${!first[@]}"; do
	is "$(addresses_of "$HOST")" "${first[$HOST]} ${last[$HOST]}" "$HOST: addresses in order"
done
ready_programs
for name in "${ready[@]}"; do
	for HOST in "${!first[@]}"; do
		declare -A reached_at=()
		for placement in first last all; do
			test_placement "$placement"
		done
		is "${reached_at[all]:-}" yes "$name, $HOST: the test's own server is reached"
	done
done
done_testing
