#!/bin/bash
# SPDX-License-Identifier: MIT
# Eight threads that connect while servers come and go, and are forked, signalled, cancelled and
# jumped out of meanwhile: under the preload nothing is lost and every sum holds; with the engine
# linked in the sanitizers find nothing. HFTEST_SEED repeats a run.
# SERIAL
# TIMEOUT: 180
# STRESS: 900
. "$(dirname "$0")/../lib.sh"

seconds=5
[ -z "${HFTEST_STRESS:-}" ] || seconds=60
seed=${HFTEST_SEED:-$RANDOM}
diag "HFTEST_SEED=$seed"
calm=dead,flap,share,signal
whole=$calm,cancel,fork,jump
export HOLDFAST_MAX_RETRIES=3 HOLDFAST_BASE_DELAY=1ms HOLDFAST_MAX_DELAY=4ms

# stress NAME SECONDS ACTS COMMAND...: fails the test of that name unless it ends well.
stress() {
	local name=$1 length=$2 acts=$3
	shift 3
	capture run_with_timeout $((length + 40)) "$@" "$length" "$seed" "$acts"
	is "$STATUS/$(head -n 40 <<<"$ERR")" 0/ "$name: ends in order, without a word"
	is "$(said lost)" 0 "$name: no descriptor is lost"
	is "$(said broken)" 0 "$name: every child ends in order"
	at_least "$(said started)" $((length * 100)) "$name: it was under load"
}

# said SUM: what the last run counted.
said() {
	sed -n "s/^$1 //p" <<<"$OUT"
}

stats() {
	stats_value "$1"
}

program=$BUILD/tests/stress/stress
stress "under the preload" "$seconds" "$whole" env LD_PRELOAD="$SHIM" "$program"
operations=$(stats operations)
at_least "$operations" $(($(said started) - $(said jumped) - $(said cancelled))) \
	"no operation is missing"
at_most "$operations" $(($(said started) + $(said again))) "none is invented"
is $(($(stats succeeded) + $(stats failures) + $(stats fallbacks) + $(stats abandoned))) \
	"$operations" "each has one outcome, and none is left in progress"
# Where two threads connect one socket, one of them may hear of the other's operation.
at_least "$(stats succeeded)" $(($(said succeeded) - $(said again))) "successes are successes"
at_least "$(stats failures)" $(($(said failed) - $(said again))) "failures are failures"
at_least "$(stats recovered)" 1 "some were held until the server was back"

# With a server that is up nothing can differ, but for who is quicker: the one that asks or the
# server that closes with data unread, which is a reset.
outcomes() {
	grep '^outcome' <<<"$OUT" | grep -v ': ECONNRESET$\|: EPIPE$'
}
stress "up, without the preload" 2 fork "$program"
plain=$(outcomes)
before=$(stats operations)
stress "up, under the preload" 2 fork env LD_PRELOAD="$SHIM" "$program"
is "$(outcomes)" "$plain" "a server that is up: the same outcomes"
is $(($(stats operations) - before)) "$(said started)" "each connect is one operation"

export HOLDFAST_STATE_DIR=$TMPDIR/engine
stress "address and undefined behaviour sanitizers" "$seconds" "$whole" "$program-asan"
# The thread sanitizer knows neither forks of threaded programs nor jumps out of handlers, sees none
# of the atomics of a thread that was cancelled in a wait, and wants addresses where it looks for
# them.
stress "thread sanitizer" "$seconds" "$calm" setarch -R "$program-tsan"
done_testing
