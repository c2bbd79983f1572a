#!/bin/bash
# SPDX-License-Identifier: MIT
# A policy or a store that cannot be used never changes a program's result: one clear line, once.
. "$(dirname "$0")/../lib.sh"

VISIT=$BUILD/tests/shim/visit
free_port

# unprotected NAME PATTERN VARIABLE=VALUE...: the result is that without holdfast, at once, and
# exactly one line, which matches, is on standard error.
unprotected() {
	local name=$1 pattern=$2
	shift 2
	capture env "$@" LD_PRELOAD="$SHIM" "$VISIT" "$PORT" twice
	is "$OUT" $'ECONNREFUSED\nECONNREFUSED' "$name: the program's output"
	is "$STATUS" 3 "$name: the program's exit code"
	at_most "$SECONDS_TAKEN" 0.9 "$name: nothing is retried"
	is "$(wc -l <"$TMPDIR/capture.err")" 1 "$name: one line"
	like "$ERR" "$pattern" "$name: what the line says"
}

printf '{ "version": 1, "defaults": { "connect": { "deadlin": "5s" } } }' >"$TMPDIR/key.json"
printf '{ "version": 1,' >"$TMPDIR/cut.json"
printf '{ "version": 2 }' >"$TMPDIR/version.json"
: >"$TMPDIR/empty.json"
printf '{ "version": 1 }' >"$TMPDIR/good.json"
head -c 2000000 /dev/zero | tr '\0' ' ' >"$TMPDIR/large.json"

unprotected "a missing file" "^holdfast: .*/none\.json: .*unprotected" \
	HOLDFAST_POLICY="$TMPDIR/none.json"
unprotected "a directory" "^holdfast: .*not a regular file.*unprotected" HOLDFAST_POLICY="$TMPDIR"
unprotected "an empty file" "^holdfast: .*/empty\.json.*unprotected" \
	HOLDFAST_POLICY="$TMPDIR/empty.json"
unprotected "a file that is cut off" "^holdfast: .*/cut\.json.*unprotected" \
	HOLDFAST_POLICY="$TMPDIR/cut.json"
unprotected "an unknown key" "^holdfast: .*/key\.json.*deadlin.*unprotected" \
	HOLDFAST_POLICY="$TMPDIR/key.json"
unprotected "an unknown version" "^holdfast: .*/version\.json.*version.*unprotected" \
	HOLDFAST_POLICY="$TMPDIR/version.json"
unprotected "a file that is too large" "^holdfast: .*/large\.json.*unprotected" \
	HOLDFAST_POLICY="$TMPDIR/large.json"
unprotected "bad JSON in the variable" "^holdfast: .*HOLDFAST_POLICY.*unprotected" \
	HOLDFAST_POLICY='{ "version": 1, }'
unprotected "a profile that does not exist" "^holdfast: .*/prodution.*unprotected" \
	HOLDFAST_POLICY=prodution
unprotected "a bad override" "^holdfast: HOLDFAST_MAX_RETRIES.*many.*unprotected" \
	HOLDFAST_MAX_RETRIES=many
unprotected "an unknown override" "^holdfast: HOLDFAST_MAX_RETRYS.*unprotected" \
	HOLDFAST_MAX_RETRYS=3
unprotected "a good file, a bad override" "^holdfast: HOLDFAST_JITTER.*unprotected" \
	HOLDFAST_POLICY="$TMPDIR/good.json" HOLDFAST_JITTER=7
unprotected "a very long inline policy that is bad" "^holdfast: .*unprotected" \
	HOLDFAST_POLICY="{$(head -c 100000 /dev/zero | tr '\0' ' ')"

# The same policy, silenced.
capture env HOLDFAST_LOG=off HOLDFAST_POLICY=/none LD_PRELOAD="$SHIM" "$VISIT" "$PORT"
is "$OUT/$STATUS/$ERR" "ECONNREFUSED/3/" "HOLDFAST_LOG=off: no line, the same result"

# What is not ours is not written to.
bad() {
	HOLDFAST_POLICY=/none LD_PRELOAD=$SHIM "$VISIT" "$PORT" "$@"
}
capture bad close2
is "$OUT/$STATUS/$ERR" "ECONNREFUSED/3/" "standard error closed by the program: no line"
export FILE=$TMPDIR/precious
capture bad file2
is "$OUT/$STATUS/$ERR" "ECONNREFUSED/3/" "a file under number 2: the same result"
is "$(cat "$FILE")" "" "a file under number 2: nothing is written to it"
OUT=$(bad 2>&-)
is "$OUT/$?" "ECONNREFUSED/3" "standard error closed from the start: the same result"
OUT=$(bad close2 2>&-)
is "$OUT/$?" "ECONNREFUSED/3" "standard error closed from the start and again: the same result"

