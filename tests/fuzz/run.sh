#!/bin/sh
# Each kind of file, or those named, through libFuzzer: run.sh RUNS [KIND..], in the build folder after `make fuzz`. What reached
# something new is kept in fuzz-corpus/KIND, a file that failed in fuzz-corpus.
set -eu
runs=${1:?how many runs of each kind}
shift
fuzz=tests/fuzz/coverage
[ -x $fuzz ] || { echo "run.sh: no $fuzz here; make fuzz" >&2; exit 1; }
# shellcheck disable=SC2046
[ $# != 0 ] || set -- $($fuzz --kind= || true)
failed=0
for kind; do
    mkdir -p "fuzz-corpus/$kind"
    $fuzz --kind="$kind" -runs="$runs" -max_len=65536 -timeout=5 -rss_limit_mb=3000 -print_final_stats=1 \
        -artifact_prefix="fuzz-corpus/$kind-" "fuzz-corpus/$kind" >"fuzz-corpus/$kind.log" 2>&1 || failed=1 && :
    grep -E '^Done|^SUMMARY|were read|^stat::(slowest|peak)' "fuzz-corpus/$kind.log" | tr '\n' ' '
    echo
done
exit $failed
