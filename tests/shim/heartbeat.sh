#!/bin/bash
# SPDX-License-Identifier: MIT
# heartbeat: keepalive and user timeout as the policy says, and as the program has set them.
. "$(dirname "$0")/../lib.sh"
"$BUILD/tests/shim/heartbeat"
