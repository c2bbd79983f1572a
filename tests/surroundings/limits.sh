#!/bin/bash
# SPDX-License-Identifier: MIT
# TIMEOUT: 240
# Programs with little memory, little stack and small files.
. "$(dirname "$0")/common.bash"

pong
# runs COMMAND...: whether the client does its work.
runs() {
	[ "$("$@" "$CLIENT" connect connect 2>/dev/null)" = $'pong\npong' ]
}
least=
for ((kib = 1024; kib < 65536; kib += 256)); do
	if runs prlimit "--as=$((kib * 1024))"; then
		least=$kib
		break
	fi
done
diag "the client alone needs $least KiB of address space"
at_least "${least:-0}" 1 "the client runs with little address space"

# One step above that, where the loader has room for one library more, and on in steps to where
# everything fits: the store is 8 MiB, the table 16. The client's result is always its own; the loader
# or holdfast says at most one line.
for ((more = 256; more <= 65536; more += more < 4096 ? 256 : more < 16384 ? 1024 : 4096)); do
	limit=$(((least + more) * 1024))
	rm -rf "$HOLDFAST_STATE_DIR"
	capture prlimit "--as=$limit" env LD_PRELOAD="$LIBRARY" "$CLIENT" connect connect fork connect
	lines=$(grep -c . <<<"$ERR")
	if [ "$OUT/$STATUS" = $'pong\npong\npong/0' ] && [ "$lines" -le 1 ]; then
		ok "$((limit / 1024)) KiB of address space"
	else
		fail "$((limit / 1024)) KiB of address space" "$OUT/$STATUS" "$ERR"
	fi
done
is "$(stats_value succeeded)" 3 "with enough of it, all is counted"
stop_server

around "1 GiB of address space" held "" prlimit --as=1073741824 "$CLIENT" connect connect
# The table of connections counts as data.
around "2 MiB of data segment" unprotected "?" prlimit --data=2097152 "$CLIENT" connect
around "64 KiB of stack" held "" prlimit --stack=65536 "$CLIENT" connect
# SIGXFSZ would end the program, be it for our files or for our line in a file.
PREPARE="rm -rf $HOLDFAST_STATE_DIR"
small() {
	around "$1" held "$2" bash -c 'prlimit "$@" | cat; exit "${PIPESTATUS[0]}"' -- "${@:3}"
}
small "files of 0 bytes" "?" --fsize=0 "$CLIENT" connect connect
small "files of 4 KiB" "nothing is stored, .*File too large" --fsize=4096 "$CLIENT" connect connect
small "files of 8 MiB" "?" --fsize=8388608 "$CLIENT" connect open=200 connect
PREPARE=:
if can_be_nobody; then
	mkdir -p "$TMPDIR/nobodys"
	chown 65534 "$TMPDIR/nobodys"
	export HOLDFAST_STATE_DIR=$TMPDIR/nobodys/state
	around "no locked memory, no message queue, no pending signal" held "" "${AS_NOBODY[@]}" \
		prlimit --memlock=0 --msgqueue=0 --sigpending=0 --core=0 "$CLIENT" connect
else
	skip "no locked memory, no pending signal" "needs root and setpriv"
fi
done_testing
