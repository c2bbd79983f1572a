#!/bin/bash
# SPDX-License-Identifier: MIT
# A number may have stood for something else, and a socket has more than one.
. "$(dirname "$0")/../lib.sh"
"$BUILD/tests/waits/numbers"
