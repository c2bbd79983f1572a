#!/bin/bash
# SPDX-License-Identifier: MIT
# TIMEOUT: 240
# Where the state directory is, whose it is and what it leads to: held in every case, at most
# one line, and nothing of anybody else's is touched.
. "$(dirname "$0")/common.bash"

# stored DIRECTORY NAME: the last run counted there.
stored() {
	is "$(HOLDFAST_STATE_DIR=$1 stats_value recovered)" 1 "$2: it was counted there"
}

# ---- how it is named ---------------------------------------------------------------------

cd "$TMPDIR" || exit 1
TMPDIR=$(pwd -P)
HOLDFAST_STATE_DIR=relative/state
PREPARE="rm -rf relative"
around "a relative directory, which the program leaves" held "" "$CLIENT" chdir=/ connect
stored "$TMPDIR/relative/state" "a relative directory"
HOLDFAST_STATE_DIR=$TMPDIR/slash/state//
PREPARE="rm -rf slash"
around "slashes behind it" held "" "$CLIENT" connect
stored "$TMPDIR/slash/state" "slashes behind it"
PREPARE=:
HOLDFAST_STATE_DIR=/$(printf 'x%.0s' {1..4095})
around "a component of 4,095 characters" held "nothing is stored, " "$CLIENT" connect
HOLDFAST_STATE_DIR=$TMPDIR$(printf '/xxxxxxxxxxxxxxx%.0s' {1..256})
around "a path of 4,096 characters" held "nothing is stored, " "$CLIENT" connect
HOLDFAST_STATE_DIR=$TMPDIR/file
: >file
around "a file" held "nothing is stored, .*$TMPDIR/file: is not a directory" "$CLIENT" connect
HOLDFAST_STATE_DIR=$TMPDIR/file/state
around "a directory below a file" held "nothing is stored, .*/state: is not a directory" \
	"$CLIENT" connect
HOLDFAST_STATE_DIR=/dev/null
around "a device" held "nothing is stored, .*/dev/null: is not a directory" "$CLIENT" connect
HOLDFAST_STATE_DIR=$TMPDIR/fifo
mkfifo fifo
around "a FIFO" held "nothing is stored, .*/fifo: is not a directory" "$CLIENT" connect

# ---- links -------------------------------------------------------------------------------

# A victim that nothing may change, however it is reached.
victim_make() {
	rm -rf victim links
	mkdir -p -m 700 victim links
	printf 'precious' >victim/file
	chmod 600 victim/file
}
HOLDFAST_STATE_DIR=$TMPDIR/links
victim_is_unharmed() {
	is "$(find victim | sort | xargs) $(cat victim/file)" "victim victim/file precious" \
		"$1: nothing was written through it"
}
# linked NAME LINE PREPARE-COMMANDS
linked() {
	PREPARE="victim_make; $3"
	around "$1" held "$2" "$CLIENT" connect connect
	victim_is_unharmed "$1"
}
linked "the state directory is a link" "nothing is stored, .*/links: is a symbolic link" \
	"rmdir links; ln -s victim links"
HOLDFAST_STATE_DIR=$TMPDIR/links/
linked "the same with a slash behind it" "nothing is stored, .*links/?: is a symbolic link" \
	"rmdir links; ln -s victim links"
HOLDFAST_STATE_DIR=$TMPDIR/links
linked "process is a link" "nothing is stored, .*is a symbolic link" \
	"ln -s ../victim links/process"
linked "events is a link to a file" "" "ln -s ../victim/file links/events"
linked "events is a dangling link" "" "ln -s ../victim/none links/events"
linked "totals is a link" "" "ln -s ../victim/file links/totals"
linked "policy is a link" "" "ln -s ../victim links/policy"
linked "spare files are links" "" "mkdir -m 700 links/process
	for i in 0 1 2 3; do ln -s ../../victim/file links/process/.spare-\$i; done"
linked "the state directory is below a link" "" "rmdir links; rm -rf real above; mkdir -m 700 real
	ln -s real above; HOLDFAST_STATE_DIR=$TMPDIR/above/links"
stored "$TMPDIR/real/links" "the state directory is below a link"
HOLDFAST_STATE_DIR=$TMPDIR/links

