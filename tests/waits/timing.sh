#!/bin/bash
# SPDX-License-Identifier: MIT
# While a socket is held every wait call keeps its timeout, is interrupted by the signals that
# interrupt it, and by no other, under the mask that it was given.
. "$(dirname "$0")/../lib.sh"
"$BUILD/tests/waits/timing"
