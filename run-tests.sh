#!/bin/sh
# Build everything and run all tests. --sanitize: with the address and undefined-behaviour sanitizers, generated code included.
# --races: the thread sanitizer over compiler and runtime, in the one test that is for it.
# Other options go to configure, e.g. CC=clang. The last line is 'N passed, N failed'.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
folder=build
options=
only=
for option; do
    case $option in
        --sanitize) folder=build-sanitize options="$options --enable-sanitize" ;;
        --races) folder=build-races options="$options --enable-thread-sanitizer" only="TESTS=tests/e2e/races.sh" ;;
        *) folder=build-other options="$options $option" ;;
    esac
done
"$here/setup.sh"
cd "$here"
autoreconf -fi >/dev/null 2>&1 || autoreconf -fi
mkdir -p "$folder"
cd "$folder"
# shellcheck disable=SC2086
"$here/configure" --quiet --enable-werror $options
make --no-print-directory -s -j"$(nproc)"
# shellcheck disable=SC2086
make --no-print-directory -s -j"$(nproc)" check $only >check.log 2>&1 || true
grep -h '^# \(PASS\|FAIL\|ERROR\|XPASS\|SKIP\):' check.log >counts.log || { tail -40 check.log; echo "0 passed, 1 failed"; exit 1; }
count() { awk -v kind="# $1:" 'index($0, kind) == 1 { n += $3 } END { print n + 0 }' counts.log; }
passed=$(count PASS)
skipped=$(count SKIP)
failed=$(($(count FAIL) + $(count ERROR) + $(count XPASS)))
if [ "$failed" != 0 ]; then
    grep -hE '^(FAIL|ERROR|XPASS):|^not ok' check.log | head -50
    for log in $(grep -lE '^not ok|^ERROR|^FAIL' $(find tests -name '*.log') 2>/dev/null); do
        echo "-- $log"
        tail -40 "$log"
    done
fi
[ "$skipped" = 0 ] || { echo "skipped:"; grep -h '^SKIP:' check.log; }
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
