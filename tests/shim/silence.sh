#!/bin/bash
# SPDX-License-Identifier: MIT
# heartbeat.idle_timeout: silence comes to an end, for every kind of read and wait.
. "$(dirname "$0")/../lib.sh"
"$BUILD/tests/shim/silence"
