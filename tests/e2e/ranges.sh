#!/bin/sh
# What `vmoec check` accepts, a program runs with: every key that a flag may change at the ends of its range, which compiler and
# program both take, and just outside, which both refuse. The ranges are those of the manual's table of keys.
. "$top_srcdir/tests/e2e/common.sh"

cat >wide.vmoe <<'END'
vmoe 1
model wide {
  input = image(1024px, channels: 1, crop: 100%)
  classes = 4
  stem { patch = conv(64px, stride: 64px, out: 4) }
  stage s1 { depth = 1; block { residual { norm = layernorm; fc = linear } } }
  head { mean_pool; fc = linear(out: classes) }
}
experiment adam { model = wide; train { batch = 2 images; micro = 2 images } }
experiment main {
  model = wide
  augment { AUGMENT }
  train { batch = 2 images; micro = 2 images; optim = OPTIM; schedule = SCHEDULE }
}
END
fill() {        # AUGMENT OPTIM SCHEDULE
    sed -e "s/AUGMENT/$1/" -e "s/OPTIM/$2/" -e "s/SCHEDULE/$3/" wide.vmoe
}
fill "flip" "sgd()" "step()" >sgd.vmoe
fill "flip" "adamw()" "cosine()" >adam.vmoe
holds "a program with sgd" "$vmoec" build sgd.vmoe -o sgd
holds "a program with adamw" "$vmoec" build adam.vmoe -o adam

# key type low high low_open high_open, of those that a program may change.
"$vmoec" --keys | awk -F ' *[|] *' '$5 ~ /\.\./ && $6 != "network" && $6 != "fixed" {
    key = $2; gsub("`", "", key); split($5, end, / *[.][.] */)
    below = sub(/below /, "", end[2]); above = sub(/above /, "", end[1])
    print key, $3, end[1], end[2], above, below }' >ranges

# What to try of a row: `in` or `out`, and the value.
tries() {
    awk -v type="$1" -v low="$2" -v high="$3" -v above="$4" -v below="$5" 'BEGIN {
        step = type ~ /^(float|time|clip)/ ? 0.0009765625 : 1
        format = step == 1 ? "%s %.0f\n" : "%s %.17g\n"
        printf format, above ? "out" : "in", low
        printf format, above ? "in" : "out", above ? low + step : low - step
        printf format, below ? "out" : "in", high
        printf format, below ? "in" : "out", below ? high - step : high + step }'
}

# The source, or flags, with which a key has a value.
written() {     # key value
    augment=flip optim='adamw()' schedule='cosine()' flags=
    v="($2)"
    case $1 in
    data.limit | train.overfit) flags="--set $1=$v*1image" ;;
    train.batch) flags="--set $1=$v*1image --set train.micro=1image" ;;
    train.epochs | train.patience) flags="--set $1=$v*1epoch" ;;
    data.* | train.seed | train.label_smoothing | train.drop_path | train.ema | train.keep_best) flags="--set $1=$v" ;;
    train.clip) flags="--set train.clip=global_norm($v)" ;;
    train.optim.beta1) optim="adamw(betas: [$v, 0.5])" ;;
    train.optim.beta2) optim="adamw(betas: [0.5, $v])" ;;
    train.optim.momentum) optim="sgd(momentum: $v)" ;;
    train.optim.*) optim="adamw(${1##*.}: $v)" ;;
    train.schedule.warmup) schedule="cosine(warmup: $v * 1 step)" ;;
    train.schedule.final) schedule="cosine(final: $v)" ;;
    train.schedule.every) schedule="step(every: $v * 1 step)" ;;
    train.schedule.factor) schedule="step(factor: $v)" ;;
    augment.m??_scale) augment="random_resized_crop(scale: $v .. $v)" ;;
    augment.m??_ratio) augment="random_resized_crop(ratio: $v .. $v)" ;;
    augment.padded_crop) augment="padded_crop($v * 1px)" ;;
    augment.randaugment) augment="randaugment(n: $v)" ;;
    augment.magnitude) augment="randaugment(m: $v)" ;;
    augment.magnitude_std) augment="randaugment(std: $v)" ;;
    augment.mix_*) augment="mix(${1#*_}: $v)" ;;
    augment.*) augment="${1#*.}($v)" ;;
    *) echo "not ok - no way to write $1 is known to this test"; return 1 ;;
    esac
    fill "$augment" "$optim" "$schedule" >tried.vmoe
}

