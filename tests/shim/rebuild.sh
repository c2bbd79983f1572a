#!/bin/bash
# SPDX-License-Identifier: MIT
# holdfast reconnect: honoured at the next call where nothing can be applied twice, else denied.
. "$(dirname "$0")/../lib.sh"
"$BUILD/tests/shim/rebuild"
