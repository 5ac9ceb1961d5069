#!/bin/sh
# Sets to evaluate on: several in a call, some of the classes, numbered folders, ReaL labels, maps of classes. What `eval` counts
# is counted once more from the logits that `predict` prints.
. "$top_srcdir/tests/e2e/common.sh"

# The wnids and their labels among the sorted classes of ImageNet-1k.
wnids="n01440764 n01514859 n01774750 n02099601 n02123045 n02389026 n02510455 n02939185 n03344393 n03791053 n04239074 n07747607"
labels="0 8 76 207 281 339 388 469 554 670 799 950"
program "$here/twin_tokens.vmoe" ./net --experiment sparse_tokens -D classes=12 -D height=16px -D width=16px
program "$here/twin_tokens.vmoe" ./wide --experiment sparse_tokens -D classes=1000 -D height=16px -D width=16px
"$make_data" tree in 20 480 240 12
for split in train test; do
    set -- $wnids
    for class in in/$split/*; do
        mv "$class" in/$split/"$1"
        shift
    done
done
ends 0 done "a network of 12 classes of ImageNet" ./net train --data in --out run --epochs 2 --threads 2
w=run/last.safetensors
"$make_data" edit $w unnamed.safetensors '"classes"' '"unnamed"'

# Of the pictures of the test split: some classes (of-N: the set's name), and all in folders that are numbers.
mkdir some few one numbers part part/test mixed
for n in 0 3 4 7 10; do
    cp -r in/test/"$(echo $wnids | cut -d ' ' -f $((n + 1)))" some
done
cp -r in/test/n01774750 in/test/n07747607 few
cp -r in/test/n01774750 one
cp -r some/* part/test
n=0
for wnid in $wnids; do
    cp -r in/test/$wnid numbers/$n
    n=$((n + 1))
done

# by_hand PROGRAM WEIGHTS DATA OUTPUTS TRUTH: "images top1 top5 loss calibration" over OUTPUTS (numbers, or `all`) of the pictures
# of DATA, where TRUTH is a list of CLASS=OUTPUT.
by_hand() {
    "$1" predict --weights "$2" --data "$3" --json --logits --top 1 --threads 2 2>predict.err |
        sed 's/.*"label":"\([^"]*\)".*"logits":\[\(.*\)\]}/\1,\2/' |
        awk -F , -v outputs="$4" -v truth="$5" '
        BEGIN {
            n = split(truth, pairs, " ")
            for (i = 1; i <= n; i++) { split(pairs[i], pair, "="); output[pair[1]] = pair[2] }
            m = split(outputs, list, " ")
            for (i = 1; i <= m; i++) keep[list[i]] = 1
        }
        {
            own = $(2 + output[$1]); best = -1e30; rank = 0; sum = 0; first = -1
            for (i = 0; i < NF - 1; i++)
                if (outputs == "all" || i in keep) {
                    if ($(2 + i) + 0 > best) { best = $(2 + i) + 0; first = i }
                    rank += $(2 + i) + 0 > own + 0
                }
            for (i = 0; i < NF - 1; i++)
                if (outputs == "all" || i in keep) sum += exp($(2 + i) - best)
            images++; top1 += rank < 1; top5 += rank < 5; loss += log(sum) + best - own
            bin = int(15 / sum); if (bin > 14) bin = 14
            confidence[bin] += 1 / sum; hits[bin] += first == output[$1]
        }
        END {
            for (b = 0; b < 15; b++) { gap = hits[b] - confidence[b]; error += gap < 0 ? -gap : gap }
            printf "%d %d %d %.9f %.9f\n", images, top1, top5, loss / images, error / images
        }'
}
# agrees NAME ROW "by_hand": a line of JSON says what was computed by hand.
agrees() {
    tap_row=$(printf '%s %s %s %s %s' "$(field "$2" images)" "$(field "$2" top1)" "$(field "$2" top5)" "$(field "$2" loss)" \
        "$(field "$2" calibration_error)")
    holds "$1" awk -v a="$tap_row" -v b="$3" 'BEGIN {
        n = split(a, x, " "); m = split(b, y, " "); ok = n == 5 && m == 5 && x[1] > 0
        for (i = 1; i <= 3; i++) ok = ok && x[i] == y[i]
        for (i = 4; i <= 5; i++) ok = ok && (x[i] - y[i]) ^ 2 < 1e-10
        print a " | " b; exit !ok }'
}
row() { grep "\"set\":\"$1\"" out >row."$1"; }
pairs() { echo $wnids | tr ' ' '\n' | awk '{ print $1 "=" NR - 1 }' | tr '\n' ' '; }
numbered=$(seq 0 11 | awk '{ print $1 "=" $1 }' | tr '\n' ' ')
five="0 3 4 7 10"

# Several sets in a call.
ends 0 '"set":"in","images":240,.*[0-9]}$' "three sets" ./net eval --weights $w in=in a=some numbers --json --threads 2
holds "a line each" test "$(wc -l <out)" = 3
row in
agrees "all classes: as by hand" row.in "$(by_hand ./net $w in all "$(pairs)")"
holds "it is neither guessed nor perfect" awk -v n="$(field row.in top1)" 'BEGIN { exit !(n > 60 && n < 235) }'
row a
agrees "5 of 12 classes: the others are left out" row.a "$(by_hand ./net $w some "$five" "$(pairs)")"
holds "a number says so" grep -q '"scored_classes":5}' row.a
holds "a line says so" grep -q '^note: a: scored over its 5 classes alone, of 12 (--all-classes: over the others, too)' err
row numbers
agrees "folders 0 to 11 are places, whatever they sort like" row.numbers "$(by_hand ./net $w in all "$(pairs)")"
ends 0 '^a: top-1 [0-9]* of 100 .*, over 5 classes$' "in text" ./net eval --weights $w a=some
ends 1 'nowhere: No such file' "a set that is not there" ./net eval --weights $w in=in b=nowhere a=some --json
holds "the others are evaluated" test "$(grep -c '"images"' out)" = 2
holds "and it is counted" grep -q '1 of 3 sets could not be evaluated' err
ends 2 'give one set with --data' "sets and --data" ./net eval --weights $w --data in some
ends 2 'one at a time' "a table of two sets" ./net eval --weights $w in some --per-class x.csv
ends 0 'top-1' "a table of one" ./net eval --weights $w some --per-class x.csv
holds "no other class was predicted" test "$(awk -F , 'NR > 1 && $2 == 0 { n += $5 } END { print n + 0 }' x.csv)" = 0
ends 0 '^folder some: 100 pictures, 5 classes: top-1' "a folder of class folders as --data" ./net eval --weights $w --data some
tar cf some.tar some
./net eval --weights $w some --json 2>/dev/null | sed 's/"set":"[^"]*"//' >wanted
tarred() { ./net eval --weights $w some.tar --json | sed 's/"set":"[^"]*"//' | cmp - wanted; }
holds "a tar of it is the same" tarred

# When classes are left out, and when not.
ends 0 '"top1"' "--all-classes" ./net eval --weights $w --data some --json --all-classes
agrees "all classes are scored over" out "$(by_hand ./net $w some all "$(pairs)")"
holds "and nothing is told otherwise" grep -q '"calibration_error":[0-9.]*}$' out
ends 0 'the data has 5 classes, the program 12.*--mask-classes' "a split that lacks classes" ./net eval --weights $w --data part --json
agrees "is scored over all" out "$(by_hand ./net $w part all "$(pairs)")"
ends 0 '"scored_classes":5' "unless --mask-classes is given" ./net eval --weights $w --data part --json --mask-classes
agrees "then over its own" out "$(by_hand ./net $w part "$five" "$(pairs)")"
ends 0 '"calibration_error":[0-9.]*}$' "the folder of a split is no set of its own" ./net eval --weights $w --data part/test --json
ends 0 '"calibration_error":[0-9.]*}$' "nor is one class alone" ./net eval --weights $w --data one --json
ends 2 'give one' "both flags" ./net eval --weights $w --data some --mask-classes --all-classes

# Numbered folders of a part of the classes, and beyond them.
mkdir two
cp -r numbers/2 numbers/11 two
ends 0 '"scored_classes":2' "numbers of a part" ./net eval --weights $w --data two --json
agrees "as the classes they stand for" out "$(by_hand ./net $w few "2 11" "$(pairs)")"
mv two/11 two/12
ends 1 'trained with 12, so that its class 12 is none of them' "a number beyond" ./net eval --weights $w --data two
ends 0 done "a network whose classes are numbers" ./net train --data numbers --holdout 0.5 --out n --epochs 1 --threads 2
ends 0 '"images":240' "takes them as names" ./net eval --weights n/last.safetensors --data numbers --json
sorted=$(seq 0 11 | LC_ALL=C sort | awk '{ print $1 "=" NR - 1 }' | tr '\n' ' ')
agrees "in the order of names" out "$(by_hand ./net n/last.safetensors numbers all "$sorted")"

# Weights without names: with 1000 outputs they are those of ImageNet-1k.
ends 1 'hold no names' "a part of the classes, and no names" ./net eval --weights unnamed.safetensors --data some
ends 0 done "1000 outputs" ./wide train --data in --out wide.run --epochs 1 --threads 2
"$make_data" edit wide.run/last.safetensors wide.safetensors '"classes"' '"unnamed"'
echo $labels | tr ' ' '\n' >labels
paired=$(echo $wnids | tr ' ' '\n' | paste -d = - labels | tr '\n' ' ')
ends 0 '"scored_classes":5' "1000 outputs without names" ./wide eval --weights wide.safetensors --data some --json
agrees "are the classes of ImageNet" out "$(by_hand ./wide wide.safetensors some "0 207 281 469 799" "$paired")"
ends 0 '"images":240' "numbers of ImageNet" ./wide eval --weights wide.safetensors --data numbers --json --all-classes
agrees "are its labels" out "$(by_hand ./wide wide.safetensors numbers all "$numbered")"

# Weights whose classes are the numbers 0 to 999.
mkdir shards shards/train
for pair in $paired; do
    for file in in/train/"${pair%=*}"/*; do
        cp "$file" shards/train/"${pair%=*}-$(basename "$file")"
        echo "${pair%=*}-$(basename "$file") ${pair#*=}" >>shards/train.txt
    done
done
sed -i 's/ 950$/ 999/' shards/train.txt             # so that there are a thousand
ends 0 done "labels that are numbers" ./wide train --data shards --holdout 0.5 --out thousand.run --epochs 1 --threads 2
ends 0 '"scored_classes":5' "know the classes of ImageNet" ./wide eval --weights thousand.run/last.safetensors --data some --json
agrees "as by hand" out "$(by_hand ./wide thousand.run/last.safetensors some "0 207 281 469 799" "$paired")"

# So are folders, which sort otherwise: 0 1 10 100 101 ..
mkdir folders folders/train
for number in $(seq 0 999); do
    mkdir "folders/train/$number"
    cp "shards/train/$(sed -n "$((number % 100 + 1))s/ .*//p" shards/train.txt)" "folders/train/$number/a.jpg"
    cp folders/train/$number/a.jpg folders/train/$number/b.jpg
