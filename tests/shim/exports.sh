#!/bin/bash
# SPDX-License-Identifier: MIT
# libholdfast.so exports exactly the hooks, needs libc alone, and is linked as a preload should be.
. "$(dirname "$0")/../lib.sh"

"$BUILD/tests/shim/hooks" | sort >"$TMPDIR/hooks"
# Columns of nm: value, type, name; a version would follow the name.
nm -D --defined-only "$SHIM" | awk '{ print $3 }' | sort >"$TMPDIR/exports"

at_least "$(wc -l <"$TMPDIR/hooks")" 40 "the list of hooks is not empty"
is "$(sort "$TMPDIR/hooks" | uniq -d)" "" "no hook is listed twice"
is "$(comm -23 "$TMPDIR/hooks" "$TMPDIR/exports")" "" "every hook is exported"
is "$(comm -13 "$TMPDIR/hooks" "$TMPDIR/exports")" "" "nothing but hooks is exported"

# Each must be a function that libc has too, or nobody would ever call it.
missing_in_libc=$("$PYTHON" - "$TMPDIR/hooks" <<'PYTHON'
import ctypes, sys
libc = ctypes.CDLL("libc.so.6")
for name in open(sys.argv[1]).read().split():
    if not hasattr(libc, name):
        print(name)
PYTHON
)
is "$missing_in_libc" "" "libc has a function of each hook's name"

dynamic=$(readelf -dW "$SHIM")
is "$(sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' <<<"$dynamic")" libc.so.6 "needs libc alone"
is "$(sed -n 's/.*(SONAME).*\[\(.*\)\]/\1/p' <<<"$dynamic")" libholdfast.so "soname"
unlike "$dynamic" TEXTREL "no text relocations"
unlike "$dynamic" 'RPATH|RUNPATH' "no search path of its own"
segments=$(readelf -lW "$SHIM")
like "$segments" GNU_RELRO "relocations are read-only"
unlike "$(grep GNU_STACK <<<"$segments")" RWE "the stack is not executable"

# Only exports may be bound by name from outside: no other definition can take our inside over.
is "$(nm -D "$SHIM" | awk '$1 != "U" && $2 == "B" || $2 == "D"')" "" "no data is exported"

newest=$(objdump -T "$SHIM" | grep -o 'GLIBC_[0-9.]*' | sort -uV | tail -n 1)
diag "newest glibc symbol version needed: $newest"
like "$newest" '^GLIBC_2\.[0-9]+' "newest glibc symbol version needed: $newest"
is "$(printf '%s\nGLIBC_2.36\n' "$newest" | sort -V | tail -n 1)" GLIBC_2.36 \
	"no newer than Debian 12's 2.36"
done_testing
