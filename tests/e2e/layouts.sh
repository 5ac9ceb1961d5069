#!/bin/sh
# The same pictures as they may lie on the disk: a folder, a tar for each split, tars of tars, shards. The same training.
. "$top_srcdir/tests/e2e/common.sh"

program "$here/tiny_tokens.vmoe" ./tokens
"$make_data" tree colour 20 320 80 4

mkdir tars nested shards
for split in train test; do
    tar cf tars/$split.tar -C colour $split
    (
        cd colour/$split || exit 1
        label=0
        for class in *; do
            tar cf ../../$class.tar -C "$class" .
            mkdir ../../keys
            for file in "$class"/*; do
                key=../../keys/$label-$(basename "$file")
                cp "$file" "$key"
                printf %s $label >"${key%.*}.cls"
            done
            half=$(find ../../keys -type f | sort | sed 's/.*\///' | awk 'END { print int(NR / 4) * 2 }')
            (cd ../../keys && find . -type f | sort >../list && head -n "$half" ../list | tar cf ../shards/x-$split-00000$((2 * label)).tar -T - &&
                tail -n +$((half + 1)) ../list | tar cf ../shards/x-$split-00000$((2 * label + 1)).tar -T -)
            rm -r ../../keys
            label=$((label + 1))
        done
    )
    tar cf nested/ILSVRC2012_img_$split.tar -- $(ls colour/$split | sed 's/$/.tar/')
done

steps() { sed -n 's/^\({"step":.*\),"img_per_s.*/\1/p' "$1/metrics.jsonl"; }
# The tensors, without the header, which has the names of the classes.
tensors() { tail -c +$((9 + $(od -An -tu8 -N8 "$1/last.safetensors"))) "$1/last.safetensors"; }
same_training() {
    steps "$1" >steps.1 && steps "$2" >steps.2 && test -s steps.1 && cmp steps.1 steps.2 && tensors "$1" >tensors.1 &&
        tensors "$2" >tensors.2 && cmp tensors.1 tensors.2
}

cmp_or_cat() { cmp "$1" "$2" && cat "$2"; }

holds "a folder" ./tokens train --data colour --out a --threads 2
for kind in tars nested shards; do
    ends 0 "tars $kind, train: 320 pictures, 4 classes" "$kind: told what was found" ./tokens train --data $kind --out $kind.run --threads 2
    holds "$kind: the bits of the folder" same_training a $kind.run
done
for kind in colour tars shards; do
    ./tokens eval --data $kind --weights a/last.safetensors --json >$kind.eval 2>&1
    ends 0 '"images":80,' "$kind: evaluated with the folder's weights" cmp_or_cat colour.eval $kind.eval
done
mkdir more
cp "$(find colour/test -type f | head -1)" more/k.x
printf 7 >more/k.cls
tar cf more/test.tar -C more k.cls k.x
ends 1 '8 classes, but the weights were trained with 4' "more numbers than the weights have classes" ./tokens eval --data more \
    --weights a/last.safetensors
finish
