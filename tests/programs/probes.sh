#!/bin/bash
# SPDX-License-Identifier: MIT
# Servers that accept once and end: whichever address of the name they listen on, and however
# often holdfast has asked for them meanwhile, the one connection that they accept is the
# client's. On loopback, and over a link, with addresses that refuse and addresses that are silent.
# TIMEOUT: 240
. "$(dirname "$0")/../lib.sh"
. "$TOP/tests/programs/names.bash"

first[far.test]=10.77.0.3 last[far.test]=10.77.0.2 # at the other end of the link
near=10.77.0.1

write_hosts "$TMPDIR/hosts"
enter_hosts "$TMPDIR/hosts" "$@"

# write_policy FILE RETRIES DELAY FACTOR
write_policy() {
	cat >"$1" <<-EOT
		{ "version": 1, "defaults": {
			"connect": { "attempt_timeout": "1s" },
			"strategies": { "network": { "decision": "backoff", "max_retries": $2,
				"base_delay": "$3", "max_delay": "1h",
				"backoff_factor": $4, "jitter": 0 } } } }
	EOT
}
write_policy "$work/patient.json" 80 100ms 1
write_policy "$work/short.json" 3 300ms 2
late_seconds=1.2

# ---- the other end of the link -------------------------------------------------------

link_up() {
	peer_begin
	ip link add hfnear type veth peer name hffar netns "$PEER" &&
		ip addr add "$near/24" dev hfnear && ip link set hfnear up &&
		in_peer ip addr add "${first[far.test]}/24" dev hffar &&
		in_peer ip addr add "${last[far.test]}/24" dev hffar &&
		in_peer ip link set lo up && in_peer ip link set hffar up &&
		sysctl -qw net.ipv4.tcp_syn_retries=2
}

# Nothing comes back from a silent address, not even a reset.
silence() {
	in_peer ip rule add from "$1" blackhole
}
unsilence() {
	in_peer ip rule del from "$1" blackhole
}

# ---- servers and clients -------------------------------------------------------------

nc_server() {
	in_peer nc -l "${ADDRESSES[0]}" "$PORT"
}

socat_server() {
	local address=${ADDRESSES[0]}
	case $address in
	*:*) socat -u "TCP6-LISTEN:$PORT,bind=[$address],reuseaddr" - ;;
	*) socat -u "TCP4-LISTEN:$PORT,bind=$address,reuseaddr" - ;;
	esac
}

# Nothing may connect to find out.
wait_for_once() {
	local hex i
	printf -v hex '%04X' "$PORT"
	for i in {1..250}; do
		in_peer cat /proc/net/tcp /proc/net/tcp6 |
			grep -qE "^ *[0-9]+: [0-9A-F]+:$hex [0-9A-F]+:0000 0A" && return
		sleep 0.02
	done
	diag "no server listens" "$(cat "$SERVER_LOG")"
}

client='import socket, sys
with socket.create_connection((sys.argv[1], int(sys.argv[2]))) as s:
	s.sendall(b"payload\n")'
client_walk() {
	"$@" "$PYTHON" -c "$client" "$HOST" "$PORT"
}

# The server's output, once it has ended by itself; it ends with its one client.
server_output() {
	local i
	for i in {1..250}; do
		kill -0 "$SERVER_PID" 2>/dev/null || break
		sleep 0.02
	done
	stop_server
	cat "$SERVER_LOG"
}

held() {
	awk -v a="$(stats_value recovered)" -v b="$(stats_value fallbacks)" 'BEGIN { print a + b }'
}

fresh_state() {
	states=$((${states:-0} + 1))
	export HOLDFAST_STATE_DIR=$work/state-$states
}

# expect_payload WHAT: the client under holdfast, to the server that was started.
expect_payload() {
	HOLDFAST_POLICY=$work/patient.json capture run_with_timeout 20 client_walk hf
	is "$STATUS $(server_output)" "0 payload" "$1: the client's data arrives"
	[ "$STATUS" -eq 0 ] || diag "$ERR"
}

# once SERVER HOST PLACEMENT up|late
once() {
	local what="$1, $2 on $3, $4"
	HOST=$2
	place "$HOST" "$3"
	free_port
	fresh_state
	if [ "$4" = up ]; then
		start_server "$1_server"
		wait_for_once
	else
		late "$late_seconds" "$1_server"
	fi
	expect_payload "$what"
	# Only a server on the first address that is up is reached without being asked for.
	[ "$3 $4" = "first up" ] || at_least "$(held)" 1 "$what: the first address was refused"
	[ "$4" = late ] || at_most "$(stats_value backoff_seconds)" 0 "$what: nothing is held"
	[ "$4" = up ] || at_most "$SECONDS_TAKEN" 5 "$what: soon after its server"
}

# ---- loopback ------------------------------------------------------------------------

test_loopback() {
	local server host placement when
	for server in nc socat; do
		for host in both.test two.test; do
			for placement in first last; do
				for when in up late; do
					once "$server" "$host" "$placement" "$when"
				done
			done
		done
	done
}

