#!/bin/sh
# What is learnt and scored is what was meant: rows of the head go by the names of classes, weights without names may stand in
# another order, numbers that are none are told, and so are weights of another network of the same shapes.
. "$top_srcdir/tests/e2e/common.sh"

program "$here/twin_tokens.vmoe" ./net --experiment sparse_tokens -D classes=12 -D height=16px -D width=16px
"$make_data" tree in 20 480 240 12
ends 0 done "12 classes are learnt" ./net train --data in --out run --epochs 2 --threads 2
w=run/last.safetensors

# hits WEIGHTS DATA [flags]: those of an evaluation; begins: those of a training that starts there and learns nothing.
hits() {
    tap_w=$1 tap_d=$2
    shift 2
    ./net eval --weights "$tap_w" --data "$tap_d" --json --threads 2 "$@" 2>err >out && field out top1
}
begins() {
    tap_w=$1 tap_d=$2
    shift 2
    rm -rf begun
    ./net train --weights "$tap_w" --data "$tap_d" --out begun --epochs 1 --lr 1e-30 --set train.schedule.kind=constant \
        --threads 2 "$@" >out 2>err && sed -n 's|.* val top-1 \([0-9]*\)/.*|\1|p' out
}
same() { holds "$1" test "$(begins "$2" "$3")" = "$right"; }
right=$(hits $w in)
holds "and known" test "$right" -gt 60

# The same names: the same bits, and nothing is told.
same "a training goes on from the head" $w in
holds "without a word of it" sh -c '! grep -q head err'
holds "they are in their places" cmp $w begun/last.safetensors

# The same classes under each other's names, in the file and in the data.
"$make_data" edit $w swapped.safetensors 'class00\",\"class01' 'class01\",\"class00'
mkdir swap
for split in train test; do
    mkdir swap/$split
    cp -r in/$split/* swap/$split
    mv swap/$split/class00 swap/$split/x
    mv swap/$split/class01 swap/$split/class00
    mv swap/$split/x swap/$split/class01
done
holds "an evaluation goes by names" test "$(hits swapped.safetensors swap)" = "$right"
same "so does a training" swapped.safetensors swap
holds "a line says so" grep -q '^note: rows of the head go by the names of classes: 12 kept, 0 begin afresh, 0 of the file left out$' err
holds "resuming at the beginning does as much" sh -c 'cp begun/last.safetensors first && rm -r begun/state begun/metrics.* \
    begun/*.safetensors && ./net train --resume --out begun --threads 1 && cmp first begun/last.safetensors'

# Some of the classes, some that are new: what is known keeps its row.
mkdir other
for split in train test; do
    mkdir other/$split
    cp -r in/$split/class0[3-9] in/$split/class1* other/$split
    cp -r in/$split/class00 other/$split/class90
    cp -r in/$split/class01 other/$split/class05b
    cp -r in/$split/class02 other/$split/alpha
done
begins $w other >some
holds "known classes, new ones, others left out" grep -q '9 kept, 3 begin afresh, 3 of the file left out$' err
holds "what is known is" test "$(cat some)" -gt $((right / 3))
program "$here/twin_tokens.vmoe" ./five --experiment sparse_tokens -D classes=5 -D height=16px -D width=16px
mkdir few few/train few/test
for class in class02 class07 class09 class10 new; do
    cp -r in/train/$class few/train 2>/dev/null || cp -r in/train/class00 few/train/$class
    cp -r in/test/$class few/test 2>/dev/null || cp -r in/test/class00 few/test/$class
done
ends 0 done "another number of classes" ./five train --weights $w --data few --out few.run --epochs 1 --lr 1e-30 --threads 2
holds "keeps rows as well" grep -q '4 kept, 1 begin afresh, 8 of the file left out$' err
holds "some are hits at once" test "$(field few.run/metrics.jsonl top1)" -gt 25
ends 0 done "a class of each name is new" ./five train --weights few.run/last.safetensors --data few --out few.2 --epochs 1 --threads 2
holds "where all are known nothing is told" sh -c '! grep -q head err'

# Weights of a tool that sorts naturally, without names.
"$make_data" edit $w unnamed.safetensors '"classes"' '"unnamed"'
mkdir natural
for split in train test; do
    mkdir natural/$split
    for n in 0 1 2 3 4 5 6 7 8 9 10 11; do
        cp -r in/$split/"$(printf class%02d $n)" natural/$split/Class$((n + 1))
    done
    mv natural/$split/Class7 natural/$split/class7
done
holds "the order of bytes is wrong for it" test "$(hits unnamed.safetensors natural)" -lt "$right"
holds "which is told" grep -q '^warning: .*output 1 is taken for `Class10`.* there it is `Class2`: .*--class-map natural' err
holds "the natural order can be given" test "$(hits unnamed.safetensors natural --class-map natural)" = "$right"
holds "then nothing is told" sh -c '! grep -q warning err'
seq 0 11 | awk '{ print $1 < 9 ? $1 == 6 ? "class7" : "Class" $1 + 1 : "Class" $1 + 1 }' >names
holds "or a file of names" test "$(hits unnamed.safetensors natural --class-map names)" = "$right"
begins unnamed.safetensors natural >/dev/null
holds "a training tells, too" grep -q '^warning: .*--class-map natural' err
holds "and takes the order" test "$(begins unnamed.safetensors natural --class-map natural)" = "$right"
holds "or the file of names" test "$(begins unnamed.safetensors natural --class-map names)" = "$right"
cp begun/last.safetensors first
rm -r begun/state begun/metrics.* begun/*.safetensors
holds "resuming at the beginning, too" ./net train --resume --out begun --threads 1
holds "to the same bits" cmp first begun/last.safetensors
holds "where both orders are one nothing is told" test "$(hits unnamed.safetensors in)" = "$right" -a "$(grep -c warning err)" = 0
ends 2 'needs --weights' "a map of nothing" ./net train --data in --out none --class-map natural
ends 1 'natural. is for as many' "the natural order of some" ./net eval --weights unnamed.safetensors --data few --class-map natural

# Numbers that are none. poke FILE TENSOR BYTES: the first bytes of a tensor.
poke() {
    tap_n=$(od -An -tu8 -N8 "$1" | tr -d ' ')
    tap_at=$(tail -c +9 "$1" | head -c "$tap_n" | sed -E "s/.*\"$2\":\{[^}]*\"data_offsets\":\[([0-9]+),.*/\1/")
    # shellcheck disable=SC2059
    printf "$3" | dd of="$1" bs=1 seek=$((8 + tap_n + tap_at)) conv=notrunc 2>/dev/null
}
cp $w nan.safetensors
poke nan.safetensors 'blocks\.1\.norm1\.weight' '\000\000\300\177'
cp $w inf.safetensors
poke inf.safetensors head.bias '\000\000\200\377'
wrong='tensor blocks.1.norm1.weight has a number that is not finite'
picture=$(find in/test -name '*.jpg' | sort | head -1)
ends 1 "$wrong" "NaN in weights: eval" ./net eval --weights nan.safetensors --data in
ends 1 "$wrong" "predict" ./net predict --weights nan.safetensors "$picture"
ends 1 "$wrong" "train" ./net train --weights nan.safetensors --data in --out none
ends 1 "$wrong" "bench" ./net bench --weights nan.safetensors
ends 1 'tensor head.bias has' "infinity" ./net eval --weights inf.safetensors --data in
cp $w large.safetensors
for tensor in norm.weight head.weight; do
    poke large.safetensors $tensor '\377\377\177\177\377\377\177\177\377\377\177\177\377\377\177\177'
