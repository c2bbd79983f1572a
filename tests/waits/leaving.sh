#!/bin/bash
# SPDX-License-Identifier: MIT
# Waits for a pending connect that are left by a cancellation or a jump: the next wait goes on.
. "$(dirname "$0")/../lib.sh"
"$BUILD/tests/waits/leaving"
