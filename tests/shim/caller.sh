#!/bin/bash
# SPDX-License-Identifier: MIT
# A held caller keeps its own limits: SO_SNDTIMEO, signals with and without SA_RESTART, alarms.
. "$(dirname "$0")/../lib.sh"
"$BUILD/tests/shim/caller"