done
ends 1 "${picture#in/}: output [0-9]* of the network is not finite" "outputs that are none: eval" \
    ./net eval --weights large.safetensors --data in --json
holds "no result is printed" test ! -s out
ends 1 '^\{"file":"[^"]*","error":"output [0-9]* of the network is not finite' "predict" \
    ./net predict --weights large.safetensors "$picture" --json --logits
ends 1 "^$picture: error: output [0-9]* of" "in text" ./net predict --weights large.safetensors "$picture"

# Another network of the same shapes, and another recipe.
network() {
    name=$1
    shift
    program "$here/twin_tokens.vmoe" ./$name --experiment sparse_tokens -D classes=12 -D height=16px -D width=16px "$@"
}
network one -D k=1
sed 's/crop: 100%/mean: 0.4, crop: 100%/' "$here/twin_tokens.vmoe" >darker.vmoe
program darker.vmoe ./darker --experiment sparse_tokens -D classes=12 -D height=16px -D width=16px
network recipe --set train.optim.lr=0.5 --set "train.epochs=7 epochs" --set train.micro="16 images"
told='^note: run/last.safetensors was trained by another program, for another network: '
ends 0 "$told.top_k = 2. there, .top_k = 1. here\$" "top 1 and top 2" ./one eval --weights $w --data in
ends 0 "$told" "predict tells" ./one predict --weights $w "$picture"
ends 0 "$told" "train tells" ./one train --weights $w --data in --out one.run --epochs 1 --threads 2
ends 0 "$told.input = image.*mean: \[0.5.* there, .*mean: \[0.4" "pictures of another scale" ./darker eval --weights $w --data in
ends 0 top-1 "another recipe" ./recipe eval --weights $w --data in
holds "is not told" sh -c '! grep -q note err'
ends 0 top-1 "nor is a file that does not say" ./one eval --weights unnamed.safetensors --data in
"$make_data" edit $w old.safetensors '"network"' '"netword"'
ends 0 'old.safetensors was trained by another program or recipe: it does not say which' "an older file" ./one eval --weights old.safetensors --data in
finish
