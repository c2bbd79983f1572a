#!/bin/bash
# SPDX-License-Identifier: MIT
# SIGKILL at random moments of a busy program loses nothing that was stored: every counter can be
# read, no torn event is shown, totals never go backwards and each increment is counted once.
# 100 kills; 1,000 with HFTEST_STRESS=1 (make stress). HFTEST_SEED repeats a run.
# TIMEOUT: 300
# STRESS: 1200
. "$(dirname "$0")/../lib.sh"

rounds=100
[ -z "${HFTEST_STRESS:-}" ] || rounds=1000
"$PYTHON" "$(dirname "$0")/kill.py" "$rounds" "${HFTEST_SEED:-$RANDOM}"
