#!/bin/bash
# SPDX-License-Identifier: MIT
# A connect that does not block and fails at once for lack of a route is held as one that fails
# later is, and what the policy does not retry is passed on at once.
. "$(dirname "$0")/../lib.sh"
enter_netns "$@"
"$BUILD/tests/waits/at_once"
