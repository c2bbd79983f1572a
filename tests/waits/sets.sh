#!/bin/bash
# SPDX-License-Identifier: MIT
# Epoll sets with pending connects in them: each registration is told of its own connect, whatever
# its data, its number, and the set that its set is in.
. "$(dirname "$0")/../lib.sh"
"$BUILD/tests/waits/sets"
