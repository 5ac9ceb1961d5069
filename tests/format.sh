#!/bin/sh
# One dialect of C: every .c and .h is as clang-format 19 writes it by .clang-format, and scanner, grammar and code have no line
# over 100 columns. A copy without git (a tarball) or a machine without clang-format skips what it lacks.
cd "$top_srcdir" || exit 1
echo "1..2"
files=$(git ls-files '*.c' '*.h' 2>/dev/null) || files=
if ! command -v clang-format-19 >/dev/null || [ -z "$files" ]; then
    echo "ok 1 - C as clang-format writes it # SKIP needs clang-format-19 and git"
elif bad=$(echo "$files" | xargs clang-format-19 --dry-run -Werror 2>&1); then
    echo "ok 1 - C as clang-format writes it"
else
    echo "not ok 1 - C as clang-format writes it: clang-format-19 -i FILE"
    echo "$bad" | grep ': error:' | sed 's/^/# /'
fi
wide=$(find lang compiler runtime tests bench -name '*.[chly]' -exec awk 'length > 100 { print FILENAME ":" FNR }' {} +) &&
    [ -d lang ] || wide="$top_srcdir has no folder lang"
if [ -z "$wide" ]; then
    echo "ok 2 - no line over 100 columns"
else
    echo "not ok 2 - no line over 100 columns"
    echo "$wide" | sed 's/^/# /'
fi
