#!/bin/bash
# SPDX-License-Identifier: MIT
# Held sockets that vanish, seen and unseen, and whose numbers are used anew: the new one is never
# touched, and the old connect is counted as abandoned.
. "$(dirname "$0")/../lib.sh"
"$BUILD/tests/waits/unseen"
