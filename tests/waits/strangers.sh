#!/bin/bash
# SPDX-License-Identifier: MIT
# What else a program has is told as ever, though it looks like something of a pending connect.
. "$(dirname "$0")/../lib.sh"
"$BUILD/tests/waits/strangers"
