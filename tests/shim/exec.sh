#!/bin/bash
# SPDX-License-Identifier: MIT
# One-way output that an outage has kept back is handed over before another image takes the place.
. "$(dirname "$0")/../lib.sh"
"$BUILD/tests/shim/exec"
