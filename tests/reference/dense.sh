#!/bin/sh
# Every dense network of the library, at full size, against timm: from weights that both sides make by hashing, the logits of
# four photos are within 1e-5 of the largest. And differences that a careless eye would pass over are ten times that.
. "$top_srcdir/tests/e2e/common.sh"
reference=$top_srcdir/tests/reference
tools=$top_builddir/tests/reference
photos=$top_srcdir/../shared/data/imagenet-sample
pictures="n01440764/tench.JPEG n01820546/lorikeet.JPEG n02977058/cash_machine.JPEG n03240683/drilling_platform.JPEG"
tolerance=1e-5

# build NAME [FLAGS]: ./program of the row of dense.txt; the names and shapes of its tensors; the weights, made meanwhile
build() {
    tap_row=$(grep "^$1 " "$reference/dense.txt")
    shift
    echo "$tap_row" | {
        read -r _ network _ _ changes
        printf 'vmoe 1\nuse std.%s\nmodel m amends %s { %s }\n' "${network%.*}" "$network" "$changes" >m.vmoe
    }
    "$vmoec" build m.vmoe --emit graph "$@" >graph.txt || return
    sed -n 's/^param //p' graph.txt >names
    "$tools/hash_weights" weights.safetensors <names &
    "$vmoec" build m.vmoe -o program "$@" && wait $!
}

# The sum of the sizes of all tensors: `NAME (D,D,...)`
count_parameters() {
    sed 's/.*(\(.*\)).*/\1/' names |
        awk -F , '{ n = 1; for (i = 1; i <= NF; i++) n *= $i; sum += n } END { printf "%d", sum }'
}

# difference RECORDED: of the program's logits from the recorded ones, as a share of the largest
difference() {
    # shellcheck disable=SC2086
    (cd "$photos" && "$work/program" predict --weights "$work/weights.safetensors" --logits --json $pictures) \
        >rows 2>err
    "$tools/compare_logits" rows "$reference/logits/$1.f32"
}

# close NAME DIFFERENCE
close() { holds "$1 ($2)" awk -v d="$2" -v t=$tolerance 'BEGIN { exit !(d ~ /^[0-9]/ && d <= t) }'; }

# noticed NAME DIFFERENCE
noticed() { holds "$1: is noticed ($2)" awk -v d="$2" -v t=$tolerance 'BEGIN { exit !(d ~ /^[0-9]/ && d >= 10 * t) }'; }

: >left.out
for f in "$top_srcdir"/stdlib/*.vmoe; do
    for model in $(sed -n 's/^model \([a-z0-9_]*\).*/\1/p' "$f"); do
        name=$(basename "$f" .vmoe).$model
        grep -q "^$name  *$name " "$reference/dense.txt" || echo "$name" >>left.out
    done
done
holds "no network of the library is left out: $(tr '\n' ' ' <left.out)" test ! -s left.out

if [ ! -d "$photos" ]; then
    skip "the dense networks against timm" "no ../shared/data/imagenet-sample"
    finish
fi

small="vit.tiny_32 vit.tiny_mean deit.v3_small convnext.atto convnext_iso.small"  # enough where sanitizers slow programs
while read -r name _ parameters _ <&3; do
    [ "$name" = "#" ] && continue
    [ "$sanitized" ] && ! echo " $small " | grep -q " $name " && continue
    holds "$name: builds" build "$name"
    holds "$name: $parameters parameters" test "$(count_parameters)" = "$parameters"
    close "$name: logits as timm's" "$(difference "$name")"
    note <err
    if [ -f "$reference/logits/$name.tanh.f32" ]; then
        noticed "$name: tanh in GELU" "$(difference "$name.tanh")"
    fi
    case $name in vit.tiny | convnext.tiny)
        for block in $(sed -n 's/^\(.*blocks\.[0-9]*\.\).*/\1/p' names | sort -u); do
            "$tools/hash_weights" weights.safetensors "$block" <names
            noticed "$name without $block" "$(difference "$name")"
        done
    esac
    rm -f weights.safetensors program
done 3<"$reference/dense.txt"

if [ -z "$sanitized" ]; then
    while read -r name change <&3; do
        holds "$name: builds with $change" build "$name" --set "$change"
        noticed "$name: $change" "$(difference "$name")"
    done 3<<END
vit.tiny model.blocks.block.eps=1e-5
vit.tiny model.blocks.depth=11
deit.v3_small model.blocks.block.eps=1e-5
convnext.tiny model.s1.block.eps=1e-5
convnext_iso.small model.blocks.block.eps=1e-5
END
fi
finish
