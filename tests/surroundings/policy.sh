#!/bin/bash
# SPDX-License-Identifier: MIT
# Policy files that cannot be read, never end, or go away: one line and no protection, or the one
# that was read at first; never a program that waits for its policy.
. "$(dirname "$0")/common.bash"
cd "$TMPDIR" || exit 1
TMPDIR=$(pwd -P)
printf '{ "version": 1 }' >good.json
PREPARE="rm -rf $HOLDFAST_STATE_DIR"

# policy NAME held|unprotected LINE VALUE WORD...
policy() {
	local name=$1 kind=$2 line=$3 value=$4
	shift 4
	around "$name" "$kind" "$line" env HOLDFAST_POLICY="$value" "$CLIENT" "$@"
}
unprotected="running unprotected\$"
policy "a directory" unprotected "not a regular file; $unprotected" "$TMPDIR" connect connect
mkfifo fifo
policy "a FIFO" unprotected "/fifo: not a regular file; $unprotected" "$TMPDIR/fifo" connect connect
for device in zero null tty full random; do
	policy "/dev/$device" unprotected "/dev/$device: .*; $unprotected" "/dev/$device" connect
done
policy "a file of /proc, whose size is 0" unprotected "/proc/version.*; $unprotected" \
	/proc/version connect
"$PYTHON" -c 'import socket, sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])' socket
policy "a socket" unprotected "/socket: .*; $unprotected" "$TMPDIR/socket" connect
ln -s none dangling
policy "a dangling link" unprotected "/dangling: No such file or directory; $unprotected" \
	"$TMPDIR/dangling" connect
ln -s loop loop
policy "a link to itself" unprotected "/loop: Too many levels .*; $unprotected" \
	"$TMPDIR/loop" connect
ln -s good.json link
policy "a link to a good file" held "" "$TMPDIR/link" connect connect
policy "a relative path, and the program leaves" held "" good.json chdir=/ connect connect
policy "a name of 5,000 characters" unprotected "^holdfast: /xxx" \
	"/$(printf 'x%.0s' {1..5000})" connect
policy "nothing" held "" "" connect
truncate -s 1G sparse
policy "a file of 1 GiB" unprotected "larger than 1 MiB.*; $unprotected" "$TMPDIR/sparse" connect
printf '{ "version": 1,\0 }' >nul.json
policy "a NUL byte" unprotected "/nul.json.*; $unprotected" "$TMPDIR/nul.json" connect

# ---- as holdfast run, check and explain see them ---------------------------------------------

PROTECT=("$HOLDFAST" run --)
for value in "$TMPDIR" "$TMPDIR/dangling" /dev/null "$TMPDIR/sparse" /dev/zero; do
	policy "holdfast run: ${value##*/}" unprotected "unprotected" "$value" connect
done
PROTECT=(env LD_PRELOAD="$LIBRARY")
for tool in check "explain 127.0.0.1:80 --policy"; do
	for value in "$TMPDIR" "$TMPDIR/dangling" /dev/zero "$TMPDIR/sparse"; do
		# shellcheck disable=SC2086 # words
		capture run_with_timeout 10 "$HOLDFAST" $tool "$value"
		like "$STATUS $(grep -c . <<<"$ERR$OUT")" "^(65|66|74|77|78) [1-3]$" \
			"holdfast ${tool%% *}: ${value##*/}: an error, soon"
	done
done

# ---- it changes while the program runs -------------------------------------------------------

# changing NAME COMMANDS LINE: after the client's first connect.
changing() {
	PREPARE="rm -rf $HOLDFAST_STATE_DIR go go.ready changing.json; cp good.json changing.json
		( until [ -e go.ready ]; do sleep 0.02; done; $2; : >go ) >/dev/null 2>&1 </dev/null &"
	policy "$1" held "" "$TMPDIR/changing.json" connect pause="$TMPDIR/go" connect fork connect
	PREPARE="rm -rf $HOLDFAST_STATE_DIR"
}
changing "deleted while it runs" "rm changing.json"
changing "made bad while it runs" "echo '{' >changing.json"
changing "made a FIFO while it runs" "rm changing.json; mkfifo changing.json"
changing "emptied while it runs" ": >changing.json"
# A copy of what is no longer there is no policy.
PREPARE="rm -rf $HOLDFAST_STATE_DIR changing.json; cp good.json changing.json
	HOLDFAST_POLICY=$TMPDIR/changing.json PORT=1 HOLDFAST_NETWORK_MAX_RETRIES=0 with_library \
		$CLIENT connect >/dev/null; rm changing.json"
policy "deleted before the start, its compiled copy left" unprotected \
	"/changing.json: No such file or directory; $unprotected" "$TMPDIR/changing.json" connect

# ---- rights ------------------------------------------------------------------------------------

if ! can_be_nobody; then
	skip "policies of other users" "needs root and setpriv"
	done_testing
fi
mkdir nobodys private
chown 65534 nobodys
chmod 700 private
cp good.json private/
cp good.json secret.json
chmod 000 secret.json
HOLDFAST_STATE_DIR=$TMPDIR/nobodys/state
PREPARE="rm -rf $HOLDFAST_STATE_DIR"
around "a file that may not be read" unprotected "/secret.json: Permission denied; $unprotected" \
	env HOLDFAST_POLICY="$TMPDIR/secret.json" "${AS_NOBODY[@]}" "$CLIENT" connect connect
around "a file in a directory that may not be entered" unprotected \
	"/good.json: Permission denied; $unprotected" \
	env HOLDFAST_POLICY="$TMPDIR/private/good.json" "${AS_NOBODY[@]}" "$CLIENT" connect connect
capture env HOLDFAST_POLICY="$TMPDIR/secret.json" PORT="$UP_PORT" "${AS_NOBODY[@]}" \
	"$PUBLIC/holdfast" run -- "$CLIENT" connect
is "$OUT/$STATUS/$(grep -c . <<<"$ERR")" pong/0/1 "holdfast run: a file that may not be read: one line"
like "$ERR" "^holdfast: .*secret.json: Permission denied; .*unprotected" "and what it says"
# A bad policy and a state directory that cannot be used: still one line.
HOLDFAST_STATE_DIR=$TMPDIR/private/state
around "a policy and a state directory that may not be read" unprotected \
	"/secret.json: Permission denied; $unprotected" \
	env HOLDFAST_POLICY="$TMPDIR/secret.json" "${AS_NOBODY[@]}" "$CLIENT" connect fork connect
done_testing
