#!/bin/bash
# SPDX-License-Identifier: MIT
# Which addresses are one name's: the table by itself; names looked up in forked children, in
# threads and one family at a time; and the hosts file, for programs with c-ares.
. "$(dirname "$0")/../lib.sh"
cat >"$TMPDIR/hosts" <<'EOT'
127.0.0.1 localhost
::1 both.test
127.0.0.1 both.test
127.0.0.3 two.test
127.0.0.2 two.test
127.0.0.3 other.test
EOT
enter_hosts "$TMPDIR/hosts" "$@"

SHIM='' cases table "$BUILD/tests/shim/names_table"
SHIM='' cases shared "$BUILD/tests/shim/names_shared"
SHIM='' cases hosts "$BUILD/tests/shim/names_hosts"
cases names "$BUILD/tests/shim/names"

is "$(nm -D --defined-only "$SHIM" | grep -c ' _Fork$')" 0 "_Fork is left alone"

# A shell forks for each substitution; the first of them makes the table.
if have strace; then
	forks='for i in 1 2 3; do j=$(echo $i); done; echo $j'
	# table_maps NAME=VALUE...: how many tables a shell and its children make.
	table_maps() {
		strace -f -qq -o "$TMPDIR/trace" -e trace=mmap -E LD_PRELOAD="$SHIM" "${@/#/-E}" \
			bash -c "$forks" >"$TMPDIR/shell"
		grep -c 'MAP_SHARED.*MAP_ANONYMOUS.*MAP_NORESERVE' "$TMPDIR/trace"
	}
	is "$(table_maps HFTEST_NONE=1)" 1 "a shell that forks three times: one mapping in all"
	is "$(cat "$TMPDIR/shell")" 3 "and it does what it does"
	is "$(table_maps HOLDFAST_ENABLED=0)" 0 "none with HOLDFAST_ENABLED=0"
	is "$(forks=: table_maps HFTEST_NONE=1)" 0 "none without a fork"
else
	skip "what fork costs" "$(missing strace)"
fi

# c-ares is noticed wherever it comes from when a program is loaded, and only then.
cat >"$TMPDIR/ares.c" <<'EOT'
int ares_library_init(int flags);
int ares_library_init(int flags) { return flags; }
EOT
echo 'int ares_library_init(int); int user(void); int user(void) { return ares_library_init(0); }' \
	>"$TMPDIR/user.c"
echo 'int user(void); int main(void) { return user(); }' >"$TMPDIR/program.c"
echo 'int main(void) { return 0; }' >"$TMPDIR/none.c"
compile() {
	"${CC:-cc}" -fPIC "$@" -Wl,-rpath,"$TMPDIR" -Wl,--no-as-needed
}
check "a library that uses a c-ares" compile -shared -Wl,-soname,libhftest-ares.so \
	-o "$TMPDIR/libhftest-ares.so" "$TMPDIR/ares.c"
check "a library that needs it" compile -shared -Wl,-soname,libhftest-user.so \
	-o "$TMPDIR/libhftest-user.so" "$TMPDIR/user.c" "$TMPDIR/libhftest-ares.so"
check "a program that needs that" compile -o "$TMPDIR/program" "$TMPDIR/program.c" \
	"$TMPDIR/libhftest-user.so" -Wl,-rpath-link,"$TMPDIR"
check "a program without" compile -o "$TMPDIR/none" "$TMPDIR/none.c"
# bindings PROGRAM: what the library's reference was bound to.
bindings() {
	LD_DEBUG=bindings LD_PRELOAD=$SHIM "$1" 2>&1 |
		sed -n 's/.*libholdfast\.so \[0\] to \([^ ]*\) .*ares_library_init.*/\1/p'
}
is "$(bindings "$TMPDIR/program")" "$TMPDIR/libhftest-ares.so" \
	"c-ares that a needed library needs is found"
is "$(bindings "$TMPDIR/none")" "" "a program without it is loaded all the same"
done_testing
