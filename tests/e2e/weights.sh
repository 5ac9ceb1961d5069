#!/bin/sh
# Weights of another network: dense layers that become experts, and the algebra that then holds; experts left out; other
# names, shapes, sizes and numbers of classes. The programs are twins: dense and with experts, of the same sizes.
. "$top_srcdir/tests/e2e/common.sh"

"$make_data" tree pictures 64 64 32 4
"$make_data" tree fewer 64 48 24 3

# twin NAME PROGRAM [flags]: NAME is maps or tokens.
twin() {
    name=$1 out=$2
    shift 2
    program "$here/twin_$name.vmoe" "./$out" "$@"
}
# logits PROGRAM WEIGHTS [flags]: those of all test pictures, one picture a line.
logits() {
    tap_p=$1 tap_w=$2
    shift 2
    "./$tap_p" predict --weights "$tap_w" --logits --json --threads 1 "$@" pictures/test 2>notes |
        sed -n 's/.*"logits":\[\([^]]*\)\].*/\1/p'
}
# distance A B: the largest difference of two such files by the largest number of A; -1 where they do not fit.
distance() {
    paste -d '|' "$1" "$2" | awk -F '|' '
        { n = split($1, a, ","); if (split($2, b, ",") != n || n < 2) exit 1
          for (i = 1; i <= n; i++) {
              d = a[i] - b[i]; if (d < 0) d = -d; if (d > far) far = d
              s = a[i] < 0 ? -a[i] : a[i]; if (s > size) size = s } }
        END { if (NR == 32 && size > 0) print far / size; else print -1 }'
}
near() { d=$(distance "$1" "$2"); echo "distance $d"; awk -v d="$d" 'BEGIN { exit !(d >= 0 && d <= 1e-5) }'; }
far() { d=$(distance "$1" "$2"); echo "distance $d"; awk -v d="$d" 'BEGIN { exit !(d > 1e-3) }'; }
# rename FROM TO SCRIPT: a safetensors file whose header went through sed.
rename() {
    tap_n=$(od -An -tu8 -N8 "$1" | tr -d ' ')
    tail -c +9 "$1" | head -c "$tap_n" | sed -E "$3" >header
    tap_size=$(wc -c <header)
    {
        for tap_i in 0 8 16 24 32 40 48 56; do
            # shellcheck disable=SC2059
            printf "\\$(printf %o $((tap_size >> tap_i & 255)))"
        done
        cat header
        tail -c "+$((9 + tap_n))" "$1"
    } >"$2"
}
says() { ends 0 "$1" "$2" cat notes; }

