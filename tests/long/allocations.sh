#!/bin/sh
# The long form of e2e/allocations.sh: every allocation of every command fails, and 100 of LLVM's. Some 20 minutes.
# ALLOCATIONS_ONLY=PATTERN does some of the commands; ALLOCATIONS_LOG=FILE gets all that is wrong, with the places' names.
ALLOCATIONS_EVERY=1 ALLOCATIONS_CALLS=all ALLOCATIONS_LLVM=100 exec sh "$top_srcdir/tests/e2e/allocations.sh"
