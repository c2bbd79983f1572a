#!/bin/bash
# SPDX-License-Identifier: MIT
# vfork, fork, exec and spawn while a connect is held: the parent's goes on, and nobody is told
# anything that is not true.
. "$(dirname "$0")/../lib.sh"
"$BUILD/tests/waits/sharing"
