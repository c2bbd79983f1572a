#!/bin/bash
# SPDX-License-Identifier: MIT
# fork and exec leave parents and children with their own counts.
. "$(dirname "$0")/../lib.sh"
cases children "$BUILD/tests/shim/children"
done_testing
