#!/bin/bash
# SPDX-License-Identifier: MIT
# TIMEOUT: 240
# A file of the store that was cut short, is of an older version or holds anything at all before
# the start: the program is unharmed and protected, its counts are kept, and the tool still reads.
. "$(dirname "$0")/common.bash"
cd "$TMPDIR" || exit 1
HOLDFAST_STATE_DIR=$TMPDIR/state
export HOLDFAST_POLICY=$TMPDIR/policy.json
printf '{ "version": 1, "store": { "retention": "1s" } }' >policy.json
LATE=0.3

# A store with one of everything: a process that ended, one that was killed, spare files, events,
# totals, a compiled policy.
PORT=1 HOLDFAST_NETWORK_MAX_RETRIES=1 with_library "$CLIENT" connect >/dev/null
pong
{
	timeout -s KILL 0.5 env LD_PRELOAD="$LIBRARY" "$CLIENT" connect pause="$TMPDIR/never"
} >/dev/null 2>&1
stop_server
"$BUILD/tests/shim/fold" "$HOLDFAST_STATE_DIR" >/dev/null 2>&1
PORT=1 HOLDFAST_NETWORK_MAX_RETRIES=1 with_library "$CLIENT" connect >/dev/null
cp -r "$HOLDFAST_STATE_DIR" whole
for kind in events totals process/.spare-0 'process/[0-9]*' 'policy/[0-9a-f]*'; do
	check "the store has $kind" compgen -G "whole/$kind"
done

# damage HOW GLOB: to every file of that name.
damage() {
	"$PYTHON" - "$@" <<'PYTHON'
import glob, os, random, sys
how, pattern = sys.argv[1:]
random.seed(how + pattern)
for name in glob.glob("state/" + pattern):
    size = os.path.getsize(name)
    with open(name, "r+b") as file:
        if how == "emptied":
            file.truncate(0)
        elif how == "cut short":
            file.truncate(size // 2)
        elif how == "cut in its header":
            file.truncate(13)
        elif how == "longer":
            file.truncate(size + 4096)
        elif how == "of an older version":
            file.seek(8)
            version = int.from_bytes(file.read(4), "little")
            file.seek(8)
            file.write((version + 0xffff & 0xffffffff).to_bytes(4, "little"))
        elif how == "of random bytes":
            file.write(random.randbytes(min(size, 1 << 20)))
        elif how == "of ones":
            file.write(b"\xff" * min(size, 1 << 20))
        elif how == "of random bytes after a good header":
            file.seek(16)
            file.write(random.randbytes(min(size, 1 << 20) - 16))
PYTHON
}

# PREPARE of an item, so that nothing of the run before is left.
restore() {
	rm -rf state
	cp -r whole state
}

# damaged HOW WHAT GLOB
damaged() {
	local name="$2: $1" status=0 said=
	PREPARE="restore; damage '$1' '$3'"
	around "$name" held "" "$CLIENT" connect connect
	# What this process itself counted, whatever became of the rest.
	is "$(stats_value recovered "tcp:127.0.0.1:$PORT" 2>/dev/null)" 1 "$name: its own counts are there"
	for tool in "stats" "stats --json" "stats --prometheus" "events" "connections --all"; do
		# shellcheck disable=SC2086 # words
		capture "$HOLDFAST" $tool
		if [ "$STATUS" -ne 0 ] || [ "$(grep -c . <<<"$ERR")" -gt 1 ]; then
			status=1
			said+="$tool: $STATUS $ERR
"
		fi
	done
	is "$status$said" 0 "$name: the tool reads what there is"
}

ways=("emptied" "cut short" "cut in its header" "of an older version" "of random bytes")
for how in "${ways[@]}" "longer" "of random bytes after a good header"; do
	damaged "$how" "the events" events
done
for how in "${ways[@]}" "longer" "of ones" "of random bytes after a good header"; do
	damaged "$how" "the totals" totals
done
for how in "${ways[@]}" "longer" "of random bytes after a good header"; do
	damaged "$how" "other processes' files" 'process/[0-9]*'
done
for how in "emptied" "cut short" "longer" "of random bytes" "of ones"; do
	damaged "$how" "the spare files" 'process/.spare-*'
done
for how in "${ways[@]}" "longer" "of random bytes after a good header"; do
	damaged "$how" "a compiled policy" 'policy/*'
done

# directory WHAT PATH: a directory where a file should be.
for what in events totals process/.spare-0; do
	PREPARE="restore; rm -f state/$what; mkdir state/$what"
	around "a directory in place of $what" held "" "$CLIENT" connect
done
PREPARE="restore; rm -rf state/policy; : >state/policy"
around "a file in place of policy" held "" "$CLIENT" connect
PREPARE="restore; rm -rf state/process; : >state/process"
around "a file in place of process" held "nothing is stored, .*not a directory" "$CLIENT" connect
PREPARE="restore; rm -f state/events; mkfifo state/events; mkfifo state/totals.new"
around "a FIFO in place of events" held "" "$CLIENT" connect
PREPARE="restore; for i in 0 1 2 3; do rm -f state/process/.spare-\$i
	mkfifo state/process/.spare-\$i; done"
around "FIFOs in place of the spare files" held "" "$CLIENT" connect
done_testing
