#!/bin/bash
# SPDX-License-Identifier: MIT
# fork, vfork, posix_spawn, system, popen and exec leave parents and children with their own counts.
. "$(dirname "$0")/../lib.sh"
"$BUILD/tests/shim/children"
