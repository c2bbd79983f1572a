#!/bin/bash
# SPDX-License-Identifier: MIT
# A server that is up from the start: each program makes the same network system calls in the
# same order as without holdfast, under `standard`; what holdfast adds before the first
# failure concerns nothing but its own files; and no program gets measurably slower.
# TIMEOUT: 300
# SERIAL
. "$(dirname "$0")/../lib.sh"
. "$TOP/tests/programs/table.bash"

traced=%network,read,write,readv,writev,pread64,close,shutdown,dup,dup2,dup3,fcntl,ioctl
traced+=,sendfile,splice,poll,ppoll,select,pselect6,epoll_ctl,epoll_wait,epoll_pwait
references=4 # runs without holdfast, each of which the compared run may equal
tries=3      # a sequence that depends on timing may need more than one run to be met
rounds=9     # of the timing

export HOLDFAST_STATE_DIR=$work/state
syscalls=$TOP/tests/programs/syscalls.py

# grep reads to the end: a program whose output is no longer read ends differently.
# traced_run PREFIX CALLS [STRACE-OPTION...]: one run of $name; $expects in its output.
traced_run() {
	local prefix=$1 calls=$2
	shift 2
	rm -f "$prefix".*
	run_with_timeout 60 "${name}_client" strace -ff -yy -s 512 -qqq -e signal=none \
		-e trace="$calls" -o "$prefix" "$@" 2>&1 | grep -E "$expects" >/dev/null
}

# A loaded machine only ever adds time: the quickest run is the one that it disturbed least.
least_of() {
	sort -n | head -n 1
}

test_calls() {
	local level=${name}_level try i prefixes=()
	for ((i = 0; i < references; i++)); do
		traced_run "$work/reference$i" "$traced" || {
			fail "$name: the same calls" "without holdfast it did not work under strace"
			return
		}
		prefixes+=("$work/reference$i")
	done
	for ((try = 0; try < tries; try++)); do
		if ! traced_run "$work/ours" "$traced" -E "LD_PRELOAD=$SHIM"; then
			fail "$name: the same calls" "under holdfast it did not work"
			return
		fi
		if difference=$("$PYTHON" "$syscalls" same "${!level:-exact}" "$work/ours" \
			"${prefixes[@]}"); then
			ok "$name: the same network system calls in the same order (${!level:-exact})"
			return
		fi
	done
	fail "$name: the same network system calls in the same order (${!level:-exact})" "$difference"
}

# One run with each, turn by turn, so that both see the same machine; on a busy one for longer, until
# the minima agree.
test_time() {
	local i begin with without
	for ((i = 0; i < 6 * rounds; i++)); do
		if ((i >= rounds)); then
			without=$(least_of <"$work/$name.without")
			with=$(least_of <"$work/$name.with")
			((with > without + without / 10 + 5000)) || break
		fi
		begin=${EPOCHREALTIME/./}
		"${name}_client" env -u LD_PRELOAD >/dev/null 2>&1
		echo $((${EPOCHREALTIME/./} - begin)) >>"$work/$name.without"
		begin=${EPOCHREALTIME/./}
		"${name}_client" env "LD_PRELOAD=$SHIM" >/dev/null 2>&1
		echo $((${EPOCHREALTIME/./} - begin)) >>"$work/$name.with"
	done
	without=$(least_of <"$work/$name.without")
	with=$(least_of <"$work/$name.with")
	# `make bench` measures finely; here nothing may be held or waited for.
	at_most "$with" "$((without + without / 10 + 5000))" \
		"$name: no measurable delay ($without us without, $with us with)"
}

# The whole list of what is added, from a program with one thread and no timers.
test_added() {
	local added status
	traced_run "$work/all-reference" all &&
		traced_run "$work/all-ours" all -E "LD_PRELOAD=$SHIM" || {
		fail "$name: what holdfast adds" "it did not work under strace"
		return
	}
	added=$("$PYTHON" "$syscalls" added "$work/all-ours" "$work/all-reference" \
		"$BUILD" "$HOLDFAST_STATE_DIR" "$(dirname "$HOLDFAST_STATE_DIR")" \
		/proc /proc/self)
	status=$?
	diag "what holdfast adds to $name on a healthy network:" "$added"
	is "$status" 0 "$name: before the first failure holdfast touches nothing but its own files"
}

for name in "${programs[@]}"; do
	if reason=$(program_missing "$name"); then
		skip "$name" "$reason"
		continue
	fi
	have strace || skip_all "$(missing strace)"
	free_port
	expects=${name}_expects expects=${!expects}
	program_setup "$name" && start_server "${name}_server" && wait_for_port "$PORT" || {
		fail "$name: setup"
		continue
	}
	# Once for page caches, and so that the policy is compiled.
	"${name}_client" env "LD_PRELOAD=$SHIM" >/dev/null 2>&1
	test_calls
	[ "$name" != wget ] || test_added
	test_time
	stop_server
done
done_testing