# in: the command gets as far as the data that it lacks. out: it names the key.
program_takes() {       # in|out key value
    program=./adam
    other=
    case $2 in
    train.optim.momentum) program=./sgd ;;
    augment.min_*) other="--set augment.max_${2#*_}=$3" ;;
    augment.max_*) other="--set augment.min_${2#*_}=$3" ;;
    esac
    # shellcheck disable=SC2086
    $program train --out never --set "$2=$3" $other >said 2>&1
    if [ "$1" = in ]; then
        grep -q 'train needs data' said
    else
        grep -Eq " $(echo "$2" | sed 's/m[ai][nx]_/m.._/')( \(--[a-z-]*\))? must be " said
    fi
}
compiler_takes() {      # in|out
    # shellcheck disable=SC2086
    "$vmoec" check tried.vmoe --experiment main $flags >said 2>&1
    status=$?
    if [ "$1" = in ]; then
        [ $status = 0 ]
    else
        [ $status = 1 ] && grep -q '^error\[V020[46]\]' said
    fi
}

while read -r key type low high above below; do
    wrong=
    tries "$type" "$low" "$high" "$above" "$below" >values
    while read -r where value; do
        written "$key" "$value" && compiler_takes "$where" || wrong="$wrong; compiler: $value should be $where: $(head -1 said)"
        program_takes "$where" "$key" "$value" || wrong="$wrong; program: $value should be $where: $(head -1 said)"
    done <values
    if [ -z "$wrong" ]; then
        pass "$key: $low to $high"
    else
        fail "$key: $low to $high"
        echo "$wrong" | note
    fi
done <ranges
holds "every range was tried" test "$(wc -l <ranges)" -ge 35

# Values that do harm to nobody, and the ends of what an input may be, in a training.
"$make_data" idx gray 16 32 16 4
sed -e 's/crop: 100%/crop: 1%, mean: -1000, std: 0.001, fit: squash/' -e 's/root = "generated"/root = "gray"/' \
    "$here/tiny_maps.vmoe" >ends.vmoe
holds "the ends of an input compile" "$vmoec" build ends.vmoe -o ends
holds "and a training of it begins" ./ends train --dry-run --threads 1
program "$here/tiny_maps.vmoe" ./maps
ends 0 'done: best' "a learning rate of 0, an eps of 2" ./maps train --data gray --out zero --epochs 1 --lr 0 \
    --set train.optim.eps=2 --set train.schedule.final=0 --threads 1
for image in 'crop: 0.9%' 'mean: 1001' 'std: 0.0009' 'std: 1001'; do
    sed "s/crop: 100%/$image/" "$here/tiny_maps.vmoe" >bad.vmoe
    ends 1 'V0206' "no input with $image" "$vmoec" check bad.vmoe
done

# Keys that are right by themselves, but not together: what the compiler takes, a program does not refuse, and the other way.
refused() {
    "$@" >said 2>&1
    status=$?
    [ $status = 1 ] || [ $status = 2 ]
}
together() {    # REFUSED ACCEPTED
    ends 1 'V060[235]' "compiler: $1" "$vmoec" check "$here/tiny_maps.vmoe" --set "$1"
    holds "compiler: $2" "$vmoec" check "$here/tiny_maps.vmoe" --set "$2"
    holds "program: $1" refused ./maps train --data gray --out never --set "$1"
    holds "and leaves no folder" test ! -e never
    holds "program: $2" ./maps train --data gray --dry-run --threads 1 --set "$2"
}
together "train.overfit=7 images" "train.overfit=8 images"
together "data.limit=31 images" "data.limit=32 images"
together "train.batch=24 images" "train.batch=32 images"
together "data.val=train" "data.val=test"
for padding in '17px' '16px, reflect: true'; do
    sed "s/padded_crop(2px)/padded_crop($padding)/" "$here/tiny_maps.vmoe" >bad.vmoe
    ends 1 'V0605' "compiler: padded_crop($padding)" "$vmoec" check bad.vmoe
done
holds "program: padded_crop" refused ./maps train --data gray --out never --set augment.padded_crop=17
holds "program: padded_crop that reflects" refused ./maps train --data gray --out never --set augment.padded_crop=16 \
    --set augment.reflect=true
finish
