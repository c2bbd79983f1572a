#!/bin/bash
# SPDX-License-Identifier: MIT
# Non-blocking connects whose failures the policy passes on end as without holdfast, however the
# program asks, and are counted once.
. "$(dirname "$0")/../lib.sh"
"$BUILD/tests/shim/pass"