# A compiled policy's place is taken by a link to what would be a good copy.
printf '{ "version": 1, "profile": "standard" }' >policy.json
copy_linked() {
	victim_make
	HOLDFAST_POLICY=$TMPDIR/policy.json PORT=1 HOLDFAST_NETWORK_MAX_RETRIES=0 with_library "$CLIENT" \
		connect >/dev/null
	for copy in links/policy/*; do
		mv "$copy" victim/copy
		ln -s ../../victim/copy "$copy"
	done
	rm -f victim/copy
}
PREPARE=copy_linked
around "a compiled policy is a dangling link" held "" env HOLDFAST_POLICY="$TMPDIR/policy.json" \
	"$CLIENT" connect
victim_is_unharmed "a compiled policy is a dangling link"
PREPARE=:

# ---- somebody else's -----------------------------------------------------------------------

if ! can_be_nobody; then
	skip "directories and files of other users" "needs root and setpriv"
	skip "no home" "needs root and setpriv"
	done_testing
fi

# A store with an event in it.
foreign_make() {
	rm -rf foreign
	PORT=1 HOLDFAST_NETWORK_MAX_RETRIES=1 with_library "$CLIENT" connect >/dev/null
}
# foreign NAME LINE COMMANDS: root is given what belongs to nobody.
foreign() {
	HOLDFAST_STATE_DIR=$TMPDIR/foreign
	PREPARE="foreign_make; $3"
	around "$1" held "$2" "$CLIENT" connect connect
	PREPARE=:
}
# An owner who could change what root maps must not be trusted.
foreign "the state directory is another user's" \
	"nothing is stored, .*/foreign: belongs to another user" "chown 65534 foreign"
foreign "process is another user's" "nothing is stored, .*belongs to another user" \
	"chown 65534 foreign/process"
foreign "events is another user's" "" "chown 65534 foreign/events"
is "$(stat -c %u foreign/events)" 0 "events is another user's: another one was made"
foreign "spare files are another user's" "" "chown 65534 foreign/process/.spare-*"
is "$(find foreign/process -type f ! -user 0)" "" "spare files are another user's: none was taken"
foreign "the policy directory is another user's" "" "mkdir -m 700 foreign/policy
	chown 65534 foreign/policy"
foreign "the state directory is open to its group" \
	"nothing is stored, .*expected mode 0700" "chmod 770 foreign"
foreign "totals is another user's" "" ": >foreign/totals; chown 65534 foreign/totals"

mkdir -m 700 roots
HOLDFAST_STATE_DIR=$TMPDIR/roots
around "nobody is given root's directory" held \
	"nothing is stored, .*/roots: (permission denied|belongs to another user)" \
	"${AS_NOBODY[@]}" "$CLIENT" connect
HOLDFAST_STATE_DIR=$TMPDIR/roots/deeper
around "nobody is given a directory in root's" held "nothing is stored, .*ermission denied" \
	"${AS_NOBODY[@]}" "$CLIENT" connect

# A compiled copy that its reader does not own is not believed, whatever it says.
foreign_copy() {
	rm -rf foreign
	HOLDFAST_POLICY=$TMPDIR/policy.json PORT=1 HOLDFAST_NETWORK_MAX_RETRIES=0 with_library "$CLIENT" \
		connect >/dev/null
	chown 65534 foreign/policy/*
}
HOLDFAST_STATE_DIR=$TMPDIR/foreign
PREPARE=foreign_copy
around "a compiled policy is another user's" held "" env HOLDFAST_POLICY="$TMPDIR/policy.json" \
	"$CLIENT" connect
is "$(find foreign/policy -type f ! -user 0)" "" "a compiled policy is another user's: replaced"
PREPARE=:

# ---- no home -------------------------------------------------------------------------------

unset HOLDFAST_STATE_DIR XDG_STATE_HOME
none="nothing is stored, the policy applies: no directory can be named"
nobody() {
	around "$1" held "$2" "${AS_NOBODY[@]}" env "${@:3}" "$CLIENT" connect
}
nobody "no home" "$none" -u HOME
nobody "an empty home" "$none" HOME=
nobody "a relative home" "$none" HOME=home
nobody "a home that cannot be made" "nothing is stored, .*ermission denied" HOME=/nonexistent
nobody "a home that is a device" "nothing is stored, .*: is not a directory" HOME=/dev/null
nobody "a relative XDG_STATE_HOME counts for nothing" "$none" -u HOME XDG_STATE_HOME=xdg
mkdir xdg home
chown 65534 xdg home
nobody "no home, but XDG_STATE_HOME" "" -u HOME XDG_STATE_HOME="$TMPDIR/xdg"
is "$(stat -c %a:%u xdg/holdfast)" 700:65534 "it was made there, for its user alone"
nobody "a home" "" HOME="$TMPDIR/home"
is "$(stat -c %a:%u home/.local/state/holdfast)" 700:65534 "it was made below it"
capture "${AS_NOBODY[@]}" env HOME="$TMPDIR/home" "$PUBLIC/holdfast" stats --json
is "$STATUS $("$PYTHON" -c 'import json, sys; print(json.load(sys.stdin)["totals"]["recovered"])' \
	<<<"$OUT")" "0 1" "and its user can read it"
done_testing
