#!/bin/sh
# A training that cannot begin: what the error proposes works when it is followed, and the run folder is left as it was found.
. "$top_srcdir/tests/e2e/common.sh"

program "$here/tiny_maps.vmoe" ./maps           # batches of 32 in calls of 16, routed by 8
cat >pairs.vmoe <<'END'
vmoe 1
model pairs {
  input = image(16px, channels: 1, crop: 100%)
  classes = 4
  stem { patch = conv(4px, stride: 4px, out: 8) }
  stage s1 { depth = 1; block { residual { norm = layernorm; fc = linear } } }
  head { mean_pool; fc = linear(out: classes) }
}
experiment main { model = pairs; augment { mixup }; train { batch = 4 images; micro = 4 images; epochs = 1 epoch } }
END
program pairs.vmoe ./pairs
for n in 5 13 40; do
    "$make_data" idx data.$n 16 $n 8 4
done
"$make_data" idx data.1 16 1 1 1

# The flags that an error proposes, a choice a line; none where it says that none help.
proposals() {
    sed -n -e 's/.*; take \(--.*\)$/\1/p' -e 's/.*); take \([0-9]*\)$/--batch \1/p' \
        -e 's/.*); take \([0-9]*\) or \([0-9]*\)$/--batch \1\n--batch \2/p' -e 's/.*, or \(--set .*\)$/\1/p' "$1"
}
# Begins with these flags, or with those that are proposed instead.
follow() {      # PROGRAM FLAGS...
    "$@" --threads 1 >first 2>&1 && return
    proposals first >proposed
    if [ ! -s proposed ]; then
        cat first
        grep -q 'take more pictures' first
        return
    fi
    while read -r better; do
        # shellcheck disable=SC2086
        "$@" --threads 1 $better >second 2>&1 && continue
        cat first second
        return 1
    done <proposed
}
for n in 5 13 40; do
    for batch in 1 7 8 12 17 24 40; do
        holds "$n pictures, --batch $batch" follow ./maps train --data data.$n --dry-run --batch $batch
    done
done
ends 1 'take more pictures, or rebuild it with a smaller .group' "5 pictures are no group of 8" ./maps train --data data.5 --dry-run
for few in 3 9 20; do
    holds "--overfit $few" follow ./maps train --data data.40 --dry-run --overfit $few
    holds "--limit $few" follow ./maps train --data data.40 --dry-run --limit $few
done
for n in 1 5; do
    for batch in 1 3 6; do
        holds "$n pictures in pairs, --batch $batch" follow ./pairs train --data data.$n --dry-run --batch $batch
    done
done
holds "--limit 1 in pairs" follow ./pairs train --data data.5 --dry-run --limit 1
for bench in "--batch 17" "--train --batch 9" "--train --batch 17"; do
    # shellcheck disable=SC2086
    ends 2 'at most 16 .* a multiple of the routing group, 8' "bench $bench" ./maps bench --seconds 0.01 $bench
done
holds "bench --train --batch 8" ./maps bench --seconds 0.01 --train --batch 8

# A flag before the command: the command that is named has it.
all_flags_follow() {
    for command in train eval predict bench check-data report info gradcheck; do
        ./maps $command --help
    done | sed -n 's/^  --\([a-z-]*\) .*/\1/p' | sort -u | grep -v '^set$' >flags
    while read -r flag; do
        [ "$flag" = help ] || [ "$flag" = experts ] && continue    # of experts the number may be meant
        command=$(./maps "--$flag" x 2>&1 | sed -n 's/.*as in [^ ]* \([a-z-]*\) --.*/\1/p')
        ./maps "$command" --help | grep -q "^  --$flag " || { echo "--$flag: $command"; return 1; }
    done <flags
    test "$(wc -l <flags)" -ge 30
}
holds "a flag stands after a command that has it" all_flags_follow

# A key that is fixed: the build that is proposed is one.
fixed() {       # PROGRAM KEY VALUE
    "$1" train --set "$2=1" >said 2>&1
    sed -n "s/.* --set '\(.*\)'$/\1/p" said | sed "s/VALUE/$3/" >set
    test -s set && "$vmoec" check "$(sed -n 's/^  vmoec build \([^ ]*\) .*/\1/p' said)" --set "$(cat set)" 2>>said || { cat said; return 1; }
}
for pair in train.micro=8 train.loss=binary_cross_entropy train.optim.kind=lamb train.layer_decay=0.5 memory.limit=8 \
    memory.recompute=block; do
    holds "${pair%=*} is fixed" fixed ./maps "${pair%=*}" "${pair#*=}"
done
sed 's/adamw(lr: 1e-2)/sgd(lr: 1e-2)/' "$here/tiny_maps.vmoe" >sgd.vmoe
holds "a program with sgd" "$vmoec" build sgd.vmoe -o sgd
holds "train.optim.nesterov is fixed" fixed ./sgd train.optim.nesterov false
fixed_keys() { "$vmoec" --keys | grep -c '| fixed |'; }
holds "these are all" test "$(fixed_keys)" = 7

# What a training that cannot begin leaves: nothing, so that the next try may have the folder.
"$make_data" idx five 16 64 16 5
echo "no weights" >bad.safetensors
cannot() {      # NAME FLAGS...
    what=$1
    shift
    mkdir empty
    holds "no folder after $what" refused_clean new/deep/run "$@"
    holds "an empty one is empty after $what" refused_clean empty "$@"
    rmdir empty
}
refused_clean() {       # FOLDER FLAGS...
    folder=$1
    shift
    ./maps train --out "$folder" --threads 1 "$@" >said 2>&1 && return 1
    if [ "$folder" = empty ]; then
        test "$(find empty)" = empty
    else
        test ! -e new
    fi
}
cannot "a value out of its range" --data data.40 --lr -1
cannot "values that do not go together" --data data.40 --set augment.padded_crop=17
cannot "no data" --set data.root=
cannot "data that are not there" --data nowhere
cannot "data of other classes" --data five
cannot "a batch that cannot be cut" --data data.40 --batch 12
cannot "weights that are not there" --data data.40 --weights nowhere.safetensors
cannot "weights that are none" --data data.40 --weights bad.safetensors
cannot "--upcycle without weights" --data data.40 --upcycle
mkdir -p stands/here
./maps train --data nowhere --out stands/here/and/more >/dev/null 2>&1
holds "folders that stood before stay" test "$(find stands | sort | tr '\n' ' ')" = "stands stands/here "
./maps train --data nowhere --out slash/ >/dev/null 2>&1
holds "a name with a slash behind" test ! -e slash
holds "the same --out, rightly" ./maps train --data data.40 --out new/deep/run --epochs 1 --threads 1
find new | sort >before
ends 1 'is not empty: .* by --resume' "a run is not begun twice" ./maps train --data data.40 --out new/deep/run --epochs 1
find new | sort >after
holds "and stays as it is" cmp before after
holds "--resume, as it says" ./maps train --out new/deep/run --resume --threads 1
mkdir foreign
echo mine >foreign/file
ends 1 'is not empty: choose another --out$' "a folder without a run" ./maps train --data data.40 --out foreign
holds "is left alone" test "$(cat foreign/file)" = mine
finish
