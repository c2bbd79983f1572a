#!/bin/bash
# SPDX-License-Identifier: MIT
# A healthy network, under `standard`, and a connection that is used by each kind of call: the
# program makes the same system calls on its socket as without holdfast, with the same arguments
# and in the same order; and while the connection is there, between its connect and its close,
# there is no other call beside them either.
# TIMEOUT: 300
. "$(dirname "$0")/../lib.sh"
have strace || skip_all "$(missing strace)"
healthy=$BUILD/tests/faults/healthy
syscalls=$TOP/tests/programs/syscalls.py
tries=3 # a sequence that depends on timing may need more than one run to be met

# traced_run PREFIX STYLE [STRACE-OPTION...]: all calls, and their arguments.
traced_run() {
	local prefix=$1 style=$2
	shift 2
	rm -f "$prefix".*
	is_done=$(run_with_timeout 60 strace -ff -yy -s 512 -qqq -e signal=none -o "$prefix" "$@" \
		"$healthy" "$style" "$PORT" 2>&1) && [ "$is_done" = "done" ]
}

# differs LEVEL: what is more or less than in one of the plain runs.
differs() {
	local said
	said=$("$PYTHON" "$syscalls" same "$1" "$TMPDIR/ours" "${plain[@]}" 2>&1) ||
		grep -v '^\(---\|+++\|@@\| \)' <<<"$said"
}

compare() {
	local style=$1 try plain=() socket data expected=
	# What it says of a connect is the same whether that failed or not, so the socket is asked.
	[ "$style" != select ] ||
		expected='+1: getsockopt(FD<TCP>, SOL_TCP, TCP_INFO, "\1", [1]) = 0'
	for ((try = 0; try < tries; try++)); do
		plain+=("$TMPDIR/plain$try")
		traced_run "$TMPDIR/plain$try" "$style" &&
			traced_run "$TMPDIR/ours" "$style" -E "LD_PRELOAD=$SHIM" || {
			fail "$style" "it did not work under strace: $is_done"
			return
		}
		socket=$(differs exact) data=$(differs between)
		[ "$socket$data" != "$expected" ] || break
	done
	is "$socket" "$expected" "$style: the same calls on the socket"
	is "$data" "" "$style: and no other call while it is connected"
}

free_port
start_server "$healthy" serve "$PORT"
wait_for_port "$PORT"
LD_PRELOAD=$SHIM "$healthy" send-recv "$PORT" >/dev/null # the policy is compiled
for style in $("$healthy" styles); do
	compare "$style"
done
operations=$(stats_value operations)
at_least "$operations" "$("$healthy" styles | wc -l)" "each connection was managed"
is "$(stats_value succeeded)/$(stats_value attempts)" "$operations/$operations" \
	"each connect succeeded at once"
done_testing
