#!/bin/bash
# SPDX-License-Identifier: MIT
# `holdfast run` becomes the program: same process, streams, signals, exit code. The environment
# is prepared as documented. A bad policy, and a program that the library cannot work in, cost
# one line on standard error and never the program.
. "$(dirname "$0")/../lib.sh"
CC=${CC:-gcc}
cd "$TMPDIR" || exit 1
TMPDIR=$(pwd -P)
mkdir sub
echo '{ "version": 1 }' >good.json
echo '{ "version": 2, "rulez": [], "profile": "x" }' >bad.json

# environment ARG...: captures what `holdfast run ARG... env` prints.
environment() {
	export -n OUT ERR # of the capture before, which has the same names in it
	capture "$HOLDFAST" run "$@" env
}

# variable NAME: its value there.
variable() {
	sed -n "s/^$1=//p" <<<"$OUT"
}

# ---- becoming the program -----------------------------------------------------

capture "$HOLDFAST" run -- sh -c 'printf "%s|" "$@"; exit 7' name 'a b' -q --policy ''
is "$STATUS" 7 "the exit code is the program's"
is "$OUT" "a b|-q|--policy||" "arguments arrive as they are"
is "$ERR" "" "nothing is said"
capture "$HOLDFAST" run sh -c 'cat; echo to-stderr >&2' <<<"from-stdin"
is "$OUT$ERR" "from-stdinto-stderr" "the standard streams are the program's"
# shellcheck disable=SC2016 # expanded by the inner shell
is "$(bash -c 'echo $$; exec "$HOLDFAST" run -- sh -c "echo \$\$"' | uniq | wc -l)" 1 \
	"the process stays the same"
state='grep -E "^(SigBlk|SigIgn|SigCgt)" /proc/self/status; ls /proc/self/fd | wc -l; pwd; umask'
is "$(trap '' PIPE CHLD USR1; "$HOLDFAST" run -- sh -c "$state")" \
	"$(trap '' PIPE CHLD USR1; sh -c "$state")" "signals, descriptors, directory, umask stay"
"$HOLDFAST" run -- sh -c 'kill -TERM $$' 2>/dev/null
is $? 143 "a signal ends it as it would"

capture "$HOLDFAST" run -- nosuchprogram
is "$STATUS $ERR" "127 holdfast: nosuchprogram: No such file or directory" "not found: 127"
touch plain
capture "$HOLDFAST" run -- ./plain
is "$STATUS $ERR" "126 holdfast: ./plain: Permission denied" "not executable: 126"
capture "$HOLDFAST" run -- "$TMPDIR"
is "$STATUS" 126 "a directory: 126"
capture "$HOLDFAST" run
is "$STATUS" 64 "no program: EX_USAGE"
capture "$HOLDFAST" run --polic
is "$STATUS" 64 "an option without its argument: EX_USAGE"

# ---- the environment ----------------------------------------------------------

environment
is "$(variable LD_PRELOAD)" "$SHIM" "LD_PRELOAD is the library"
is "$(variable HOLDFAST_POLICY)" "" "no policy is named when none was"
is "$(variable HOLDFAST_STATE_DIR)" "$HOLDFAST_STATE_DIR" "the state directory stays"
is "$(variable HOLDFAST_ENABLED)" "" "holdfast is not turned off"

cd sub || exit 1
environment --policy ../good.json --state-dir here -v
is "$(variable HOLDFAST_POLICY)" "$TMPDIR/sub/../good.json" "--policy is made absolute"
is "$(variable HOLDFAST_STATE_DIR)" "$TMPDIR/sub/here" "--state-dir is made absolute"
is "$(variable HOLDFAST_LOG)" info "-v"
HOLDFAST_POLICY=../good.json HOLDFAST_STATE_DIR=there HOLDFAST_LOG=debug \
	environment -q
is "$(variable HOLDFAST_POLICY)" "$TMPDIR/sub/../good.json" "HOLDFAST_POLICY is made absolute"
is "$(variable HOLDFAST_STATE_DIR)" "$TMPDIR/sub/there" "HOLDFAST_STATE_DIR is made absolute"
is "$(variable HOLDFAST_LOG)" off "-q goes before HOLDFAST_LOG"
HOLDFAST_POLICY=../bad.json environment --policy production
is "$(variable HOLDFAST_POLICY)" production "--policy goes before HOLDFAST_POLICY, a profile's name stays"
inline='{ "version": 1 }'
environment --policy "$inline"
is "$(variable HOLDFAST_POLICY)" "$inline" "inline JSON stays"
cd ..

