#!/bin/bash
# SPDX-License-Identifier: MIT
# Thousands of sockets of one epoll set that are held: they cost next to nothing while they wait,
# and all are connected soon after their server is up.
# TIMEOUT: 120
# STRESS: 300
. "$(dirname "$0")/../lib.sh"

# The full form is 10,000 sockets with delays of 60 s, for 90 s. The short one has a tenth of the
# sockets and of the delay, so that as many are tried again in a second: the same ceiling.
sockets=1000 seconds=10 delay=6s
[ -z "${HFTEST_STRESS:-}" ] || sockets=10000 seconds=90 delay=60s
cpu_ceiling=20 # per mille of a core
memory_ceiling=512
jitter=0.1

! can_netns || enter_netns "$@"
program=$BUILD/tests/stress/crowd

policy() {
	printf '{ "version": 1, "defaults": { "connect": { "deadline": "off" }, "strategies": {
		"network": { "decision": "backoff", "max_retries": "unlimited", "base_delay": "%s",
		"max_delay": "%s", "backoff_factor": 1.0, "jitter": %s } } } }' "$1" "$1" "$jitter"
}

# begin NAME DELAY COMMAND...: in the background, with a store of its own.
declare -A pids
begin() {
	local name=$1
	HOLDFAST_POLICY=$(policy "$2") HOLDFAST_STATE_DIR=$TMPDIR/$name.state \
		run_with_timeout $((seconds + 60)) "${@:3}" >"$TMPDIR/$name.out" \
		2>"$TMPDIR/$name.err" &
	pids[$name]=$!
}

# said NAME WORD
said() {
	sed -n "s/^$2 //p" "$TMPDIR/$1.out"
}

# finish NAME WHAT: false, and a skipped test, where it cannot be tried.
finish() {
	wait "${pids[$1]}"
	STATUS=$?
	export HOLDFAST_STATE_DIR=$TMPDIR/$1.state
	if [ "$STATUS" = 77 ]; then
		skip "$2" "$(cat "$TMPDIR/$1.err")"
		return 1
	fi
	is "$STATUS/$(cat "$TMPDIR/$1.err")" "0/${3:-}" "$2"
}

# Of a socket that is held, beyond what the same program has without holdfast. The ring of events
# is not counted: it is one for all processes, and no larger for more sockets.
memory_each() {
	echo $((($(said "$1" memory_further) - $(said "$2" memory_further)) / $(said "$1" further)))
}

# ---- without holdfast: all fail at once ------------------------------------------------------

begin plain 1s "$program" hold "$sockets" 1 1
finish plain "without holdfast" "the last error: Connection refused" &&
	is "$(said plain failed)" "$sockets" "without holdfast: all are refused"

# ---- held ---------------------------------------------------------------------------------------

begin one "$delay" env LD_PRELOAD="$SHIM" "$program" hold "$sockets" "$seconds" 1
begin many "$delay" env LD_PRELOAD="$SHIM" "$program" hold "$sockets" "$seconds" 100
for name in one many; do
	what="$sockets sockets held for $seconds s, $name"
	[ "$name" = one ] && what+=" destination" || what+=" destinations"
	finish "$name" "$what" || continue
	is "$(said "$name" events)" 0 "$what: no event"
	is "$(stats_value operations)" "$sockets" "$what: as many operations"
	# One attempt at a time is made for a destination; the others have its outcome.
	at_least "$(stats_value retries)" 1 "$what: they are tried again"
	is "$(stats_value abandoned)" "$sockets" "$what: and given up by the program"
	cpu=$(($(said "$name" cpu_us) / $(said "$name" wall_ms)))
	at_most "$cpu" "$cpu_ceiling" "$what: CPU time, per mille of a core"
	memory=$(memory_each "$name" plain)
	at_most "$memory" "$memory_ceiling" "$what: private memory of each"
	diag "$what: CPU $cpu per mille of a core ($(said "$name" cpu_us) us; with connect() and" \
		"epoll_ctl() $(said "$name" cpu_with_connects_us) us), $memory bytes each" \
		"(and the events' own $(said "$name" ring_further) bytes)"
done

# ---- and their server comes up -----------------------------------------------------------------

# A backlog that is full would make them wait for the kernel's own timers.
what="$sockets sockets, and their server comes up"
somaxconn=/proc/sys/net/core/somaxconn
[ -z "${HFTEST_NETNS:-}" ] || echo 65535 2>/dev/null >"$somaxconn"
if [ "$(cat "$somaxconn")" -lt "$sockets" ]; then
	skip "$what" "net.core.somaxconn cannot be raised here"
else
	begin rise 1s env LD_PRELOAD="$SHIM" "$program" rise "$sockets" 2
	if finish rise "$what"; then
		is "$(said rise early)" 0 "$what: none has an event before"
		is "$(said rise connected)/$(said rise failed)" "$sockets/0" "$what: all are connected"
		is "$(said rise accepted)" "$sockets" "$what: and accepted once"
		is "$(stats_value recovered)" "$sockets" "$what: as many recoveries"
		# The longest delay, and a second.
		at_most "$(said rise slowest_ms)" $((1100 + 1000)) "$what: in time (ms)"
		diag "$what: the slowest took $(said rise slowest_ms) ms"
	fi
fi
done_testing
