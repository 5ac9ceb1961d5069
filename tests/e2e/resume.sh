#!/bin/sh
# The same bits: twice, on one thread and on two, killed at random moments and resumed, stopped by a signal and resumed.
. "$top_srcdir/tests/e2e/common.sh"

program "$here/tiny_maps.vmoe" ./maps
program "$here/tiny_tokens.vmoe" ./tokens
"$make_data" idx gray 16 512 128 4
"$make_data" tree colour 20 320 80 4
tar cf colour.tar colour

# What a step and an evaluation were, without how long they took; each once, in order.
evaluations() { sed -n '/"eval"/s/"img_per_s".*"moe"/"moe"/p' "$1/metrics.jsonl"; }
steps() { sed -n 's/^\({"step":.*\),"img_per_s.*/\1/p' "$1/metrics.jsonl"; }
same_run() {
    cmp "$1/last.safetensors" "$2/last.safetensors" && cmp "$1/best.safetensors" "$2/best.safetensors" &&
        steps "$1" >steps.1 && steps "$2" >steps.2 && cmp steps.1 steps.2 &&
        cmp "$1/analysis.json" "$2/analysis.json" && evaluations "$1" >steps.1 && evaluations "$2" >steps.2 &&
        [ -s steps.1 ] && cmp steps.1 steps.2 &&
        [ "$(wc -l <"$1/metrics.csv")" = "$(wc -l <"$2/metrics.csv")" ]
}

for p in maps tokens; do
    data=gray
    [ $p = tokens ] && data=colour
    holds "$p: trains" ./$p train --data $data --out $p.a --threads 2
    total=$(steps $p.a | wc -l)
    holds "$p: each step is in the metrics" test "$(steps $p.a | sed 's/.*"step":\([0-9]*\).*/\1/' | tr '\n' ' ')" = \
        "$(seq -s ' ' 1 "$total") "
    at_least "$(field $p.a/metrics.jsonl top1)" "$(($(field $p.a/metrics.jsonl images) * 6 / 10))"
    holds "$p: it learns" test $? = 0
    ./$p train --data $data --out $p.b --threads 2 >/dev/null
    holds "$p: twice the same bits" same_run $p.a $p.b
    began=$(date +%s%N)
    ./$p train --data $data --out $p.c --threads 1 >/dev/null
    took=$((($(date +%s%N) - began) / 1000000))
    holds "$p: on one thread the same bits" same_run $p.a $p.c
    ./$p train --data $data --out $p.d --threads 1 --seed 1 >/dev/null
    ends 1 differ "$p: another seed, other bits" cmp $p.a/last.safetensors $p.d/last.safetensors
