#!/bin/sh
# The long form of faults.sh, by hand: 50 kills, every call failing once in each way, 200 damages of each sort. Takes minutes.
#   make check TESTS= && top_srcdir=.. top_builddir=$PWD ../tests/e2e/faults_long.sh        (in the build folder)
FAULTS_KILLS=50 FAULTS_EVERY=1 FAULTS_DAMAGES=200 exec sh "$(dirname "$0")/faults.sh"
