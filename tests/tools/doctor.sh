#!/bin/bash
# SPDX-License-Identifier: MIT
# `holdfast doctor` tells whether the library works in a program or process, and every reason
# why not, without running anything of the program.
. "$(dirname "$0")/../lib.sh"
CC=${CC:-gcc}
cd "$TMPDIR" || exit 1
TMPDIR=$(pwd -P)

# protected NAME LINES-REGEX ARG, unprotected NAME LINES-REGEX ARG
protected() {
	capture "$HOLDFAST" doctor "$3"
	is "$STATUS $(tail -n 1 <<<"$OUT")" "0 protected" "$1: protected"
	like "$OUT" "$2" "$1: the finding"
}
unprotected() {
	capture "$HOLDFAST" doctor "$3"
	is "$STATUS $(tail -n 1 <<<"$OUT")" "69 not protected" "$1: not protected"
	like "$OUT" "$2" "$1: the finding"
}
# is_only_finding LINE NAME: of the capture before
is_only_finding() {
	is "$OUT" "$1
not protected" "$2"
}

# ---- programs ----------------------------------------------------------------------

"$CC" -o dynamic -xc - <<'EOF' || exit 1
#include <fcntl.h>
#include <unistd.h>
int main(void) { return creat("it-ran", 0600) < 0; }
EOF
protected "a dynamic program" "$TMPDIR/dynamic loads $SHIM" "$TMPDIR/dynamic"
check "nothing of it was run" test ! -e it-ran
PATH=$TMPDIR:$PATH protected "a program in PATH" "$TMPDIR/dynamic loads" dynamic

"$CC" -static -o static -xc - <<<'int main(void) { return 0; }' || exit 1
unprotected "a static program" "statically linked" ./static
is_only_finding "./static is statically linked: it loads no library" "a static program: one line"
"$CC" -static-pie -o static-pie -xc - <<<'int main(void) { return 0; }' 2>/dev/null &&
	unprotected "a static position-independent program" "statically linked" ./static-pie

unprotected "a missing program" "nosuch is not found" nosuch
unprotected "a missing path" "./nosuch is not found" ./nosuch
HOLDFAST_ENABLED=0 unprotected "HOLDFAST_ENABLED=0" "dynamic loads $SHIM
HOLDFAST_ENABLED=0 is in the environment" ./dynamic
HOLDFAST_POLICY=/none unprotected "a policy that is missing" "dynamic loads $SHIM
/none: No such file.*nothing is protected" ./dynamic
HOLDFAST_POLICY=/dev/null unprotected "a policy that is no file" "/dev/null:.*nothing is protected" \
	./dynamic
HOLDFAST_MAX_RETRIES=many unprotected "a bad override" "HOLDFAST_MAX_RETRIES: .*nothing is protected" \
	./dynamic
HOLDFAST_POLICY=production protected "a good policy" "dynamic loads $SHIM" ./dynamic
touch plain
unprotected "a file without x" "./plain is not an executable file" ./plain
unprotected "a directory" "is not an executable file" "$TMPDIR"

"$CC" -Wl,--dynamic-linker=/lib/ld-musl-x86_64.so.1 -o musl -xc - <<<'int main(void) { return 0; }'
unprotected "a program linked to musl" "^./musl is linked to musl: holdfast needs glibc" ./musl

# What the Go toolchain leaves: the note of internal linking, the section of external linking.
"$CC" -o go-note -xc - <<'EOF'
__asm__(".pushsection .note.go.buildid, \"a\", @note\n.long 4, 4, 4\n.ascii \"Go\\0\\0\"\n"
	".ascii \"abcd\"\n.popsection");
int main(void) { return 0; }
EOF
strip --strip-section-headers go-note 2>/dev/null
unprotected "a Go program, by its note" "is a Go program: it makes raw system calls" ./go-note
"$CC" -o go-section -xc - <<'EOF'
__attribute__((section(".go.buildinfo"), used)) static const char info[16] = "x";
int main(void) { return 0; }
EOF
unprotected "a Go program, by its section" "is a Go program" ./go-section

