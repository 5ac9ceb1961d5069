#!/bin/sh
# The small examples do everything a program can do, on generated pictures.
. "$top_srcdir/tests/e2e/common.sh"
examples=$top_srcdir/examples

"$make_data" tree colour 32 160 40 10
"$make_data" idx gray 28 160 40 10

for name in quickstart cifar10_convnext_moe cifar10_vit_moe own_block conv_mixer gmlp; do
    program "$examples/$name.vmoe" ./$name
done

for name in quickstart cifar10_convnext_moe cifar10_vit_moe own_block conv_mixer gmlp; do
    data=colour
    [ $name = quickstart ] && data=gray
    ends 0 '^done: best top-1' "$name trains" ./$name train --data $data --out $name.run --epochs 1 --limit 160 --threads 1
    holds "it prints the load of each expert" grep -Eq '^  [^ ]+\.(mlp|mix) +load [0-9. ]+ %  dropped' out
    ends 0 '"images":40,"top1":[0-9]*,"top5":[0-9]*,"loss":[0-9.]' "$name evaluates" \
        ./$name eval --data $data --weights $name.run/best.safetensors --json --threads 1
    holds "as the training did" test "$(field out top1)" = "$(field $name.run/metrics.jsonl top1)"
    ends 0 '\(is (class00|0)\)$' "$name predicts" \
        ./$name predict --data $data --weights $name.run/best.safetensors --limit 3 --top 2 --threads 1
    ends 0 '"logits":\[.*"features":\[' "$name gives logits and features" \
        ./$name predict --data $data --weights $name.run/best.safetensors --limit 1 --logits --features --json --threads 1
    for mode in '' --train; do
        ends 0 '"images_per_s":[0-9.]+,"ms_per_image":[0-9.]+,"gflops":[0-9.]+' "$name bench $mode" \
            ./$name bench $mode --batch 8 --seconds 0.05 --json --threads 1
    done
    ends 0 '"mode":"eval","batch":8' "$name bench of trained weights" \
        ./$name bench --weights $name.run/best.safetensors --batch 8 --seconds 0.05 --json --threads 1
    "$vmoec" build "$examples/$name.vmoe" --emit spec -o $name.spec >/dev/null
    holds "$name: a frozen spec is kept" cmp $name.run/spec.vmoe $name.spec
done
program "$here/tiny_maps.vmoe" ./tiny_maps
program "$here/tiny_tokens.vmoe" ./tiny_tokens
for name in quickstart own_block conv_mixer gmlp tiny_maps tiny_tokens; do
    ends 0 ', 0 tensors that fail' "$name gradcheck" ./$name gradcheck --threads 1
done
ends 0 '"passed":true,"failed":0,"kinds":\[' "gradcheck --json" ./tiny_maps gradcheck --json --threads 1

# A prediction does not depend on its neighbours, nor on the number of threads.
./quickstart predict --data gray --weights quickstart.run/best.safetensors --json --logits --threads 2 >all.out
./quickstart predict --data gray --weights quickstart.run/best.safetensors --json --logits --threads 1 --limit 3 >three.out
sed 's/,"label.*//' three.out >three.names
grep -F -f three.names all.out >same.out
holds "predictions do not depend on neighbours" cmp same.out three.out
finish
