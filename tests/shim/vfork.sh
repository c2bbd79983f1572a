#!/bin/bash
# SPDX-License-Identifier: MIT
# vfork, clone, posix_spawn, system and popen leave what is their parent's alone.
. "$(dirname "$0")/../lib.sh"
cases vfork "$BUILD/tests/shim/vfork"

# A library may have a clone() that is something else: it is called with what it was given.
cat >"$TMPDIR/library.c" <<'EOT'
double clone(double a, double b) { return a * 10 + b; }
double use(double a, double b);
double use(double a, double b) { return clone(a, b); }
EOT
cat >"$TMPDIR/program.c" <<'EOT'
#include <stdio.h>
double use(double a, double b);
int main(void) { for (int i = 0; i < 2; i++) printf("%g\n", use(1.5, 2)); return 0; }
EOT
check "a library with a clone() of its own" "${CC:-cc}" -w -fPIC -shared \
	-o "$TMPDIR/liblibrary.so" "$TMPDIR/library.c"
check "a program that calls it" "${CC:-cc}" -o "$TMPDIR/program" "$TMPDIR/program.c" \
	"$TMPDIR/liblibrary.so" -Wl,-rpath,"$TMPDIR"
is "$(LD_PRELOAD=$SHIM "$TMPDIR/program")" $'17\n17' "numbers and all, the first time too"
done_testing
