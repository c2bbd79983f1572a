#!/bin/bash
# SPDX-License-Identifier: MIT
# Threads that wait for a pending connect: from before it began, beside others, and while its owner
# computes. No wakeup is lost, and none is invented.
. "$(dirname "$0")/../lib.sh"
"$BUILD/tests/waits/threads"