LD_PRELOAD=$SHIM environment
is "$(variable LD_PRELOAD)" "$SHIM" "the library is never named twice"
"$CC" -shared -fPIC -o other.so -xc - <<<'int holdfast_test_other;'
LD_PRELOAD="$TMPDIR/other.so $SHIM" environment
is "$(variable LD_PRELOAD)" "$SHIM:$TMPDIR/other.so" "what LD_PRELOAD had stays, behind it"
HOLDFAST_ENABLED=0 environment
is "$(variable HOLDFAST_ENABLED)" 0 "HOLDFAST_ENABLED=0 is left as it is"

capture "$HOLDFAST" run "$HOLDFAST" run -- "$HOLDFAST" run sh -c 'echo "$LD_PRELOAD"'
is "$OUT$ERR" "$SHIM" "run inside run"

mkdir 'a:b' 'c d'
for odd in 'a:b' 'c d'; do
	cp "$HOLDFAST" "$SHIM" "$odd/"
	export -n OUT ERR
	capture "$odd/holdfast" run env
	is "$STATUS$(variable LD_PRELOAD)" 0 "a library in \"$odd\" is not preloaded"
	is "$ERR" "holdfast: \"$TMPDIR/$odd/libholdfast.so\" has a colon or a space, which \
LD_PRELOAD cannot carry; env runs unprotected" "a library in \"$odd\": the line"
done
rm "$odd/libholdfast.so"
capture "$odd/holdfast" run env
like "$STATUS $ERR" '^0 holdfast: libholdfast.so is neither beside' "no library at all: the line"

# ---- bad policies ----------------------------------------------------------------

# unprotected NAME LINE-REGEX COMMAND...
unprotected() {
	local name=$1 line=$2
	shift 2
	capture "$@" sh -c 'echo "preload=$LD_PRELOAD enabled=$HOLDFAST_ENABLED"; exit 3'
	is "$STATUS $OUT" "3 preload= enabled=0" "$name: the program runs, unprotected"
	is "$(wc -l <<<"$ERR")" 1 "$name: one line"
	like "$ERR" "$line" "$name: the line"
}
unprotected "a bad policy" "^holdfast: $TMPDIR/bad.json: .*, and 2 more errors; sh runs \
unprotected, see holdfast check $TMPDIR/bad.json\$" "$HOLDFAST" run --policy bad.json
unprotected "a missing policy" "^holdfast: $TMPDIR/nosuch.json: No such file or directory; sh runs \
unprotected" "$HOLDFAST" run --policy ./nosuch.json
unprotected "bad inline JSON" '^holdfast: HOLDFAST_POLICY: .*; sh runs unprotected' \
	env HOLDFAST_POLICY='{ "version": 9 }' "$HOLDFAST" run
unprotected "a bad value" '^holdfast: HOLDFAST_MAX_RETRIES: found "many", .*; sh runs unprotected$' \
	env HOLDFAST_MAX_RETRIES=many "$HOLDFAST" run
unprotected "an unknown variable" '^holdfast: HOLDFAST_MAX_RETRYS: .*HOLDFAST_MAX_RETRIES' \
	env HOLDFAST_MAX_RETRYS=3 "$HOLDFAST" run
unprotected "a pipe for a policy" '^holdfast: /dev/fd/.*is no regular file' \
	"$HOLDFAST" run --policy <(cat good.json)
capture "$HOLDFAST" run -q --policy bad.json true
is "$STATUS$ERR" 0 "-q: nothing is said of a bad policy"
unprotected "an unknown HOLDFAST_LOG" \
	'^holdfast: HOLDFAST_LOG: found "loud", expected off, error, info or debug; sh runs unprotected$' \
	env HOLDFAST_LOG=loud "$HOLDFAST" run

# ---- programs that the library cannot work in ------------------------------------

# said NAME LINE PROGRAM: the program runs, and this is what is said
said() {
	capture "$HOLDFAST" run "$3"
	is "$STATUS $ERR" "0 $2" "$1"
	capture "$HOLDFAST" run -q "$3"
	is "$STATUS $ERR" "0 " "$1: not with -q"
}
"$CC" -static -o static -xc - <<<'int main(void) { return 0; }' || exit 1
said "a static program" "holdfast: ./static is statically linked: it loads no library; it runs \
unprotected" ./static
printf '#!%s/static\n' "$TMPDIR" >script
chmod +x script
said "a script with a static interpreter" "holdfast: ./script is run by $TMPDIR/static, which is \
statically linked: it loads no library; it runs unprotected" ./script
printf '#!/usr/bin/env -S static\n' >env-script
chmod +x env-script
PATH=$TMPDIR:$PATH capture "$HOLDFAST" run ./env-script
is "$STATUS $ERR" "0 holdfast: ./env-script is run by $TMPDIR/static, which is statically linked: \
it loads no library; it runs unprotected" "a script that env(1) starts"

