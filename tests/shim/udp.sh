#!/bin/bash
# SPDX-License-Identifier: MIT
# UDP: refusals after the fact are told as ever, counted, and never held.
. "$(dirname "$0")/../lib.sh"
enter_netns "$@"
"$BUILD/tests/shim/udp"
