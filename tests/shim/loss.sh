#!/bin/bash
# SPDX-License-Identifier: MIT
# Lost connections: made anew while no byte was moved, else told as without holdfast.
. "$(dirname "$0")/../lib.sh"
"$BUILD/tests/shim/loss"
