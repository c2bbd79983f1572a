#!/bin/bash
# SPDX-License-Identifier: MIT
# A program that only writes lines, and a server that resets its connections and is killed: with an
# overlap as large as the server's receive buffer every line arrives whole, in order up to what is
# sent again. Without an overlap just those are missing that were acknowledged and never read.
# HFTEST_SEED repeats a run.
# TIMEOUT: 120
# STRESS: 400
. "$(dirname "$0")/../lib.sh"
. "$TOP/tests/faults/transfer.bash"

lines=50000 cuts=6
[ -z "${HFTEST_STRESS:-}" ] || lines=1000000 cuts=20
line_bytes=69 # on average
line_bytes_max=99
send_buffer=65536

# The server's receive buffer, as the kernel counts it: no more than that can be lost at a cut.
receive_buffer=$("$PYTHON" -c '
import socket
s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32768)
print(s.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF))')

# wait_for_end LOG: the client is gone, but what it wrote may be on its way.
wait_for_end() {
	local try
	for try in {1..500}; do
		[[ $(tail -n 1 "$1") != end* ]] || return 0
		sleep 0.02
	done
	return 1
}

# send NAME POLICY KINDS MODE [BUFFER]: the client and its server, which cuts connections in those
# ways. Sets what the checker found, too: found[word].
declare -A found
send() {
	local name=$1 policy=$2 kinds=$3 mode=$4 buffer=${5:-} word number log
	local directory=$TMPDIR/$name.lines
	mkdir "$directory"
	free_port
	# shellcheck disable=SC2086 # a list
	start_server "$faults/collector.py" "$PORT" "$directory" --buffer 32768 --cuts "$cuts" \
		--bytes $((lines * line_bytes)) --seed "$seed" --kinds $kinds
	log=$SERVER_LOG
	wait_for_port "$PORT"
	# shellcheck disable=SC2086 # nothing, or a number
	HOLDFAST_STATE_DIR=$TMPDIR/$name.state run_under "$policy" \
		"$BUILD/tests/faults/lines" "$PORT" "$lines" "$seed" "$mode" $buffer
	[ "$STATUS" != 0 ] || check "$name: all that it wrote comes to its end" wait_for_end "$log"
	stop_server
	found=()
	while read -r word number; do
		found[$word]=$number
	done < <("$faults/lines_check.py" "$directory" "$lines" 2>"$TMPDIR/$name.complaints")
	found[cuts]=$(grep -c '^cut' "$log")
	diag "$name: $SECONDS_TAKEN s, $(for word in "${!found[@]}"; do
		printf '%s %s ' "$word" "${found[$word]}"
	done)"
	rm -r "$directory"
}

# Of every run under holdfast.
judge() {
	local name=$1
	is "$STATUS/$ERR" "0/" "$name: it ends by itself, without a word"
	is "${found[cuts]}" "$cuts" "$name: every cut was made"
	at_least "${found[connections]}" $((cuts + 1)) "$name: a connection more than cuts"
	is "${found[wrong]}$(cat "$TMPDIR/$name.complaints")" 0 \
		"$name: whole lines only, and each connection's in order"
	is "${found[missing_end]}" 0 "$name: the last line arrives"
	# What was in flight may have been read, too.
	at_most "${found[resent_bytes]}" $((overlap + receive_buffer + 2 * line_bytes_max)) \
		"$name: nothing is sent again but at the cuts"
}

policy() {
	transfer_policy "\"replay\": \"one_way\", \"record\": \"newline\", \"overlap\": \"${overlap}B\",
		\"max_buffer\": \"$1\", \"drain\": \"20s\""
}

complete() {
	overlap=$receive_buffer
	send "$1" "$(policy "$2")" "${@:3}"
	judge "$1"
	is "${found[missing_inside]}" 0 "$1: every line arrives"
}

# A run of lines is missing right behind the last one that was read whole, or none is: the checker
# counts anything else as wrong.
lossy() {
	overlap=0
	send "$1" "$(policy "$2")" "${@:3}"
	judge "$1"
	at_most "${found[gap_bytes]}" $((receive_buffer + line_bytes_max)) \
		"$1: no more is missing at a cut than was not read"
	at_least "${found[missing_inside]}" 1 "$1: what an overlap is for does happen"
}

for mode in blocking poll; do
	name="$mode, without holdfast"
	send "$name" none "reset kill" "$mode" "$send_buffer"
	like "$STATUS/$ERR" '^1/lines: write: (Connection reset by peer|Broken pipe)$' \
		"$name: it fails"
	is "${found[cuts]}/${found[connections]}/${found[wrong]}" 1/1/0 "$name: at the first cut"
	at_least "${found[missing_end]}" 1 "$name: lines are missing"
done

complete "blocking" 1MiB "reset kill" blocking "$send_buffer"
complete "poll" 1MiB "reset kill" poll "$send_buffer"
# Much of it is not sent yet when the program closes the connection.
complete "large send buffer" 16MiB "reset kill" blocking
lossy "blocking, no overlap" 1MiB "reset kill" blocking "$send_buffer"
lossy "poll, no overlap" 1MiB "reset kill" poll "$send_buffer"
done_testing
