#!/bin/bash
# SPDX-License-Identifier: MIT
# A socket that was used connects again: what it is registered for by then is what counts.
. "$(dirname "$0")/../lib.sh"
"$BUILD/tests/waits/again"
