#!/bin/bash
# SPDX-License-Identifier: MIT
# A blocking connect() while routes, links and packets come and go: what is retried, what is told.
. "$(dirname "$0")/../lib.sh"
enter_netns "$@"
"$BUILD/tests/shim/routes"
