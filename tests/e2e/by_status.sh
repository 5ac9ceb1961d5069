#!/bin/sh
# The tests by hand: `make long` fails where one of them does.
. "$top_srcdir/tests/e2e/common.sh"
# shellcheck disable=SC2016
long() {        # COMMAND: as the only thing that a test holds
    printf '. "$top_srcdir/tests/e2e/common.sh"\nholds "it" %s\nfinish\n' "$1" >test.sh
    env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL make -C "$top_builddir" long LONG= MINUTES= \
        long_tests="$(realpath --relative-to="$top_srcdir" test.sh)"
}
ends 0 '^ok 1 - it' "a test that holds" long true
ends 2 '^not ok 1 - it' "a test that does not" long false
finish