# What all of this is about: a probe that connects and closes takes the client's place.
test_control() {
	HOST=both.test
	place "$HOST" first
	free_port
	start_server nc_server
	wait_for_once
	"$PYTHON" -c 'import socket, sys
socket.create_connection((sys.argv[1], int(sys.argv[2]))).close()' "$HOST" "$PORT"
	unlike "$(server_output)" payload "nc: a plain connect eats its only accept"
	capture run_with_timeout 20 client_walk
	is "$STATUS" 1 "nc: so that the client is refused"
}

# iperf3 asks the first address only. Under holdfast it is told of the refusal as without, and the
# server on the last address, asked for meanwhile, still serves its one client.
iperf3_once() {
	local what="iperf3 -s -1, $HOST on last" status words
	place "$HOST" last
	free_port
	fresh_state
	late 0 in_peer iperf3 -s -1 -B "${ADDRESSES[0]}" -p "$PORT"
	wait_for_once
	client_run iperf3
	status=$STATUS words=$WORDS
	HOLDFAST_POLICY=$work/patient.json client_run iperf3 hf
	is "$STATUS $WORDS" "$status $words" \
		"$what: a client of the first is refused as without holdfast"
	at_least "$(stats_value fallbacks)" 1 "$what: the server was asked for"
	HOST=${ADDRESSES[0]} client_run iperf3
	is "$STATUS $REACHED" "0 yes" "$what: it still serves one client"
	stop_server

	what="iperf3 -s -1, $HOST on first, late"
	place "$HOST" first
	free_port
	fresh_state
	late "$late_seconds" in_peer iperf3 -s -1 -B "${ADDRESSES[0]}" -p "$PORT"
	HOLDFAST_POLICY=$work/patient.json client_run iperf3 hf
	is "$STATUS $REACHED" "0 yes" "$what: its one client is the held one"
	[ "$REACHED" = yes ] || diag "$WORDS" "$(cat "$SERVER_LOG")"
	stop_server
}

# ---- over a link ---------------------------------------------------------------------

test_silent_last() {
	local what="nc on far.test, first refuses, last is silent"
	HOST=far.test
	silence "${last[far.test]}"
	place "$HOST" first
	free_port
	fresh_state
	late "$late_seconds" nc_server
	expect_payload "$what, late on first"
	at_least "$(stats_value recovered)" 1 "$what, late on first: held there"
	at_most "$SECONDS_TAKEN" 5 "$what, late on first: soon after its server"

	place "$HOST" last
	free_port
	fresh_state
	start_server nc_server
	wait_for_once
	local server=$SERVER_PID log=$SERVER_LOG
	late "$late_seconds" unsilence "${last[far.test]}"
	SERVER_PID=$server SERVER_LOG=$log
	expect_payload "$what at first"
	at_most "$SECONDS_TAKEN" 6 "$what at first: reached soon after it answers"
}

test_silent_first() {
	local what="nc on far.test, first is silent, server on last"
	HOST=far.test
	silence "${first[far.test]}"
	place "$HOST" last
	free_port
	fresh_state
	start_server nc_server
	wait_for_once
	expect_payload "$what"
	at_least "$SECONDS_TAKEN" 0.9 "$what: the first has its attempt_timeout"
	at_most "$SECONDS_TAKEN" 5 "$what: and no second one"
	unsilence "${first[far.test]}"
}

test_silent_never() {
	local what="far.test, first refuses, last is silent, no server" status words bare
	HOST=far.test
	silence "${last[far.test]}"
	sysctl -qw net.ipv4.tcp_syn_retries=1
	free_port
	fresh_state
	capture run_with_timeout 30 client_walk
	status=$STATUS words=${ERR##*$'\n'} bare=$SECONDS_TAKEN
	HOLDFAST_POLICY=$work/short.json capture run_with_timeout 30 client_walk hf
	is "$STATUS ${ERR##*$'\n'}" "$status $words" "$what: words as without holdfast"
	at_least "$SECONDS_TAKEN" 2.1 "$what: a budget is spent"
	at_most "$SECONDS_TAKEN" "$(awk -v b="$bare" 'BEGIN { print b + 2.1 + 1.8 }')" \
		"$what: and no second one"
	unsilence "${last[far.test]}"
}

test_link() {
	local placement when
	is "$(addresses_of far.test)" "${first[far.test]} ${last[far.test]}" \
		"far.test: addresses in order"
	for placement in first last; do
		for when in up late; do
			once nc far.test "$placement" "$when"
		done
	done
	HOST=far.test
	! have iperf3 || iperf3_once
	test_silent_last
	test_silent_first
	test_silent_never
}

for name in nc socat iperf3; do
	have "$name" || skip "$name" "$(missing "$name")"
done
have nc && have socat || skip_all "the servers are not installed"
test_control
test_loopback
HOST=two.test
! have iperf3 || iperf3_once
if link_up 2>"$work/link"; then
	test_link
else
	skip "over a link" "no veth here: $(tail -n 1 "$work/link")"
fi
done_testing
