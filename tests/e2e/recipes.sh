#!/bin/sh
# Recipes: all augmentations, losses and optimisers train, with bits that depend on neither threads nor an interruption, and results
# that do not depend on how a batch is cut into calls; a linear probe leaves all but the head as it was.
. "$top_srcdir/tests/e2e/common.sh"

"$make_data" tree data 20 320 80 4
steps() { sed -n 's/^\({"step":.*\),"img_per_s.*/\1/p' "$1/metrics.jsonl"; }
same_run() { cmp "$1/last.safetensors" "$2/last.safetensors" && [ "$(steps "$1")" = "$(steps "$2")" ]; }
learns() { at_least "$(field "$1/metrics.jsonl" top1)" "$2"; }

# Stopped at once, again and again, each time a step or two further.
in_pieces() {
    rm -rf "$2"
    while ! grep -q '"eval".*"epoch":4' "$2/metrics.jsonl" 2>/dev/null; do
        timeout -s KILL 0.2 ./"$1" train --data data --out "$2" --threads 2 --resume --save-every 1 >/dev/null 2>&1
    done
    ./"$1" train --data data --out "$2" --threads 1 --resume >/dev/null 2>&1
}

for p in plain everything three; do
    program "$here/recipes.vmoe" ./$p --experiment $p
    holds "$p: trains" ./$p train --data data --out $p.a --threads 2
    ./$p train --data data --out $p.b --threads 1 >/dev/null
    holds "$p: on one thread the same bits" same_run $p.a $p.b
    in_pieces $p $p.c
    holds "$p: in pieces the same bits" same_run $p.a $p.c
done
holds "plain: it learns" learns plain.a 48
holds "three: it learns" learns three.a 40
holds "everything: trains for longer" ./everything train --data data --out everything.long --epochs 16
holds "everything: it learns" learns everything.long 40
ends 0 "ok +head.fc.weight" "everything: its gradients are right" ./everything gradcheck

# Losses and norms of the first steps, cut into calls of 16 or 8 pictures.
program "$here/recipes.vmoe" ./cut --experiment everything --set "train.micro=8 images"
./cut train --data data --out cut.a >/dev/null
near() {
    steps "$1" >near.1 && steps "$2" >near.2
    paste -d' ' near.1 near.2 | head -5 | tr ':,}' '   ' | awk '{
        n = NF / 2
        for (i = 1; i <= n; i++) if ($i ~ /^-?[0-9]/ && ($i - $(n + i)) ^ 2 > 1e-8 * $i ^ 2) exit 1
    }'
}
holds "micro-batches do not change what is learnt" near everything.a cut.a

# A tensor of a safetensors file, as bytes.
tensor() {
    tap_header=$(od -An -tu8 -N8 "$1" | tr -d ' ')
    tap_at=$(dd if="$1" bs=1 skip=8 count="$tap_header" 2>/dev/null |
        sed -n "s/.*\"$2\":{[^}]*\"data_offsets\":\[\([0-9]*\),\([0-9]*\)\].*/\1 \2/p")
    tail -c +$((9 + tap_header + ${tap_at% *})) "$1" | head -c $((${tap_at#* } - ${tap_at% *}))
}
program "$here/recipes.vmoe" ./probe --experiment probe
holds "probe: trains from weights" ./probe train --data data --weights plain.a/best.safetensors --out probe.a
learns probe.a 48
holds "probe: it learns" test $? = 0
for t in stem.0.weight stages.0.blocks.1.mlp.experts.fc1.weight stages.0.blocks.0.gamma head.fc.weight; do
    tensor plain.a/best.safetensors $t >before
    tensor probe.a/last.safetensors $t >after
    if [ $t = head.fc.weight ]; then
        ends 1 differ "probe: $t has changed" cmp before after
    else
        holds "probe: $t stays" cmp before after
    fi
    holds "probe: $t is there" test -s after
done
ends 0 "ok +head.fc.weight" "probe: gradients of the head are right" ./probe gradcheck

ends 0 '^\{"mode":"data","threads":2,"images_per_s":[0-9.]+,"bare_images_per_s":[0-9.]+,"ratio":[0-9.]+\}$' "bench --data: the speed of loading" \
    ./everything bench --data data --threads 2 --seconds 0.1 --json
program "$here/recipes.vmoe" ./pairs --experiment pairs
ends 2 "mix pairs of pictures.* even train.micro" "an odd micro cannot be mixed" \
    ./pairs train --data data --out pairs.a --set augment.mixup=0.8
ends 2 "augment.mixup must be" "a share below zero is refused" ./three train --data data --out x --set augment.mixup=-1
ends 2 "train.optim.kind|fixed" "an optimiser is built in" ./three train --data data --out x --set train.optim.kind=adamw
finish
