#!/bin/bash
# SPDX-License-Identifier: MIT
# `make install` puts everything below PREFIX, behind DESTDIR, and what was installed works from
# there: the tool finds the library in ../lib. `make uninstall` leaves no file.
. "$(dirname "$0")/../lib.sh"
unset MAKEFLAGS MFLAGS MAKELEVEL MAKEOVERRIDES
root=$TMPDIR/root

check "make install" make -C "$TOP" BUILD="$BUILD" PREFIX=/opt/hf DESTDIR="$root" install
is "$(cd "$root" && find . -type f ! -path '*/profiles/*' | sort)" "./opt/hf/bin/holdfast
./opt/hf/lib/libholdfast-policy.so
./opt/hf/lib/libholdfast.so
./opt/hf/share/holdfast/schema.json
./opt/hf/share/man/man1/holdfast.1
./opt/hf/share/man/man5/holdfast-policy.5
./opt/hf/share/man/man7/libholdfast.7" "the files"
is "$(cd "$root/opt/hf/share/holdfast/profiles" && echo *)" "development.json document.json \
high_load.json production.json screenshot.json standard.json stream.json tracking.json" \
	"the shipped profiles"

installed=$(cd "$root" && pwd -P)/opt/hf
capture "$installed/bin/holdfast" run -- env
like "$OUT" "LD_PRELOAD=$installed/lib/libholdfast.so" "the installed tool preloads the installed library"
is "$STATUS$ERR" 0 "nothing is said"
capture "$installed/bin/holdfast" doctor env
is "$STATUS" 0 "the installed library loads"
for page in 1/holdfast.1 5/holdfast-policy.5 7/libholdfast.7; do
	check "$page is a page of its section" grep -q "^\.Dt [A-Z-]* ${page%%/*}\$" \
		"$installed/share/man/man$page"
done

check "make uninstall" make -C "$TOP" BUILD="$BUILD" PREFIX=/opt/hf DESTDIR="$root" uninstall
is "$(find "$root" -type f)" "" "nothing is left"

done_testing
