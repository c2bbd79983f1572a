#!/bin/bash
# SPDX-License-Identifier: MIT
# Threads whose sockets wait in epoll, poll and select while servers come and go: every
# connect ends, with what really became of it, nobody is told anything else, and nothing spins.
# HFTEST_SEED repeats a run.
# SERIAL
# TIMEOUT: 240
# STRESS: 900
. "$(dirname "$0")/../lib.sh"

seconds=3
[ -z "${HFTEST_STRESS:-}" ] || seconds=60
seed=${HFTEST_SEED:-$RANDOM}
diag "HFTEST_SEED=$seed"
calm=dead,flap,close,dup,blocking,pause,team
export HOLDFAST_MAX_RETRIES=3 HOLDFAST_BASE_DELAY=1ms HOLDFAST_MAX_DELAY=4ms
program=$BUILD/tests/stress/loops
# The thread sanitizer wants addresses where it looks for them.
tsan=(setarch -R "$program-tsan")

# begin NAME SECONDS ACTS COMMAND...: in the background, with a store of its own.
declare -A pids
begin() {
	local name=$1 length=$2 acts=$3
	shift 3
	HOLDFAST_STATE_DIR=$TMPDIR/$name.state run_with_timeout $((length + 60)) \
		"$@" "$length" "$seed" "$acts" >"$TMPDIR/$name.out" 2>"$TMPDIR/$name.err" &
	pids[$name]=$!
}

# said SUM: what the last run counted.
said() {
	sed -n "s/^$1 //p" <<<"${OUT:-$1 -1}"
}

# No other outcome exists: a server that is up says nothing, one that is dead refuses, and one
# that goes away with connections that it has not accepted yet resets them.
impossible() {
	sed -n 's/^outcome //p' <<<"$OUT" | grep -v '^[a-z]* wait ' |
		grep -vE '^up [^ ]+ 0$|^dead [^ ]+ ECONNREFUSED$|^flap [^ ]+ (0|ECONNREFUSED|ECONNRESET)$'
}

# finish NAME: what holds for any program and any run.
finish() {
	local name=$1
	wait "${pids[$name]}"
	STATUS=$?
	OUT=$(cat "$TMPDIR/$name.out")
	export HOLDFAST_STATE_DIR=$TMPDIR/$name.state
	is "$STATUS/$(head -n 40 "$TMPDIR/$name.err")" 0/ "$name: ends in order, without a word"
	is "$(said lost)" 0 "$name: every connect ends: no wakeup is lost"
	# Who is patient looks again by himself, after 10 s.
	at_most "$(said slowest_ms)" 9000 "$name: and none comes late"
	is "$(impossible)" "" "$name: no error but the real ones"
	is "$(said mute)" 0 "$name: no event without an outcome"
	is "$(said stale)" 0 "$name: no event of a socket that is closed"
	is "$(said refused)" 0 "$name: no epoll_ctl() fails"
	is "$(said hasty)" 0 "$name: no wait ends before its time"
	is "$(grep '^outcome [a-z]* wait ' <<<"$OUT")" "" "$name: no wait fails"
	is "$(said lost_fds)" 0 "$name: no descriptor is lost"
	is "$(said broken)" 0 "$name: every child ends in order"
	is "$(($(said succeeded) + $(said failed) + $(said reset) + $(said closed) + \
		$(said lost)))" "$(said started)" "$name: each connect has one outcome"
	diag "$name: $(said started) connects, the slowest batch took $(said slowest_ms) ms"
}

# A socket that was closed while it was pending may have had any outcome, and one that was reset
# may have been connected before.
counted() {
	local name=$1 operations unsure anew_failed
	# One that is lost before a byte was moved is made anew: operations of their own.
	anew_failed=$(stats_value reconnect_failures)
	operations=$(($(stats_value operations) - $(stats_value reconnects) - anew_failed))
	unsure=$(($(said closed) + $(said reset)))
	# A second connect() after another thread was told the outcome is one of its own.
	at_least "$operations" "$(said started)" "$name: each connect is one operation"
	at_most "$operations" $(($(said started) + 5)) "$name: and none is invented"
	is $(($(stats_value succeeded) + $(stats_value failures) + $(stats_value fallbacks) + \
		$(stats_value abandoned))) "$(stats_value operations)" \
		"$name: each operation has one outcome"
	at_least $(($(stats_value succeeded) - $(stats_value reconnects))) "$(said succeeded)" \
		"$name: successes are counted"
	at_most $(($(stats_value succeeded) - $(stats_value reconnects))) \
		$(($(said succeeded) + unsure)) "$name: none is invented"
	at_least $(($(stats_value failures) - anew_failed)) "$(said failed)" \
		"$name: failures are counted"
	at_most $(($(stats_value failures) - anew_failed)) $(($(said failed) + unsure)) \
		"$name: none is invented"
	at_most "$(stats_value abandoned)" "$(said closed)" "$name: nothing else is abandoned"
}