# Equal experts under weights that sum to 1 are the dense layer.
for net in maps tokens; do
    twin $net dense_$net --experiment dense_$net
    holds "$net: a dense network learns" ./dense_$net train --data pictures --out $net --threads 1
    w=$net/last.safetensors
    logits dense_$net $w >dense
    for k in 1 2 3 4; do
        twin $net sparse_$net.$k --experiment sparse_$net -D k=$k
        logits sparse_$net.$k $w --upcycle >upcycled
        holds "$net: copied into 4 experts, top $k: the dense logits" near dense upcycled
    done
    says 'note: experts copied from dense layers: .*experts.fc1.weight \([0-9]+,[0-9]+\) to \(4,[0-9]+,[0-9]+\) and' "$net: a note says so"
    says 'note: initial values beside copied experts: .*router.weight and' "$net: and what is new"
    twin $net sparse_$net.one --experiment sparse_$net -D experts=1 -D k=1
    logits sparse_$net.one $w --upcycle >upcycled
    holds "$net: one expert: the dense logits" near dense upcycled
    logits sparse_$net.2 $w --upcycle --upcycle-noise 0.2 >noisy
    holds "$net: noise is seen" far dense noisy
    logits sparse_$net.2 $w --upcycle --upcycle-noise 0.2 >again
    holds "$net: and the same again" cmp noisy again
    twin $net sparse_$net.plain --experiment sparse_$net --set model.moe.renormalise=false
    logits sparse_$net.plain $w --upcycle >plain
    holds "$net: so is the sum of the weights where it is not 1" far dense plain

    ends 1 '--upcycle copies each into all experts' "$net: experts are not made unasked" \
        ./sparse_$net.2 eval --data pictures --weights $w --threads 1
    holds "$net: the report counts" grep -Eq 'missing \((10|20)\): .*mlp.router.weight' err
    ends 1 'has nothing to do' "$net: nothing to copy" ./dense_$net eval --data pictures --weights $w --upcycle --threads 1

    # A training that begins so, and one that resumes before its first state.
    holds "$net: training begins with copies" ./sparse_$net.2 train --data pictures --out $net.moe --weights $w --upcycle \
        --upcycle-noise 0.01 --epochs 1 --threads 1
    moe=$net.moe/last.safetensors
    cp $moe first.safetensors
    rm -r $net.moe/state $net.moe/metrics.* $net.moe/*.safetensors
    holds "$net: resuming at the beginning does as much" ./sparse_$net.2 train --data pictures --out $net.moe --resume --threads 1
    holds "$net: to the same bits" cmp first.safetensors $moe
    ends 1 'has nothing to do' "$net: what has experts is not copied again" \
        ./sparse_$net.2 eval --data pictures --weights $moe --upcycle --threads 1

    # Experts left out: of equal ones, no matter which.
    holds "$net: equal experts, saved" ./sparse_$net.4 train --data pictures --out $net.equal --weights $w --upcycle --epochs 1 \
        --lr 1e-30 --set train.schedule.kind=constant --threads 1
    twin $net pruned_$net --experiment sparse_$net -D experts=2 -D k=2
    equal=$net.equal/last.safetensors
    logits pruned_$net $equal --keep-experts 3,1 >pruned
    holds "$net: 2 of 4 equal experts: the dense logits" near dense pruned
    says 'note: experts kept: .*router.weight \(4,[0-9]+\) to \(2,' "$net: a note says which tensors"
    ends 1 '--keep-experts 0,2,..' "$net: experts are not left out unasked" \
        ./pruned_$net eval --data pictures --weights $equal --threads 1
    ends 2 'experts 0 .. 3 in .*, there is no 4' "$net: an expert that is not there" \
        ./pruned_$net eval --data pictures --weights $equal --keep-experts 0,4 --threads 1
    layer=$(./pruned_$net info --json | sed 's/.*"moe"//' | grep -o '"name": *"[^"]*"' | head -1 | cut -d '"' -f 4)
    ends 1 'other shape' "$net: a list for one layer is none for the others" \
        ./pruned_$net eval --data pictures --weights $equal --keep-experts "$layer=0,1" --threads 1
    ends 2 'LAYER=0,2;LAYER=1,3' "$net: an unknown layer" \
        ./pruned_$net eval --data pictures --weights $equal --keep-experts 's9[9].mlp=0,1' --threads 1

    # Another number of classes, of names that the file does not tell.
    twin $net fewer_$net --experiment dense_$net -D classes=3
    "$make_data" edit $w unnamed.safetensors '"classes"' '"unnamed"'
    ends 0 'a new head for another number of classes: head(.fc)?.bias \(4\) to \(3\) and 1 more|\(4,[0-9]+\) to \(3,' \
        "$net: a new head in training" \
        ./fewer_$net train --data fewer --out $net.fewer --weights unnamed.safetensors --epochs 1 --threads 1
    ends 1 'train --weights. only' "$net: not in an evaluation" ./fewer_$net eval --data fewer --weights $w --threads 1
done

# Other tools' files: the same logits, bit by bit.
w=maps/last.safetensors
logits dense_maps $w >dense
same() {
    logits dense_maps "$2" >other
    holds "$1" cmp dense other
    says "note: $3" "$1: a note says so"
}
rename $w original.safetensors 's/"stem\./"downsample_layers.0./g; s/"stages\.([0-9])\.downsample\./"downsample_layers.\1./g
    s/"stages\.([0-9])\.blocks\./"stages.\1./g; s/\.conv_dw\./.dwconv./g; s/mlp\.fc([12])\./pwconv\1./g
    s/"head\.norm\./"norm./g; s/"head\.fc\./"head./g'
same "names of the original ConvNeXt repository" original.safetensors 'names of a first repository \(dwconv, pwconv1, pwconv2\): '
rename original.safetensors wrapped.safetensors 's/"([a-z_]+\.[a-z0-9_.]+)":\{"d/"module.model.\1":{"d/g'
same "in two wrappers" wrapped.safetensors '.module.. taken off all names'
rename $w conv.safetensors 's/(fc[12]\.weight":\{"dtype":"F32","shape":\[[0-9]+,[0-9]+)/\1,1,1/g'
same "1 x 1 convolutions" conv.safetensors 'axes of 1 taken off or added: .*,1,1\) to \('
logits sparse_maps.2 original.safetensors --upcycle >upcycled
holds "copied into experts from the original names" near dense upcycled

# Positions: another size of pictures, and back, by what the file says of its grid.
twin tokens wide --experiment dense_tokens -D height=48px -D width=96px
ends 0 'note: positions resampled: pos_embed \(1,17,32\) to \(1,19,32\)' "positions of another size" \
    ./wide eval --data pictures --weights tokens/last.safetensors --threads 1
holds "training goes on from them" ./wide train --data pictures --out wide.run --weights tokens/last.safetensors --epochs 1 --threads 1
ends 0 'note: positions resampled: pos_embed \(1,19,32\) to \(1,17,32\)' "from a grid that is no square" \
    ./dense_tokens eval --data pictures --weights wide.run/last.safetensors --threads 1
rename wide.run/last.safetensors untold.safetensors 's/"positions":/"positionz":/'
ends 1 'other shape \(1\): pos_embed \(1,19,32\) not \(1,17,32\)' "18 rows are no square" \
    ./dense_tokens eval --data pictures --weights untold.safetensors --threads 1

# timm's other name of the last norm.
rename tokens/last.safetensors fc_norm.safetensors 's/"norm\./"fc_norm./g'
ends 0 'note: the last norm under timm.s other name' "fc_norm in training" \
    ./dense_tokens train --data pictures --out fc_norm --weights fc_norm.safetensors --epochs 1 --threads 1
ends 1 'missing \(2\): norm' "but not in an evaluation" \
    ./dense_tokens eval --data pictures --weights fc_norm.safetensors --threads 1

# Usage.
ends 2 'needs --weights FILE' "--upcycle without weights" ./sparse_maps.2 train --data pictures --out none --upcycle --threads 1
ends 2 'goes with --upcycle' "noise without copies" \
    ./dense_maps eval --data pictures --weights $w --upcycle-noise 0.1 --threads 1
ends 2 'must be a number from 0' "noise below 0" \
    ./sparse_maps.2 eval --data pictures --weights $w --upcycle --upcycle-noise -1 --threads 1
for command in train eval predict; do
    for flag in upcycle upcycle-noise keep-experts; do
        ends 0 "^  --$flag " "$command --help tells of --$flag" ./sparse_maps.2 $command --help
    done
done
finish