# elf FILE CLASS BYTE-ORDER MACHINE: a program's headers with an interpreter, for any machine.
elf() {
	"$PYTHON" - "$@" <<'EOF'
import os, struct, sys
name, bits, order, machine = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
wide = bits == 64
interpreter = b"/lib/ld-linux.so.2\0"
ident = b"\x7fELF" + bytes([2 if wide else 1, 1 if order == "<" else 2, 1]) + bytes(9)
header, program = (64, 56) if wide else (52, 32)
at = header + program
ehdr = struct.pack(order + ("HHIQQQIHHHHHH" if wide else "HHIIIIIHHHHHH"),
                   2, machine, 1, 0, header, 0, 0, header, program, 1, 0, 0, 0)
size = len(interpreter)
phdr = (struct.pack(order + "IIQQQQQQ", 3, 4, at, 0, 0, size, size, 1) if wide else
        struct.pack(order + "IIIIIIII", 3, at, 0, 0, size, size, 4, 1))
with open(name, "wb") as file:
    file.write(ident + ehdr + phdr + interpreter)
os.chmod(name, 0o755)
EOF
}
elf i386 32 '<' 3
unprotected "a 32-bit program" "is a 32-bit program, holdfast is not" ./i386
like "$OUT" "is built for i386, holdfast is not" "a 32-bit program: its machine"
elf s390 64 '>' 22
unprotected "another machine, another byte order" "is built for s390, holdfast is not" ./s390
unlike "$OUT" "static" "its interpreter was found all the same"
elf riscv 64 '<' 243
unprotected "another machine" "is built for riscv, holdfast is not" ./riscv
head -c 40 dynamic >cut-elf
chmod +x cut-elf
capture "$HOLDFAST" doctor ./cut-elf
like "$STATUS $OUT" "^69 ./cut-elf is neither a whole ELF file nor a script" "a file that is cut short"
elf wild 64 '<' 62
printf '\xff\xff\xff\xff\xff\xff\xff\x7f' | dd of=wild bs=1 seek=32 conv=notrunc 2>/dev/null
unprotected "headers that point nowhere" "statically linked" ./wild
"$CC" -Wl,--dynamic-linker=/nosuch/ld.so -o no-loader -xc - <<<'int main(void) { return 0; }'
unprotected "a loader that is missing" "does not load .*/nosuch/ld.so: No such file" ./no-loader

# ---- scripts ---------------------------------------------------------------------------

script() {
	printf '%s\n' "$2" >"$1"
	chmod +x "$1"
}
script good "#!$TMPDIR/dynamic -x"
protected "a script" "./good is a script, run by $TMPDIR/dynamic
$TMPDIR/dynamic loads" ./good
script outer "#!$TMPDIR/inner"
script inner "#!  $TMPDIR/static"
unprotected "a script run by a script" "./outer is a script, run by $TMPDIR/inner
$TMPDIR/inner is a script, run by $TMPDIR/static
$TMPDIR/static is statically linked" ./outer
script by-env '#!/usr/bin/env -S A=1 static'
PATH=$TMPDIR:$PATH unprotected "a script run by env" "by-env is a script, run by $TMPDIR/static" ./by-env
script none 'echo no interpreter line'
protected "a script without an interpreter line" "./none is a script, run by /bin/sh" ./none
script lost '#!/nosuch/interpreter'
unprotected "a script whose interpreter is missing" "/nosuch/interpreter is not found" ./lost
script circle "#!$TMPDIR/circle"
unprotected "a script that names itself" "too many interpreters" ./circle

# ---- rights ------------------------------------------------------------------------------

if [ "$(id -u)" = 0 ] && have setpriv; then
	mkdir own
	chmod 755 "$TMPDIR"
	cp "$HOLDFAST" "$SHIM" own/
	cp dynamic setuid
	chmod 4755 setuid
	cp dynamic setgid
	chmod 2755 setgid
	cp dynamic capable
	cp dynamic hidden
	chmod 711 hidden
	# as_nobody FINDING PROGRAM
	as_nobody() {
		capture setpriv --reuid=65534 --regid=65534 --clear-groups own/holdfast doctor "./$2"
		is "$STATUS $OUT" "69 ./$2 $1
not protected" "another user: $2"
	}
	if setpriv --reuid=65534 --regid=65534 --clear-groups test -x own/holdfast; then
		as_nobody "is setuid: the loader ignores LD_PRELOAD" setuid
		as_nobody "is setgid: the loader ignores LD_PRELOAD" setgid
		as_nobody "may not be read, so it cannot be judged" hidden
		if setcap cap_net_raw+ep capable 2>/dev/null; then
			as_nobody "has file capabilities: the loader ignores LD_PRELOAD" capable
		else
			skip "another user: capable" "setcap is missing or not allowed here"
		fi
	else
		skip "rights" "another user cannot enter $TMPDIR"
	fi
	protected "setuid to the user itself" "setuid loads" ./setuid
else
	skip "rights" "needs root and setpriv"
fi

# ---- processes -----------------------------------------------------------------------------

