#!/bin/bash
# SPDX-License-Identifier: MIT
# psql and redis-cli, over and over, with a pool of two servers one of which is killed and revived
# again and again: no connect fails. What a killed server does to a connection that was made, and a
# database that answers that it is not ready yet, are no failed connects, and counted separately.
# TIMEOUT: 240
# shellcheck disable=SC2031 # loops.bash changes variables in jobs that are not run here
. "$(dirname "$0")/../lib.sh"
. "$TOP/tests/programs/loops.bash"

seed=${HFTEST_SEED:-$RANDOM}
diag "HFTEST_SEED=$seed"
RANDOM=$seed

runs_least=60
kills_least=8
runs_most=2000

as_user=()
[ "$(id -u)" != 0 ] || as_user=("${as_nobody[@]}")

# ---- the two programs: servers of their own for each number, 0 and 1 ---------------------------

redis_serve() {
	start_server redis-server --bind 127.0.0.1 --port "${ports[$1]}" --save '' --dir "$work"
}
redis_ask() {
	hf redis-cli -h 127.0.0.1 -p "$ASKED" PING
}
redis_good='^PONG$'
redis_lost='closed the connection|Connection reset|Broken pipe'
redis_unready='^LOADING '

postgres_make() {
	chmod 711 "$TMPDIR" "$work" && mkdir "$work/$1" || return
	[ "$(id -u)" != 0 ] || chown 65534 "$work/$1"
	"${as_user[@]}" initdb -D "$work/$1/data" -U holdfast -A trust --no-sync --no-instructions \
		-E UTF8 --locale=C
}
postgres_serve() {
	start_server "${as_user[@]}" postgres -D "$work/$1/data" -F -k "$work/$1" \
		-c listen_addresses=127.0.0.1 -c port="${ports[$1]}" -c shared_buffers=8MB
}
# Nothing but one connect, and one question.
postgres_ask() {
	PGSSLMODE=disable PGGSSENCMODE=disable hf psql -X -At -h 127.0.0.1 -p "$ASKED" -U holdfast \
		-d postgres -c "select 'hello'"
}
postgres_good='^hello$'
postgres_lost='closed the connection unexpectedly|Connection reset|Broken pipe|connection to server was lost'
postgres_unready='the database system is (starting up|in recovery mode|not yet accepting connections|shutting down)'

# ---- servers that come and go ---------------------------------------------------------------------

# serve NAME NUMBER: until it listens; one that was killed may have left something that has to end first.
serve() {
	local i pid
	for i in {1..50}; do
		"$1_serve" "$2"
		pid=$SERVER_PID
		while kill -0 "$pid" 2>/dev/null; do
			if listening "${ports[$2]}"; then
				pids[$2]=$pid
				return 0
			fi
			sleep 0.01
		done
		forget "$pid"
	done
	diag "$(tail -n 5 "$SERVER_LOG")"
	return 1
}

# forget PID: it has ended, and its number is anybody's.
forget() {
	local pid kept=()
	wait "$1" 2>/dev/null
	for pid in "${lib_servers[@]}"; do
		[ "$pid" = "$1" ] || kept+=("$pid")
	done
	lib_servers=("${kept[@]}")
}

# A pause of up to that many milliseconds.
pause() {
	local ms=$((RANDOM % $1))
	sleep "$((ms / 1000)).$(printf '%03d' $((ms % 1000)))"
}

# ---- the loop ------------------------------------------------------------------------------------------

# ask_on NAME: until enough was asked and enough killed; a line for each run.
ask_on() {
	local name=$1 good=${1}_good lost=${1}_lost unready=${1}_unready i
	trap - EXIT
	for ((i = 0; i < runs_most; i++)); do
		[ "$i" -lt "$runs_least" ] || [ ! -e "$work/$name.enough" ] || break
		capture run_with_timeout 60 "${name}_ask" </dev/null
		OUT+=$'\n'$ERR
		if grep -qE "${!good}" <<<"$OUT" && [ "$STATUS" = 0 ]; then
			echo good
		elif grep -qE "${!lost}" <<<"$OUT"; then
			echo lost
		elif grep -qE "${!unready}" <<<"$OUT"; then
			echo unready
		else
			echo "failed: exit code $STATUS: ${OUT//$'\n'/ }"
		fi
	done >"$work/$name.runs"
}

# count WORD: lines of the last loop that begin so.
count() {
	grep -c "^$1" "$work/$name.runs"
}

test_pool() {
	local name=$1 asker kills=0 number=0
	declare -A ports=() pids=()
	free_port ASKED
	free_port "ports[0]"
	free_port "ports[1]"
	if ! serve "$name" 0 || ! serve "$name" 1; then
		fail "$name: servers"
		return
	fi
	export HOLDFAST_STATE_DIR=$work/state-$name
	export HOLDFAST_POLICY='{ "version": 1, "pools": { "two": { "balance": "round_robin",
		"endpoints": [ "127.0.0.1:'${ports[0]}'", "127.0.0.1:'${ports[1]}'" ] } },
		"rules": [ { "match": { "ports": ['$ASKED'] }, "pool": "two" } ] }'
	ask_on "$name" &
	asker=$!
	while kill -0 "$asker" 2>/dev/null; do
		number=$((RANDOM % 2))
		pause 150
		kill -KILL "${pids[$number]}"
		forget "${pids[$number]}"
		pause 300
		if ! serve "$name" "$number"; then
			fail "$name: a killed server is revived"
			break
		fi
		kills=$((kills + 1))
		[ "$kills" -lt "$kills_least" ] || touch "$work/$name.enough"
	done
	touch "$work/$name.enough"
	wait "$asker"
	diag "$name: $(wc -l <"$work/$name.runs") runs, $kills kills: $(count good) good, $(count lost) lost, \
$(count unready) not ready; $(stats_value failovers) failovers"
	at_least "$kills" "$kills_least" "$name: so many kills"
	at_least "$(wc -l <"$work/$name.runs")" "$runs_least" "$name: so many runs"
	is "$(grep '^failed' "$work/$name.runs")" "" "$name: no connect failed"
	at_least "$(count good)" "$((runs_least / 2))" "$name: most of them were answered"
	is "$(stats_value failures)" 0 "$name: no failure is counted"
	at_least "$(stats_value failovers)" 1 "$name: failovers are"
	is "$(stats_value abandoned)" 0 "$name: nothing is abandoned"
	stop_server "${pids[0]}"
	stop_server "${pids[1]}"
}

if ! have redis-cli; then
	skip "redis" "$(missing redis-cli)"
elif ! have redis-server; then
	skip "redis" "$(missing redis-server)"
else
	test_pool redis
fi
if ! have psql; then
	skip "postgres" "$(missing psql)"
elif ! have postgres || ! have initdb; then
	skip "postgres" "$(missing postgres)"
elif ! "${as_user[@]}" true 2>/dev/null; then
	skip "postgres" "it does not run as root, and nothing can be run as another user here"
elif ! { postgres_make 0 && postgres_make 1; } >"$work/initdb" 2>&1; then
	fail "postgres: setup" "$(cat "$work/initdb")"
else
	test_pool postgres
fi
done_testing
