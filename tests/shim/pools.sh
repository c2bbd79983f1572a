#!/bin/bash
# SPDX-License-Identifier: MIT
# A rule that names a pool sends connects to its endpoints, by every way to balance, of either
# family, blocking or not; failures are retried there; and events say where.
. "$(dirname "$0")/../lib.sh"

for program in pools pools_moves pools_pending; do
	cases "$program" "$BUILD/tests/shim/$program"
done

# ---- what is said of it --------------------------------------------------------------------

free_port FIRST
free_port SECOND
free_port THIRD
free_port ASKED
export HOLDFAST_POLICY='{ "version": 1, "pools": { "p": { "endpoints": [ "127.0.0.1:'$FIRST'",
	"127.0.0.1:'$SECOND'", "127.0.0.1:'$THIRD'" ] } },
	"rules": [ { "name": "pooled", "match": { "ports": ['$ASKED'] }, "pool": "p" } ] }'
start_server "$PYTHON" "$TOP/tests/programs/server.py" line "$THIRD"
wait_for_port "$THIRD" || fail "server"
# shellcheck disable=SC2016 # python's
client='import socket, sys
with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as client:
    print(client.makefile().readline().strip(), client.getpeername()[1])'
is "$(HOLDFAST_LOG=info hf_preload "$PYTHON" -c "$client" "$ASKED" 2>"$TMPDIR/said")" \
	"hello $THIRD" "a real program reaches the one that is up"
like "$(cat "$TMPDIR/said")" "127.0.0.1:$FIRST: .*127.0.0.1:$SECOND: " \
	"lines name the endpoint of the attempt"
"$HOLDFAST" events --json >"$TMPDIR/events"
is "$(jq -r 'select(.event == "connect_retry") | "\(.endpoint) \(.error) \(.verdict) \(.rule)"' \
	"$TMPDIR/events")" "tcp:127.0.0.1:$FIRST ECONNREFUSED next_endpoint pooled
tcp:127.0.0.1:$SECOND ECONNREFUSED next_endpoint pooled" \
	"events of attempts name the endpoint that each was made at"
is "$(jq -r 'select(.event == "connect_recovered") | .endpoint' "$TMPDIR/events")" \
	"tcp:127.0.0.1:$FIRST" "the operation is that of the endpoint chosen first"
is "$(stats_value failovers "tcp:127.0.0.1:$FIRST")" 1 "the failover is counted there"
is "$(stats_value operations "tcp:127.0.0.1:$ASKED")" 0 \
	"nothing is counted where the program believes that it went"
done_testing
