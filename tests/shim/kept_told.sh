#!/bin/bash
# SPDX-License-Identifier: MIT
# Calls that are not kept themselves tell a program what it would be told without holdfast.
. "$(dirname "$0")/../lib.sh"
"$BUILD/tests/shim/kept_told"
