#!/bin/sh
# The same pictures as they may lie on the disk: a folder, a tar for each split, tars of tars, shards, labels in a file. The same
# training.
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

# The class folders of the training split are in a tar; numbers beside the test split are places among these classes.
mkdir flat flat/test
cp tars/train.tar flat
label=0
for class in colour/test/*; do
    cp "$class"/* flat/test
    ls "$class" | sed "s/$/ $label/" >>flat/test.txt
    label=$((label + 1))
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
for kind in tars nested shards flat; do
    ends 0 "tars $kind, train: 320 pictures, 4 classes" "$kind: told what was found" ./tokens train --data $kind --out $kind.run --threads 2
    holds "$kind: the bits of the folder" same_training a $kind.run
done
for kind in colour tars shards flat; do
    ./tokens eval --data $kind --weights a/last.safetensors --json >$kind.eval 2>&1
    ends 0 '"images":80,' "$kind: evaluated with the folder's weights" cmp_or_cat colour.eval $kind.eval
done
mkdir more
cp "$(find colour/test -type f | head -1)" more/k.x
printf 7 >more/k.cls
tar cf more/test.tar -C more k.cls k.x
ends 1 '8 classes, but the weights were trained with 4' "more numbers than the weights have classes" ./tokens eval --data more \
    --weights a/last.safetensors
few_files() { (ulimit -S -n 14 && ./tokens train --data shards --out few --threads 2); }
holds "more shards than files may be open unasked" few_files

# Shards by a pattern; a missing one is an error.
ends 0 'train on tars shards/x-train-.*: 320 pictures' "a pattern" ./tokens train --data 'shards/x-train-{000000..000007}.tar' --out pattern --threads 2
holds "a pattern: the bits of the folder" same_training a pattern
ends 1 'cannot read the shard shards/x-train-000008.tar: No such file' "a missing shard" ./tokens train \
    --data 'shards/x-train-{000000..000008}.tar' --out none
mkdir bare
for n in 0 1 2 3 4 5 6 7; do
    cp shards/x-train-00000$n.tar bare/00$n.tar
done
ends 1 "no tars for the split .test. beside bare/.*--holdout" "no shards for the other split" ./tokens train --data 'bare/{000..007}.tar' --out none
ends 0 'evaluate on .*64 pictures' "a part of them held out" ./tokens train --data 'bare/{000..007}.tar' --holdout 0.2 --out bare.h --threads 2

# A part of the training split as validation: the same pictures whatever the layout, and none of them learnt.
ends 0 'train on folder colour, train: 256 pictures, 4 classes .kept of 320.$' "held out: 20 %" ./tokens train --data colour --holdout 0.2 --out h --threads 2
holds "the part that is evaluated" grep -q 'evaluate on folder colour, train: 64 pictures, 4 classes (held out of 320)$' out
for kind in tars nested shards; do
    ./tokens train --data $kind --holdout 0.2 --out $kind.h --threads 2 >/dev/null 2>&1
    holds "$kind: held out alike" same_training h $kind.h
done
ends 0 '"images":64,' "eval takes the part that was held out" ./tokens eval --data colour --holdout 0.2 --weights h/last.safetensors --json
holds "and counts as training did" test "top1 $(field h/metrics.jsonl top1)" = "$(sed 's/.*"top1":\([0-9]*\).*/top1 \1/' out)"
./tokens predict --data colour --holdout 0.2 --weights h/last.safetensors --top 1 | sed 's/:.*//' | sort >held
./tokens check-data --data colour --holdout 0.2 --json >both
holds "no picture is in both" grep -q '"checked":256,.*"checked":64,.*"duplicates":\[\]}' both
holds "a pattern: held out alike" same_training h bare.h
holds "each held-out picture is one of the folder" sh -c 'while read -r f; do test -f colour/$f || exit 1; done <held && test $(wc -l <held) = 64'
ends 1 'leaves none on one side' "too small a share" ./tokens train --data colour --holdout 0.001 --out none
ends 1 'is the split that is learnt from' "what is learnt is not evaluated" ./tokens train --data colour --set data.val=train --out none
ends 2 'holdout' "a share above 1" ./tokens train --data colour --holdout 2 --out none
finish
