#!/bin/sh
# The rows of the study: every file of examples/paper meets its checks, and the table of its README is what the compiler
# computes beside what the paper prints, which stands in a comment of each file. With UPDATE=1 the table is written.
. "$top_srcdir/tests/e2e/common.sh"
readme=$top_srcdir/examples/paper/README.md
printed='^# Paper, tables\{0,1\} \(.*\): \(.*\) M parameters, \(.*\) M active, \(.*\) G MACs\.$'

# cell PAPER OURS UNIT: both, bold where what is shown differs by more than 0.1.
cell() {
    awk -v p="$1" -v o="$2" -v u="$3" 'BEGIN {
        o = sprintf("%.2f", o / u)
        b = p != "-" && (p - o) ^ 2 > 0.0101 ? "**" : ""
        printf " %s%s · %s%s |", b, p, o, b
    }'
}

# counts FILE: with the paper's number of classes
counts() {
    if grep -q '^param classes' "$1"; then
        "$vmoec" info "$1" --json -D classes=1000
    else
        "$vmoec" info "$1" --json
    fi
}

echo '<!-- written by tests/e2e/paper.sh -->' >table
echo '| file | tables | parameters | active | MACs |' >>table
echo '|---|---|---|---|---|' >>table
for f in "$top_srcdir"/examples/paper/*.vmoe; do
    name=$(basename "$f" .vmoe)
    holds "$name: checks a number of parameters" grep -Eq '^  check params\.total.* == [0-9_]+$' "$f"
    holds "$name: its checks hold" "$vmoec" info "$f"
    if counts "$f" >json 2>err; then
        pass "$name: and with 1000 classes"
    else
        fail "$name: and with 1000 classes"
        note <err
    fi
    sed 's/,"placed":.*//' json >row
    tables=$(sed -n "s/$printed/\\1/p" "$f")
    holds "$name: quotes the paper" test "$tables"
    # shellcheck disable=SC2046
    set -- $(sed -n "s/$printed/\\2 \\3 \\4/p" "$f") - - -
    {
        printf '| [`%s`](%s.vmoe) | %s |' "$name" "$name" "$tables"
        cell "$1" "$(field row params_total)" 1e6
        cell "$2" "$(field row params_active)" 1e6
        cell "$3" "$(field row macs)" 1e9
        echo
    } >>table
done
echo '<!-- to here -->' >>table

if [ -n "${UPDATE:-}" ]; then
    sed -e '/^<!-- written by/,/^<!-- to here/{' -e '/^<!-- to here/r table' -e 'd' -e '}' "$readme" >readme.new
    cp readme.new "$readme"
fi
sed -n '/^<!-- written by/,/^<!-- to here/p' "$readme" >shown
holds "the table of the README is what the compiler computes (UPDATE=1 writes it)" diff shown table
set -- "$top_srcdir"/examples/paper/*.vmoe
holds "with a row for each file" test "$(grep -c '^| \[' shown)" = $#

# The checks must be able to fail.
for change in model.moe.experts=5 model.moe.at=all model.s3.depth=8; do
    ends 1 V0401 "$change is noticed" "$vmoec" info "$top_srcdir/examples/paper/convnext_t_4_last2.vmoe" --set $change
done
finish
