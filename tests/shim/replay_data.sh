#!/bin/bash
# SPDX-License-Identifier: MIT
# What is sent again is byte for byte what the program sent, by whatever call.
. "$(dirname "$0")/../lib.sh"
"$BUILD/tests/shim/replay_data"
