# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# Programs that connect without blocking, or with a timer of their own, one paragraph each in
# loops_*.bash:
#
#	NAME_needs    the commands that it takes
#	NAME_unable   prints why it cannot be tested here, or fails (optional)
#	NAME_setup    once per script, before anything else (optional)
#	NAME_server   serves $PORT on ADDRESSES for ever; ends in exec
#	NAME_client   the program, asked for $HOST and $PORT; "$@" is what to run it under
#	              (nothing, or `holdfast run --`), its first words
#	NAME_expects  what its output must match
#	NAME_varies   what it says differs from run to run, so that only NAME_expects is compared
#	NAME_ipv4     it asks for the IPv4 addresses of a name only
#	NAME_threads  it runs on several processors at once
#	NAME_parallel how many connects it makes to a name with two addresses, trying both at the
#	              same time
#	NAME_leaves   it leaves an address that is slow for the next one by itself
#	NAME_tries    how many connects it makes, one after the other, to a server that never
#	              comes (default 1)
#
# With TIMER=SECONDS the client gives up connecting after that time, if it has a way to; without,
# after its usual time, or 30 s.
#
# HOST is 127.0.0.1, or both.test: ::1, then 127.0.0.1, from a file of the test's own.
#
# Every run is a job of its own, some at the same time, and leaves its result in a file, to be
# judged by the script.