# running COMMAND...: starts it, waits for its exec, sets SERVER_PID
running() {
	local i
	start_server "$@"
	for i in {1..100}; do
		[ "$(basename "$(readlink "/proc/$SERVER_PID/exe")")" = sleep ] && return
		sleep 0.05
	done
}
running "$HOLDFAST" run -- sleep 60
protected "a process under holdfast" "process $SERVER_PID runs .*/sleep
$SHIM is mapped in it" "$SERVER_PID"
running sleep 60
unprotected "a process without" "libholdfast.so is not mapped in it
LD_PRELOAD did not name the library" "$SERVER_PID"
running env HOLDFAST_ENABLED=0 LD_PRELOAD="$SHIM" sleep 60
unprotected "a process with HOLDFAST_ENABLED=0" "is mapped in it
HOLDFAST_ENABLED=0 is in the environment" "$SERVER_PID"
running "$HOLDFAST" run -- env -i sleep 60
unprotected "a process with a cleared environment" "is not mapped in it
LD_PRELOAD did not name the library when it started" "$SERVER_PID"

# What a process was started with counts, not what the tool was started with.
printf '{ "version": 2 }' >bad.json
running env HOLDFAST_POLICY="$TMPDIR/bad.json" LD_PRELOAD="$SHIM" sleep 60
HOLDFAST_POLICY=standard unprotected "a process with a bad policy" "is mapped in it
$TMPDIR/bad.json: .*version.*: with such a policy nothing is protected" "$SERVER_PID"
running env HOLDFAST_JITTER=7 LD_PRELOAD="$SHIM" sleep 60
unprotected "a process with a bad override" "HOLDFAST_JITTER: .*nothing is protected" "$SERVER_PID"
running env HOLDFAST_POLICY=production LD_PRELOAD="$SHIM" sleep 60
HOLDFAST_ENABLED=0 HOLDFAST_POLICY=/none HOLDFAST_RETRIES=many protected \
	"a process with a good policy, the tool with a bad one" "is mapped in it" "$SERVER_PID"

# waiting COMMAND...: a process of a program of this directory, once it is that.
waiting() {
	start_server "$@"
	for _ in {1..100}; do
		[[ $(readlink "/proc/$SERVER_PID/exe") == "$TMPDIR"/* ]] && break
		sleep 0.05
	done
	sleep 0.2
}
# A program and a library that are replaced while they run.
mkdir updated
cp "$SHIM" updated/
cp "$(command -v sleep)" updated/sleep
waiting env LD_PRELOAD="$TMPDIR/updated/libholdfast.so" ./updated/sleep 60
rm updated/*
protected "a process whose files were replaced" "runs $TMPDIR/updated/sleep \(deleted\)
$TMPDIR/updated/libholdfast.so \(deleted\) is mapped in it" "$SERVER_PID"
"$CC" -static -o static-sleep -xc - <<<'unsigned int sleep(unsigned int s); int main(void) { sleep(60); }'
waiting env LD_PRELOAD="$SHIM" ./static-sleep
unprotected "a process of a static program" "static-sleep is statically linked: it loads no library
libholdfast.so is not mapped in it
LD_PRELOAD named the library when it started" "$SERVER_PID"
if [ -x own/holdfast ]; then
	nobody=(setpriv --reuid=65534 --regid=65534 --clear-groups)
	cp "$(command -v sleep)" setuid-sleep
	cp setuid-sleep capable-sleep
	chmod 4755 setuid-sleep
	for kind in setuid capable; do
		if [ $kind = capable ] && ! setcap cap_net_raw+ep capable-sleep 2>/dev/null; then
			skip "a process of a capable program" "setcap is missing or not allowed here"
			continue
		fi
		waiting env LD_PRELOAD="$SHIM" "${nobody[@]}" "./$kind-sleep" 60
		unprotected "a process of a $kind program" "it gained privileges when it started \
\(AT_SECURE\).*
libholdfast.so is not mapped in it" "$SERVER_PID"
	done
	waiting ./setuid-sleep 60
	capture "${nobody[@]}" own/holdfast doctor "$SERVER_PID"
	is "$STATUS" 77 "another user's process: no permission"
else
	skip "processes of setuid programs" "needs root and setpriv"
fi

stop_server
capture "$HOLDFAST" doctor "$SERVER_PID"
is "$STATUS $ERR" "66 holdfast doctor: process $SERVER_PID: No such process" "a process that is gone"
capture "$HOLDFAST" doctor
is "$STATUS" 64 "no operand is wrong usage"
capture "$HOLDFAST" doctor a b
is "$STATUS" 64 "two operands are wrong usage"

done_testing
