#!/bin/bash
# SPDX-License-Identifier: MIT
# A peer that goes silent without a word, and one that is there but says nothing: with `heartbeat`
# each way of waiting ends with ETIMEDOUT when the policy says so, neither sooner nor much later.
# Without it none does, and neither does one whose peer is alive.
# TIMEOUT: 120
. "$(dirname "$0")/../lib.sh"
enter_netns "$@"
silent=$TOP/tests/faults/silent.py
near=10.77.0.1
far=10.77.0.2   # goes silent
alive=10.77.0.3 # the same machine's, and does not
PORT=4000
patience=9 # seconds: of whoever would wait for ever; later than all that is to be noticed
margin=3   # seconds: for the kernel's timers, and a loaded machine
slack=0.1  # seconds: between what the kernel has seen and the program

# ---- the other end of the link -------------------------------------------------------

link_up() {
	peer_begin
	# Who has the address stays known, so that nobody says later that it cannot be reached.
	ip link add hfnear type veth peer name hffar netns "$PEER" &&
		in_peer ip addr add "$far/24" dev hffar && in_peer ip addr add "$alive/24" dev hffar &&
		in_peer ip link set hffar up &&
		ip addr add "$near/24" dev hfnear && ip link set hfnear up &&
		ip neigh replace "$far" dev hfnear nud permanent \
			lladdr "$(in_peer ip -o link show hffar | grep -oP 'link/ether \K\S+')"
}

# Nothing comes back any more, not even a reset; the link stays up.
silence() {
	in_peer ip rule add from "$far" blackhole
}

# ---- clients, all at the same time ---------------------------------------------------

declare -A pids=() outcomes=()

heartbeat() {
	printf '{ "version": 1, "defaults": { "heartbeat": { %s } } }' "$1"
}

# begin NAME POLICY PEER HOW: POLICY is none (without holdfast), or as HOLDFAST_POLICY.
begin() {
	local name=$1 policy=$2 with=() address=$far
	shift 2
	[ "$1" = stream ] || address=$alive
	[ "$policy" = none ] || with=("LD_PRELOAD=$SHIM" "HOLDFAST_POLICY=$policy")
	start_server env "${with[@]}" "$PYTHON" "$silent" wait "$@" "$address" "$PORT" "$patience"
	pids[$name]=$SERVER_PID
	outcomes[$name]=$SERVER_LOG
}

all_ready() {
	local i
	for i in {1..1000}; do
		[ "$(grep -lsx ready "${outcomes[@]}" | wc -l)" -lt "${#outcomes[@]}" ] || return 0
		sleep 0.02
	done
	return 1
}

# ended NAME: what its client said in the end, and after how long.
ended() {
	wait "${pids[$1]}"
	diag "$1: $(tr '\n' ' ' <"${outcomes[$1]}")"
	read -r OUTCOME SECONDS_TAKEN < <(grep -v '^ready$' "${outcomes[$1]}")
	THEN=$(sed -n 's/^then //p' "${outcomes[$1]}")
}

sum() {
	awk -v a="$1" -v b="$2" 'BEGIN { print a + b }'
}

# noticed NAME SECONDS: it was told of the timeout, once, after so long.
noticed() {
	ended "$1"
	is "$OUTCOME" ETIMEDOUT "$1: it is told"
	at_least "$SECONDS_TAKEN" "$(sum "$2" "-$slack")" "$1: not before $2 s"
	at_most "$SECONDS_TAKEN" "$(sum "$2" "$margin")" "$1: and soon after"
	is "$THEN" end "$1: and then of the end"
}

unnoticed() {
	ended "$1"
	is "$OUTCOME" nothing "$1: it waits on"
}

# ---- what is tried -------------------------------------------------------------------

link_up 2>"$TMPDIR/link" || skip_all "no veth here: $(tail -n 1 "$TMPDIR/link")"
start_server nsenter -t "$PEER" -n -- "$PYTHON" "$silent" serve 0.0.0.0 "$PORT"
for ((i = 0; i < 500; i++)); do
	! grep -qs listening "$SERVER_LOG" || break
	sleep 0.02
done

# TCP's own means: 1 s without a word, then two questions, 1 s apart.
asking=$(heartbeat '"idle": "1s", "interval": "1s", "count": 2')
# Of these only the user timeout can come into play.
in_flight=$(heartbeat '"idle": "5m", "user_timeout": "2s"')
patient=$(heartbeat '"idle_timeout": "2s"')

waits=(recv poll select epoll edge early-poll early-select early-epoll early-edge)
sends=(sent sent-epoll send)
for how in "${waits[@]}"; do
	begin "silent, heartbeat, $how" "$asking" stream "$how"
	begin "alive and quiet, idle_timeout, $how" "$patient" quiet "$how"
done
for how in "${sends[@]}"; do
	begin "silent, heartbeat, $how" "$asking" stream "$how"
	begin "silent, user_timeout, $how" "$in_flight" stream "$how"
done
for how in recv epoll sent; do
	begin "silent, without holdfast, $how" none stream "$how"
	begin "silent, standard, $how" standard stream "$how"
done
for how in recv epoll; do
	begin "alive and quiet, without holdfast, $how" none quiet "$how"
	begin "alive and quiet, heartbeat, $how" "$asking" quiet "$how"
	begin "silent, idle_timeout, $how" "$patient" stream "$how"
	begin "alive and slow, idle_timeout, $how" "$patient" slow "$how"
done
check "each client has its connection" all_ready
silence

for how in "${waits[@]}"; do
	noticed "silent, heartbeat, $how" 3
	noticed "alive and quiet, idle_timeout, $how" 2
done
for how in "${sends[@]}"; do
	noticed "silent, heartbeat, $how" 3
	noticed "silent, user_timeout, $how" 2
done
for how in recv epoll sent; do
	unnoticed "silent, without holdfast, $how"
	unnoticed "silent, standard, $how"
done
for how in recv epoll; do
	unnoticed "alive and quiet, without holdfast, $how"
	unnoticed "alive and quiet, heartbeat, $how"
	noticed "silent, idle_timeout, $how" 2
	ended "alive and slow, idle_timeout, $how"
	is "$OUTCOME" end "alive and slow, idle_timeout, $how: all is read, to its end"
done
is "$("$HOLDFAST" events --json | grep '"connection_lost"' | grep -c '"ETIMEDOUT"')" \
	$((2 * ${#waits[@]} + 2 * ${#sends[@]} + 2)) "each that was told is in the events"
done_testing
