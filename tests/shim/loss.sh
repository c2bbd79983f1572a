#!/bin/bash
# SPDX-License-Identifier: MIT
# Connections that are lost before a byte was moved are made anew.
. "$(dirname "$0")/../lib.sh"
"$BUILD/tests/shim/loss"
