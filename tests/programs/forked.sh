#!/bin/bash
# SPDX-License-Identifier: MIT
# Programs whose connecting process never asked libc for the name: lynx, elinks and lftp ask in a
# forked child, aria2's c-ares reads the hosts file by itself. The addresses are one destination
# all the same: rules that name the host apply, a server on either address is reached at once when
# it is up, and soon after it has come when it is late.
# TIMEOUT: 180
. "$(dirname "$0")/../lib.sh"
. "$TOP/tests/programs/names.bash"
write_hosts "$TMPDIR/hosts"
enter_hosts "$TMPDIR/hosts" "$@"
# Never used; but a machine with none but ::1 and 127.* is not asked for both families.
ip addr add 10.78.0.1/32 dev lo
ip addr add fd00:78::1/128 dev lo
export TERM=dumb
HOST=both.test
at_once=6
late_seconds=2

lynx_needs=lynx lynx_expects='^ *hello$'
lynx_client() {
	"$@" lynx -cfg=/dev/null -lss=/dev/null -nocolor -dump "http://$HOST:$PORT/file"
}
elinks_needs=elinks elinks_expects='^ *hello$'
elinks_client() {
	"$@" elinks -no-home -eval 'set connection.retries = 1' -dump "http://$HOST:$PORT/file"
}
lftp_needs=lftp lftp_expects='^hello$'
lftp_client() {
	"$@" lftp --norc -c "set net:max-retries 1; cat http://$HOST:$PORT/file"
}
aria2_needs=aria2c aria2_expects='^hello$'
aria2_client() {
	rm -rf "$work/aria2-$PORT"
	"$@" aria2c --no-conf --console-log-level=error --download-result=hide --max-tries=1 \
		--show-console-readout=false -d "$work/aria2-$PORT" "http://$HOST:$PORT/file" &&
		cat "$work/aria2-$PORT/file"
}
programs=(lynx elinks lftp aria2)
forking=" lynx elinks lftp "

# write_policy FILE SIBLINGS RETRIES MATCH: nothing is retried but what matches, by rule "named".
write_policy() {
	cat >"$1" <<-EOT
		{ "version": 1,
		  "defaults": { "strategies": { "network": { "decision": "none" } } },
		  "rules": [ { "name": "named", "match": $4,
			"connect": { "siblings": "$2" },
			"strategies": { "network": { "decision": "backoff", "max_retries": $3,
				"base_delay": "200ms", "max_delay": "1h",
				"backoff_factor": 1, "jitter": 0 } } } ] }
	EOT
}
# The name is known when lynx connects. What aria2 was told is found out after the first failure.
for siblings in probe walk; do
	for name in "${programs[@]}"; do
		match='{ "hosts": ["both.test"] }'
		[ "$name" != aria2 ] || match='{ "programs": ["aria2c"] }'
		write_policy "$work/late-$siblings-$name.json" "$siblings" 60 "$match"
		write_policy "$work/never-$siblings-$name.json" "$siblings" 2 "$match"
	done
done

# ---- runs, some at a time, each of which leaves its result in a file -------------------------

# job NAME PLACEMENT WHEN SIBLINGS: with the server up or late on the first address, the last or
# all; or, PLACEMENT being none, without.
job() {
	local name=$1 placement=$2 when=$3
	result=$work/result-$name-$placement-$when-$4
	export HOLDFAST_STATE_DIR=$result.state TMPDIR=$result.tmp
	export HOLDFAST_POLICY=$work/late-$4-$name.json
	mkdir -p "$TMPDIR"
	case $placement/$when in
	none/*) export HOLDFAST_POLICY=$work/never-$4-$name.json ;;
	*/up)
		place "$HOST" "$placement"
		start_server http_server
		wait_for_port "$PORT"
		;;
	*)
		place "$HOST" "$placement"
		late "$late_seconds" http_server
		;;
	esac
	client_run "$name" hf
	printf 'STATUS=%q REACHED=%q SECONDS_TAKEN=%q WORDS=%q STATS=%q RULES=%q\n' "$STATUS" \
		"$REACHED" "$SECONDS_TAKEN" "$WORDS" "$("$HOLDFAST" stats --json 2>/dev/null)" \
		"$("$HOLDFAST" events --json 2>/dev/null | jq -rs 'map(select(.error != null and
			(.endpoint | startswith("tcp:"))) | .rule) | unique | join(" ")')" >"$result"
}

job_load() {
	STATUS='' REACHED='' SECONDS_TAKEN='' WORDS='' STATS='{}' RULES=''
	# shellcheck disable=SC1090 # written by job
	. "$work/result-$1-$2-$3-$4"
}

counter() {
	jq ".totals.$1" <<<"$STATS"
}

