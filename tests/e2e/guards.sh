#!/bin/sh
# What a training watches by itself: losses and gradients that are not finite, experts that nobody chooses; and --overfit.
. "$top_srcdir/tests/e2e/common.sh"
"$make_data" idx gray 16 64 16 4
"$make_data" idx more 16 320 16 4

# Gradients are spoilt in the products of BLAS, which programs for old processors call. 2 steps an epoch.
spoil() {
    steps=$1 lr=$2 out=$3
    shift 3
    NAN_STEPS=$steps NAN_LR=$lr LD_PRELOAD=$tools/fail_calls.so ./old train --data gray --out "$out" --threads 2 --save-every 2 "$@"
}
warnings() { grep -c '^{"warning":".*not a number.*","step":[0-9]*,"epoch":[0-9]*}$' "$1/metrics.jsonl"; }
steps() { sed -n 's/^{"step":\([0-9]*\),.*/\1/p' "$1/metrics.jsonl" | tr '\n' ' '; }
rate_at() { sed -n 's/^{"step":'"$2"',.*"lr":\([^,]*\),.*/\1/p' "$1/metrics.jsonl"; }
half_of() { awk -v a="$1" -v b="$2" 'BEGIN { d = 2 * a - b; exit !(a > 0 && d < 1e-6 * b && d > -1e-6 * b) }'; }
if [ -n "$sanitized" ]; then
    skip "gradients that are not finite" "the sanitizer wants to be loaded first"
elif [ "$(uname -m)" != x86_64 ]; then
    skip "gradients that are not finite" "the program must call BLAS"
else
    program "$here/tiny_maps.vmoe" ./old --target x86-64-v2
    ./old train --data gray --out fine --threads 2 >/dev/null 2>&1
    ends 0 'warning: step 4: the norm of the gradients is not a number .*the step is skipped; its pictures are train-images.*\(16 of 32\)' \
        "a step that is not finite is skipped" spoil 4-4 0 one
    holds "it is in the metrics" test "$(warnings one)" = 1
    holds "and is no step" test "$(steps one)" = "1 2 3 5 6 7 8 "
    holds "and is counted" grep -q 'steps skipped: 1, returns to an earlier state: 0' out
    spoil 4-4 0 one.2 >/dev/null 2>&1
    holds "twice the same bits" cmp one/last.safetensors one.2/last.safetensors
    ends 1 differ "the step is missing" cmp one/last.safetensors fine/last.safetensors

    ends 0 'step 6: .* last of 3 steps in a row.*back to the state of step 2, and on with 0.5 of the learning rate' \
        "three in a row: back, with half the learning rate" spoil 4-6 0.002 three
    holds "and on to the end" test "$(steps three)" = "1 2 3 4 5 7 8 "
    holds "all three steps and the return are told" test "$(warnings three)" -ge 3
    holds "and counted" grep -q 'steps skipped: [23], returns to an earlier state: 1' out
    holds "with half the learning rate" half_of "$(rate_at three 8)" "$(rate_at fine 8)"
    holds "as before until there" test "$(rate_at three 2)" = "$(rate_at fine 2)"
    ends 0 'done: best top-1 ' "an epoch that is done again, worse than before" \
        spoil 4-6 0.002 worse --seed 7 --lr 0.01 --keep-best 4
    said=$(sed -n 's/^done: best top-1 \([0-9]*\) .*/\1/p' out)
    ends 0 "\"top1\":$said," "best.safetensors has the hits that are told" \
        ./old eval --data gray --json --weights worse/best.safetensors
    holds "one file for each epoch" test "$(ls worse | grep -c '^epoch-000[1-4].safetensors$')" = 4
    stop_between() {
        for last in 3 5 7; do       # stopped somewhere behind the return, and before it
            rm -rf cut
            NAN_STEPS=4-6 NAN_LR=0.002 LD_PRELOAD=$tools/fail_calls.so \
                ./old train --data gray --out cut --threads 1 --save-every 2 >cut.out 2>&1 &
            pid=$!
            for _ in $(seq 100); do
                grep -q "\"step\":$last," cut/metrics.jsonl 2>/dev/null && break
                sleep 0.01
            done
            kill -9 $pid 2>/dev/null
            wait $pid 2>/dev/null
            NAN_STEPS=4-6 NAN_LR=0.002 LD_PRELOAD=$tools/fail_calls.so ./old train --out cut --resume --threads 1 --save-every 2 >cut.out 2>&1 &&
                cmp three/last.safetensors cut/last.safetensors || return 1
        done
    }
    holds "killed and resumed: the same bits" stop_between

    ends 0 'step 7: .* last of 3 steps in a row.*back to the state of step 2' "with the end of an epoch between: back, too" spoil 5-7 0.002 between
    ends 1 'step 6: .*not a number.*as it was in the 2 steps before.*the last state and weights are in never.*The pictures were' \
        "after two returns it stops" spoil 4-100 0 never
    holds "both returns are told" test "$(grep -c 'back to the state of step' err)" = 2
    ends 1 'the 2 steps before.*nothing was saved yet' "without a state it stops at once" spoil 1-100 -1 early --data more
fi
program "$here/tiny_maps.vmoe" ./maps
ends 1 '(the loss|gradients) is (not a number|infinite).*in the 2 steps before' "a learning rate beyond all measure" \
    ./maps train --data gray --out wild --lr 1000 --epochs 20 --set train.clip=0

