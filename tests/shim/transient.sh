#!/bin/bash
# SPDX-License-Identifier: MIT
# Transfers that fail for want of memory or buffers are tried again where the call may wait.
. "$(dirname "$0")/../lib.sh"
"${CC:-cc}" -std=gnu11 -D_GNU_SOURCE -Wall -Wextra -fPIC -shared -o "$TMPDIR/faulty.so" \
	"$TOP/tests/shim/preload/faulty.c" || exit 1
SHIM=$SHIM:$TMPDIR/faulty.so "$BUILD/tests/shim/transient"
