#!/bin/bash
# SPDX-License-Identifier: MIT
# heartbeat: keepalive is set as the policy says, and silence comes to an end.
. "$(dirname "$0")/../lib.sh"
"$BUILD/tests/shim/silence"
