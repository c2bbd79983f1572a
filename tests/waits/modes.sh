#!/bin/bash
# SPDX-License-Identifier: MIT
# A socket that is made blocking again while its connect is held: the next operation waits for the
# outcome and tells it, within the program's own limits.
. "$(dirname "$0")/../lib.sh"
"$BUILD/tests/waits/modes"
