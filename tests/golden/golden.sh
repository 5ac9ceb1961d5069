#!/bin/sh
# Goldens: tests/golden/diag/NAME.vmoe must give exactly NAME.txt and NAME.json on stderr, with exit status 1 (0 for warnings);
# tests/golden/forms/NAME.vmoe printed as FORM, or its `info`, must be NAME.FORM, where that file exists. With UPDATE=1 the expected files are
# written instead; `touch` a new one first.
# A line `# flags: ...` in a source adds to the command line.
here=$top_srcdir/tests/golden
vmoec=$top_builddir/vmoec
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
n=0
report() {      # what, actual, expected
    n=$((n + 1))
    if [ -n "$UPDATE" ]; then
        cp "$2" "$3"
        echo "ok $n - $1 (written)"
    elif cmp -s "$2" "$3"; then
        echo "ok $n - $1"
    else
        echo "not ok $n - $1"
        diff "$3" "$2" 2>&1 | head -20 | sed 's/^/# /'
    fi
}
arguments() { sed -n 's/^# flags: //p' "$1"; }

cd "$here/diag" || exit 1
for f in *.vmoe; do
    name=${f%.vmoe}
    for format in text json; do
        suffix=txt
        [ $format = json ] && suffix=json
        # shellcheck disable=SC2046
        eval "set -- $(arguments "$f")"
        "$vmoec" check "$f" --diag $format "$@" >"$out/stdout" 2>"$out/err"
        status=$?
        sed -i "s|$top_srcdir|TOP|g" "$out/err"
        echo "exit status $status" >>"$out/err"
        report "$name $format" "$out/err" "$here/diag/$name.$suffix"
    done
done

cd "$here/forms" || exit 1
for f in *.vmoe; do
    name=${f%.vmoe}
    for form in ast spec graph plan info; do
        [ -e "$name.$form" ] || continue
        eval "set -- $(arguments "$f")"
        case $form in
        info) "$vmoec" info "$f" --target x86-64-v3 "$@" ;;
        *) "$vmoec" build "$f" --emit $form --target x86-64-v3 "$@" ;;
        esac >"$out/form" 2>&1
        report "$name $form" "$out/form" "$here/forms/$name.$form"
    done
done

# Every code of diag.def that the front end can report has a golden.
for code in $(sed -n 's/^DIAG("\(V[0-9]*\)".*/\1/p' "$top_srcdir/lang/base/diag.def"); do
    case $code in V0702 | V0703 | V0704 | V0802 | V0803) continue ;; esac     # the world's: outputs, the cache, the linker; our own fault
    n=$((n + 1))
    if grep -qs "$code" "$here"/diag/*.txt; then
        echo "ok $n - $code has a golden"
    else
        echo "not ok $n - $code has a golden"
    fi
done
echo "1..$n"