# A reader that has gone: no SIGPIPE.
cat >"$TMPDIR/pipe.py" <<'PYTHON'
import os, subprocess, sys
reader, writer = os.pipe()
os.close(reader)
result = subprocess.run(sys.argv[1:], stderr=writer, stdout=subprocess.PIPE, restore_signals=True)
print(result.stdout.decode().strip(), result.returncode)
PYTHON
export HOLDFAST_POLICY=/none
is "$("$PYTHON" "$TMPDIR/pipe.py" env LD_PRELOAD="$SHIM" "$VISIT" "$PORT")" "ECONNREFUSED 3" \
	"standard error is a pipe without a reader: no SIGPIPE"
is "$(HOLDFAST_POLICY=standard HOLDFAST_LOG=info HOLDFAST_MAX_RETRIES=1 HOLDFAST_BASE_DELAY=10ms \
	"$PYTHON" "$TMPDIR/pipe.py" env LD_PRELOAD="$SHIM" "$VISIT" "$PORT")" "ECONNREFUSED 3" \
	"nor from the lines that HOLDFAST_LOG=info asks for"
OUT=$(LD_PRELOAD=$SHIM "$VISIT" "$PORT" 2>/dev/full)
is "$OUT/$?" "ECONNREFUSED/3" "standard error is full: the same result"
unset HOLDFAST_POLICY

# A store that cannot be used costs the statistics and nothing else.
late_server() {
	# shellcheck disable=SC2016 # python's
	late "$1" "$PYTHON" -c 'import socket, sys, time
server = socket.create_server(("127.0.0.1", int(sys.argv[1])))
while True: server.accept()' "$PORT"
}

# storeless NAME DIRECTORY: held and connected, one line about the store.
storeless() {
	free_port
	late_server 0.4
	capture env HOLDFAST_STATE_DIR="$2" HOLDFAST_BASE_DELAY=100ms LD_PRELOAD="$SHIM" \
		"$VISIT" "$PORT" twice
	is "$OUT/$STATUS" $'connected\nconnected/0' "$1: protected all the same"
	is "$(wc -l <"$TMPDIR/capture.err")" 1 "$1: one line"
	like "$ERR" "^holdfast: .*$2" "$1: which names the directory"
	stop_server
}

mkdir -m 0700 "$TMPDIR/mine" "$TMPDIR/target"
: >"$TMPDIR/file"
mkdir -m 0755 "$TMPDIR/open"
chmod 0777 "$TMPDIR/open"
ln -s "$TMPDIR/target" "$TMPDIR/link"
storeless "a file instead of a directory" "$TMPDIR/file"
storeless "a directory open to everybody" "$TMPDIR/open"
storeless "a link" "$TMPDIR/link"
storeless "a directory that cannot be made" /proc/holdfast
mkdir -m 0700 "$TMPDIR/mine/process"
mkdir "$TMPDIR/mine/events"
free_port
late_server 0.4
capture env HOLDFAST_STATE_DIR="$TMPDIR/mine" HOLDFAST_BASE_DELAY=100ms LD_PRELOAD="$SHIM" \
	"$VISIT" "$PORT"
is "$OUT/$STATUS/$ERR" "connected/0/" "a directory where the events' file should be"

if can_mountns && [ "$(id -u)" = 0 ]; then
	# Room for less than one process file; then for one, and not for its growth.
	mkdir -m 0700 "$TMPDIR/small"
	full() {
		# shellcheck disable=SC2016 # the inner shell's
		unshare -m --propagation private bash -c '
			mount -t tmpfs -o "size=$1,mode=700" none "$2" || exit 99
			shift 2
			"$@"' -- "$1" "$TMPDIR/small" env HOLDFAST_STATE_DIR="$TMPDIR/small" \
			HOLDFAST_BASE_DELAY=100ms LD_PRELOAD="$SHIM" "$VISIT" "$PORT" twice
	}
	# More connections at once than there is room for.
	# shellcheck disable=SC2016 # python's
	many='import socket, sys
server = socket.create_server(("127.0.0.1", 0))
pairs = []
for i in range(300):
    client = socket.create_connection(server.getsockname())
    pairs.append((client, server.accept()[0]))
for client, peer in pairs:
    client.sendall(b"12345"); assert peer.recv(5) == b"12345"
print("well")'
	# shellcheck disable=SC2016 # the inner shell's
	capture unshare -m --propagation private bash -c '
		mount -t tmpfs -o "size=100k,mode=700" none "$0" || exit 99
		HOLDFAST_STATE_DIR=$0 LD_PRELOAD=$SHIM "$PYTHON" -c "$1" || exit
		"$BUILD/tests/shim/peek" "$0"' "$TMPDIR/small" "$many"
	is "$STATUS" 0 "a disk that is full after 128 connections: the program is unharmed"
	like "$OUT" 'operations 300.*sent_bytes 1500' "and all 300 are counted"
	for size in 8k 64k 128k 512k; do
		stop_server
		free_port
		late_server 0.4
		capture full "$size"
		is "$OUT/$STATUS" $'connected\nconnected/0' "a disk of $size: protected all the same"
		at_most "$(wc -l <"$TMPDIR/capture.err")" 1 "a disk of $size: at most one line"
	done
else
	skip "a full disk" "mounting is not allowed here"
fi
done_testing