work=$TMPDIR/programs
mkdir -p "$work/home" "$work/www"
echo hello >"$work/www/file"
export HOME=$work/home TERM=dumb
export HOST='' PORT='' TIMER=''
ADDRESSES=()
PATH=$PATH:/usr/sbin:/sbin
for directory in /usr/lib/postgresql/*/bin; do
	PATH=$PATH:$directory
done

programs=()
. "$TOP/tests/programs/loops_clients.bash"
. "$TOP/tests/programs/loops_languages.bash"
# For work on a few of them.
read -ra programs <<<"${HFTEST_PROGRAMS:-${programs[*]}}"

# git asks for the machine itself, and nobody answers in a namespace of its own.
write_hosts() {
	printf '127.0.0.1 localhost %s\n' "$(uname -n)" >"$1"
	printf '%s both.test\n' ::1 127.0.0.1 >>"$1"
}

# enter_world "$@": the whole script, in namespaces of its own. The addresses are never used, but
# some programs (lftp, c-ares) ask for none of a family that the machine has only ::1 or 127.* of.
enter_world() {
	write_hosts "$TMPDIR/hosts"
	enter_hosts "$TMPDIR/hosts" "$@"
	ip addr add 10.78.0.1/32 dev lo
	ip addr add fd00:78::1/128 dev lo
}

# place first|last|all|literal|name: sets HOST, and ADDRESSES to where the server is to be.
place() {
	HOST=both.test
	case $1 in
	first) ADDRESSES=(::1) ;;
	last) ADDRESSES=(127.0.0.1) ;;
	all) ADDRESSES=(::1 127.0.0.1) ;;
	literal) HOST=127.0.0.1 ADDRESSES=(127.0.0.1) ;;
	esac
}

# ---- servers -------------------------------------------------------------------------------

# exec_server KIND ARGUMENT
exec_server() {
	exec "$PYTHON" -I "$TOP/tests/programs/loops_server.py" "$1" "$2" "$PORT" "${ADDRESSES[@]}"
}

http_server() {
	exec_server http "$work/www"
}

line_server() {
	exec_server line hello
}

# It accepts nothing and refuses nothing.
silent_server() {
	exec_server silent -
}

# wait_for_file PATH: until it is there.
wait_for_file() {
	local i
	for i in {1..500}; do
		[ ! -e "$1" ] || return 0
		sleep 0.02
	done
	echo "$1 is not there after 10 s"
	return 1
}

# server_after_attempt SECONDS COMMAND: that long after the first connect that failed, since some
# programs take longer to start than others. The time goes into $result.began.
server_after_attempt() {
	local i
	for i in {1..150}; do
		"$HOLDFAST" stats --json 2>/dev/null | jq -e 'any(.endpoints[];
			(.endpoint | startswith("tcp:")) and .counters.attempt_failures > 0)' && break
		sleep 0.15
	done >/dev/null
	sleep "$1"
	echo "$EPOCHREALTIME" >"$result.began"
	"$2"
}

# ---- runs ----------------------------------------------------------------------------------

# What differs from run to run whatever it is run under: dates, process ids, ports, durations.
normalise() {
	sed -E -e "s/\\b($PORT|$SECOND_PORT)\\b/PORT/g" -e 's/after [0-9]+ ms/after N ms/g' \
		-e 's/[0-9]{4}[-\/][0-9]{2}[-\/][0-9]{2} [0-9:]{8}/DATE/g' \
		-e 's/[0-9]{2}\/[0-9]{2} [0-9:]{8}/DATE/g' -e 's/0x[0-9a-f]{6,}/0xN/g'
}

# client_run NAME [PREFIX...]: one run; sets STATUS, WORDS, SECONDS_TAKEN and REACHED (yes, no).
client_run() {
	local name=$1 expects=${1}_expects
	shift
	capture run_with_timeout 60 "${name}_client" "$@" </dev/null
	WORDS=$(normalise <<<"$OUT"$'\n'"$ERR")
	REACHED=no
	! grep -qE "${!expects}" <<<"$OUT"$'\n'"$ERR" || REACHED=yes
}

# program_unable NAME: prints why it cannot be tested, or fails.
program_unable() {
	local needs=${1}_needs command
	for command in ${!needs}; do
		if ! have "$command"; then
			missing "$command"
			return 0
		fi
	done
	[ "$(type -t "$1_unable")" = function ] && "$1_unable"
}

# ready_programs: prepares all that are installed, skips the others; sets ready.
ready_programs() {
	local name reason
	ready=()
	for name in "${programs[@]}"; do
		if reason=$(program_unable "$name"); then
			skip "$name" "$reason"
		elif [ "$(type -t "${name}_setup")" = function ] &&
			! "${name}_setup" >"$work/$name.setup" 2>&1; then
			fail "$name: setup" "$(tail -n 20 "$work/$name.setup")"
		else
			ready+=("$name")
		fi
	done
}

# write_policy FILE RETRIES DELAY FACTOR
write_policy() {
	cat >"$1" <<-EOT
		{ "version": 1, "defaults": { "strategies": { "network": { "decision": "backoff",
			"max_retries": $2, "base_delay": "$3", "max_delay": "1h",
			"backoff_factor": $4, "jitter": 0 } } } }
	EOT
}

# ---- jobs ----------------------------------------------------------------------------------

# run_jobs AT_ONCE COMMAND CASE...: COMMAND with the words of each case, in a shell of its own with
# two free ports, and with $result, a path that is the case's own.
run_jobs() {
	local at_once=$1 command=$2 words running=0 pids=()
	shift 2
	for words in "$@"; do
		if [ "$running" -ge "$at_once" ]; then
			wait -n
			running=$((running - 1))
		fi
		free_port PORT
		free_port SECOND_PORT
		result=$work/result-${words// /-}
		(
			lib_servers=() lib_own_tmpdir='' lib_cleanups=()
			trap lib_exit EXIT
			export HOLDFAST_STATE_DIR=$result.state TMPDIR=$result.tmp
			mkdir -p "$TMPDIR"
			# shellcheck disable=SC2086 # as many words as it has
			"$command" $words
		) &
		pids+=($!)
		running=$((running + 1))
	done
	# Without any it would wait for the servers too.
	[ "${#pids[@]}" -eq 0 ] || wait "${pids[@]}"
}

# at_most_about SECONDS LIMIT NAME: with some room for a loaded machine.
at_most_about() {
	at_most "$1" "$(awk -v limit="$2" 'BEGIN { print limit * 2 + 3 }')" "$3"
}

# sum NUMBER...
sum() {
	awk -v numbers="$*" 'BEGIN {
		count = split(numbers, each, " ")
		for (i = 1; i <= count; i++)
			sum += each[i]
		print sum
	}'
}

# job_save FILE: what client_run set, and the statistics.
job_save() {
	printf 'STATUS=%q REACHED=%q SECONDS_TAKEN=%q WORDS=%q STATS=%q\n' "$STATUS" "$REACHED" \
		"$SECONDS_TAKEN" "$WORDS" "$("$HOLDFAST" stats --json 2>/dev/null)" >"$1"
}

# job_load FILE: sets the variables of job_save.
job_load() {
	STATUS='' REACHED='' SECONDS_TAKEN='' WORDS='' STATS=''
	# shellcheck disable=SC1090 # written by job_save
	. "$1"
}

counter() {
	# Datagrams are never held: what they are refused is told.
	jq "[.endpoints[] | select(.endpoint | startswith(\"udp:\") | not) | .counters.$1] | add // 0" \
		<<<"$STATS"
}

# ---- the table of results ------------------------------------------------------------------

declare -A cells=()

# judged PROGRAM COLUMN FAILED-BEFORE WORD: what the table says there: WORD, unless a test failed.
judged() {
	[ "${lib_failed:?}" -eq "$3" ] || set -- "$1" "$2" "$3" failed
	[ "${cells["$1,$2"]:-}" = failed ] || cells["$1,$2"]=$4
}

# print_table COLUMN...: as Markdown, for the README.
print_table() {
	local name column row="| program |" rule="|---|"
	for column in "$@"; do
		row+=" $column |" rule+="---|"
	done
	diag "$row" "$rule"
	for name in "${ready[@]}"; do
		row="| ${name//_/ } |"
		for column in "$@"; do row+=" ${cells[$name,$column]:-} |"; done
		diag "$row"
	done
}
