#!/bin/bash
# SPDX-License-Identifier: MIT
# A refused connect() is retried as often and as long as the policy says, and no further.
. "$(dirname "$0")/../lib.sh"
"$BUILD/tests/shim/budget"
