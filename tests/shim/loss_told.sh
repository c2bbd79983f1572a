#!/bin/bash
# SPDX-License-Identifier: MIT
# Connections that are lost and not made anew, or in vain: told exactly as without holdfast.
. "$(dirname "$0")/../lib.sh"
"$BUILD/tests/shim/loss_told"
