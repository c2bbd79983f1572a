#!/bin/bash
# SPDX-License-Identifier: MIT
# replay: unanswered. What was sent is sent again, as long as no answer byte was delivered.
. "$(dirname "$0")/../lib.sh"
"$BUILD/tests/shim/replay"
