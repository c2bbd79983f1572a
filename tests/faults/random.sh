#!/bin/bash
# SPDX-License-Identifier: MIT
# A client with a session, through a proxy that cuts, resets, delays and slices at random: under
# every policy each exchange has the right answer or an error that the program sees, and the server
# reads nothing that a client would not send. HFTEST_SEED repeats the faults, but for their moments.
# TIMEOUT: 120
# STRESS: 1800
. "$(dirname "$0")/../lib.sh"
. "$TOP/tests/faults/faults.bash"
. "$TOP/tests/faults/transfer.bash"

exchanges=1000 # in each mode
limit=100      # seconds, for a run
[ -z "${HFTEST_STRESS:-}" ] || exchanges=50000 limit=400
max_attempts=3

# Every connection is cut some time.
cat >"$TMPDIR/script" <<'END'
{ "connections": [ { "match": "*", "toxics": [
	{ "type": "latency", "stream": "upstream", "toxicity": 0.1,
	  "attributes": { "latency": { "min": 0, "max": 2 }, "jitter": 1 } },
	{ "type": "latency", "stream": "downstream", "toxicity": 0.1,
	  "attributes": { "latency": { "min": 0, "max": 2 }, "jitter": 1 } },
	{ "type": "slicer", "stream": "upstream", "toxicity": 0.2,
	  "attributes": { "average_size": { "min": 20, "max": 3000 }, "size_variation": 15,
			  "delay": { "min": 0, "max": 20 } } },
	{ "type": "slicer", "stream": "downstream", "toxicity": 0.2,
	  "attributes": { "average_size": { "min": 20, "max": 3000 }, "size_variation": 15,
			  "delay": { "min": 0, "max": 20 } } },
	{ "type": "limit_data", "stream": "upstream",
	  "attributes": { "bytes": { "min": 0, "max": 70000 } } },
	{ "type": "limit_data", "stream": "downstream", "toxicity": 0.5,
	  "attributes": { "bytes": { "min": 0, "max": 70000 } } },
	{ "type": "limit_data", "stream": "downstream", "toxicity": 0.1,
	  "attributes": { "bytes": { "min": 0, "max": 100 } } },
	{ "type": "reset_peer", "toxicity": 0.3,
	  "attributes": { "timeout": { "min": 0, "max": 15 } } },
	{ "type": "timeout", "stream": "downstream", "toxicity": 0.005,
	  "attributes": { "timeout": 3000 } } ] } ] }
END

# run NAME POLICY MODE: the client, with a proxy, a server and a store of its own.
# Sets what the server did, too: executed (numbers), most (executions of one), violations, logins
# (violations that were requests without a login).
run() {
	local name=$1 policy=$2 mode=$3 log=$TMPDIR/$1.log server
	free_port
	start_server "$BUILD/tests/faults/checked_server" "$PORT" "$log" "$seed"
	server=$SERVER_PID
	wait_for_port "$PORT"
	faults_start "$name" "$PORT" --script "$TMPDIR/script" --seed "$seed"
	HOLDFAST_STATE_DIR=$TMPDIR/$name.state run_under "$policy" \
		"$BUILD/tests/faults/checked_client" "$FAULTS_PORT" "$exchanges" "$seed" "$mode"
	faults_stop "$name"
	stop_server "$server"
	read -r executed most violations logins < <(awk '
		$1 == "executed" && ++count[$2] == 1 { executed++ }
		$1 == "executed" && count[$2] > most { most = count[$2] }
		$1 == "violation" { if ($2 == "login") logins++; else violations++ }
		END { print executed + 0, most + 0, violations + 0, logins + 0 }' "$log")
	diag "$name: $(tr '\n' ' ' <<<"$OUT")executed $executed most $most violations $violations" \
		"$name: requests without a login $logins; $SECONDS_TAKEN s"
	judge "$name" "$log"
}

# Whatever the policy is.
judge() {
	local name=$1 right
	right=$(said right)
	is "$STATUS/$ERR" "0/" "$name: it ends by itself, and finds no answer wrong"
	is "$(said wrong)/$((right + $(said errors)))" "0/$exchanges" \
		"$name: every exchange is right, or fails visibly"
	at_least "$executed" "$right" "$name: what has an answer was executed"
	is "$violations$(grep '^violation' "$2" | grep -v '^violation login' | head -n 3)" 0 \
		"$name: the server reads whole requests, or their beginnings"
}

once() {
	is "$logins" 0 "$1: no request on a connection without a login"
	at_most "$most" 1 "$1: nothing is executed twice"
}

# The checks are no better than the server's.
notices() {
	local name=$1 expected=$2 log=$TMPDIR/notices.log line
	rm -f "$log"
	free_port
	start_server "$BUILD/tests/faults/checked_server" "$PORT" "$log" 7
	wait_for_port "$PORT"
	exec {line}<>"/dev/tcp/127.0.0.1/$PORT"
	printf '%b' "$3" >&"$line"
	# Behind a violation it closes the connection, and behind what is no whole word it waits.
	timeout 0.5 cat <&"$line" >/dev/null 2>&1
	exec {line}>&-
	sleep 0.1
	stop_server
	is "$(awk '{ printf "%s ", $1 == "violation" ? $2 : $1 }' "$log")" "$expected" \
		"the server says of $name: ${expected% }"
}

empty='00000000 811c9dc5\n' # length and checksum of no payload
login='LOGIN secret-of-7 7\n'
notices "a request without a login" "login " "REQ 00000001 $empty"
notices "the first bytes of a request without a login" "login " "RE"
notices "half a request without a login" "beginning " "00001 $empty"
notices "the wrong login" "beginning " "LOGIN secret-of-8 8\n"
notices "a second login" "executed request " "${login}REQ 00000001 $empty$login---------------"
notices "half a request, and another" "header " "${login}REQ 0000REQ 00000001 $empty"
notices "a payload with another request in it" "checksum " \
	"${login}REQ 00000001 00000020 811c9dc5\nabcREQ 00000002 $empty"

notices "half a request at the end" "executed " "${login}REQ 00000001 ${empty}REQ 0000"

for mode in blocking poll; do
	run "plain-$mode" none "$mode"
	at_least "$(said errors)" $((exchanges / 50)) "plain-$mode: exchanges fail"
	once "plain-$mode"
	for replay in never unsent; do
		run "$replay-$mode" "$(transfer_policy "\"replay\": \"$replay\"")" "$mode"
		once "$replay-$mode"
	done
	run "unanswered-$mode" "$(transfer_policy \
		"\"replay\": \"unanswered\", \"max_attempts\": $max_attempts")" "$mode"
	at_most "$most" "$max_attempts" \
		"unanswered-$mode: nothing is executed more often than may be tried"
done
done_testing
