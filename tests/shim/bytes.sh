#!/bin/bash
# SPDX-License-Identifier: MIT
# Every call that moves bytes on a managed socket counts exactly those bytes, once.
. "$(dirname "$0")/../lib.sh"
"$BUILD/tests/shim/bytes"