# ---- without holdfast: the program by itself -------------------------------------------------

begin plain 2 "$calm,signal,jump,fork" "$program"
finish plain
at_least "$(said started)" 1000 "plain: it was under load"

# ---- under the preload -----------------------------------------------------------------------

# Without signals nobody is woken but by an event.
begin preload "$seconds" "$calm" env LD_PRELOAD="$SHIM" "$program"
finish preload
counted preload
at_least "$(said started)" $((seconds * 100)) "preload: it was under load"
at_least "$(stats_value recovered)" 1 "preload: some were held until the server was back"
at_least "$(stats_value abandoned)" 1 "preload: some were closed while they were held"

begin disturbed "$seconds" "$calm,signal,jump,fork" env LD_PRELOAD="$SHIM" "$program"
finish disturbed
counted disturbed
at_least "$(said children)" 1 "disturbed: there were children"
at_least "$(said jumped)" 1 "disturbed: waits were jumped out of"

# ---- with the engine linked in -------------------------------------------------------------------

begin asan "$seconds" "$calm,signal" "$program-asan"
begin tsan "$seconds" "$calm,signal" "${tsan[@]}"
for name in asan tsan; do
	finish "$name"
	counted "$name"
	at_least "$(said started)" $((seconds * 30)) "$name: it was under load"
done

# ---- connections that are kept and made anew ------------------------------------------------------

# Their policy is compiled beforehand: a sanitizer cannot load the compiler.
cat >"$TMPDIR/tended.json" <<'END'
{ "version": 1, "defaults": {
	"strategies": { "network": { "decision": "backoff", "max_retries": 3, "base_delay": "1ms",
		"max_delay": "4ms", "backoff_factor": 2.0 } },
	"transfer": { "replay": "unanswered" },
	"heartbeat": { "idle": "30s", "interval": "10s", "count": 1, "idle_timeout": "60s" } } }
END
# tend NAME COMMAND...
tend() {
	local name=$1
	"$HOLDFAST" run --policy "$TMPDIR/tended.json" --state-dir "$TMPDIR/$name.state" -- true
	HOLDFAST_POLICY=$TMPDIR/tended.json begin "$name" "$seconds" "$calm,signal" "${@:2}"
}

tend tended env LD_PRELOAD="$SHIM" "$program"
finish tended
at_least "$(said started)" $((seconds * 100)) "tended: it was under load"
tend tended-asan "$program-asan"
tend tended-tsan "${tsan[@]}"
for name in tended-asan tended-tsan; do
	finish "$name"
	at_least "$(said started)" $((seconds * 30)) "$name: it was under load"
done

# ---- all held, and nothing to do --------------------------------------------------------------------

# 120 sockets, each tried again every 400 ms for 4 s; what they cost in 2 of these.
export HOLDFAST_MAX_RETRIES=10 HOLDFAST_BASE_DELAY=400ms HOLDFAST_MAX_DELAY=400ms
begin hold 0 "dead,hold,team" env LD_PRELOAD="$SHIM" "$program"
begin hold-asan 0 "dead,hold,team" "$program-asan"
begin hold-tsan 0 "dead,hold,team" "${tsan[@]}"
for name in hold hold-asan hold-tsan; do
	finish "$name"
	counted "$name"
	is "$(said held)" 120 "$name: all are held"
	is "$(said failed)" 120 "$name: until the policy ends it"
	limit=50
	[ "$name" = hold ] || limit=200
	at_most "$(said cpu_permille)" "$limit" "$name: nobody spins: CPU time per mille of a core"
	diag "$name: $(said cpu_permille) per mille"
done
done_testing
