#!/bin/bash
# SPDX-License-Identifier: MIT
# A socket answers as without holdfast, in every state and whatever it is asked: connect, SO_ERROR,
# names, poll, select, epoll, transfers, shutdown, close, dup, fork, with every errno. What is right
# is asked of the same program without the preload, in this run. A test is a state; its answers
# are compared line by line.
# TIMEOUT: 300
. "$(dirname "$0")/../lib.sh"

conform=$BUILD/tests/conformance/conform
work=$TMPDIR/c
mkdir "$work"

# Everything is managed, AF_UNIX too, and every failure passed on.
policy() {
	local retried='"network":{'$1'},"temporary":{'$1'},"system":{'$1'}'
	printf '{"version":1,"defaults":{"strategies":{%s}},"rules":[{"name":"%s","match":{%s}}]}' \
		"$retried" local '"paths":["/*","@*"]'
}
pass=$(policy '"decision":"none"')
held=$(policy '"decision":"backoff","max_retries":2,"base_delay":"10ms"')

# ask RUN all|healthy [VARIABLE...]: under the preload but for the runs called plain. All use the
# same names of AF_UNIX, whose length is an answer too.
ask() {
	local run=$1 what=$2 preload=$SHIM
	shift 2
	[[ $run != plain* ]] || preload=
	mkdir "$work/now"
	check "$run: every state was asked" env ${preload:+LD_PRELOAD="$preload"} \
		HOLDFAST_STATE_DIR="$TMPDIR/state-$run" "$@" "$conform" "$work/now" "$what"
	mv "$work/now" "$work/$run"
}

# Where failures are held, a connect that does not block is under way instead of refused: how that
# answers is asked elsewhere, and here nothing that begins with one.
held_apart='-1 EINPROGRESS|refused, (non-blocking|unblocked)|backlog full|EALREADY'

# compare RUN REFERENCE [APART]: a test for each state. Lines that match APART are left out of
# both, and so are states whose name does.
compare() {
	local reference given name
	for reference in "$work/$2"/*/answers; do
		given=$work/$1/${reference#"$work/$2/"}
		name="$1: $(head -n 1 "$reference")"
		if [ -n "${3:-}" ]; then
			! grep -qE -e "$3" <<<"$name" || continue
			apart "$reference" "$given" "$3"
		fi
		if grep -q '^SKIP' "$reference"; then
			skip "$name" "$(sed -n 's/^SKIP //p' "$reference")"
		elif [[ $(tail -n 1 "$reference") != 'the end -> lowest free fd +0' ]]; then
			fail "$name" "it did not come to its end without holdfast"
		elif cmp -s "$reference" "$given"; then
			ok "$name: $(grep -c -e '->' "$reference") answers"
		else
			fail "$name" "< without holdfast, > with it:" \
				"$(diff "$reference" "$given" | grep '^[<>]' | head -n 20)"
		fi
	done
}

# apart REFERENCE GIVEN PATTERN: leaves the questions out of both whose answer matches in either.
apart() {
	local questions=$TMPDIR/questions
	grep -hE -e "$3" "$1" "$2" | sed 's/ -> .*/ ->/' | sort -u >"$questions"
	if [ -s "$questions" ]; then
		grep -vFf "$questions" "$2" >"$2.kept"
		mv "$2.kept" "$2"
		grep -vFf "$questions" "$1" >"$1.kept"
		mv "$1.kept" "$1"
	fi
}

# counted RUN COUNTER
counted() {
	HOLDFAST_STATE_DIR=$TMPDIR/state-$1 stats_value "$2"
}

ask plain all
ask plain-healthy healthy
ask pass all HOLDFAST_POLICY="$pass"
ask held all HOLDFAST_POLICY="$held"
ask healthy healthy
compare pass plain
at_least "$(cat "$work"/plain/*/answers | grep -c -e '->')" 10000 "questions were asked by the thousand"
compare held plain "$held_apart"
compare healthy plain-healthy

check "without the preload: nothing was stored" test ! -e "$TMPDIR/state-plain"
at_least "$(counted pass operations)" 10000 "failures passed on: operations were managed"
is "$(counted pass retries)" 0 "failures passed on: nothing was retried"
at_least "$(counted held retries)" 1000 "failures held: they were retried"
at_least "$(counted healthy operations)" 5000 "nothing fails: operations were managed"
is "$(counted healthy retries)" 0 "nothing fails: nothing was retried"
done_testing