judge() {
	local what="$1, $4, $3 on $2"
	job_load "$@"
	if [ "$2" = none ]; then
		what="$1, $4, no server"
		is "$REACHED" no "$what: not reached"
		is "$RULES" named "$what: the rule applies"
		is "$(counter retries)" 2 "$what: its budget is spent once"
		return
	fi
	is "$REACHED $STATUS" "yes 0" "$what: reached"
	[ "$REACHED" = yes ] || diag "$WORDS" "$(jq -c .totals <<<"$STATS")"
	is "$(counter failures)" 0 "$what: no failure was told"
	if [ "$3" = up ]; then
		at_most "$(counter backoff_seconds)" 0 "$what: nothing is held"
	else
		at_least "$SECONDS_TAKEN" "$late_seconds" "$what: not before its server"
		at_most "$SECONDS_TAKEN" "$((late_seconds + 5))" "$what: soon after it"
		is "$RULES" named "$what: the rule applies"
	fi
}

# ---- who asks, and who connects ----------------------------------------------------------------

# asks_in_child NAME: the pids that read the hosts file, and those that connect to the server.
asks_in_child() {
	local askers connecters
	client_run "$1" strace -f -qq -e signal=none -e trace=openat,connect -o "$TMPDIR/trace"
	askers=$(awk '/"\/etc\/hosts"/ { print $1 }' "$TMPDIR/trace" | sort -u)
	# The child connects as well, by UDP, to sort the addresses as RFC 6724 says.
	connecters=$(awk -v port="htons($PORT)" '/EINPROGRESS/ && index($0, port) { print $1 }' \
		"$TMPDIR/trace" | sort -u)
	is "$REACHED" yes "$1: reached without holdfast"
	is "$(wc -w <<<"$askers") $(wc -w <<<"$connecters")" "1 1" \
		"$1: one process asks, and one connects"
	check "$1: they are different ones" test "$askers" != "$connecters"
}

ready_programs
free_port
place "$HOST" all
start_server http_server
wait_for_port "$PORT"
for name in "${ready[@]}"; do
	[[ $forking == *" $name "* ]] || continue
	if have strace; then
		asks_in_child "$name"
	else
		skip "$name: who asks" "$(missing strace)"
	fi
done
stop_server

# ---- c-ares in a program that blocks ---------------------------------------------------------------

# It connects to both addresses in turn and has asked nobody for them: what it was told is only
# looked for in the hosts file if c-ares is there. The server is on the second.
echo 'int ares_library_init(int); int ares_library_init(int flags) { return flags; }' \
	>"$TMPDIR/ares.c"
check "a library that is taken for c-ares" "${CC:-cc}" -shared -fPIC -o "$TMPDIR/libares.so" \
	"$TMPDIR/ares.c"
cat >"$TMPDIR/turn.py" <<'PYTHON'
import socket, sys
for family, address in ((socket.AF_INET6, "::1"), (socket.AF_INET, "127.0.0.1")):
    try:
        socket.socket(family).connect((address, int(sys.argv[1])))
        print(address)
    except ConnectionRefusedError:
        pass
PYTHON
# turn PRELOAD...: sets RETRIES and FALLBACKS.
turn() {
	HOLDFAST_STATE_DIR=$work/state-turn-$# capture env LD_PRELOAD="$*" HOLDFAST_MAX_RETRIES=2 \
		HOLDFAST_BASE_DELAY=50ms "$PYTHON" "$TMPDIR/turn.py" "$PORT"
	RETRIES=$(HOLDFAST_STATE_DIR=$work/state-turn-$# stats_value retries)
	FALLBACKS=$(HOLDFAST_STATE_DIR=$work/state-turn-$# stats_value fallbacks)
}
free_port
place "$HOST" last
start_server http_server
wait_for_port "$PORT"
turn "$SHIM"
is "$OUT $RETRIES $FALLBACKS" "127.0.0.1 2 0" "without c-ares the first address is held"
turn "$SHIM" "$TMPDIR/libares.so"
is "$OUT $RETRIES $FALLBACKS" "127.0.0.1 0 1" "with it both are one destination"
stop_server

# ---- the programs --------------------------------------------------------------------------------

cases=()
for name in "${ready[@]}"; do
	for placement in first last all; do
		cases+=("$name $placement up probe" "$name $placement late probe")
	done
	cases+=("$name last up walk" "$name last late walk" "$name none never probe")
done
for ((i = 0; i < ${#cases[@]}; i += at_once)); do
	jobs=()
	for case in "${cases[@]:i:at_once}"; do
		free_port
		(
			lib_servers=() lib_own_tmpdir=
			trap lib_exit EXIT
			# shellcheck disable=SC2086 # four words
			job $case
		) >&2 &
		jobs+=($!)
	done
	wait "${jobs[@]}"
done
for case in "${cases[@]}"; do
	# shellcheck disable=SC2086 # four words
	judge $case
done
done_testing