# Experts that nobody chooses: equal logits without noise, of which the first expert's come first.
sed 's/^  moe free {/&\n    router = linear(init: 0)\n    noise = 0\n    balance { importance = 0; load = 0 }/' "$here/tiny_maps.vmoe" >dead.vmoe
program dead.vmoe ./dead
dead_line='s2\[1\].mlp: of its 3 experts these had less than a hundredth of an even share of epoch 1.s choices: 2;'
newest() { sed -n 's,.*"file": "\(.*\)"\,,'"$1"'/state/\1,p' "$1/state/manifest.json" | head -n 1; }
ends 0 "warning: $dead_line" "experts without choices are told" ./dead train --data gray --out dead.run --lr 1e-60 --threads 1
holds "once in four epochs" test "$(grep -c 'even share' err)" = 1
holds "in the metrics, too" grep -q "^{\"warning\":\"$dead_line.*\"epoch\":1}" dead.run/metrics.jsonl
printf x >>"$(newest dead.run)"
ends 0 'going on from the state of step 6' "resumed after it was told" ./dead train --out dead.run --resume
holds "it is not told again" sh -c '! grep -q "even share" err'
ends 0 "warning: $dead_line" "one that revives is told, too" ./dead train --data gray --out dead.run.2 --lr 1e-6 --batch 64 --threads 1
holds "and forgotten" grep -aq '"dead":"[.]\{7\}"' "$(newest dead.run.2)"
holds "as the other is not" grep -aq '"dead":"[.]\{6\}x"' "$(newest dead.run)"
ends 0 '' "none where all are chosen" ./maps train --data gray --out alive --threads 1
holds "no warning" sh -c '! grep -q warning err'

# By heart.
ends 0 'overfit: 8 pictures, no augmentation.*evaluated on themselves' "--overfit says what to expect" \
    ./maps train --data gray --out heart --overfit 8 --epochs 60 --lr 3e-3 --threads 1
holds "it learns them all" sh -c "grep -q 'val top-1 8/8 100.00 %' out"
at_least 0.1 "$(sed -n 's/.*"train_loss":\([^,]*\),.*/\1/p' heart/metrics.jsonl | tail -n 1)"
holds "its loss falls towards 0" test $? = 0
ends 2 'overfit 5 is less than the 8 pictures .*; take --overfit 8' "too few pictures" ./maps train --data gray --out heart.3 --overfit 5
ends 0 'batch 16 = 1 x 16' "pictures for more than a batch" ./maps train --data gray --out heart.2 --overfit 20 --epochs 1 --threads 1

# The best epochs: by hits, of equal ones the earlier.
best_epochs() {
    sed -n 's/^{"eval":.*"epoch":\([0-9]*\),.*"top1":\([0-9]*\),.*/\2 \1/p' "$1/metrics.jsonl" | sort -k1,1nr -k2,2n | head -n "$2" |
        awk '{ print $2 }' | sort -n | tr '\n' ' '
}
kept_epochs() { (cd "$1" && ls epoch-*.safetensors) | sed 's/epoch-0*\([0-9]*\)[.].*/\1/' | sort -n | tr '\n' ' '; }
keep_three() { ./maps train --data more --out "$1" --epochs 8 --keep-best 3 --threads 1; }
holds "--keep-best trains" keep_three kept
holds "the three best epochs have files" test "$(kept_epochs kept)" = "$(best_epochs kept 3)"
first=$(sed -n 's/^{"eval":.*"epoch":\([0-9]*\),.*"top1":\([0-9]*\),.*/\2 \1/p' kept/metrics.jsonl | sort -k1,1nr -k2,2n | head -n 1)
holds "the best of them is best.safetensors" cmp kept/best.safetensors "$(printf 'kept/epoch-%04d.safetensors' "${first#* }")"
for epoch in $(kept_epochs kept); do
    hits=$(sed -n 's/^{"eval":.*"epoch":'"$epoch"',.*"top1":\([0-9]*\),.*/\1/p' kept/metrics.jsonl)
    ends 0 "\"top1\":$hits," "epoch $epoch: its weights have its hits" ./maps eval --data more --json \
        --weights "$(printf 'kept/epoch-%04d.safetensors' "$epoch")"
done
keep_in_pieces() {
    while ! grep -q '"eval".*"epoch":8' kept.2/metrics.jsonl 2>/dev/null; do
        timeout -s KILL 0.3 ./maps train --data more --out kept.2 --epochs 8 --keep-best 3 --threads 1 --resume --save-every 3 >/dev/null 2>&1
    done
    ./maps train --out kept.2 --threads 1 --resume >/dev/null 2>&1
    [ "$(kept_epochs kept)" = "$(kept_epochs kept.2)" ] && cmp kept/last.safetensors kept.2/last.safetensors
}
holds "in pieces the same ones" keep_in_pieces
: >kept/epoch-0003.safetensors.4711.tmp
holds "what was being written" ./maps train --out kept --resume
holds "is taken away" test ! -e kept/epoch-0003.safetensors.4711.tmp
ends 0 'no better top-1 for 3 epochs.*done: best top-1 [0-9]+ after epoch 1' "--patience ends a training that learns nothing" \
    ./maps train --data gray --out patient --lr 1e-30 --epochs 50 --patience 3 --set train.ema=0 --threads 1
holds "after so many epochs" test "$(grep -c '"eval"' patient/metrics.jsonl)" = 4
ends 0 'after epoch 1' "resumed, it is over" ./maps train --out patient --resume
holds "and nothing is added" test "$(grep -c '"eval"' patient/metrics.jsonl)" = 4
ends 2 'train.keep_best \(--keep-best\) must be' "17 files are too many" ./maps train --data gray --out x --keep-best 17
finish
