#!/bin/bash
# SPDX-License-Identifier: MIT
# What a program is told about a non-blocking connect, by every wait call and in every way of
# asking. With a server that is up, silent or slow it is told the same as without holdfast. With one
# that refuses first and listens later, the same as of a slow connect without holdfast; with one
# that refuses for ever, the same as of a slow connect that is refused in the end.
# TIMEOUT: 200
. "$(dirname "$0")/../lib.sh"

recorder=$BUILD/tests/waits/recorder
work=$TMPDIR/r
mkdir "$work"

# policy RETRIES: 95 ms apart. When anything is decided matters, see ticks.c.
policy() {
	printf '{"version":1,"defaults":{"connect":{"attempt_timeout":"30s","deadline":"60s"},
		"strategies":{"network":{"decision":"backoff","max_retries":%d,"base_delay":"95ms",
		"max_delay":"95ms","backoff_factor":1,"jitter":0}}}}' "$1"
}
patient=$(policy 60)

# record RUN [NUMBER...]: RUN is a world, "plain-" before it without holdfast.
record() {
	local run=$1 policy=$patient
	shift
	case $run in
	plain-*) "$recorder" "${run#plain-}" "$@" ;;
	dead) policy=$(policy 3) ;;&
	slow-dead) policy=$(policy 4) ;;&
	*)
		LD_PRELOAD=$SHIM HOLDFAST_STATE_DIR=$TMPDIR/state-$run HOLDFAST_POLICY=$policy \
			"$recorder" "$run" "$@" 2>>"$work/said"
		;;
	esac
}

# What only may be the same stands in braces. A select() that names no socket does not look at one:
# what the program is told afterwards of a connect that failed meanwhile is where its hold begins.
compared() {
	sed -E -e 's/\{[^}]*\}/{}/g' -e '/\| p?select \|  \| long /d' "$@"
}

# numbers RUN REFERENCE: of the lines that differ, one or two of each.
numbers() {
	diff <(compared "$work/$1") <(compared "$work/$2") | sed -n 's/^[<>] \([0-9]*\) .*/\1/p' |
		sort -nu
}

# A difference counts if it is there again in one of two more looks: on a machine with other
# things to do, a tick can end between the kernel's answer and the question.
look_again() {
	local found try
	mapfile -t found < <(numbers "$1" "$2")
	[ "${#found[@]}" -gt 0 ] || return 0
	diag "$1: ${#found[@]} lines differ at first sight: ${found[*]:0:20}"
	[ "${#found[@]}" -le 40 ] || return 0
	for try in a b; do
		record "$1" "${found[@]}" >"$work/$1.$try"
		record "$2" "${found[@]}" >"$work/$2.$try"
		cmp -s <(compared "$work/$1.$try") <(compared "$work/$2.$try") || return 0
	done
	cp "$work/$2" "$work/$1"
}

# compare RUN REFERENCE: a test for each way to wait.
compare() {
	local way lines
	is "$(wc -l <"$work/$1")" "$(wc -l <"$work/$2")" "$1: every question was asked"
	look_again "$1" "$2"
	while read -r way; do
		lines=$(diff <(grep -F "| $way |" "$work/$2" | compared) \
			<(grep -F "| $way |" "$work/$1" | compared) | grep '^[<>]')
		if [ -z "$lines" ]; then
			ok "$1: $way: $(grep -cF "| $way |" "$work/$1") records as in $2"
		else
			fail "$1: $way" "< $2, > under holdfast:" "$(head -n 12 <<<"$lines")"
		fi
	done < <(sed 's/^[0-9]* | \([^|]*\) |.*/\1/' "$work/$2" | sort -u)
}

# counted RUN COUNTER
counted() {
	HOLDFAST_STATE_DIR=$TMPDIR/state-$1 stats_value "$2"
}

runs=(plain-slow late plain-slow-dead slow slow-dead dead plain-up up plain-silent silent)
for ((i = 0; i < ${#runs[@]}; i += 2)); do
	record "${runs[i]}" >"$work/${runs[i]}" &
	first=$!
	record "${runs[i + 1]}" >"$work/${runs[i + 1]}"
	wait "$first"
done

at_least "$(grep -c ' end$' "$work/plain-slow")" 650 "without holdfast records come to their end"
is "$(cat "$work"/plain-* | grep -c 'ENDED')" 0 "without holdfast none is ended by a signal"
check "without holdfast: nothing was stored" test ! -e "$TMPDIR/state"

is "$(head -n 3 "$work/said")" "" "under holdfast: not a word on standard error"

compare up plain-up
compare silent plain-silent
compare slow plain-slow
compare late plain-slow
compare dead plain-slow-dead
compare slow-dead plain-slow-dead

for run in up silent slow; do
	is "$(counted "$run" retries)" 0 "$run: nothing was retried"
done
at_least "$(counted late recovered)" 500 "late: connects were recovered"
is "$(counted late failures)" 0 "late: none failed"
at_least "$(counted dead failures)" 500 "dead: connects failed"
is "$(counted dead recovered)" 0 "dead: none recovered"

diag "what may differ while a connect is held (slow without holdfast, late under it):" \
	"$(grep -ho '{[^}]*}' "$work/plain-slow" | sort | uniq -c)" \
	"$(grep -ho '{[^}]*}' "$work/late" | sort | uniq -c)" \
	"and what SO_ERROR says after a select() that did not name the socket"
done_testing
