#!/bin/bash
# SPDX-License-Identifier: MIT
# TIMEOUT: 240
# Beside other preloads as Debian packages them, before them and after them.
. "$(dirname "$0")/common.bash"

# chained PLACE: holdfast's place in the chain; `run` puts itself in front of what is there.
chained() {
	PLAIN=(env LD_PRELOAD="$OTHER")
	case $1 in
	before) PROTECT=(env LD_PRELOAD="$LIBRARY:$OTHER") ;;
	after) PROTECT=(env LD_PRELOAD="$OTHER:$LIBRARY") ;;
	run) PROTECT=(env LD_PRELOAD="$OTHER" "$HOLDFAST" run --) ;;
	esac
}

# loaded LIBRARY: whether the loader takes it at all; else nothing would be shown.
loaded() {
	LD_PRELOAD=$1 LD_TRACE_LOADED_OBJECTS=1 "$CLIENT" 2>/dev/null | grep -qF "$1"
}

# chain NAME COMMAND WORD...: with $OTHER, in both orders and by the tool.
chain() {
	local name=$1 at
	shift
	for at in before after run; do
		chained "$at"
		around "$name: holdfast $at" held "" "$@"
	done
}

# python3 allocates, forks, and starts threads; the client does not even allocate.
cat >"$TMPDIR/visit.py" <<'PYTHON'
import os, socket, sys, threading
def visit():
    client = socket.socket()
    try:
        client.connect(("127.0.0.1", int(os.environ["PORT"])))
    except OSError as error:
        answers.append(error.errno)
        return
    client.sendall(b"ping\n")
    answers.append(client.recv(5))
answers = []
threads = [threading.Thread(target=visit) for _ in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
if answers.count(b"pong\n") == 4:
    print("pong")
    sys.exit(0)
print("ECONNREFUSED" if answers.count(111) == 4 else answers)
sys.exit(3)
PYTHON

# other NAME PACKAGE FILE
other() {
	OTHER=$3
	if ! [ -e "$OTHER" ]; then
		skip "$1" "$(missing "$2")"
		return
	fi
	check "$1 can be preloaded" loaded "$OTHER"
	chain "$1" "$CLIENT" connect connect fork connect
	chain "$1, python3 with threads" "$PYTHON" "$TMPDIR/visit.py"
}
other libkeepalive libkeepalive0 /usr/lib/libkeepalive.so.0
other jemalloc libjemalloc2 "$(compgen -G '/usr/lib/*/libjemalloc.so.2')"
faketime=$(compgen -G '/usr/lib/*/faketime/libfaketime.so.1')
faketime_threads=$(compgen -G '/usr/lib/*/faketime/libfaketimeMT.so.1')
export FAKETIME=-1000d
other faketime libfaketime "$faketime"
other "faketime for threads" libfaketime "$faketime_threads"
# A clock that stands still, runs faster, and one that jumps by 10 years at every look.
if [ -e "$faketime" ]; then
	OTHER=$faketime
	for FAKETIME in "2020-01-01 00:00:00" "+0 x100" "+0 i315360000"; do
		chain "faketime, $FAKETIME" "$CLIENT" connect
	done
	unset FAKETIME
	capture env LD_PRELOAD="$OTHER" FAKETIME="2020-01-01 00:00:00" date +%Y
	is "$OUT" 2020 "faketime works here at all"
else
	skip "faketime, other clocks" "$(missing libfaketime)"
fi

# Several; jemalloc and faketime do not go together even without holdfast.
several=
for library in /usr/lib/libkeepalive.so.0 "$(compgen -G '/usr/lib/*/libjemalloc.so.2')"; do
	[ -e "$library" ] && several+="${several:+:}$library"
done
if [ -n "$several" ]; then
	OTHER=$several
	chain "several" "$PYTHON" "$TMPDIR/visit.py"
else
	skip "several" "$(missing libjemalloc2)"
fi

# libkeepalive's work is done all the same: it sets SO_KEEPALIVE on new sockets.
OTHER=/usr/lib/libkeepalive.so.0
if [ -e "$OTHER" ]; then
	for at in before after; do
		chained "$at"
		capture "${PROTECT[@]}" "$PYTHON" -c 'import socket
s = socket.socket(); print(s.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE))'
		is "$OUT" 1 "libkeepalive still acts: holdfast $at"
	done
else
	skip "libkeepalive still acts" "$(missing libkeepalive0)"
fi

# What the loader cannot load is its own line, and ours goes on.
OTHER=$TMPDIR/none.so
chained before
PLAIN=(env -u LD_PRELOAD)
around "a preload that is missing" held \
	"ERROR: ld.so: object '$OTHER' from LD_PRELOAD cannot be preloaded" "$CLIENT" connect
done_testing
