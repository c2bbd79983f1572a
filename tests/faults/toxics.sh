#!/bin/bash
# SPDX-License-Identifier: MIT
# The proxy that injects faults does what it says: each toxic, each command, scripts and seeds,
# between an echo server and a plain client. Nothing here runs under holdfast.
. "$(dirname "$0")/../lib.sh"
. "$TOP/tests/faults/faults.bash"

faults_py=$TOP/tests/faults/faults.py
free_port ECHO_PORT
start_server "$TOP/tests/faults/echo.py" "$ECHO_PORT"
ECHO_LOG=$SERVER_LOG
wait_for_port "$ECHO_PORT"
coproc CLIENT { exec "$TOP/tests/faults/client.py"; }
before_exit stop_server "$CLIENT_PID"

# ask WORD...: has the client do that (see client.py); its answer is the words in ANSWER.
ask() {
	printf '%s\n' "$*" >&"${CLIENT[1]}"
	ANSWER=()
	if ! read -r -t 20 -a ANSWER -u "${CLIENT[0]}"; then
		echo "Bail out! the client does not answer: $*"
		exit 1
	fi
}

# asked EXPECTED NAME WORD...
asked() {
	ask "${@:3}"
	is "${ANSWER[*]}" "$1" "$2"
}

# opened NAME COUNT: a connection that has had so many bytes echoed.
opened() {
	ask open "$1" "$FAULTS_PORT"
	ask send "$1" "$2"
	ask receive "$1" "$2"
	[ "${ANSWER[0]}" = "$2" ] || fail "connection $1 opened" "${ANSWER[*]}"
}

# ended NAME EXPECTED WHAT: the rest of a connection, as "COUNT end" or "COUNT ERROR"; sets TOOK.
ended() {
	ask rest "$1"
	is "${ANSWER[*]:0:2}" "$2" "$3"
	TOOK=${ANSWER[2]}
}

# echo_said LINE WHAT: soon, the server has said so of one connection.
echo_said() {
	local i
	for i in {1..250}; do
		grep -qx "$1" "$ECHO_LOG" && break
		sleep 0.02
	done
	is "$(grep -cx "$1" "$ECHO_LOG")" 1 "$2"
}

# with TYPE ATTRIBUTES [MEMBERS]: connections from now on have that toxic alone.
with() {
	faults_tell main toxics "[{ \"type\": \"$1\", \"attributes\": { $2 } ${3:-} }]"
}

# less A B
less() {
	awk -v a="$1" -v b="$2" 'BEGIN { print a - b }'
}

# ---- no toxics -------------------------------------------------------------------------------

faults_start main "$ECHO_PORT"
port=$FAULTS_PORT
opened plain 100
ask send plain 1000000
ask receive plain 1000000
is "${ANSWER[0]}" 1000000 "a million bytes go through both ways"
ask send plain 100
ask receive plain 100
plain=${ANSWER[1]}
at_most "$plain" 199 "a small exchange takes no time"
asked finished "half of a connection can be closed" finish plain
ended plain "0 end" "its end comes back"
echo_said "end 1000200" "the server sees it too"

# ---- toxics ----------------------------------------------------------------------------------

for stream in upstream downstream; do
	with latency '"latency": 200' ", \"stream\": \"$stream\""
	opened slow 100
	at_least "${ANSWER[1]}" 200 "latency, $stream: at least so much"
	at_most "$(less "${ANSWER[1]}" "$plain")" 1200 "latency, $stream: not much more"
done
with latency '"latency": 100, "jitter": 80'
opened jitter 100
first=${ANSWER[1]}
at_least "$first" 20 "latency with jitter: at least the difference"
at_most "$first" 1180 "latency with jitter: at most the sum"
ask send jitter 100
ask receive jitter 100
at_least "$(less "$first" "${ANSWER[1]}" | tr -d -)" 0.5 "latency with jitter: another each time"

with bandwidth '"rate": 100'
opened narrow 30000
at_least "${ANSWER[1]}" 300 "bandwidth: 30 KB at 100 KB/s"
at_most "${ANSWER[1]}" 1500 "bandwidth: not much slower"

with slicer '"average_size": 10, "delay": 30000'
ask open sliced "$port"
ask send sliced 100
ask pieces sliced 100
diag "pieces: ${ANSWER[*]}"
at_least "${#ANSWER[@]}" 4 "slicer: several pieces"
is "$(printf '%s\n' "${ANSWER[@]}" | grep -v '0$')" "" "slicer: of the size, or of several"
ask send sliced 100
ask receive sliced 100
at_least "${ANSWER[1]}" 270 "slicer: one after the other"
with slicer '"average_size": 20, "size_variation": 15, "delay": 10000'
ask open varied "$port"
ask send varied 300
ask pieces varied 300
diag "pieces: ${ANSWER[*]}"
at_least "$(printf '%s\n' "${ANSWER[@]}" | sort -u | grep -c .)" 2 "slicer: sizes vary"

