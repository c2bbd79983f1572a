#!/bin/bash
# SPDX-License-Identifier: MIT
# A connection is what its fds say: duplicates, every form of close, numbers used again.
. "$(dirname "$0")/../lib.sh"
ulimit -n 4096
"$BUILD/tests/shim/fds"
