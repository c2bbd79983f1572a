#!/bin/bash
# SPDX-License-Identifier: MIT
# `holdfast reconnect` asks a running process for a connection by one word of its file; whatever
# speaks against it is told exactly, and nothing is written then. What the process makes of the
# word is not looked at here: the client waits for its orders and touches no connection.
. "$(dirname "$0")/connections.bash"
export HOLDFAST_BASE_DELAY=60s HOLDFAST_MAX_DELAY=60s

# The machine's owner may write everywhere; file modes bind only without that.
mapfile -t BY_MODE < <([ "$(id -u)" != 0 ] ||
	printf '%s\n' setpriv --bounding-set -dac_override,-dac_read_search)

free_port OWN
free_port OTHER
listen_on "$OWN" "$OTHER"
client_start
client open "$OWN"
client open "$OTHER"
FILE=$(client_file)
NAME=${FILE##*/}
FIRST=$NAME.0.1
SECOND=$NAME.1.1

# state_sum: of all names, types, modes, sizes and bytes of the state directory.
state_sum() {
	(cd "$HOLDFAST_STATE_DIR" && find . -printf '%p %y %m %s %l\n' | sort &&
		find . -type f -print0 | sort -z | xargs -0 sha256sum 2>&1) | sha256sum
}

# reconnect ARG...: captured; sets CHANGED if anything of the state directory did.
reconnect() {
	local before
	before=$(state_sum)
	capture "${PREFIX[@]}" "$HOLDFAST" reconnect "$@"
	CHANGED=
	[ "$before" = "$(state_sum)" ] || CHANGED=" and the state directory changed"
}
PREFIX=()

# refused NAME CODE MESSAGE ARG...: the whole message, and nothing changed.
refused() {
	local name=$1 code=$2 message=$3
	shift 3
	reconnect "$@"
	is "$STATUS $OUT$ERR$CHANGED" "$code $message" "$name"
}

# ---- asked -----------------------------------------------------------------------------

is "$(connections_json '[(i["id"], i["state"]) for i in c]')" \
	"[('$FIRST', 'connected'), ('$SECOND', 'connected')]" "the IDs are those that are listed"
cp "$FILE" "$TMPDIR/before"
reconnect "$FIRST"
is "$STATUS $OUT$ERR" "0 $FIRST: asked (tcp:127.0.0.1:$OWN)" "a connection is asked for"
is "$(cmp -l "$TMPDIR/before" "$FILE" | tr -s ' ' | sed 's/^ *//')" \
	"$(($(slot offset 0 reconnects_wanted) + 1)) 0 1
$(($(slot offset 0 reconnect_wanted) + 1)) 0 1" \
	"two words of the file: its generation, and that there is one more"
is "$(find "$HOLDFAST_STATE_DIR/process" -type f ! -name '.*')" "$FILE" "no file is made"
slot "$FILE" 0 reconnect_wanted 0

slot "$FILE" 1 in_use "$(($(slot "$FILE" 0 endpoint) + 1))"
reconnect "$SECOND"
is "$STATUS $OUT$ERR" "0 $SECOND: asked (tcp:127.0.0.1:$OWN)" "the endpoint told is the one in use"
is "$(slot "$FILE" 0 reconnect_wanted) $(slot "$FILE" 1 reconnect_wanted)" "0 1" \
	"only the slot that was named"
slot "$FILE" 1 reconnect_wanted 0
slot "$FILE" 1 in_use 0

slot "$FILE" 1 state 3
reconnect "$SECOND"
is "$STATUS $OUT$ERR" "0 $SECOND: asked (tcp:127.0.0.1:$OTHER)" "one that is being rebuilt"
is "$(slot "$FILE" 1 reconnect_wanted)" 1 "one that is being rebuilt: is asked for"
slot "$FILE" 1 reconnect_wanted 0
slot "$FILE" 1 state 2

HOLDFAST_STATE_DIR=/nonexistent capture "$HOLDFAST" reconnect --state-dir "${FILE%/process/*}" "$FIRST"
is "$STATUS $OUT $(slot "$FILE" 0 reconnect_wanted)" "0 $FIRST: asked (tcp:127.0.0.1:$OWN) 1" \
	"--state-dir"
slot "$FILE" 0 reconnect_wanted 0
capture "$HOLDFAST" reconnect -- "$FIRST" "$SECOND"
is "$STATUS $OUT$ERR" "0 $FIRST: asked (tcp:127.0.0.1:$OWN)
$SECOND: asked (tcp:127.0.0.1:$OTHER)" "several"
is "$(slot "$FILE" 0 reconnect_wanted) $(slot "$FILE" 1 reconnect_wanted)" "1 1" \
	"several: all are asked for"
slot "$FILE" 0 reconnect_wanted 0
slot "$FILE" 1 reconnect_wanted 0
if [ -w /dev/full ]; then
	"$HOLDFAST" reconnect "$FIRST" >/dev/full 2>"$TMPDIR/full"
	is "$? $(cat "$TMPDIR/full") $(slot "$FILE" 0 reconnect_wanted)" \
		"74 holdfast: cannot write the output: No space left on device 1" \
		"what was asked but cannot be told is told to fail"
	slot "$FILE" 0 reconnect_wanted 0
fi

new_namespace=(unshare -p -f --mount-proc)
[ "$(id -u)" = 0 ] || new_namespace=(unshare -r -p -f --mount-proc)
if "${new_namespace[@]}" true 2>/dev/null; then
	PREFIX=("${new_namespace[@]}")
	reconnect "$FIRST"
	is "$STATUS $OUT
$ERR" "0 $FIRST: asked (tcp:127.0.0.1:$OWN)
holdfast: $FIRST: whether the process still runs cannot be told from here, it is of another pid \
namespace" "a process of another pid namespace"
	is "$(slot "$FILE" 0 reconnect_wanted)" 1 "a process of another pid namespace: is asked"
	PREFIX=()
	slot "$FILE" 0 reconnect_wanted 0
else
	skip "a process of another pid namespace" "pid namespaces cannot be made here"
fi

# ---- wrong usage -------------------------------------------------------------------------

capture "$HOLDFAST" reconnect
is "$STATUS $OUT$ERR" "64 holdfast reconnect: no connection given
holdfast: see holdfast help reconnect" "no ID"
for id in "" x "$NAME" "$NAME.0" "$FIRST.1" "$FIRST " "0$FIRST" "$NAME.00.1" "$NAME.0.0" \
	"$NAME.0x0.1" "$NAME.-1.1" "$NAME.0.4294967297" "tcp:127.0.0.1:$OWN"; do
	refused "no ID: \"$id\"" 64 "holdfast reconnect: found \"$id\", expected \
PID-NONCE.SLOT.GENERATION as holdfast connections prints it
holdfast: see holdfast help reconnect" "$id"
done

# ---- no such connection --------------------------------------------------------------------

nonce=${NAME#*-}
other_nonce=$CLIENT_PID-$(printf %08x $((16#$nonce ^ 1)))
refused "another process of that number" 66 \
	"holdfast: $other_nonce.0.1: there is no such process in $HOLDFAST_STATE_DIR" "$other_nonce.0.1"
refused "a number without a process" 66 \
	"holdfast: 1-$nonce.0.1: there is no such process in $HOLDFAST_STATE_DIR" "1-$nonce.0.1"
refused "a state directory that is not there" 66 \
	"holdfast: $TMPDIR/none: does not exist: nothing was recorded yet
holdfast: $FIRST: there is no such process in $TMPDIR/none" --state-dir "$TMPDIR/none" "$FIRST"
check "a state directory that is not there is not made" test ! -e "$TMPDIR/none"
mkdir -m 755 "$TMPDIR/open"
refused "a state directory that is open to others" 77 \
	"holdfast: $TMPDIR/open: is open to other users, expected mode 0700" \
	--state-dir "$TMPDIR/open" "$FIRST"
mkdir -m 700 "$TMPDIR/empty"
refused "a state directory with nothing in it" 66 \
	"holdfast: $FIRST: there is no such process in $TMPDIR/empty" --state-dir "$TMPDIR/empty" "$FIRST"
refused "a slot that was never used" 66 "holdfast: $NAME.2.1: the process has no such connection" \
	"$NAME.2.1"
refused "a slot that there cannot be" 66 \
	"holdfast: $NAME.65536.1: the process has no such connection" "$NAME.65536.1"
refused "a generation to come" 66 "holdfast: $NAME.0.2: the process has no such connection" "$NAME.0.2"

# ---- the file ---------------------------------------------------------------------------------

# Under a name that begins like its own, so that the process can be seen to have it mapped.
mv "$FILE" "$FILE.aside"
ln -s "$NAME.aside" "$FILE"
refused "a link is not followed" 66 \
	"holdfast: $FIRST: there is no such process in $HOLDFAST_STATE_DIR" "$FIRST"
rm "$FILE"
mkfifo "$FILE"
refused "a FIFO is not waited for" 66 \
	"holdfast: $FIRST: there is no such process in $HOLDFAST_STATE_DIR" "$FIRST"
rm "$FILE"
head -c 4096 "$FILE.aside" >"$FILE"
refused "a file that was cut short" 65 \
	"holdfast: $FILE: damaged or of another version, not written to" "$FIRST"
head -c 4096 /dev/urandom >"$FILE"
refused "a file of random bytes" 65 \
	"holdfast: $FILE: damaged or of another version, not written to" "$FIRST"
cp "$FILE.aside" "${FILE%/*}/$other_nonce"
refused "a copy under another name" 65 \
	"holdfast: ${FILE%/*}/$other_nonce: damaged or of another version, not written to" \
	"$other_nonce.0.1"
rm "${FILE%/*}/$other_nonce"
mv "$FILE.aside" "$FILE"

if "${BY_MODE[@]}" true 2>/dev/null; then
	PREFIX=("${BY_MODE[@]}")
	chmod 400 "$FILE"
	refused "a file that must not be written to" 77 \
		"holdfast: $FILE: cannot be written: Permission denied" "$FIRST"
	chmod 000 "$FILE"
	refused "a file that must not be read" 77 \
		"holdfast: $FILE: cannot be read: Permission denied" "$FIRST"
	chmod 600 "$FILE"
	PREFIX=()
else
	skip "a file that must not be written to" "file modes bind nobody here"
fi
if [ "$(id -u)" = 0 ] && can_mountns; then
	PREFIX=(unshare -m --propagation private bash -c
		'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"'
		"$HOLDFAST_STATE_DIR")
	refused "a file system that must not be written to" 77 \
		"holdfast: $FILE: cannot be written: Read-only file system" "$FIRST"
	PREFIX=()
else
	skip "a file system that must not be written to" "mount namespaces cannot be made here"
fi

# ---- not connected ---------------------------------------------------------------------------------

slot "$FILE" 1 state 5
refused "one that failed" 69 "holdfast: $SECOND: is not connected: failed" "$SECOND"
slot "$FILE" 1 state 2
slot "$FILE" 0 reconnect_wanted 1
client close "$OWN"
refused "one that was closed" 69 "holdfast: $FIRST: is not connected: disconnected" "$FIRST"
client open "$OWN"
is "$(slot "$FILE" 0 generation) $(slot "$FILE" 0 reconnect_wanted)" "2 0" \
	"what was asked of the one before is not asked of the next"
refused "one whose slot is another's" 69 \
	"holdfast: $FIRST: was closed meanwhile: its slot is at generation 2" "$FIRST"
reconnect "$NAME.0.2"
is "$STATUS $OUT$ERR $(slot "$FILE" 0 reconnect_wanted)" "0 $NAME.0.2: asked (tcp:127.0.0.1:$OWN) 2" \
	"the next connection of a slot"
slot "$FILE" 0 reconnect_wanted 0

# The last that the client is told: it is held.
free_port NOBODY
echo "open $NOBODY" >&"${CLIENT[1]}"
deadline=$((SECONDS + 20))
until [ "$(slot "$FILE" 2 state)" = 1 ] || [ "$SECONDS" -gt "$deadline" ]; do
	sleep 0.02
done
refused "one that is connecting" 75 "holdfast: $NAME.2.1: nothing is connected yet, still connecting \
to tcp:127.0.0.1:$NOBODY" "$NAME.2.1"

# ---- all of it, the worst code -----------------------------------------------------------------------

capture "$HOLDFAST" reconnect "$NAME.2.1" x "$FIRST" "$other_nonce.0.1" "$SECOND"
is "$STATUS $OUT $(slot "$FILE" 1 reconnect_wanted)" "64 $SECOND: asked (tcp:127.0.0.1:$OTHER) 1" \
	"several, most of them wrong: the rest is asked for"
is "$(grep -c . <<<"$ERR")" 5 "several, most of them wrong: each is told, and the help once"
slot "$FILE" 1 reconnect_wanted 0
# worst CODE ID...
worst() {
	local code=$1
	shift
	capture "$HOLDFAST" reconnect "$@"
	is "$STATUS" "$code" "the worst of $(($#)) is $code"
	slot "$FILE" 1 reconnect_wanted 0
}
worst 75 "$SECOND" "$NAME.2.1"
worst 69 "$NAME.2.1" "$FIRST" "$SECOND"
worst 66 "$other_nonce.0.1" "$NAME.2.1" "$FIRST"
cp "$FILE" "${FILE%/*}/$other_nonce"
worst 65 "$FIRST" "$other_nonce.0.1" "1-$nonce.0.1"
rm "${FILE%/*}/$other_nonce"

# ---- gone ----------------------------------------------------------------------------------------------

kill -KILL "$CLIENT_PID"
wait "$CLIENT_PID" 2>/dev/null
refused "a process that was killed" 69 "holdfast: $NAME.0.2: the process has vanished" "$NAME.0.2"
echo "open $OWN" | env LD_PRELOAD="$SHIM" "$PYTHON" "$TOP/tests/tools/client.py" >/dev/null
ended=$(connections_json '[i["id"] for i in c if i["process_state"] == "exited"][0]')
refused "a process that ended" 69 "holdfast: $ended: the process has exited" "$ended"
done_testing
