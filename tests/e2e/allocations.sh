#!/bin/sh
# No memory: each allocation of our code fails, in a run of its own (see fail_memory.c). A run that says it is done printed and wrote
# what an undisturbed one does; any other says that memory was lacking, leaves no part of a file, and a training goes on from there
# to the same bits. The short form tries a few of all; the long one is long/allocations.sh.
. "$top_srcdir/tests/e2e/common.sh"

every=${ALLOCATIONS_EVERY:-41}          # each so many-th place, but three of each walk at least
calls=${ALLOCATIONS_CALLS:-first}       # from a place: the first call, or all
llvm=${ALLOCATIONS_LLVM:-3}             # allocations of LLVM
only=${ALLOCATIONS_ONLY:-.}             # the walks to do, a pattern
rests=4 goes_on=3                       # each so many-th time all later calls fail, too; a training is resumed
fail_memory=$tools/fail_memory.so

if [ -n "$sanitized" ]; then
    skip "allocations that fail" "the sanitizer wants to be loaded first"
    finish
fi

# run NAME=VALUE... COMMAND...: with the library, in the folder `now`.
run() { (cd now && timeout -k 1 60 env LD_PRELOAD="$fail_memory" "$@" <"$input" >../now.out 2>../now.err); }

unfinished() { find now -name '*.tmp*' | grep .; }
whole_files() { diff -rq right now | grep -v '^Only in right' >different; ! grep . different; }

# The run of a failed call, which ended with $status: what is wrong with it, if anything.
# shellcheck disable=SC2254
judge() {
    case $status in
    0)
        harmless=$((harmless + 1))
        cmp right.out now.out && diff -rq right now
        ;;
    $told_by)
        told=$((told + 1))
        ! unfinished || return 1
        cat now.out now.err | grep -Eiq 'memory|allocate|fewer --threads' || { echo "nothing is said of memory"; return 1; }
        $afterwards
        ;;
    *)
        echo "it ends so"
        return 1
        ;;
    esac
}

# try NAME=VALUE... COMMAND...: one run, in a copy of the folder $from.
try() {
    runs=$((runs + 1)) status=0
    rm -rf now && cp -r "$from" now
    run "$@" || status=$?
    judge >judged 2>&1 && return
    wrong=$((wrong + 1))
    { echo "$1 $2 $3: status $status"; cat judged now.err; } >>wrong.log
}

undisturbed() {
    rm -rf now right places && cp -r "$from" now
    runs=0 harmless=0 told=0 wrong=0
    : >wrong.log
    run MEMORY_LIST="$work/places" MEMORY_LLVM=0 "$@" && mv now right && mv now.out right.out
}

tell() {
    holds "$1: $harmless do no harm, $told are told" test $wrong = 0 -a $runs -gt 0 -a $told -gt 0
    [ $wrong = 0 ] && return
    note <wrong.log
    [ -z "${ALLOCATIONS_LOG:-}" ] || { echo "== $1, $wrong of $runs are wrong"; cat wrong.log; } >>"$ALLOCATIONS_LOG"
}

# walk NAME COMMAND...: calls of the command fail, one a run; where that is told, `$afterwards` must hold.
walk() {
    name=$1
    shift
    echo "$name" | grep -Eq "$only" || return
    undisturbed "$@" || { fail "$name: undisturbed"; note <now.err; return; }
    grep -v llvm places | sort >sorted
    all=$(wc -l <sorted) number=0
    step=$((all < 3 * every ? all / 3 : every))
    [ "$all" -gt 20 ] || step=1         # most places of so few may do no harm
    while read -r place times; do
        number=$((number + 1)) call=0
        [ $((number % (step + !step))) = 0 ] || continue
        [ "$calls" = all ] || times=1
        while [ $call -lt "$times" ]; do
            call=$((call + 1))
            if [ $((runs % rests)) = 0 ]; then
                try MEMORY_PLACE="$place" MEMORY_CALL=$call MEMORY_REST=1 "$@"
            else
                try MEMORY_PLACE="$place" MEMORY_CALL=$call MEMORY_TRACE= "$@"
            fi
        done
    done <sorted
    tell "$name: of $all places that allocate $runs fail"
}

# Goes on to the bits of an undisturbed one, from whatever is left of it.
ends_as() {
    [ $((told % goes_on)) = 0 ] || return 0
    whole=$1
    shift
    run "$@" --resume || { echo "it does not go on"; cat now.err; return 1; }
    for file in last.safetensors best.safetensors metrics.csv metrics.jsonl; do
        cmp "$whole/$file" "now/run/$file" || return 1
    done
    ! unfinished
}

# -- what there is to work on --

