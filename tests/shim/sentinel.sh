#!/bin/bash
# SPDX-License-Identifier: MIT
# What succeeds leaves errno alone, and no file descriptor of holdfast's is ever left open.
. "$(dirname "$0")/../lib.sh"
ulimit -n 4096
"$BUILD/tests/shim/sentinel"
