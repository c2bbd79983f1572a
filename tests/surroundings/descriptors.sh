#!/bin/bash
# SPDX-License-Identifier: MIT
# TIMEOUT: 240
# Programs whose standard streams are closed, that close everything, or that may open few or very
# many files.
. "$(dirname "$0")/common.bash"
cd "$TMPDIR" || exit 1

# ---- standard streams closed from the start -----------------------------------------------

# The client opens its own file, which gets the lowest free number: nothing may be written to it
# but by the client. What it says is shown afterwards.
cat >closed.sh <<'SCRIPT'
#!/bin/bash
# closed.sh FDS COMMAND...: with these closed; then what the command wrote to its file.
fds=$1
shift
rm -f own
(
	for fd in $fds; do eval "exec $fd>&-"; done
	exec "$@"
)
status=$?
cat own
exit "$status"
SCRIPT
chmod +x closed.sh
for fds in 0 1 2 "0 1" "0 2" "1 2" "0 1 2"; do
	around "closed from the start: $fds" held "" ./closed.sh "$fds" \
		"$CLIENT" file=own connect connect
	# Sockets themselves get such a number, and the state's files must not.
	around "closed from the start: $fds, sockets there" held "" ./closed.sh "$fds" \
		"$CLIENT" open=3 file=own connect
	# There is something to say, and nowhere to say it if 2 is closed.
	case $fds in *2*) line="" ;; *) line="unprotected" ;; esac
	around "closed from the start: $fds, and a bad policy" unprotected "$line" \
		./closed.sh "$fds" env HOLDFAST_POLICY=/none "$CLIENT" file=own connect
	PROTECT=("$HOLDFAST" run --)
	around "closed from the start: $fds, by holdfast run" held "" ./closed.sh "$fds" \
		"$CLIENT" file=own connect
	PROTECT=(env LD_PRELOAD="$LIBRARY")
done

# ---- programs that close everything ----------------------------------------------------------

for how in loop closefrom range listed; do
	around "closes everything first: $how" held "" "$CLIENT" "$how=3" connect connect
	around "closes everything, the standard streams too: $how" held "" ./closed.sh "" \
		"$CLIENT" "$how=0" file=own connect connect
	around "closes everything between two connects: $how" held "" \
		"$CLIENT" connect open=20 "$how=3" connect connect
	around "closes everything in a child: $how" held "" \
		"$CLIENT" connect open=3 fork "$how=3" connect connect
	rm -rf "$HOLDFAST_STATE_DIR"
	pong
	capture with_library "$CLIENT" open=20 "$how=3" connect
	is "$(stats_value operations)/$(stats_value succeeded)" 21/21 "$how: the counts are right"
	stop_server
done

# ---- limits ----------------------------------------------------------------------------------

around "4 files at most: room for the socket alone" held \
	"nothing is stored, .*too many open files" \
	prlimit --nofile=4 "$CLIENT" connect connect
around "5 files at most" held "?" prlimit --nofile=5 "$CLIENT" connect connect
around "6 files at most" held "?" prlimit --nofile=6 "$CLIENT" connect connect
printf '{ "version": 1 }' >policy.json
# A policy that cannot be read for lack of a number is a bad one.
around "4 files at most and a policy file" unprotected "policy.json: Too many open files; running" \
	env HOLDFAST_POLICY="$TMPDIR/policy.json" prlimit --nofile=4 "$CLIENT" connect connect
PROTECT=("$HOLDFAST" run --)
around "4 files at most, by holdfast run" held "nothing is stored, .*too many open files" \
	prlimit --nofile=4 "$CLIENT" connect connect
PROTECT=(env LD_PRELOAD="$LIBRARY")

# The highest number that a process may have; by the kernel's default that is 1,048,575, for which
# the table has room.
most=$(ulimit -Hn)
nr_open=$(cat /proc/sys/fs/nr_open)
[ "$most" != unlimited ] && [ "$most" -le "$nr_open" ] || most=$nr_open
[ "$most" -le 1048576 ] || most=1048576
high=$((most - 1))
around "a socket under number $high" held "" prlimit --nofile="$most" "$CLIENT" \
	connect=$high connect
rm -rf "$HOLDFAST_STATE_DIR"
pong
capture prlimit --nofile="$most" env LD_PRELOAD="$LIBRARY" "$CLIENT" connect=$high
is "$OUT $(stats_value succeeded)" "pong 1" "a socket under number $high is counted"
stop_server
around "closes all numbers up to $high" held "" \
	prlimit --nofile="$most" "$CLIENT" connect=$high range=3 connect
if prlimit --nofile=1048580 true 2>/dev/null; then
	around "a socket beyond the table" unprotected "" \
		prlimit --nofile=1048580 "$CLIENT" connect=1048576
else
	skip "a socket beyond the table" "RLIMIT_NOFILE or fs.nr_open allows no such number here"
fi
done_testing