program "$here/tiny_maps.vmoe" ./maps
program "$here/tiny_tokens.vmoe" ./tokens
"$make_data" idx gray 16 64 16 4
"$make_data" tree colour 16 64 8 4
mkdir empty stopped finished keys flat flat/test shards
find "$PWD/colour/test" -type f | sort >list
tar czf colour.tgz -C colour train test
n=0
while read -r file; do
    n=$((n + 1))
    cp "$file" keys/$n.jpg
    echo $((n % 4)) >keys/$n.cls
    cp "$file" flat/test/$n.jpg
    echo "$n.jpg class$((n % 4))" >>flat/test.txt
done <list
echo '{"label": 3, "note": ["of", {"no": "use"}]}' >keys/2.json && rm keys/2.cls && echo 3 >keys/3.cls
(cd keys && find . -type f | sort | tar cf ../shards/x-test-000000.tar -T -)

maps=$work/maps tokens=$work/tokens input=/dev/null from=empty told_by=1 afterwards=true
train="$maps train --data $work/gray --out run --threads 1 --epochs 2 --save-every 2"
train_colour="$tokens train --data $work/colour --out run --threads 1 --epochs 1"
with_maps="--weights $work/whole/best.safetensors --threads 1" with_tokens="--weights $work/whole_colour/best.safetensors --threads 1"
# shellcheck disable=SC2086
{
    undisturbed $train && cp -r right/run whole && cp -r right/run finished
    undisturbed $train_colour && cp -r right/run whole_colour
}

# A training that was killed in its second epoch.
# shellcheck disable=SC2086
stop() { (cd stopped && exec env LD_PRELOAD="$fail_memory:$tools/fail_calls.so" FAIL_IN=/run/ "$@" $train); }
stop FAIL_COUNT="$work/file_calls" >/dev/null 2>&1
read -r file_calls <file_calls
rm -rf stopped/run
ends 137 '^epoch 1/2' "a training that is killed" stop FAIL_AT=$((file_calls * 3 / 4)) FAIL_HOW=kill
find stopped -name '*.tmp' -exec rm {} +

# -- the commands --

# shellcheck disable=SC2086
walks() {
    afterwards="ends_as whole $train"
    walk "train" $train
    from=stopped
    walk "train --resume" $train --resume
    from=empty afterwards="ends_as whole_colour $train_colour"
    walk "train on JPEG and PNG" $train_colour
    afterwards=true
    walk "train --weights --json" $maps train --data $work/gray --out run --epochs 1 --json $with_maps
    from=finished
    walk "report" $maps report --out run
    walk "report --json" $maps report --out run --json
    from=empty afterwards=whole_files
    walk "eval --json and all tables" $maps eval --data $work/gray $with_maps --json \
        --per-class classes.csv --confusion pairs.csv --experts experts.csv --similarity similarity.csv
    afterwards=true
    walk "eval" $maps eval --data $work/gray $with_maps
    walk "eval of two sets" $tokens eval a=$work/colour b=$work/colour $with_tokens --json
    walk "predict" $tokens predict $with_tokens $work/colour/test --features
    walk "predict --json" $tokens predict $with_tokens --json --logits --data $work/colour
    input=$work/list
    walk "predict, a list on stdin" $tokens predict $with_tokens --json -
    input=/dev/null
    walk "check-data" $tokens check-data --data $work/colour --threads 1
    walk "check-data --json" $tokens check-data --data $work/colour --threads 1 --json
    walk "check-data of a compressed tar" $tokens check-data --data $work/colour.tgz --threads 1
    walk "check-data of shards" $tokens check-data --data $work/shards --split test --threads 1
    walk "check-data of a file of labels" $tokens check-data --data $work/flat --split test --threads 1
    walk "info --json" $maps info --json
    walk "gradcheck --json" $maps gradcheck --json
}
walks

# The compiler: status 3, or 1 where a file could not be opened. LLVM has more allocations than can be tried.
whole_program() { [ ! -e now/net ] || cmp right/net now/net; }
build="$vmoec build $here/tiny_maps.vmoe"
told_by='[13]'
# shellcheck disable=SC2086
compiler_walks() {
    walk "vmoec check" $vmoec check "$here/tiny_maps.vmoe"
    walk "vmoec info" $vmoec info "$here/tiny_maps.vmoe"
    walk "vmoec info --json" $vmoec info "$here/tiny_maps.vmoe" --json
    for form in ast spec plan; do
        walk "vmoec build --emit $form" $build --emit $form
    done
    afterwards=whole_program
    walk "vmoec build" $build -o net
}
compiler_walks
undisturbed $build -o net
all=$(sed -n 's/^llvm //p' places)
holds "vmoec build: LLVM allocates" test "${all:-0}" -gt 0
while [ "${all:-0}" -gt 0 ] && [ $runs -lt "$llvm" ]; do
    try MEMORY_LLVM=$((all * (runs + 1) / (llvm + 1))) MEMORY_TRACE= MEMORY_REST= $build -o net
done
tell "vmoec build: of $all allocations of LLVM $runs fail"
finish
