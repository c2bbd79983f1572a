#!/bin/bash
# SPDX-License-Identifier: MIT
#
# make lint: every check runs, whatever the others say. The lists come from tests.mk.
set -u
cd "$(dirname "$0")/.." || exit 1
read -ra lint_c <<<"${LINT_C_FILES:-}"
read -ra format_c <<<"${LINT_FORMAT_FILES:-}"
read -ra lint_sh <<<"${LINT_SH_FILES:-}"
# LINT_CPPFLAGS holds a quoted string literal, as a shell would read it.
cppflags=()
eval "cppflags=(${LINT_CPPFLAGS:-})"
jobs=$(nproc)
failed=0

# check NAME FILE-COUNT COMMAND...
check() {
	local name=$1 count=$2 begin=$SECONDS
	shift 2
	if "$@"; then
		echo "ok    $name: $count files, $((SECONDS - begin)) s"
	else
		echo "FAIL  $name"
		failed=1
	fi
}

# One file a process; the flags ride along behind every file name.
tidy() {
	printf '%s\0' "${lint_c[@]}" | xargs -0 -P "$jobs" -I FILE \
		clang-tidy --quiet FILE -- -std=gnu11 "${cppflags[@]}" \
		2> >(grep -vE '^[0-9]+ warnings?( and [0-9]+ errors?)? generated\.$' >&2)
}

formatted() {
	clang-format --dry-run -Werror "${format_c[@]}"
}

# Whether something is initialised is left to the compilers and the analyzer: cppcheck takes an
# address for a read.
reviewed() {
	cppcheck --quiet --std=c11 --language=c --enable=warning,performance,portability \
		--inline-suppr --suppress=missingIncludeSystem --suppress=uninitvar \
		--suppress=legacyUninitvar --error-exitcode=1 -j "$jobs" \
		"${cppflags[@]}" "${lint_c[@]}"
}

# Findings that are none are answered where they are found, with the reason.
analysed() {
	printf '%s\0' "${lint_c[@]}" | xargs -0 -P "$jobs" -I FILE \
		gcc -std=gnu11 -O2 -fanalyzer -Werror -Wno-analyzer-too-complex "${cppflags[@]}" \
		-c FILE -o /dev/null
}

# Left out: functions and variables that are used by a name put together elsewhere (2034,
# 2317), optional arguments of functions (2119, 2120), a && b || c, where it is meant (2015),
# and text in single quotes for an inner shell (2016).
scripts() {
	shellcheck --exclude=SC2015,SC2016,SC2034,SC2119,SC2120,SC2317 --external-sources \
		--source-path=SCRIPTDIR "${lint_sh[@]}"
}

licensed() {
	local file missing=0
	for file in "${format_c[@]}" "${lint_sh[@]}"; do
		head -n 2 "$file" | grep -q 'SPDX-License-Identifier: MIT' && continue
		echo "$file: no SPDX-License-Identifier in its first two lines"
		missing=1
	done
	return "$missing"
}

check clang-format "${#format_c[@]}" formatted
check clang-tidy "${#lint_c[@]}" tidy
check "gcc -fanalyzer" "${#lint_c[@]}" analysed
check cppcheck "${#lint_c[@]}" reviewed
check shellcheck "${#lint_sh[@]}" scripts
check licence "$((${#format_c[@]} + ${#lint_sh[@]}))" licensed
exit "$failed"
