#!/bin/bash
# SPDX-License-Identifier: MIT
# A program that never opens a socket leaves no trace and makes no system call more than under
# an empty preload.
. "$(dirname "$0")/../lib.sh"

quiet() {
	HOLDFAST_POLICY=production LD_PRELOAD=$SHIM "$@"
}

for program in "/bin/true" "/bin/ls /" "/bin/cat /etc/passwd" "/bin/sh -c :" "/usr/bin/sort /dev/null"; do
	# shellcheck disable=SC2086 # a command line
	capture $program
	plain=$OUT/$STATUS/$ERR
	# shellcheck disable=SC2086
	capture quiet $program
	is "$OUT/$STATUS/$ERR" "$plain" "$program: the same output and exit code"
	check "$program: no state directory" test ! -e "$HOLDFAST_STATE_DIR"
done
capture env HOLDFAST_POLICY=/none HOLDFAST_MAX_RETRIES=x LD_PRELOAD="$SHIM" /bin/true
is "$STATUS/$ERR" "0/" "a bad policy is no concern of a program without a socket"
check "nor does it make a state directory" test ! -e "$HOLDFAST_STATE_DIR"

# A socket alone, or a server, is no network use that we manage.
# shellcheck disable=SC2016 # python's
server='import socket, os
s = socket.create_server(("127.0.0.1", 0))
r, w = socket.socketpair()
w.send(b"x"); r.recv(1)
u = socket.socket(socket.AF_UNIX)
try: u.connect("/nonexistent/socket")
except FileNotFoundError: print("none")'
capture hf_preload "$PYTHON" -c "$server"
is "$OUT/$STATUS/$ERR" "none/0/" "a server and AF_UNIX: as ever"
check "a server and AF_UNIX: no state directory" test ! -e "$HOLDFAST_STATE_DIR"

# One connection that succeeds makes one file of one process.
# shellcheck disable=SC2016
client='import socket
s = socket.create_server(("127.0.0.1", 0))
socket.create_connection(s.getsockname())'
capture hf_preload "$PYTHON" -c "$client"
is "$STATUS/$ERR" "0/" "a client whose server is up: not a word"
# Beside it lies one that nobody has taken yet.
is "$(find "$HOLDFAST_STATE_DIR" -type f ! -name '.spare-*' | wc -l)" 1 "its state is one file"
is "$(find "$HOLDFAST_STATE_DIR" -type f -name '.spare-*' | wc -l)" 1 "and one for the next process"
is "$(stat -c %a "$HOLDFAST_STATE_DIR")" 700 "the state directory is the user's alone"
is "$(find "$HOLDFAST_STATE_DIR" -type f -exec stat -c %a {} + | sort -u)" 600 "its files too"

if ! have strace; then
	skip "system calls" "$(missing strace)"
	done_testing
fi

"${CC:-cc}" -shared -fPIC -o "$TMPDIR/empty.so" "$TOP/tests/bench/empty.c"

# calls PRELOAD PROGRAM...: names of the system calls in order, addresses and numbers left out.
calls() {
	local preload=$1
	shift
	strace -f -o "$TMPDIR/trace" -E LD_PRELOAD="$preload" "$@" >/dev/null
	sed 's/^[0-9]* *//; s/(.*//; /^[+-]/d' "$TMPDIR/trace"
}

for program in /bin/true "/bin/ls /" "/bin/cat /etc/passwd"; do
	# shellcheck disable=SC2086
	calls "$TMPDIR/empty.so" $program >"$TMPDIR/empty"
	# shellcheck disable=SC2086
	calls "$SHIM" $program >"$TMPDIR/ours"
	# What an empty object does not have: relocations to protect, and the look at standard error.
	more=$(diff "$TMPDIR/empty" "$TMPDIR/ours" | grep '^>' | sort | uniq -c | sed 's/^ *//')
	diag "$program: beyond an empty preload:" "${more:-nothing}"
	at_most "$(diff "$TMPDIR/empty" "$TMPDIR/ours" | grep -c '^>')" 5 \
		"$program: at most 5 system calls more than with an empty preload"
	is "$(diff "$TMPDIR/empty" "$TMPDIR/ours" | grep '^>' |
		grep -vE '^> (mmap|mprotect|newfstatat|fstat|munmap)$')" "" \
		"$program: none but of loading, and one look at standard error"
done
done_testing
