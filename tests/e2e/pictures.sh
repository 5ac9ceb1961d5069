#!/bin/sh
# Pictures of every kind reach the network, and by the way that the model says: cropped, or squashed to its size.
. "$top_srcdir/tests/e2e/common.sh"
pictures=$top_srcdir/tests/reference/pictures

sed 's/image(16px, channels: 1, crop: 100%)/image(48px, mean: imagenet, std: imagenet)/' "$here/tiny_maps.vmoe" >crop.vmoe
sed 's/std: imagenet)/std: imagenet, crop: 75%, resample: bilinear, fit: squash)/' crop.vmoe >squash.vmoe
"$vmoec" build crop.vmoe >/dev/null
"$vmoec" build squash.vmoe >/dev/null
mkdir -p tree/train tree/test
for class in a b c d; do
    mkdir tree/train/$class tree/test/$class
    cp "$pictures"/*.jpg "$pictures"/*.png tree/train/$class
    cp "$pictures"/4*.jpg tree/test/$class
done
ends 0 '^done: best' "trains on all kinds" ./squash train --data tree --out squash.run --epochs 1
holds "weights tell how they want pictures" grep -aq 'crop_pct\\":0.75,\\"crop_mode\\":\\"squash\\",\\"interpolation\\":\\"bilinear' \
    squash.run/last.safetensors
ends 0 '"crop_pct":0.75,"crop_mode":"squash","interpolation":"bilinear"' "so does info" ./squash info --json
ends 0 'squashed to 64 x 64 \(bilinear\)' "in words, too" ./squash info
ends 0 '"crop_pct":0.875,"crop_mode":"center","interpolation":"bicubic"' "cropping is the default" ./crop info --json
ends 0 'cover 54 x 54 \(bicubic\)' "in words, too" ./crop info

# The same weights in two programs that differ in `fit` alone: a square is seen alike, anything else is not.
sed 's/, fit: squash//' squash.vmoe >cover.vmoe
"$vmoec" build cover.vmoe >/dev/null
for picture in exact_224.jpg 444.jpg one_wide.png; do
    ./squash predict --weights squash.run/last.safetensors --logits --json "$pictures/$picture" >squash.out
    ./cover predict --weights squash.run/last.safetensors --logits --json "$pictures/$picture" >cover.out
    cmp -s squash.out cover.out
    same=$?
    case $picture in exact_*) holds "a square is seen alike" test $same = 0 ;;
        *) holds "$picture is not" test $same = 1 ;;
    esac
done
ends 1 "V0211.*squish|squish.*V0211" "a word that is none" "$vmoec" check squash.vmoe --set model.input.fit=squish
ends 0 'fit: crop' "a key like the others" "$vmoec" build squash.vmoe --emit spec --set model.input.fit=crop
finish
