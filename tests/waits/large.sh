#!/bin/bash
# SPDX-License-Identifier: MIT
# One held socket among 10,000 descriptors: every entry is told what is its own, not a byte beyond
# an array is touched, and the cost grows with the number and not with its square.
. "$(dirname "$0")/../lib.sh"
"$BUILD/tests/waits/large"
