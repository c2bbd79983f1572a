#!/bin/bash
# SPDX-License-Identifier: MIT
# A blocking connect() is held until its late server is there, over TCP, UDP and AF_UNIX.
. "$(dirname "$0")/../lib.sh"
"$BUILD/tests/shim/connect"
