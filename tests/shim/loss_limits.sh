#!/bin/bash
# SPDX-License-Identifier: MIT
# While a lost connection is made anew the program's own limits hold, and SIGPIPE comes as ever.
. "$(dirname "$0")/../lib.sh"
"$BUILD/tests/shim/loss_limits"
