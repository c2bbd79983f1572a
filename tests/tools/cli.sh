#!/bin/bash
# SPDX-License-Identifier: MIT
# The table of subcommands drives everything: each of its entries is in the usage, has help,
# and refuses an unknown option with EX_USAGE; a wrong name is answered with the nearest one.
. "$(dirname "$0")/../lib.sh"

capture "$HOLDFAST" --version
is "$STATUS" 0 "--version succeeds"
like "$OUT" '^holdfast [0-9]+\.[0-9]+\.[0-9]+$' "--version prints name and version"

capture "$HOLDFAST"
is "$STATUS" 64 "no subcommand is wrong usage"
is "$OUT" "" "usage after an error goes to standard error"

capture "$HOLDFAST" --help
is "$STATUS" 0 "--help succeeds"
usage=$OUT
capture "$HOLDFAST" help
is "$OUT" "$usage" "help prints the same"

for name in run check explain stats connections reconnect events doctor; do
	like "$usage" "
  $name  " "$name is in the usage"
	capture "$HOLDFAST" help "$name"
	like "$STATUS $OUT" "^0 Usage: holdfast $name " "help $name"
	by_help=$OUT
	capture "$HOLDFAST" "$name" --help
	is "$STATUS $OUT" "0 $by_help" "$name --help prints the same"
	capture "$HOLDFAST" "$name" --no-such-option
	is "$STATUS" 64 "$name refuses an unknown option"
	like "$ERR" "no-such-option" "$name names the unknown option"
done

for name in hold release watch analyze; do
	capture "$HOLDFAST" "$name"
	like "$STATUS $ERR" "^64 .*unknown subcommand \"$name\"" "$name does not exist"
done

capture "$HOLDFAST" chekc
is "$STATUS $ERR" \
	'64 holdfast: unknown subcommand "chekc", the nearest is "check"; see holdfast --help' \
	"the nearest subcommand is named"
capture "$HOLDFAST" xyzzyq
is "$STATUS $ERR" '64 holdfast: unknown subcommand "xyzzyq"; see holdfast --help' \
	"none is named when none is near"
capture "$HOLDFAST" help xyzzyq
is "$STATUS" 64 "help for an unknown subcommand is wrong usage"

for page in holdfast.1 libholdfast.7 holdfast-policy.5; do
	if have groff; then
		is "$(groff -ww -z -mdoc -Tutf8 -Kutf8 "$TOP/tools/man/$page" 2>&1)" "" \
			"$page formats without a warning"
	else
		skip "$page formats without a warning" "groff is not installed"
	fi
done

done_testing