done
place() { seq 0 999 | LC_ALL=C sort | grep -nx "$1" | cut -d : -f 1 | awk '{ print $1 - 1 }'; }
placed=$(for pair in $paired; do echo "${pair%=*}=$(place "${pair#*=}")"; done | tr '\n' ' ')
placed_five=$(for number in 0 207 281 469 799; do place $number; done | tr '\n' ' ')
ends 0 done "folders that are numbers" ./wide train --data folders --holdout 0.5 --out folders.run --epochs 1 --threads 2
ends 0 '"scored_classes":5' "know them, too" ./wide eval --weights folders.run/last.safetensors --data some --json
agrees "in their own order" out "$(by_hand ./wide folders.run/last.safetensors some "${placed_five% }" "$placed")"

# Maps of classes.
mkdir foreign
cp -r in/test/n01774750 foreign/aa
cp -r in/test/n02510455 foreign/bb
cp -r in/test/n07747607 foreign/cc
printf '2\n6\r\n11\n\n' >map
ends 0 '"scored_classes":3' "a map by numbers" ./net eval --weights $w --data foreign --class-map map --json
agrees "as by hand" out "$(by_hand ./net $w foreign "2 6 11" "aa=2 bb=6 cc=11")"
mv out plain.out
printf '\357\273\2772\r\n6\r\n11\r\n' >map
ends 0 '"scored_classes":3' "a map behind a byte-order mark" ./net eval --weights $w --data foreign --class-map map --json
holds "is the same map" cmp plain.out out
printf '\377\3762\000\n\000' >map
ends 1 'map is a text in UTF-16; save it as UTF-8' "a map in UTF-16" ./net eval --weights $w --data foreign --class-map map
echo $wnids | tr ' ' '\n' | sed 's/$/ some name, another/' >names
ends 0 '"scored_classes":5' "a map by names, weights without" ./net eval --weights unnamed.safetensors --data part --class-map names --json
agrees "is as names in the weights" out "$(by_hand ./net $w part "$five" "$(pairs)")"
ends 0 '"calibration_error":[0-9.]*}$' "and over all outputs if wanted" ./net eval --weights unnamed.safetensors --data part \
    --class-map names --all-classes --json
seq 0 999 | awk '{ print ($1 * 7 + 3) % 1000 }' >thousand
moved=$(echo $wnids | tr ' ' '\n' | paste -d ' ' - labels | awk '{ print $1 "=" ($2 * 7 + 3) % 1000 }' | tr '\n' ' ')
ends 0 'images":240.*_error":[0-9.]*}$' "a map of ImageNet's 1000 classes" ./wide eval --weights wide.safetensors --data in \
    --class-map thousand --json
agrees "as by hand, over all of them" out "$(by_hand ./wide wide.safetensors in all "$moved")"
ends 0 '"scored_classes":2' "and for a part of them" ./wide eval --weights wide.safetensors few --class-map thousand --json
agrees "as by hand, over these" out "$(by_hand ./wide wide.safetensors few "535 653" "$moved")"

# ImageNet-1k and more, as in ImageNet-21k: numbers are places among the classes of ImageNet-1k.
program "$here/twin_tokens.vmoe" ./wider --experiment sparse_tokens -D classes=1100 -D height=16px -D width=16px
ends 0 done "1100 outputs" ./wider train --data in --out wider.run --epochs 1 --threads 2
ends 0 top-1 "names of a thousand" ./wide eval --weights wide.safetensors --data some --all-classes --per-class known.csv
{ seq -f 'x%03.0f' 100; tail -n +2 known.csv | cut -d , -f 1 | LC_ALL=C sort -r; } >more
holds "are 1100 with others" test "$(sort -u more | wc -l)" = 1100
mkdir v2
for pair in $paired; do
    cp -r in/test/"${pair%=*}" v2/"${pair#*=}"
done
there=$(grep -nE "^($(echo $wnids | tr ' ' '|'))\$" more | awk -F : '{ print $2 "=" $1 - 1 }')
outputs=$(echo "$there" | sed 's/.*=//' | tr '\n' ' ')
truth=$(for pair in $paired; do echo "${pair#*=}=$(echo "$there" | sed -n "s/^${pair%=*}=//p")"; done | tr '\n' ' ')
ends 0 '"scored_classes":12' "numbers of ImageNet-1k" ./wider eval --weights wider.run/last.safetensors v2 --class-map more --json
agrees "as by hand" out "$(by_hand ./wider wider.run/last.safetensors v2 "$outputs" "$truth")"
sed 's/n01774750/teddy/' more >less
ends 1 'less does not name the class `n01774750`' "one that is missing is told by its name" \
    ./wider eval --weights wider.run/last.safetensors v2 --class-map less

for bad in '0 1 1|lines 2 and 3 are the same output, 1' '0 1 12|map:3: `12` is no output of the weights, 0 to 11' '0 - 2|no output' \
    '0 1|has 2 lines, one for each class, but the data is folder foreign' 'cat dog|has 2 names, but the weights have 12 outputs' '|is empty'; do
    echo "${bad%%|*}" | tr ' ' '\n' >map
    ends 1 "${bad#*|}" "a map that is wrong: ${bad#*|}" ./net eval --weights $w --data foreign --class-map map
done
printf '2\n\n11\n' >map
ends 1 'map:3: the line before it is empty' "an empty line in the middle" ./net eval --weights $w --data foreign --class-map map
sed 's/n07747607/n01440764/' names >map
ends 1 'two lines `n01440764`' "a name twice" ./net eval --weights $w --data some --class-map map
ends 1 'names does not name the class `aa`' "a class that the map lacks" ./net eval --weights $w --data foreign --class-map names

# ReaL labels: of picture i none, one of two right, or one that is wrong.
cp -r in/test real
i=0
for file in real/*/*; do
    i=$((i + 1))
    mv "$file" "$(dirname "$file")/$(printf ILSVRC2012_val_%08d.JPEG $((i * 7 % 241)))"
done
./net predict --weights $w --data real --json --top 1 --threads 2 2>/dev/null |
    sed 's/.*ILSVRC2012_val_0*\([0-9]*\).JPEG","label":"\([^"]*\)".*"class":\([0-9]*\),.*/\1 \2 \3/' | sort -n >rows
awk -v labels="$labels" -v wnids="$wnids" '
    BEGIN { n = split(labels, l, " "); split(wnids, w, " "); for (i = 1; i <= n; i++) { label[w[i]] = l[i]; at[i - 1] = l[i] } }
    { list = NR % 3 == 0 ? "" : NR % 3 == 1 ? "5, " label[$2] : l[NR % 12 + 1]
      printf "%s[%s]", NR == 1 ? "[" : ", ", list
      images += NR % 3 > 0
      hits += NR % 3 == 1 ? at[$3] == label[$2] : NR % 3 == 2 ? at[$3] == l[NR % 12 + 1] : 0 }
    END { print "]"; print "\"real_images\":" images ",\"real_top1\":" hits "}" >"wanted" }' rows >real.json
holds "pictures are numbered 1 to 240" test "$(cut -d ' ' -f 1 rows | tr '\n' ' ')" = "$(seq 1 240 | tr '\n' ' ')"
ends 0 "$(cat wanted)\$" "ReaL: as by hand" ./net eval --weights $w real --real real.json --json
holds "by this many hits" awk -F '[:,}]' '{ exit !($2 == 160 && $4 > 30 && $4 < 140) }' wanted
ends 0 ', ReaL [0-9]* of 160 \([0-9.]* %\)$' "in text" ./net eval --weights $w real --real real.json
{ printf '\357\273\277' && cat real.json; } >marked.json
ends 0 "$(cat wanted)\$" "behind a byte-order mark" ./net eval --weights $w real --real marked.json --json
mkdir flat flat/val
cp real/*/* flat/val
awk -v wnids="$wnids" 'BEGIN { split(wnids, w, " ") } { printf "ILSVRC2012_val_%08d.JPEG %s\n", $1, $2 }' rows >flat/val.txt
ends 0 "$(cat wanted)\$" "without class folders" ./net eval --weights $w flat --real real.json --json
ends 0 "$(cat wanted)\$" "beside a set with other pictures" ./net eval --weights $w real some --real real.json --json
holds "which is told" grep -q '^note: folder some.*: has other pictures than those with ReaL labels' err
ends 1 'no picture is called ILSVRC2012_val_00000001.JPEG' "other pictures" ./net eval --weights $w some --real real.json
sed 's/\], \[[^]]*\]\]$/]]/' real.json >short.json
ends 1 'short.json has labels for 239 pictures, but none for n[0-9]*/ILSVRC2012_val_00000240.JPEG' "too few labels" \
    ./net eval --weights $w real --real short.json
for bad in '{}|no list of lists' '[1]|entry 1 is no list' '[[1], [1000]]|entry 2 has a label' '[[1|x.json is no valid JSON .line 2.*ReaL labels'; do
    echo "${bad%|*}" >x.json
    ends 1 "${bad#*|}" "labels that are wrong: ${bad#*|}" ./net eval --weights $w real --real x.json
done
cp -r real mixed/real
mv "$(find mixed -name '*_00000017.JPEG')" mixed/real/n01440764/17.JPEG
ends 1 'n01440764/17.JPEG is not called as ILSVRC' "some have other names" ./net eval --weights $w mixed/real --real real.json
ends 1 'no output of the network is called' "a network of other classes" ./net eval --weights n/last.safetensors --data numbers \
    --real real.json

# The other commands.
ends 0 '^some/|^n01440764/' "predict takes such a folder" ./net predict --weights $w --data some --limit 5
ends 0 '100 of 100 pictures can be read' "check-data, too" ./net check-data --data some
ends 1 'hold some out' "train does not evaluate on what it learns" ./net train --data some --out none
finish
