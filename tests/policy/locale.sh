#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Proves that policies are read and shown the same where numbers have a decimal comma.
# The locale is made for this test, so that it runs whichever locales are installed.
. "$(dirname "$0")/../lib.sh"

have localedef || skip_all "$(missing localedef)"
localedef -i de_DE -f UTF-8 "$TMPDIR/de_DE.UTF-8" >"$TMPDIR/localedef.log" 2>&1 ||
	skip_all "no source of the locale de_DE: $(tail -n 1 "$TMPDIR/localedef.log")"

output=$(cd "$TOP" && unset LC_ALL &&
	HFTEST_COMMA=1 LOCPATH=$TMPDIR CMOCKA_MESSAGE_OUTPUT=TAP "$BUILD/tests/unit/test_policy_profiles" 2>&1)
like "$output" $'(^|\n)ok [0-9]+ - test_decimal_comma' "numbers are the same under LC_NUMERIC=de_DE"

done_testing
