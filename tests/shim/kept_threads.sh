#!/bin/bash
# SPDX-License-Identifier: MIT
# A thread that sends and one that receives, on connections that are ended again and again: no
# request is cut, none that was answered is sent again, and each has its own answer.
# TIMEOUT: 120
. "$(dirname "$0")/../lib.sh"
"$BUILD/tests/shim/kept_threads"
