#!/bin/bash
# SPDX-License-Identifier: MIT
# replay: one_way. Output goes on over outages, in whole records, and is handed over at the end.
. "$(dirname "$0")/../lib.sh"
"$BUILD/tests/shim/one_way"
