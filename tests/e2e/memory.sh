#!/bin/sh
# A step allocates nothing, and training takes as much memory as `info` says. VMOE_LONG=1 measures the two large examples
# too: minutes, and 6 GiB of memory.
. "$top_srcdir/tests/e2e/common.sh"

program "$here/tiny_maps.vmoe" ./maps
program "$here/tiny_tokens.vmoe" ./tokens
"$make_data" idx gray 16 1600 32 4
"$make_data" tree colour 20 640 16 4
rgb=colour

# Allocations of runs of one epoch that differ in their number of steps only: nothing is learnt, so the evaluation and its report
# are the same. The loader's threads may allocate: the JPEG library does for each picture. IDX pictures need none, so there all
# threads are counted.
count_allocations() {
    program=$1 data=$2 limit=$3 threads=$4
    rm -rf counted
    COUNT_MALLOC=$work/counts ASAN_OPTIONS=$ASAN_OPTIONS:verify_asan_link_order=0 LD_PRELOAD=$tools/count_malloc.so \
        ./"$program" train --data $data --out counted --epochs 1 --lr 1e-30 --limit $limit --threads $threads --save-every 1000000 \
        >counted.out 2>&1 || { note <counted.out; return 1; }
    read -r main all <counts
}
ASAN_OPTIONS=${ASAN_OPTIONS:-detect_leaks=1}
for threads in 1 2; do
    count_allocations maps gray 320 $threads
    few_main=$main few_all=$all
    count_allocations maps gray 1600 $threads
    echo "# maps, $threads threads: $few_main calls of the main thread, $few_all in all in 10 steps; $main, $all in 50"
    holds "allocations are counted" test "$few_main" -gt 100
    holds "no allocation of the main thread in a step, $threads threads" test "$main" = "$few_main"
    holds "none in other threads either" test "$all" -le "$((few_all + 8))"
    count_allocations tokens $rgb 320 $threads
    few_main=$main
    count_allocations tokens $rgb 640 $threads
    echo "# tokens, $threads threads: $few_main calls of the main thread in 10 steps, $main in 20"
    holds "nor with pictures that are decoded" test "$main" = "$few_main"
done

# Peak resident size against what info says: resident SPEC NAME DATA MICRO.
resident() {
    name=$2 data=$3
    program "$1" "./$name" --set "train.micro=$4 images" --set "train.batch=$((2 * $4)) images"
    ./"$name" info --json >info.out
    said=$(field info.out memory_train_bytes)
    "$tools/peak" peak.out ./"$name" train --data "$data" --out "$name.run" --epochs 1 --limit "$limit" --threads 2 \
        >resident.out 2>&1 || { tail -3 resident.out | note; fail "$name trains"; return; }
    peak=$(($(cat peak.out) * 1024))
    share=$((peak / (said / 100)))
    echo "# $name: info says $((said >> 20)) MiB, resident $((peak >> 20)) MiB: $share %"
    holds "$name: resident within 10 % of what info says" test "$share" -ge 90 -a "$share" -le 110
    holds "$name: below 6 GiB" test "$peak" -lt $((6 << 30))
}
"$make_data" idx gray28 28 1024 32 10
"$make_data" tree rgb32 32 512 32 10
limit=1024
if [ -z "$sanitized" ]; then        # the sanitizers have memory of their own
    resident "$top_srcdir/examples/quickstart.vmoe" quickstart gray28 512
    resident "$top_srcdir/examples/cifar10_vit_moe.vmoe" cifar10_vit_moe rgb32 256
fi
if [ -n "${VMOE_LONG:-}" ] && [ -z "$sanitized" ]; then
    "$make_data" tree photos 256 64 16 10
    limit=64
    for name in convnext_tiny_last2 vit_small_every2; do
        resident "$top_srcdir/examples/$name.vmoe" $name photos 16
    done
fi
finish
