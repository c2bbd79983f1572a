#!/bin/bash
# SPDX-License-Identifier: MIT
# A held connect() can be left at any moment, and everything is consistent afterwards.
. "$(dirname "$0")/../lib.sh"
"$BUILD/tests/shim/leave"
