#!/bin/bash
# SPDX-License-Identifier: MIT
# What a library that was opened with RTLD_DEEPBIND connects is managed; dlopen() goes on
# finding what its caller would find; and nothing of it is touched with HOLDFAST_ENABLED=0.
. "$(dirname "$0")/../lib.sh"

source=$TOP/tests/shim/deepbind
work=$TMPDIR/deepbind
mkdir -p "$work/inner"
compile() {
	"${CC:-cc}" -std=gnu11 -D_GNU_SOURCE -O2 -Wall -Wextra -fPIC "$@"
}
echo 'int inner;' >"$work/inner.c"
check "a library to be opened" compile -shared -o "$work/libdeep.so" "$source/deep.c"
check "a library to be found" compile -shared -o "$work/inner/libinner.so" "$work/inner.c"
cp "$work/inner/libinner.so" "$work/inner/libinner-other.so"
check "a library that finds it" compile -shared -o "$work/libcaller.so" "$source/caller.c" \
	-Wl,--enable-new-dtags,-rpath,'$ORIGIN/inner'
check "a program" compile -rdynamic -o "$work/main" "$source/main.c" "$work/libcaller.so" \
	-Wl,-rpath,'$ORIGIN'
check "another preload" compile -shared -o "$work/called.so" "$source/called.c"

# ---- whose functions a library gets -----------------------------------------------------

free_port
start_server "$PYTHON" "$TOP/tests/programs/server.py" line "$PORT"
wait_for_port "$PORT"
# deep FLAGS [NAME=VALUE...]: one run under the preload with a state directory of its own.
deep() {
	local flags=$1
	shift
	HOLDFAST_STATE_DIR=$work/state-$flags$*
	capture env LD_LIBRARY_PATH="$work" LD_PRELOAD="$SHIM" "$@" "$work/main" deep "$flags" "$PORT"
}

capture env LD_LIBRARY_PATH="$work" "$work/main" deep deep "$PORT"
is "$OUT" "own 0" "without holdfast, RTLD_DEEPBIND: its own functions"
capture env LD_LIBRARY_PATH="$work" "$work/main" deep none "$PORT"
is "$OUT" "program's 0" "without holdfast, no flag: the program's"

for flags in deep deep,global; do
	deep "$flags"
	is "$OUT/$STATUS/$ERR" "program's 0/0/" "$flags: the flag is taken away"
	is "$(stats_value operations "tcp:127.0.0.1:$PORT")" 1 "$flags: the connect is managed"
	is "$(stats_value succeeded "tcp:127.0.0.1:$PORT")" 1 "$flags: and succeeded"
done
deep none
is "$OUT" "program's 0" "no flag: as ever"
is "$(stats_value operations)" 1 "no flag: managed"
deep deep HOLDFAST_ENABLED=0
is "$OUT/$STATUS/$ERR" "own 0/0/" "HOLDFAST_ENABLED=0: the flag stays"
check "HOLDFAST_ENABLED=0: nothing is counted" test ! -e "$HOLDFAST_STATE_DIR"

# A refusal is waited out like any other program's.
stop_server
patient=(HOLDFAST_BASE_DELAY=100ms HOLDFAST_MAX_RETRIES=50 HOLDFAST_BACKOFF_FACTOR=1)
late 1 "$PYTHON" "$TOP/tests/programs/server.py" line "$PORT"
deep deep "${patient[@]}"
is "$OUT/$STATUS" "program's 0/0" "a late server is waited for"
is "$(stats_value recovered "tcp:127.0.0.1:$PORT")" 1 "and that is a recovery"
stop_server

# ---- who calls ----------------------------------------------------------------------------

found=$'found\nnot found'
capture "$work/main" caller
is "$OUT" "$found" "without holdfast its caller's RUNPATH leads to a library"
capture env LD_PRELOAD="$work/called.so" "$work/main" caller
like "$OUT" "libinner.so: cannot open" "a preload that calls dlopen() hides who called"
capture env LD_PRELOAD="$SHIM" "$work/main" caller
is "$OUT/$STATUS/$ERR" "$found/0/" "ours does not"
capture env HOLDFAST_ENABLED=0 LD_PRELOAD="$SHIM" "$work/main" caller
is "$OUT" "$found" "nor with HOLDFAST_ENABLED=0"

