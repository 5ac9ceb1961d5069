#!/bin/sh
# Every call that writes what eval and report make fails in turn, in each way; and stdout of every command, at once or in the middle.
# No run ends with status 0 and other files than an undisturbed one's; no file is half one. Of trainings faults.sh tells, of builds
# build_outputs.sh.
. "$top_srcdir/tests/e2e/common.sh"
program "$here/tiny_maps.vmoe" ./maps
"$make_data" idx gray 40 64 16 4
fail_calls=$tools/fail_calls.so
holds "a training" ./maps train --data gray --out whole --epochs 1
weights="--weights whole/last.safetensors"

# evaluate FOLDER: every table, into the folder.
evaluate() {
    # shellcheck disable=SC2086
    ./maps eval --data gray $weights --threads 1 \
        --per-class "$1/classes.csv" --confusion "$1/pairs.csv" --experts "$1/experts.csv" --similarity "$1/similarity.csv"
}
page() { ./maps report --out "$1"; }

# The page says when it was made.
alike() {
    sed 's/updated [0-9: -]*//' "$1" >alike.a
    sed 's/updated [0-9: -]*//' "$2" >alike.b
    cmp -s alike.a alike.b
}

# As it was before or as it is when all goes well, and nothing else in the folder.
sound() {
    for file in "$1"/*; do
        name=$(basename "$file")
        case $name in events.*) continue ;; esac        # its name has the time
        alike "$file" "before/$name" || alike "$file" "after/$name" || { echo "$name is neither old nor new"; return 1; }
    done
}
same() {
    for file in after/*; do
        case $file in */events.*) continue ;; esac
        alike "$file" "$1/$(basename "$file")" || { echo "$file differs"; return 1; }
    done
}

# sweep HOW COMMAND: each call in turn.
sweep() {
    how=$1 command=$2 harmless=0 told=0 k=1
    while [ $k -le "$calls" ]; do
        rm -rf tried && cp -r before tried || return 1
        status=0
        (FAIL_HOW=$how FAIL_IN=$work/tried FAIL_AT=$k LD_PRELOAD=$fail_calls && export FAIL_HOW FAIL_IN FAIL_AT LD_PRELOAD &&
            $command "$work/tried") >fail.out 2>fail.err || status=$?
        case $status in
        0) harmless=$((harmless + 1)) && same tried ;;
        1) told=$((told + 1)) && grep -q 'No space left\|Input/output error' fail.err && grep -q "$work/tried" fail.err && sound tried ;;
        *) false ;;
        esac || { echo "call $k, $how: status $status"; cat fail.err; return 1; }
        k=$((k + 1))
    done
    echo "# of $calls calls: $harmless did no harm, $told were told"
}
all_calls() {           # NAME COMMAND, which writes over what is in `before`
    rm -rf after tried && cp -r before tried
    $2 "$work/tried" >/dev/null || { fail "$1: undisturbed"; return; }
    mv tried after && cp -r before tried        # the page says where it is, too
    (FAIL_IN=$work/tried FAIL_COUNT=$work/calls LD_PRELOAD=$fail_calls && export FAIL_IN FAIL_COUNT LD_PRELOAD && $2 "$work/tried" >/dev/null)
    read -r calls <calls
    holds "$1: there are calls that can fail" test "$calls" -gt 4
    for how in error half short; do
        holds "$1: each of them: $how" sweep $how "$2"
        grep '^#' holds.out
    done
}
if [ -n "$sanitized" ]; then
    skip "calls that fail" "the sanitizer wants to be loaded first"
else
    mkdir before
    for file in classes pairs experts similarity; do echo "$file of another evaluation" >before/$file.csv; done
    all_calls "tables" evaluate
    rm -r before && mkdir before
    cp whole/run.json whole/metrics.jsonl whole/analysis.json whole/spec.vmoe before && echo "another page" >before/report.html
    all_calls "report" page
fi

# -- stdout --

printed() {
    # shellcheck disable=SC2086
    for command in "info" "info --json" "check-data --data gray" "check-data --data gray --json" "report --out whole" \
        "eval --data gray $weights" "eval --data gray $weights --json" "eval --data gray $weights --confusion -" \
        "predict --data gray $weights" "predict --data gray $weights --json" "gradcheck" "gradcheck --json" "bench --seconds 0.1" \
        "train --help" "--version" "--help" "train --data gray --out run --json"; do
        name="$command"
        "$@" $command
        rm -rf run
    done
}
full() { [ ! -w /dev/full ] || ends 1 'could not be written|No space left' "a full device: $name" sh -c 'exec ./maps "$@" >/dev/full' maps "$@"; }
printed full

# What is longer than the limit is cut, and told.
cut_off() {
    sh -c 'ulimit -f 1; exec ./maps "$@" >cut' maps "$@" >/dev/null 2>cut.err
    status=$?
    [ "$(wc -c <cut)" -lt 512 ] || ends 1 'could not be written|too large' "cut off: $name" sh -c 'cat cut.err; exit '$status
}
printed cut_off
for command in "info $here/tiny_maps.vmoe" "check $here/tiny_maps.vmoe" --version --keys --help; do
    # shellcheck disable=SC2086
    [ ! -w /dev/full ] || [ "${command%% *}" = check ] ||
        ends 1 'No space left|could not be written' "a full device: vmoec ${command%% *}" sh -c 'exec "$0" "$@" >/dev/full' "$vmoec" $command
done
finish
