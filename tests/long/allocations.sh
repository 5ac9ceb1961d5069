#!/bin/sh
# The long form of e2e/allocations.sh, by hand: every allocation of every command fails, and 100 of LLVM's. Some 20 minutes.
#   make check TESTS= && top_srcdir=.. top_builddir=. sh ../tests/long/allocations.sh        (in the build folder)
# ALLOCATIONS_ONLY=PATTERN does some of the commands; ALLOCATIONS_LOG=FILE gets all that is wrong, with the places' names.
top_srcdir=$(cd "$top_srcdir" && pwd) top_builddir=$(cd "$top_builddir" && pwd)
export top_srcdir top_builddir
ALLOCATIONS_EVERY=1 ALLOCATIONS_CALLS=all ALLOCATIONS_LLVM=100 exec sh "$top_srcdir/tests/e2e/allocations.sh"
