#!/bin/bash
# SPDX-License-Identifier: MIT
# connect() at unusual moments is held and counted as any other: in signal handlers, before our
# constructor, after our destructor, in the first moment of many threads.
. "$(dirname "$0")/../lib.sh"

"$BUILD/tests/shim/moments" >"$TMPDIR/cases"
sed '/^1\.\./d' "$TMPDIR/cases"
lib_count=$(grep -cE '^(not )?ok ' "$TMPDIR/cases")
lib_failed=$(grep -c '^not ok ' "$TMPDIR/cases")

"${CC:-cc}" -std=gnu11 -D_GNU_SOURCE -Wall -Wextra -fPIC -shared -o "$TMPDIR/early.so" \
	"$TOP/tests/shim/preload/early.c" || fail "early.c compiles"

# early_run STATE: true(1) with connects before our constructor and after our destructor.
early_run() {
	HOLDFAST_STATE_DIR=$TMPDIR/$1 EARLY_PORT=$PORT LD_PRELOAD="$SHIM $TMPDIR/early.so" \
		HOLDFAST_BASE_DELAY=100ms HOLDFAST_BACKOFF_FACTOR=1 HOLDFAST_MAX_RETRIES=${2:-100} /bin/true
}

# shellcheck disable=SC2016 # python's
listener='import socket, sys, time
server = socket.create_server(("127.0.0.1", int(sys.argv[1])))
while True: server.accept()'

free_port
late 0.4 "$PYTHON" -c "$listener" "$PORT"
capture early_run early
is "$ERR" $'constructor connected\ndestructor connected' \
	"before our constructor and after our destructor: connected, the first one late"
is "$STATUS" 0 "the program's own exit code"
counts=$("$BUILD/tests/shim/peek" "$TMPDIR/early")
like "$counts" 'operations 2' "both are counted"
like "$counts" 'recovered 1' "the first one was held"
stop_server
free_port
capture early_run refused 1
is "$ERR" $'constructor ECONNREFUSED\ndestructor ECONNREFUSED' "nobody there: refused as ever"
like "$("$BUILD/tests/shim/peek" "$TMPDIR/refused")" 'attempts 4' "each after its retry"
done_testing
