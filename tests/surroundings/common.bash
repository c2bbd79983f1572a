# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# What the scripts of this directory share. A surrounding is a command that runs the client;
# `around` runs it without holdfast and with it, its server up, late or never there.
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

# Other users must be able to enter.
chmod 755 "$TMPDIR"
PUBLIC=$TMPDIR/public
mkdir -p "$PUBLIC"
cp "$BUILD/tests/surroundings/client" "$BUILD"/libholdfast*.so "$BUILD/holdfast" "$PUBLIC" || exit 1
CLIENT=$PUBLIC/client
LIBRARY=$PUBLIC/libholdfast.so
AS_NOBODY=(setpriv --reuid=65534 --regid=65534 --clear-groups)
export CLIENT LIBRARY PUBLIC

# Patient enough for a server that is late, whatever else the machine does.
export HOLDFAST_NETWORK_MAX_RETRIES=100 HOLDFAST_BASE_DELAY=100ms HOLDFAST_BACKOFF_FACTOR=1
LATE=0.4

can_be_nobody() {
	[ "$(id -u)" = 0 ] && have setpriv && "${AS_NOBODY[@]}" test -x "$CLIENT" 2>/dev/null
}

can_mount() {
	[ "$(id -u)" = 0 ] && can_mountns
}

# pong [SECONDS]: a server on a port of its own, up now or that much later.
pong() {
	free_port
	export PORT
	start_server "$TOP/tests/surroundings/pong.py" "$PORT" "${1:-0}"
	[ -n "${1:-}" ] || wait_for_port "$PORT"
}

# How a command is run without holdfast, and under it: the library alone, without the tool.
PLAIN=(env -u LD_PRELOAD)
PROTECT=(env LD_PRELOAD="$LIBRARY")
# Evaluated before each command: puts the surroundings back as the item wants them.
PREPARE=:

with_library() {
	env LD_PRELOAD="$LIBRARY" "$@"
}

# around_lines PATTERN PLAIN: beside what the program says itself, the captured standard
# error has exactly one line, which matches PATTERN; none if it is ""; any one if it is "?".
around_lines() {
	local ours rest count
	ours=$(grep -E '^(holdfast: |ERROR: ld\.so: )' <<<"$ERR")
	rest=$(grep -vE '^(holdfast: |ERROR: ld\.so: )' <<<"$ERR")
	count=$(grep -c . <<<"$ours")
	[ "$rest" = "$2" ] || problems+=("standard error: $rest" "without holdfast: $2")
	case $1 in
	"") [ "$count" -eq 0 ] || problems+=("expected no line, got: $ours") ;;
	"?") [ "$count" -le 1 ] || problems+=("expected one line at most, got: $ours") ;;
	*)
		[ "$count" -eq 1 ] && [[ $ours =~ $1 ]] ||
			problems+=("expected one line like $1" "got $count: $ours")
		;;
	esac
}

# around_run WHAT EXPECTED LINE PLAIN-ERR COMMAND...
around_run() {
	local what=$1 expected=$2 line=$3 plain=$4
	shift 4
	eval "$PREPARE"
	capture run_with_timeout 30 "${PROTECT[@]}" "$@"
	[ "$OUT/$STATUS" = "$expected" ] ||
		problems+=("$what: got $OUT/$STATUS, expected $expected; it said: $ERR")
	around_lines "$line" "$plain"
}

# The port of the server that is up; started by the first item.
UP_PORT=

# around NAME held|unprotected LINE COMMAND...: the program's output and exit code are those
# without holdfast, whatever surrounds it. held: so they are if the server is late. unprotected:
# if there is none, the refusal comes at once. LINE: what holdfast says, as above.
# Without the server the program must fail, or nothing would be shown.
around() {
	local name=$1 kind=$2 line=$3 plain plain_err refused problems=()
	shift 3
	if [ -z "$UP_PORT" ]; then
		pong
		UP_PORT=$PORT
	fi
	export PORT=$UP_PORT
	eval "$PREPARE"
	capture run_with_timeout 30 "${PLAIN[@]}" "$@"
	plain=$OUT/$STATUS
	plain_err=$ERR
	[ "$STATUS" -eq 0 ] && [[ $OUT == *pong* ]] ||
		problems+=("it fails without holdfast: $plain $ERR")
	around_run "server up" "$plain" "$line" "$plain_err" "$@"
	free_port
	eval "$PREPARE"
	capture run_with_timeout 30 "${PLAIN[@]}" "$@"
	refused=$OUT/$STATUS
	[[ $refused == *ECONNREFUSED*/3 ]] ||
		problems+=("without holdfast and server: $refused $ERR")
	if [ "$kind" = held ]; then
		start_server "$TOP/tests/surroundings/pong.py" "$PORT" "$LATE"
		around_run "server late" "$plain" "$line" "$plain_err" "$@"
		stop_server
	else
		around_run "no server" "$refused" "$line" "$ERR" "$@"
		awk -v t="$SECONDS_TAKEN" 'BEGIN { exit !(t < 5) }' ||
			problems+=("no server: $SECONDS_TAKEN s: it was retried")
	fi
	if [ "${#problems[@]}" -eq 0 ]; then
		ok "$name"
	else
		fail "$name" "${problems[@]}"
	fi
}
