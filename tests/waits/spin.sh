#!/bin/bash
# SPDX-License-Identifier: MIT
# Two seconds of a held connect cost next to no CPU time, in every wait call, and a retry is made
# whenever one is due.
. "$(dirname "$0")/../lib.sh"
"$BUILD/tests/waits/spin"
