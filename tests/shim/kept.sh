#!/bin/bash
# SPDX-License-Identifier: MIT
# What cannot be kept, seen or told apart is not sent again, and the program is told.
. "$(dirname "$0")/../lib.sh"
"$BUILD/tests/shim/kept"
