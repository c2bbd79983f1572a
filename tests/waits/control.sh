#!/bin/bash
# SPDX-License-Identifier: MIT
# epoll_ctl on held sockets answers as on connecting ones, edges and oneshots are told once, and a
# neighbour that is always ready keeps no connect from its turn.
. "$(dirname "$0")/../lib.sh"
"$BUILD/tests/waits/control"