with limit_data '"bytes": 1000'
ask open limited "$port"
ask send limited 5000
ended limited "1000 end" "limit_data: exactly so many bytes, then the end"
with limit_data '"bytes": 300000'
ask open limited "$port"
ask send limited 1000000
ended limited "300000 end" "limit_data: even if the client still sends"
with limit_data '"bytes": 1234' ', "stream": "upstream"'
ask open limited "$port"
ask send limited 5000
ended limited "0 end" "limit_data, upstream: the end, and no answer any more"
echo_said "end 1234" "limit_data, upstream: it got exactly so much"
with limit_data '"bytes": 0'
ask open limited "$port"
asked silent "limit_data, no bytes: open" silent limited 100
ask send limited 1
ended limited "0 end" "limit_data, no bytes: closed before the first"

with reset_peer '"timeout": 0'
ask open reset "$port"
ended reset "0 ECONNRESET" "reset_peer: no end, but a reset"
with reset_peer '"timeout": 800'
opened reset 2345
ended reset "0 ECONNRESET" "reset_peer, after a while: a reset"
at_least "$TOOK" 800 "reset_peer, after a while: not before"
at_most "$TOOK" 2000 "reset_peer, after a while: not much later"
echo_said "reset 2345" "reset_peer: the server is reset too"

with timeout '"timeout": 800'
ask open mute "$port"
ask send mute 3456
asked silent "timeout: nothing comes" silent mute 250
ended mute "0 end" "timeout: then the end"
at_least "$TOOK" 800 "timeout: not before"
at_most "$TOOK" 2000 "timeout: not much later"
echo_said "end 3456" "timeout: the other direction is as ever"
with timeout '"timeout": 0'
ask open mute "$port"
ask send mute 100
asked silent "timeout 0: nothing comes" silent mute 300
ask finish mute
asked silent "timeout 0: not even an end" silent mute 200
ask close mute

with slow_close '"delay": 400'
opened lasting 100
ask finish lasting
ended lasting "0 end" "slow_close: the end comes"
at_least "$TOOK" 400 "slow_close: not before"
at_most "$TOOK" 2000 "slow_close: not much later"

faults_tell main clear
opened witness 100
with down ""
ask open last "$port"
ended last "0 ECONNRESET" "down: the connection is reset"
ended witness "0 ECONNRESET" "down: all others too"
asked ECONNREFUSED "down: the next one is refused" open refused "$port"
faults_tell main up

faults_tell main toxics '[
	{ "type": "limit_data", "attributes": { "bytes": 50 } },
	{ "type": "latency", "attributes": { "latency": 150 } },
	{ "type": "slow_close", "attributes": { "delay": 300 } } ]'
ask open several "$port"
ask send several 100
ask receive several 50
at_least "${ANSWER[1]}" 150 "several toxics: the data are late"
ended several "0 end" "several toxics: and limited"
at_least "$TOOK" 450 "several toxics: their end later still"

# ---- commands --------------------------------------------------------------------------------

faults_tell main clear
opened one 4567
opened two 100
faults_tell main reset
ended one "0 ECONNRESET" "reset: the client"
echo_said "reset 4567" "reset: the server"
ended two "0 ECONNRESET" "reset: all connections"

opened one 5678
faults_tell main fin
ended one "0 end" "fin: an end, no reset"
echo_said "end 5678" "fin: the server gets one too"
opened one 100

faults_tell main down
ended one "0 ECONNRESET" "down: who is connected is reset"
asked ECONNREFUSED "down: nobody else is accepted" open two "$port"
faults_tell main down
faults_tell main up
asked open "up: the same port again" open two "$port"
ask send two 100
ask receive two 100
is "${ANSWER[0]}" 100 "up: it serves"

is "$(faults_tell main flood 2>/dev/null)/$?" "/1" "an unknown command fails"
like "$(faults_tell main flood 2>&1)" "failed flood: expected one of down, up" "and says why"
like "$(faults_tell main 'toxics [{}]' 2>&1)" 'toxics\[0\]: found \[\], expected a member "type"' \
	"so do toxics that are none"
ask send two 100
ask receive two 100
is "${ANSWER[0]}" 100 "nothing has changed then"
faults_stop main
ended two "0 end" "its end is the end of its connections"

faults_start counted "$ECHO_PORT"
opened one 500
opened two 70
ask send two 7
ask receive two 7
faults_tell counted reset
opened three 1000
is "$(faults_tell counted stats)" \
	'{"accepted": 3, "open": 1, "resets": 2, "upstream": 1577, "downstream": 1577}' "stats"
faults_stop counted
like "$(echo stats | "$faults_py" --to "$ECHO_PORT")" \
	'^listening [0-9]+.\{.*"accepted": 0.*\}.done stats$' "it ends with its standard input"