# The real loader under the name of musl's: the program runs and tells its environment.
loader=$(readelf -l /bin/sh | sed -n 's/.*program interpreter: \(.*\)\]/\1/p')
ln -s "$loader" ld-musl-x86_64.so.1
"$CC" -Wl,--dynamic-linker="$TMPDIR/ld-musl-x86_64.so.1" -o musl -xc - <<'EOF'
#include <stdio.h>
#include <stdlib.h>
int main(void) { return puts(getenv("LD_PRELOAD") ? "preloaded" : "clean") < 0; }
EOF
capture "$HOLDFAST" run ./musl
is "$STATUS $OUT" "0 clean" "musl, whose loader would refuse the program: nothing is preloaded"
is "$ERR" "holdfast: ./musl is linked to musl: holdfast needs glibc; it runs unprotected" \
	"musl: the line"

# as_nobody COMMAND...
as_nobody() {
	setpriv --reuid=65534 --regid=65534 --clear-groups env HOLDFAST_STATE_DIR="$TMPDIR/none" "$@"
}
if [ "$(id -u)" = 0 ] && have setpriv; then
	chmod 755 "$TMPDIR"
	cp /bin/true setuid-true
	chmod 4755 setuid-true
	cp /bin/true setgid-true
	chmod 2755 setgid-true
	cp "$HOLDFAST" "$SHIM" sub/
	if as_nobody test -x sub/holdfast; then
		capture as_nobody sub/holdfast run ./setuid-true
		is "$STATUS $ERR" "0 holdfast: ./setuid-true is setuid: the loader ignores LD_PRELOAD; it \
runs unprotected" "setuid, for another user"
		capture as_nobody sub/holdfast run ./setgid-true
		is "$STATUS $ERR" "0 holdfast: ./setgid-true is setgid: the loader ignores LD_PRELOAD; it \
runs unprotected" "setgid, for another group"
		cp /bin/true cap-true
		if setcap cap_net_raw+ep cap-true 2>/dev/null; then
			capture as_nobody sub/holdfast run ./cap-true
			is "$STATUS $ERR" "0 holdfast: ./cap-true has file capabilities: the loader ignores \
LD_PRELOAD; it runs unprotected" "file capabilities"
		else
			skip "file capabilities" "setcap is missing or not allowed here"
		fi
	else
		skip "setuid, setgid, file capabilities" "another user cannot enter $TMPDIR"
	fi
	capture "$HOLDFAST" run ./setuid-true
	is "$STATUS $ERR" "0 " "setuid to the user itself is no obstacle"
else
	skip "setuid, setgid, file capabilities" "needs root and setpriv"
fi

# ---- the compiled policy -----------------------------------------------------------

fnv() {
	"$PYTHON" -c '
import sys
hash = 0xcbf29ce484222325
for byte in sys.argv[1].encode():
    hash = (hash ^ byte) * 0x100000001b3 % 2**64
print("%016x" % hash)' "$1"
}
copies=$TMPDIR/state2/policy
capture "$HOLDFAST" run --state-dir state2 --policy good.json true
copy=$copies/$(fnv "$TMPDIR/good.json")
is "$(ls -A "$copies")" "$(basename "$copy")" "one compiled copy, named after the path"
is "$(stat -c %a "$TMPDIR/state2" "$copies" "$copy" | xargs)" "700 700 600" "its modes"
before=$(stat -c '%i %Z' "$copy")
capture "$HOLDFAST" run --state-dir state2 --policy good.json true
is "$(stat -c '%i %Z' "$copy")" "$before" "a current copy is not written again"
echo '{ "version": 1, "profile": "stream" }' >good.json
capture "$HOLDFAST" run --state-dir state2 --policy good.json true
unlike "$(stat -c '%i %Z' "$copy")" "^$before\$" "a changed file is compiled again"
check "the new copy is of the new file" grep -q stream "$copy"
capture "$HOLDFAST" run --state-dir state2 --policy "$inline" true
check "inline JSON has a copy, named after the text" test -s "$copies/$(fnv "$inline")"
HOLDFAST_MAX_RETRIES=77 capture "$HOLDFAST" run --state-dir state3 --policy good.json true
is "$(cmp "state3/policy/$(basename "$copy")" "$copy" 2>&1)" "" "overrides are not in the copy"
echo precious >victim
rm "$copy"
ln -s "$TMPDIR/victim" "$copy"
capture "$HOLDFAST" run --state-dir state2 --policy good.json true
is "$STATUS $(cat victim)" "0 precious" "a link in its place is not written through"
check "the link is replaced" test -f "$copy" -a ! -L "$copy"
mkdir -m 700 state4
touch state4/policy
capture "$HOLDFAST" run --state-dir state4 --policy good.json true
is "$STATUS $ERR" "0 " "a copy that cannot be written is nobody's trouble"

done_testing
