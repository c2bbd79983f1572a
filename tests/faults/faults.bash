# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# Proxies that inject faults (faults.py says which), for scripts that have sourced lib.sh:
#
#	faults_start NAME PORT [ARGUMENT...]   one in front of PORT; sets FAULTS_PORT and FAULTS_PID
#	faults_tell NAME COMMAND [ARGUMENT]    returns when it has taken effect; prints what it prints
#	faults_stop NAME                       also done at exit
#
# They fail, and say why, if there is no answer within 10 s. Standard input and output of a proxy
# are fifos that it holds open itself: no other program inherits them, and a command may be given
# from a subshell, such as stats=$(faults_tell NAME stats).

declare -A faults_pids=()

# faults_directory NAME: of its fifos.
faults_directory() {
	printf '%s/faults-%s' "$TMPDIR" "$1"
}

# faults_answer NAME WORD: prints what the proxy says up to a line that begins with WORD, and sets
# FAULTS_ANSWER to that one.
faults_answer() {
	local line out status=1
	FAULTS_ANSWER=
	exec {out}<>"$(faults_directory "$1")/out"
	while read -r -t 10 -u "$out" line; do
		case $line in
		"$2"*)
			FAULTS_ANSWER=$line
			status=0
			break
			;;
		failed\ *)
			diag "faults $1: $line" >&2
			break
			;;
		*) printf '%s\n' "$line" ;;
		esac
	done
	exec {out}>&-
	return "$status"
}

faults_exec() {
	local directory=$1
	shift
	exec "$TOP/tests/faults/faults.py" "$@" <>"$directory/in" 1<>"$directory/out"
}

faults_start() {
	# Those of the caller's own server stay as they are.
	local SERVER_PID SERVER_LOG
	local name=$1 to=$2 directory listen
	shift 2
	directory=$(faults_directory "$name")
	mkdir "$directory" && mkfifo "$directory/in" "$directory/out" || return 1
	# Not any port: those that the kernel chooses may be given to a client while it is down.
	free_port listen
	start_server faults_exec "$directory" --to "$to" --listen "$listen" "$@"
	FAULTS_PID=$SERVER_PID
	faults_pids[$name]=$SERVER_PID
	if ! faults_answer "$name" "listening "; then
		diag "faults $name did not start" "$(cat "$SERVER_LOG")" >&2
		faults_stop "$name"
		return 1
	fi
	FAULTS_PORT=${FAULTS_ANSWER#listening }
}

faults_tell() {
	local line="${*:2}"
	printf '%s\n' "${line//$'\n'/ }" 1<>"$(faults_directory "$1")/in"
	if ! faults_answer "$1" "done ${line%% *}"; then
		diag "faults $1: not done: $line" >&2
		return 1
	fi
}

faults_stop() {
	stop_server "${faults_pids[$1]}"
	unset "faults_pids[$1]"
	rm -r "$(faults_directory "$1")"
}
