#!/bin/sh
# The long form of e2e/faults.sh: 50 kills, every call failing once in each way, 200 damages of each sort. Takes minutes.
FAULTS_KILLS=50 FAULTS_EVERY=1 FAULTS_DAMAGES=200 exec sh "$top_srcdir/tests/e2e/faults.sh"
