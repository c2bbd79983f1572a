#!/bin/bash
# SPDX-License-Identifier: MIT
# Connections that a loop was told of by a pointer are lost: no attempt is made of that.
. "$(dirname "$0")/../lib.sh"
"$BUILD/tests/shim/loss_loops"
