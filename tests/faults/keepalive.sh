#!/bin/bash
# SPDX-License-Identifier: MIT
# HTTP clients whose server drops keep-alive connections between requests: where the policy says
# that unanswered requests may be sent again, none fails. By default each fails as without
# holdfast, and none is executed twice. HFTEST_SEED repeats a run.
# TIMEOUT: 120
# STRESS: 400
. "$(dirname "$0")/../lib.sh"
. "$TOP/tests/faults/transfer.bash"

requests=1000
[ -z "${HFTEST_STRESS:-}" ] || requests=10000

# ask NAME POLICY COMMAND...: a client, with a server and a store of its own.
# Sets what the server did, too: executed (numbers), repeated (executions beyond those), drops.
ask() {
	local name=$1 policy=$2 log=$TMPDIR/$1.log
	shift 2
	free_port
	start_server "$faults/http_server.py" "$PORT" "$log" "$seed"
	wait_for_port "$PORT"
	HOLDFAST_STATE_DIR=$TMPDIR/$name.state run_under "$policy" "$@" "$PORT" "$requests"
	stop_server
	read -r executed repeated drops < <(awk '
		$1 == "executed" && seen[$2]++ { repeated++ }
		$1 == "executed" && seen[$2] == 1 { executed++ }
		$1 == "dropped" { drops++ }
		END { print executed + 0, repeated + 0, drops + 0 }' "$log")
	is "$STATUS/$ERR" "0/" "$name: it ends by itself, without a word"
	is "$(said requests)/$(said wrong)" "$requests/0" "$name: every answer is the right one"
	diag "$name: $(tr '\n' ' ' <<<"$OUT")executed $executed repeated $repeated drops $drops" \
		"$name: $SECONDS_TAKEN s"
}

# Without holdfast, by default, and with replay. CONNECTION is "pooled" for a client that notices
# by itself that its connection is over, if it is told so in time.
try() {
	local name=$1 connection=$2 plain
	shift 2
	ask "$name, without holdfast" none "$@"
	plain=$(said failures)
	at_least "$drops" $((requests / 20)) "$name, without holdfast: the server drops connections"
	is "$((executed + plain))/$repeated" "$requests/0" \
		"$name, without holdfast: what did not fail was executed, once"
	if [ "$connection" = pooled ]; then
		at_most "$plain" "$drops" "$name, without holdfast: a failure for a drop at most"
	else
		at_least "$plain" $((drops - 1)) "$name, without holdfast: a failure for every drop"
	fi

	ask "$name, default" default "$@"
	is "$((executed + $(said failures)))/$repeated" "$requests/0" \
		"$name, default: what did not fail was executed, once"
	if [ "$connection" = pooled ]; then
		at_most "$(said failures)" "$drops" "$name, default: a failure for a drop at most"
		at_least "$(said failures)" $((plain / 2)) \
			"$name, default: about as many failures as without holdfast"
	else
		is "$(said failures)" "$plain" "$name, default: as many failures as without holdfast"
	fi

	ask "$name, unanswered" "$(transfer_policy '"replay": "unanswered"')" "$@"
	is "$(said failures)" 0 "$name, unanswered: no failure"
	at_least "$drops" $((requests / 20)) "$name, unanswered: the server drops connections"
	is "$executed" "$requests" "$name, unanswered: every request is executed"
	at_most "$repeated" "$drops" "$name, unanswered: again only after a drop"
}

try http.client alone "$PYTHON" "$faults/http_client.py" blocking
try asyncio pooled "$PYTHON" "$faults/http_client.py" asyncio
if have node; then
	try node pooled node "$faults/http_client.js"
else
	skip node "$(missing node)"
fi
done_testing