free_port NOBODY
faults_start nobody "$NOBODY"
ask open lonely "$FAULTS_PORT"
ended lonely "0 ECONNRESET" "where the server refuses, the client is reset"
faults_stop nobody

# ---- scripts and seeds -----------------------------------------------------------------------

# cuts N: how many of 20000 bytes each of the next N connections lets through.
cuts() {
	local i counts=()
	for ((i = 0; i < $1; i++)); do
		ask open cut "$FAULTS_PORT"
		ask send cut 20000
		ask finish cut
		ask rest cut
		counts+=("${ANSWER[0]}")
		ask close cut
	done
	echo "${counts[*]}"
}

# limit BYTES [MEMBERS]: a list of one toxic.
limit() {
	printf '[{ "type": "limit_data", "attributes": { "bytes": %s } %s }]' "$1" "${2:-}"
}

cat >"$TMPDIR/matches.json" <<-EOT
	{ "connections": [
		{ "match": "1", "toxics": $(limit 100) },
		{ "match": "3-4", "toxics": $(limit 300) },
		{ "match": "even", "toxics": $(limit 200) },
		{ "match": "7-", "toxics": $(limit 700) },
		{ "match": "6", "toxics": $(limit 600) }
	] }
EOT
faults_start script "$ECHO_PORT" --script "$TMPDIR/matches.json"
is "$(cuts 7)" "100 200 300 300 20000 200 700" "script: the first entry that matches is applied"
faults_tell script toxics "$(limit 800)"
is "$(cuts 1)" 800 "toxics: instead of the script"
faults_stop script

cat >"$TMPDIR/random.json" <<-EOT
	{ "connections": [
		{ "match": "3-10", "toxics": $(limit '{ "min": 1, "max": 10000 }') },
		{ "match": "11-", "toxics": $(limit 7 ', "toxicity": 0.5') }
	] }
EOT
# drawn NAME SEED N: the cuts of connections 3 and further, after whatever the first two did.
drawn() {
	faults_start "$1" "$ECHO_PORT" --script "$TMPDIR/random.json" --seed "$2"
	"first_$1"
	cuts "$3"
	faults_stop "$1"
}
first_quiet() {
	ask open one "$FAULTS_PORT"
	ask open two "$FAULTS_PORT"
}
first_busy() {
	opened one 5000
	opened two 100
	faults_tell busy reset
}
quiet=$(drawn quiet 7 24)
is "$(drawn busy 7 24)" "$quiet" "the same seed: the same faults, whatever happened before"
unlike "$(drawn quiet 8 8)" "${quiet:0:20}" "another seed: others"
read -ra counts <<<"$quiet"
at_least "$(printf '%s\n' "${counts[@]:0:8}" | sort -u | grep -c .)" 6 \
	"a range: another number each time"
is "$(printf '%s\n' "${counts[@]:8}" | sort -u | xargs)" "20000 7" \
	"a toxicity: some are spared, some not"

# bad SCRIPT REGEX: it is refused with such a message.
bad() {
	printf '%s' "$1" >"$TMPDIR/bad.json"
	capture "$faults_py" --to 1 --script "$TMPDIR/bad.json"
	like "$STATUS $ERR" "^65 faults.py: $TMPDIR/bad.json: $2" "refused: ${1:0:60}"
}

# bad_toxic TOXIC REGEX
bad_toxic() {
	bad "{\"connections\": [{\"match\": \"*\", \"toxics\": [$1]}]}" \
		"connections\[0\].toxics\[0\]$2"
}

bad '{"connections": [' 'line 1, column 18: found .the end., expected JSON: '
bad '[]' 'script: found \[\], expected an object$'
bad '{"connection": []}' 'script: found "connection", expected one of connections$'
bad '{"connections": [{"match": "5-3", "toxics": []}]}' \
	'connections\[0\].match: found "5-3", expected a string such as '
bad_toxic '{"type": "slow"}' '.type: found "slow", expected one of latency, down, '
bad_toxic '{"type": "latency"}' '.attributes: found \[\], expected a member "latency"$'
bad_toxic '{"type": "down", "stream": "up"}' \
	'.stream: found "up", expected one of upstream, downstream$'
bad_toxic '{"type": "down", "toxicity": 2}' '.toxicity: found 2, expected a number from 0 to 1$'
bad_toxic '{"type": "limit_data", "attributes": {"bytes": 1.5}}' \
	'.attributes.bytes: found 1.5, expected an integer from 0 to '
bad_toxic '{"type": "timeout", "attributes": {"timeout": {"min": 2, "max": 1}}}' \
	'.attributes.timeout: found .*, expected a min that is not above max$'
bad_toxic '{"type": "slow_close", "attributes": {"delay": 1, "rate": 1}}' \
	'.attributes: found "rate", expected one of delay$'
done_testing
