#!/bin/bash
# SPDX-License-Identifier: MIT
#
# make demo: a client that is started before its server. Fails if any of it does not happen.
. "$(dirname "$0")/lib.sh"

say() {
	printf '\n\033[1m%s\033[0m\n' "$*" | { [ -t 1 ] && cat || sed 's/\x1b\[[0-9]*m//g'; }
}

shown() {
	printf '  $ %s\n' "$*"
}

die() {
	printf '\nThe demo did not work: %s\n' "$1" >&2
	[ ! -s "${SERVER_LOG:-}" ] || sed 's/^/  server: /' "$SERVER_LOG" >&2
	exit 1
}

have wget || die "wget is not installed; make deps installs it"
free_port
mkdir -p "$TMPDIR/www"
echo "hello from a server that was late" >"$TMPDIR/www/hello"
url=http://127.0.0.1:$PORT/hello
export HOME=$TMPDIR

say "1. Nothing listens on port $PORT. A client by itself fails at once:"
shown "wget -nv -O - $url"
if wget --no-config -nv -O - "$url" 2>&1 | sed 's/^/  /' && [ "${PIPESTATUS[0]}" -eq 0 ]; then
	die "something answers on port $PORT"
fi

say "2. The same client under holdfast, its server started two seconds later:"
late 2 "$PYTHON" -m http.server --bind 127.0.0.1 --directory "$TMPDIR/www" "$PORT"
shown "holdfast run -- wget -nv -O - $url"
begin=${EPOCHREALTIME/./}
"$HOLDFAST" run -- wget --no-config -nv -O "$TMPDIR/got" "$url" >"$TMPDIR/wget.log" 2>&1
status=$?
tenths=$(((${EPOCHREALTIME/./} - begin) / 100000))
sed 's/^/  /' "$TMPDIR/got" "$TMPDIR/wget.log" 2>/dev/null
[ "$status" -eq 0 ] || die "wget ended with exit code $status"
cmp -s "$TMPDIR/got" "$TMPDIR/www/hello" || die "wget got something else than the file"
printf '  (exit code 0 after %d.%d s)\n' "$((tenths / 10))" "$((tenths % 10))"

say "3. What was done for it:"
shown "holdfast stats"
"$HOLDFAST" stats | sed 's/^/  /'
[ "${PIPESTATUS[0]}" -eq 0 ] || die "holdfast stats failed"
shown "holdfast events"
"$HOLDFAST" events | sed 's/^/  /'
[ "${PIPESTATUS[0]}" -eq 0 ] || die "holdfast events failed"

[ "$(stats_value recovered "tcp:127.0.0.1:$PORT")" = 1 ] ||
	die "the statistics do not show one recovered operation"
say "It worked: one operation, recovered, and nobody had to change wget."
