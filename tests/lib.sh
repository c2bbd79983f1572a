# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# What test scripts share: TAP, ports and servers, statistics, namespaces.
#
#	#!/bin/bash
#	# What this script proves.
#	. "$(dirname "$0")/../lib.sh"
#	...
#	done_testing
#
# A script that ends before done_testing prints no plan, and counts as failed.
# Everything that start_server and late started is ended, by its pid, at exit.

TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
BUILD=${BUILD:-build}
case $BUILD in
/*) ;;
*) BUILD=$TOP/$BUILD ;;
esac
HOLDFAST=$BUILD/holdfast
SHIM=$BUILD/libholdfast.so
PYTHON=/usr/bin/python3
export TOP BUILD HOLDFAST SHIM PYTHON LC_ALL=C.UTF-8

# Nothing of the caller's own setting may act here.
unset LD_PRELOAD HOLDFAST_POLICY HOLDFAST_ENABLED HOLDFAST_LOG
for lib_name in "${!HOLDFAST_@}"; do
	case $lib_name in
	HOLDFAST_STATE_DIR) ;;
	*) unset "$lib_name" ;;
	esac
done
unset lib_name http_proxy https_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY all_proxy

# tests/run gives every file a TMPDIR of its own; a script run by hand makes one.
lib_own_tmpdir=
if [ -z "${HFTEST_TMPDIR:-}" ]; then
	lib_own_tmpdir=$(mktemp -d) || exit 1
	TMPDIR=$lib_own_tmpdir
	HFTEST_TMPDIR=$TMPDIR
	HOLDFAST_STATE_DIR=$TMPDIR/state
fi
export TMPDIR HFTEST_TMPDIR HOLDFAST_STATE_DIR

# ---- TAP -----------------------------------------------------------------

lib_count=0
lib_failed=0

# diag LINE...: shown by the runner when the file fails.
diag() {
	printf '%s\n' "$@" | sed 's/^/# /'
}

# ok NAME: a test that passed.
ok() {
	lib_count=$((lib_count + 1))
	printf 'ok %d - %s\n' "$lib_count" "$1"
}

# fail NAME [DETAIL...]
fail() {
	lib_count=$((lib_count + 1))
	lib_failed=$((lib_failed + 1))
	printf 'not ok %d - %s\n' "$lib_count" "$1"
	shift
	[ $# -eq 0 ] || diag "$@"
}

# skip NAME REASON
skip() {
	lib_count=$((lib_count + 1))
	printf 'ok %d - %s # SKIP %s\n' "$lib_count" "$1" "$2"
}

# check NAME COMMAND...: passes if the command succeeds; its output is shown if not.
check() {
	local name=$1 output status
	shift
	output=$("$@" 2>&1)
	status=$?
	if [ "$status" -eq 0 ]; then
		ok "$name"
	else
		fail "$name" "exit code $status: $*" "$output"
	fi
}

# is GOT EXPECTED NAME
is() {
	if [ "$1" = "$2" ]; then
		ok "$3"
	else
		fail "$3" "got:      $1" "expected: $2"
	fi
}

# like TEXT EXTENDED-REGEX NAME: . matches any character, a newline included.
like() {
	if [[ $1 =~ $2 ]]; then
		ok "$3"
	else
		fail "$3" "got:            $1" "should match:   $2"
	fi
}

unlike() {
	if [[ $1 =~ $2 ]]; then
		fail "$3" "got:              $1" "should not match: $2"
	else
		ok "$3"
	fi
}

# at_least / at_most NUMBER LIMIT NAME: decimals allowed.
at_least() {
	if awk -v a="$1" -v b="$2" 'BEGIN { exit !(a != "" && a + 0 >= b + 0) }'; then
		ok "$3"
	else
		fail "$3" "got $1, expected at least $2"
	fi
}

at_most() {
	if awk -v a="$1" -v b="$2" 'BEGIN { exit !(a != "" && a + 0 <= b + 0) }'; then
		ok "$3"
	else
		fail "$3" "got $1, expected at most $2"
	fi
}

# cases NAME COMMAND...: adds a program's TAP to ours.
cases() {
	local name=$1 line what planned='' count=$lib_count
	shift
	"$@" >"$TMPDIR/cases"
	while IFS= read -r line; do
		what=${line#*ok * - }
		case $line in
		"not ok "*) fail "$name: $what" ;;
		"ok "*" # SKIP "*) skip "$name: ${what%% # SKIP *}" "${what#* # SKIP }" ;;
		"ok "*) ok "$name: $what" ;;
		1..*) planned=${line#1..} ;;
		*) printf '%s\n' "$line" ;;
		esac
	done <"$TMPDIR/cases"
	is "$((lib_count - count))" "${planned:-none}" "$name: all cases ran"
}

done_testing() {
	printf '1..%d\n' "$lib_count"
	[ "$lib_failed" -eq 0 ]
	exit
}

# skip_all REASON: the whole file, counted as one skipped test.
skip_all() {
	skip "$(basename "$0" .sh)" "$1"
	done_testing
}

# missing COMMAND: why a program cannot be had, for skip. deps.sh leaves its reasons there.
missing() {
	local reason
	reason=$(sed -n "s/^$1: //p" "$BUILD/programs-missing" 2>/dev/null | head -n 1)
	printf '%s is not installed (%s)' "$1" "${reason:-make deps-programs installs it}"
}

have() {
	command -v "$1" >/dev/null 2>&1
}

# ---- ports and servers -----------------------------------------------------

lib_ports=" "
lib_servers=()
lib_started=() # when, by pid
lib_logs=0

# listening PORT: true if some socket listens there. Connects to nothing, since that
# would eat the only accept of a server such as `iperf3 -s -1`.
listening() {
	local hex
	printf -v hex '%04X' "$1"
	grep -qE "^ *[0-9]+: [0-9A-F]+:$hex [0-9A-F]+:0000 0A" \
		/proc/net/tcp /proc/net/tcp6 2>/dev/null
}

# free_port [VARIABLE]: sets VARIABLE (default PORT) to a port of 127.0.0.1 that nobody
# uses. Below ip_local_port_range, so that no client socket is ever given it and a retry
# cannot connect to itself.
free_port() {
	local lib_port lib_hex lib_try
	for lib_try in {1..200}; do
		lib_port=$((10240 + (RANDOM * 32768 + RANDOM + lib_try) % 22000))
		printf -v lib_hex '%04X' "$lib_port"
		case $lib_ports in *" $lib_port "*) continue ;; esac
		grep -qE "^ *[0-9]+: [0-9A-F]+:$lib_hex " /proc/net/{tcp,tcp6,udp,udp6} \
			2>/dev/null && continue
		lib_ports+="$lib_port "
		printf -v "${1:-PORT}" '%s' "$lib_port"
		return 0
	done
	echo "Bail out! no free port"
	exit 1
}

# wait_for_port PORT [SECONDS]: until something listens; SERVER_LOG is shown if nothing does.
wait_for_port() {
	local deadline=$((${EPOCHREALTIME/./} + ${2:-10} * 1000000))
	until listening "$1"; do
		if [ "${EPOCHREALTIME/./}" -gt "$deadline" ]; then
			diag "nothing listens on port $1 after ${2:-10} s" \
				"$(tail -n 20 "${SERVER_LOG:-/dev/null}")"
			return 1
		fi
		sleep 0.02
	done
}

# late SECONDS COMMAND...: starts a server that many seconds later.
# Sets SERVER_PID and SERVER_LOG (what it says).
late() {
	local delay=$1
	shift
	lib_logs=$((lib_logs + 1))
	SERVER_LOG=$TMPDIR/server-$BASHPID-$lib_logs.log
	(
		trap - EXIT
		[ "$delay" = 0 ] || sleep "$delay"
		if [ "$(type -t "$1")" = function ]; then
			"$@"
		else
			exec "$@"
		fi
	) </dev/null >"$SERVER_LOG" 2>&1 &
	SERVER_PID=$!
	lib_servers+=("$SERVER_PID")
	lib_started[SERVER_PID]=$(lib_start_time "$SERVER_PID")
}

# start_server COMMAND...: now. A shell function should end in `exec`, so that the pid is
# the server's.
start_server() {
	late 0 "$@"
}

# lib_start_time PID: in clock ticks since boot, field 22 of proc_pid_stat(5); empty without it.
lib_start_time() {
	local stat
	read -r stat 2>/dev/null <"/proc/$1/stat" || return 0
	# shellcheck disable=SC2086 # the fields after the name, which may hold blanks
	set -- ${stat##*) }
	echo "${20}"
}

# stop_server [PID]
# A server that has ended has left its number to others, in a long test to strangers.
stop_server() {
	local pid=${1:-$SERVER_PID} i
	[ "${lib_started[pid]-}" = "" ] || [ "${lib_started[pid]}" = "$(lib_start_time "$pid")" ] ||
		return 0
	kill "$pid" 2>/dev/null || return 0
	for i in {1..100}; do
		kill -0 "$pid" 2>/dev/null || break
		[ "$i" -lt 100 ] || kill -KILL "$pid" 2>/dev/null
		sleep 0.02
	done
	wait "$pid" 2>/dev/null
	return 0
}

# before_exit COMMAND...: run at exit, the last one first.
lib_cleanups=()
before_exit() {
	lib_cleanups+=("$(printf '%q ' "$@")")
}

# shellcheck disable=SC2317 # called by the trap
lib_exit() {
	local status=$? i
	trap - EXIT
	for ((i = ${#lib_cleanups[@]} - 1; i >= 0; i--)); do
		eval "${lib_cleanups[i]}"
	done
	for i in "${lib_servers[@]}"; do
		stop_server "$i"
	done
	[ -z "$lib_own_tmpdir" ] || rm -rf "$lib_own_tmpdir"
	exit "$status"
}
trap lib_exit EXIT
trap 'exit 143' TERM
trap 'exit 130' INT

# ---- running programs --------------------------------------------------------

# hf COMMAND...: under holdfast.
hf() {
	"$HOLDFAST" run -- "$@"
}

# hf_preload COMMAND...: the same without the tool.
hf_preload() {
	LD_PRELOAD=$SHIM "$@"
}

# run_with_timeout SECONDS COMMAND...: 124 when it had to be ended. A function may be given.
run_with_timeout() {
	local seconds=$1 pid timer status
	shift
	if [ "$(type -t "$1")" = file ]; then
		timeout --foreground -k 2 "$seconds" "$@"
		return
	fi
	(
		trap - EXIT
		"$@"
	) <&0 &
	pid=$!
	(
		trap - EXIT
		sleep "$seconds"
		kill "$pid"
	) >/dev/null 2>&1 </dev/null &
	timer=$!
	wait "$pid"
	status=$?
	kill "$timer" 2>/dev/null || status=124
	wait "$timer" 2>/dev/null
	return "$status"
}

# capture COMMAND...: sets OUT, ERR, STATUS and SECONDS_TAKEN (with decimals).
capture() {
	local begin=${EPOCHREALTIME/./} end
	"$@" >"$TMPDIR/capture.out" 2>"$TMPDIR/capture.err"
	STATUS=$?
	end=${EPOCHREALTIME/./}
	OUT=$(cat "$TMPDIR/capture.out")
	ERR=$(cat "$TMPDIR/capture.err")
	printf -v SECONDS_TAKEN '%d.%06d' $(((end - begin) / 1000000)) $(((end - begin) % 1000000))
	export STATUS OUT ERR SECONDS_TAKEN
	return 0
}

# ---- the store ---------------------------------------------------------------

# stats_value KEY [ENDPOINT]: a counter of the totals, or of one endpoint ("tcp:127.0.0.1:80"),
# such as recovered or retries_denied.limit. 0 if the endpoint is not there; nothing, and a
# failure, if the statistics cannot be read or have no such counter.
stats_value() {
	"$HOLDFAST" stats --json | "$PYTHON" -c '
import functools, json, sys
key, endpoint = sys.argv[1:]
stats = json.load(sys.stdin)
if endpoint:
    found = [e["counters"] for e in stats["endpoints"] if e["endpoint"] == endpoint]
else:
    found = [stats["totals"]]
pick = lambda counters: functools.reduce(lambda value, word: value[word], key.split("."), counters)
pick(stats["totals"])
print(sum(map(pick, found)))
' "$1" "${2:-}"
}

# ---- namespaces ----------------------------------------------------------------

lib_unshare() {
	if [ "$(id -u)" = 0 ]; then unshare "$@"; else unshare -r "$@"; fi
}

can_netns() {
	lib_unshare -n true 2>/dev/null && have ip
}

# peer_begin: a network namespace for the other end of a link, in PEER by a process in it that is
# ended as a server is. Without it in_peer runs its command here.
PEER=
peer_begin() {
	local i
	start_server unshare -n sleep 3600
	PEER=$SERVER_PID
	for i in {1..200}; do
		[ "$(readlink "/proc/$PEER/ns/net")" != "$(readlink /proc/self/ns/net)" ] && break
		sleep 0.02
	done
}
in_peer() {
	if [ -n "$PEER" ]; then nsenter -t "$PEER" -n -- "$@"; else "$@"; fi
}

can_mountns() {
	lib_unshare -m true 2>/dev/null && [ -e /etc/hosts ]
}

# with_netns COMMAND...: in a network namespace of its own, with lo up.
with_netns() {
	lib_unshare -n -- bash -c 'ip link set lo up && exec "$@"' -- "$@"
}

# enter_netns "$@": the whole script, from its first line, in such a namespace.
# Skips the file where that is not allowed.
enter_netns() {
	[ -z "${HFTEST_NETNS:-}" ] || return 0
	can_netns || skip_all "network namespaces cannot be made here"
	trap - EXIT
	HFTEST_NETNS=1 with_netns "$0" "$@"
	local status=$?
	[ -z "$lib_own_tmpdir" ] || rm -rf "$lib_own_tmpdir"
	exit "$status"
}

# with_hosts FILE COMMAND...: in a mount namespace where /etc/hosts is FILE.
with_hosts() {
	lib_unshare -m --propagation private -- bash -c \
		'mount --bind "$1" /etc/hosts && shift && exec "$@"' -- "$@"
}

# enter_hosts FILE "$@": the whole script, from its first line, in a network namespace of its own
# where /etc/hosts is FILE. Skips the file where that is not allowed.
enter_hosts() {
	[ -z "${HFTEST_HOSTS:-}" ] || return 0
	can_netns && can_mountns || skip_all "network and mount namespaces cannot be made here"
	local hosts=$1
	shift
	trap - EXIT
	HFTEST_HOSTS=1 lib_unshare -n -m --propagation private -- bash -c \
		'ip link set lo up && mount --bind "$1" /etc/hosts && shift && exec "$@"' -- \
		"$hosts" "$0" "$@"
	local status=$?
	[ -z "$lib_own_tmpdir" ] || rm -rf "$lib_own_tmpdir"
	exit "$status"
}