# The code says so as well, whoever compiled it: the hook ends in a jump through a register or
# memory, and calls nothing by one.
# leaves NAME OBJECT: how the function calls and leaves, a word each.
leaves() {
	objdump -d --no-show-raw-insn "$2" |
		awk -v name="<$1>:" '$2 == name { inside = 1; next } /^$/ { inside = 0 }
			inside && /(call|jmp|notrack jmp) +\*/ { print /call/ ? "call" : "jump" }' |
		sort | uniq | paste -sd ' '
}
if objdump --dwarf=info "$SHIM" 2>/dev/null | grep -m 1 DW_AT_producer | grep -q -- -O0; then
	skip "the built object jumps" "it was built without optimization"
else
	is "$(leaves dlopen "$SHIM")" jump "the built object jumps to the real dlopen()"
fi
for compiler in gcc clang; do
	if ! have "$compiler"; then
		skip "$compiler -O2 makes a jump of it" "$(missing "$compiler")"
		continue
	fi
	for level in -O2 -O3 -Os; do
		check "$compiler $level compiles it" "$compiler" -std=gnu11 -D_GNU_SOURCE "$level" -fPIC \
			-fvisibility=hidden -I"$TOP" -c -o "$work/dlfcn.o" "$TOP/shim/hooks/dlfcn.c"
		is "$(leaves dlopen "$work/dlfcn.o")" jump "$compiler $level makes a jump of it"
	done
	compile -c -o "$work/called.o" "$source/called.c"
	is "$(leaves dlopen "$work/called.o")" call "which is told from a call"
done

# ---- PHP, whose extensions are opened so ----------------------------------------------------

if ! have php; then
	skip "php" "$(missing php)"
	done_testing
fi
mapfile -t modules < <(php -m)
if [[ " ${modules[*]} " != *" curl "* ]]; then
	skip "php with curl" "php's curl extension is not installed (make deps-programs installs it)"
	done_testing
fi
free_port
start_server "$PYTHON" "$TOP/tests/programs/server.py" http "$PORT"
wait_for_port "$PORT"
fetch='$c = curl_init($argv[1]); curl_setopt($c, CURLOPT_RETURNTRANSFER, true);
	echo curl_exec($c), curl_error($c);'
HOLDFAST_STATE_DIR=$work/state-php
capture php -r "$fetch" "http://127.0.0.1:$PORT/file"
is "$OUT" hello "php's curl without holdfast"
capture hf php -r "$fetch" "http://127.0.0.1:$PORT/file"
is "$OUT/$STATUS/$ERR" "hello/0/" "php's curl"
is "$(stats_value operations "tcp:127.0.0.1:$PORT")" 1 "php's curl: managed"
is "$(stats_value succeeded "tcp:127.0.0.1:$PORT")" 1 "php's curl: and succeeded"
HOLDFAST_STATE_DIR=$work/state-php-off
capture env HOLDFAST_ENABLED=0 LD_PRELOAD="$SHIM" php -r "$fetch" "http://127.0.0.1:$PORT/file"
is "$OUT/$STATUS/$ERR" "hello/0/" "php's curl with HOLDFAST_ENABLED=0"
stop_server
HOLDFAST_STATE_DIR=$work/state-php-late
late 1 "$PYTHON" "$TOP/tests/programs/server.py" http "$PORT"
capture env "${patient[@]}" LD_PRELOAD="$SHIM" php -r "$fetch" "http://127.0.0.1:$PORT/file"
is "$OUT/$STATUS/$ERR" "hello/0/" "php's curl: a late server is waited for"
is "$(stats_value recovered "tcp:127.0.0.1:$PORT")" 1 "php's curl: and that is a recovery"
done_testing
