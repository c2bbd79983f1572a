#!/bin/bash
# SPDX-License-Identifier: MIT
# TIMEOUT: 240
# Where the state directory, the library or /proc cannot be seen: chroot, mount and pid namespaces.
. "$(dirname "$0")/common.bash"
can_mount || skip_all "mounting is not allowed here"
cd "$TMPDIR" || exit 1
TMPDIR=$(pwd -P)

# A root directory with the client and what it needs, but neither our library nor the state.
mkdir jail empty
for file in $(ldd "$CLIENT" | grep -o '/[^ ]*'); do
	mkdir -p "jail$(dirname "$file")"
	cp "$file" "jail$file"
done
cp "$CLIENT" jail/client
printf '{ "version": 1 }' >policy.json

# The program enters by itself; what it has mapped, it keeps. The state goes where its name
# leads by then, if it can be made there.
PREPARE="rm -rf state empty; mkdir -m 755 empty"
around "chroot before the first connect" held "" "$CLIENT" chroot="$TMPDIR/empty" connect connect
around "chroot into what cannot be written" held "nothing is stored, " \
	"$CLIENT" chroot=/proc/self/fdinfo \
	connect connect
around "chroot after the first connect" held "" "$CLIENT" connect chroot="$TMPDIR/empty" \
	connect open=200 connect
is "$(find empty | wc -l)" 1 "chroot after the first connect: nothing is made inside"
is "$(stats_value operations)" 203 "chroot after the first connect: all is counted outside"
around "chroot, then a child" held "" "$CLIENT" connect chroot="$TMPDIR/empty" fork connect
# The parser lies outside, and so may the policy.
around "a policy file that cannot be seen after chroot" unprotected \
	"holdfast: $TMPDIR/policy.json: No such file or directory; running unprotected" \
	env HOLDFAST_POLICY="$TMPDIR/policy.json" "$CLIENT" chroot="$TMPDIR/empty" connect
around "a policy in the environment, and no parser after chroot" unprotected \
	"holdfast: the policy cannot be parsed: .*running unprotected" \
	env 'HOLDFAST_POLICY={ "version": 1 }' "$CLIENT" chroot="$TMPDIR/empty" connect
around "a policy that was compiled before chroot" held "" \
	env HOLDFAST_POLICY="$TMPDIR/policy.json" \
	"$CLIENT" connect chroot="$TMPDIR/empty" connect

# The program is started inside: the loader finds no library, and says so itself.
around "started in a chroot" unprotected \
	"ERROR: ld.so: object '$LIBRARY' from LD_PRELOAD cannot be preloaded" \
	chroot jail /client connect
mkdir -p "jail$PUBLIC"
cp "$PUBLIC"/libholdfast*.so "jail$PUBLIC"
PREPARE="rm -rf state jail$TMPDIR/state"
around "started in a chroot that has the library" held "" chroot jail /client connect connect
is "$(HOLDFAST_STATE_DIR=$TMPDIR/jail$TMPDIR/state stats_value recovered)" 1 \
	"started in a chroot that has the library: counted in there"
PREPARE="rm -rf state"

# mounted COMMANDS: what runs in a mount namespace after these.
mounted() {
	printf '%s\0' unshare -m --propagation private bash -c "$1"' || exit 99; exec "$@"' --
}
mapfile -d '' -t hidden < <(mounted "mkdir -p -m 700 $HOLDFAST_STATE_DIR &&
	mount -t tmpfs -o ro none $HOLDFAST_STATE_DIR")
around "something read-only is mounted over the state" held "nothing is stored, " \
	"${hidden[@]}" "$CLIENT" connect connect
mapfile -d '' -t hidden < <(mounted "mount -t tmpfs -o mode=755 none $PUBLIC")
cp "$CLIENT" client
around "something is mounted over the library" unprotected \
	"ERROR: ld.so: object '$LIBRARY' from LD_PRELOAD cannot be preloaded" \
	"${hidden[@]}" ./client connect

# ---- /proc ------------------------------------------------------------------------------------

mapfile -d '' -t no_proc < <(mounted "mount -t tmpfs none /proc")
around "an empty /proc" held "" "${no_proc[@]}" "$CLIENT" connect connect fork connect
is "$(stats_value recovered)/$(stats_value succeeded)" 1/3 "an empty /proc: all is counted"
# Whoever cannot be seen in /proc is not taken for dead by somebody who can.
rm -rf state
export PORT=$UP_PORT
start_server "${no_proc[@]}" env LD_PRELOAD="$LIBRARY" "$CLIENT" connect pause="$TMPDIR/go" connect
until [ -e go.ready ]; do sleep 0.02; done
capture "$HOLDFAST" stats --json
unlike "$(jq -r '.processes[0].state' <<<"$OUT")" 'vanished|exited' \
	"an empty /proc: a living process is not taken for dead"
: >go
wait "$SERVER_PID"
is "$(stats_value operations)" 2 "an empty /proc: and it goes on being counted"
mapfile -d '' -t no_proc < <(mounted "umount -l /proc")
around "no /proc at all" held "" "${no_proc[@]}" "$CLIENT" connect connect
around "no /proc, and a rule that asks for the program" held "" env 'HOLDFAST_POLICY={ "version": 1,
	"rules": [ { "name": "it", "match": { "programs": ["client"] } } ] }' \
	"${no_proc[@]}" "$CLIENT" connect connect
PROTECT=("${no_proc[@]}" "$HOLDFAST" run --)
around "holdfast run without /proc" unprotected "client runs unprotected" "$CLIENT" connect
PROTECT=(env LD_PRELOAD="$LIBRARY")
around "a pid namespace of its own" held "" unshare -p -f --mount-proc "$CLIENT" \
	connect fork connect
around "a pid namespace with the /proc of another" held "" unshare -p -f "$CLIENT" \
	connect fork connect
is "$(stats_value operations)" 2 "a pid namespace with the /proc of another: all is counted"
around "a user namespace, where nobody owns the state" held "?" \
	unshare -U "$CLIENT" connect connect
around "a user namespace, where root owns the state" held "" unshare -U -r "$CLIENT" connect connect
done_testing
