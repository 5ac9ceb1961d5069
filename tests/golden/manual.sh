#!/bin/sh
# The manual tells the truth: every ```vmoe block of it, and of the README, is a file that passes `vmoec check`, and its table of
# keys is what the compiler prints.
vmoec=$top_builddir/vmoec
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
n=0
for text in lang/README.md README.md; do
    awk -v base="$out/$(echo $text | tr / _)" '/^```vmoe$/ { file = base "-" NR ".vmoe"; next } /^```$/ { file = "" } file { print > file }' \
        "$top_srcdir/$text"
done
for f in "$out"/*.vmoe; do
    n=$((n + 1))
    name=$(basename "$f" .vmoe)
    if "$vmoec" check "$f" 2>"$out/err"; then
        echo "ok $n - $name"
    else
        echo "not ok $n - $name"
        sed 's/^/# /' "$out/err"
    fi
done
n=$((n + 1))
"$vmoec" --keys >"$out/keys"
grep '^|' "$out/keys" | while read -r row; do grep -qxF -- "$row" "$top_srcdir/lang/README.md" || echo "$row"; done >"$out/missing"
if [ -s "$out/keys" ] && [ ! -s "$out/missing" ]; then
    echo "ok $n - the table of keys"
else
    echo "not ok $n - the table of keys"
    sed 's/^/# /' "$out/missing"
fi
echo "1..$n"