done
# Products by BLAS, where there are no kernels of our own: each of our threads runs its own, alone.
if [ "$(uname -m)" = x86_64 ]; then
    program "$here/tiny_maps.vmoe" ./old --target x86-64-v2
    for run in a.2 b.2 c.1; do
        ./old train --data gray --out old.$run --threads ${run#*.} >/dev/null 2>&1
    done
    holds "with BLAS: twice the same bits" same_run old.a.2 old.b.2
    holds "with BLAS: on one thread the same bits" same_run old.a.2 old.c.1
fi
./tokens train --data colour.tar --out tokens.tar --threads 1 >/dev/null
holds "a tar gives the bits of its folder" same_run tokens.a tokens.tar

# Killed again and again, after random parts of the time ($took, in ms) that a whole training takes. The last call runs to
# the end.
kill_often() {
    program=$1 data=$2 out=$3 kills=0
    while [ $kills -lt 12 ]; do
        delay=$(awk -v s="$(date +%N)" -v t="$took" 'BEGIN { srand(s); printf "%.2f", 0.01 + t / 2500 * rand() }')
        ./"$program" train --data "$data" --out "$out" --threads 1 --resume --save-every 3 >/dev/null 2>>killed.err &
        pid=$!
        sleep "$delay"
        kill -9 $pid 2>/dev/null
        wait $pid 2>/dev/null
        kills=$((kills + 1))
        moments="$moments $delay:$(tail -1 "$out/metrics.jsonl" 2>/dev/null | sed -n 's/.*"step":\([0-9]*\).*/\1/p')"
    done
    ./"$program" train --data "$data" --out "$out" --threads 1 --resume --save-every 3 >killed.out 2>>killed.err
}
for p in maps tokens; do
    data=gray moments=
    [ $p = tokens ] && data=colour
    : >killed.err
    holds "$p: killed and resumed, it ends" kill_often $p $data $p.killed
    holds "$p: with the same bits and each step once" same_run $p.a $p.killed
    echo "# delays and steps reached:$moments"
    note <killed.err
done

holds "--resume without a run starts afresh" ./maps train --data gray --out maps.fresh --threads 1 --resume
holds "and ends in the same bits" same_run maps.a maps.fresh
holds "--resume of a finished run" ./maps train --data gray --out maps.fresh --threads 1 --resume
holds "changes nothing" same_run maps.a maps.fresh

# A polite stop. (A shell starts what runs in the background with SIGINT ignored.)
stop() {
    env --default-signal="$1" ./maps train --data gray --threads 1 --out maps.stopped.$1 >stopped.out 2>stopped.err &
    pid=$!
    for _ in $(seq 100); do
        [ -s maps.stopped.$1/metrics.jsonl ] && break
        sleep 0.05
    done
    kill -$1 $pid
    wait $pid
}
for signal in TERM:143 INT:130 HUP:129 XCPU:152; do
    name=${signal%:*}
    ends ${signal#*:} '' "SIG$name: exit status ${signal#*:}" stop $name
    holds "it says how to go on" grep -q "train --resume --out maps.stopped.$name" stopped.err
    holds "and goes on" ./maps train --data gray --threads 1 --out maps.stopped.$name --resume
    holds "to the same bits" same_run maps.a maps.stopped.$name
done

# Where the step does not end: its output is a pipe that is full and that nobody reads.
catches_term() { [ $((0x$(sed -n 's/^SigCgt:.//p' "/proc/$1/status") & 0x4000)) != 0 ]; }
stop_twice() {
    mkfifo full && exec 8<>full
    timeout 1 cat /dev/zero >&8
    env --default-signal=INT ./maps train --data gray --threads 1 --out maps.twice >&8 2>twice.err &
    pid=$!
    (sleep 30 && kill -9 $pid) &
    until catches_term $pid; do sleep 0.02; done
    sleep 0.5
    kill -TERM $pid
    sleep 0.5
    kill -0 $pid && ! catches_term $pid && kill -INT $pid
    wait $pid
    status=$?
    kill $! 2>/dev/null
    exec 8>&-
    return $status
}
ends 130 '' "a second signal ends at once" stop_twice

# A state on request.
steps_of() { grep -c '"loss".*img_per_s' "$1/metrics.jsonl" 2>/dev/null; }
save_and_kill() {
    ./maps train --data gray --threads 1 --out maps.asked --epochs 50 --save-every 1000000 >asked.out 2>asked.err &
    pid=$!
    for _ in $(seq 200); do
        [ "$(steps_of maps.asked || true)" -ge 2 ] 2>/dev/null && break
        sleep 0.02
    done
    kill -USR1 $pid
    for _ in $(seq 200); do
        ls maps.asked/state/*.state >/dev/null 2>&1 && break
        sleep 0.02
    done
    before=$(steps_of maps.asked)
    sleep 0.3
    kill -9 $pid && wait $pid
    ls maps.asked/state/*.state >/dev/null && [ "$(steps_of maps.asked)" -gt "$before" ]
}
holds "SIGUSR1 saves and goes on" save_and_kill

# Without its states a run does not begin anew over its results, unless it never had one.
cp -r maps.a maps.bare
rm -r maps.bare/state
ends 1 'no state to go on from .*results that would be lost' "the states are gone" ./maps train --data gray --out maps.bare --resume
holds "the results are not" cmp maps.a/metrics.jsonl maps.bare/metrics.jsonl
sed -i '3,$d' maps.bare/metrics.csv
ends 0 'epoch 1/' "killed before its first state, it begins anew" ./maps train --out maps.bare --resume --threads 1
holds "to the same bits" same_run maps.a maps.bare
holds "run.json has the command that began it" sh -c "grep -q -- --data maps.bare/run.json && ! grep -q -- --resume maps.bare/run.json"

# States that cannot be used.
damage() {      # the byte in the middle becomes the next one
    at=$(($(wc -c <"$1") / 2))
    byte=$(od -An -tu1 -j "$at" -N 1 "$1")
    printf "\\$(printf %03o $(((byte + 1) % 256)))" | dd of="$1" bs=1 seek="$at" conv=notrunc 2>/dev/null
}
newest() { ls -t "$1"/state/*.state | head -1; }
cp -r maps.a maps.worn
sed -i "$(($(wc -l <maps.worn/metrics.jsonl) - 3)),\$d" maps.worn/metrics.jsonl
ends 0 'lines are missing from the metrics' "lost lines of the metrics are told" ./maps train --data gray --out maps.worn --resume
cp -r maps.a maps.bad
damage "$(newest maps.bad)"
ends 0 'damaged.*going on from the state of step' "a damaged state: the older one serves" ./maps train --data gray --out maps.bad --resume
holds "and ends in the same weights" cmp maps.a/last.safetensors maps.bad/last.safetensors
for s in maps.bad/state/*.state; do damage "$s"; done
ends 1 'is damaged.*no older state' "two damaged states are an error" ./maps train --data gray --out maps.bad --resume
ends 1 'not empty.*--resume' "a used folder without --resume" ./maps train --data gray --out maps.a
ends 1 'begun with other settings' "other settings" ./maps train --data gray --out maps.a --resume --lr 0.1
ends 1 'begun with other settings' "other data" ./maps train --data gray --out maps.a --resume --limit 64
ends 1 'begun with other settings' "another program" ./tokens train --data colour --out maps.a --resume

# The data and the weights that a run was begun with. It was begun on a folder, and goes on from a tar, or from another place.
./tokens train --data colour --out began --epochs 2 --threads 1 >/dev/null
again() { rm -rf on && cp -r began on && ./tokens train --out on --resume --threads 1 "$@"; }
cp -r colour moved
ends 0 done "data that moved" again --data moved
holds "nothing is told" sh -c '! grep -q "warning\|note" err'
ends 0 done "data in a tar" again --data colour.tar
holds "neither" sh -c '! grep -q "warning\|note" err'
one=$(find moved/train -name '*.jpg' | LC_ALL=C sort | sed -n 100p)
class=$(basename "$(dirname "$one")")
mv "$one" "$(dirname "$one")/zz.jpg"
ends 1 "data: 320 pictures then, 320 now; class \`$class\`: 80 then, 80 now, of other names" "a picture of another name" again --data moved
rm "$(dirname "$one")/zz.jpg"
ends 1 "data: 320 pictures then, 319 now; class \`$class\`: 80 then, 79 now" "a picture less" again --data moved
mv "moved/train/$class" moved/train/zz
mv "moved/test/$class" moved/test/zz
ends 1 'data: 320 pictures then, 319 now, of other classes' "other classes" again --data moved
rm -r moved && cp -r colour moved
rm "$(find moved/test -name '*.jpg' | head -1)"
ends 0 'warning: the pictures that are evaluated have changed' "a picture less to evaluate" again --data moved
holds "how many is told" grep -q 'val: 80 pictures then, 79 now' err
rm -r began && ./tokens train --data colour.tar --out began --epochs 2 --threads 1 >/dev/null
rm -r moved && cp -r colour moved
printf x >>"$(find moved/train -name '*.jpg' | head -1)"
tar cf moved.tar moved
ends 1 'data: 320 pictures then, 320 now, files of other sizes' "a file of another size in a tar" again --data moved.tar

cp tokens.a/best.safetensors from.safetensors
rm -r began && ./tokens train --data colour --weights from.safetensors --out began --epochs 1 --threads 1 >/dev/null
ends 0 done "weights that are as they were" again
holds "nothing is told of them" sh -c '! grep -q "warning\|note" err'
cp tokens.d/best.safetensors from.safetensors
ends 0 'note: from.safetensors is not the file .*it is not read' "weights that changed" again
ends 0 'note: tokens.c/last.safetensors is not the file' "other weights" again --weights tokens.c/last.safetensors
rm from.safetensors
ends 0 done "weights that are gone" again
holds "are not missed" sh -c '! grep -q "warning\|note" err'
rm -r began/state began/metrics.* began/*.safetensors
ends 1 'cannot open from.safetensors' "unless it begins anew" again
cp tokens.d/best.safetensors from.safetensors
ends 0 'warning: from.safetensors is not the file .*it begins anew' "with others that is told" again
finish
