#!/bin/sh
# check-data: what is odd in a data set is found, each in its list; a good one has empty lists.
. "$top_srcdir/tests/e2e/common.sh"

program "$here/tiny_tokens.vmoe" ./tokens
"$make_data" tree good 20 64 16 4
find good -name '*.jpg' | while read -r file; do        # some are PNG
    [ "$(head -c 4 "$file" | tail -c 3)" = PNG ] && mv "$file" "${file%.jpg}.png"
done
ends 0 '^80 of 80 pictures can be read' "a good data set" ./tokens check-data --data good --threads 2
holds "its classes have sizes" grep -q 'classes have 16 (class00) to 16 (class00) pictures' out
ends 0 '"unreadable":\[\],"damaged":\[\],"cmyk":\[\],"misnamed":\[\],"tiny":\[\],"turned":\[\],"duplicates":\[\]}$' "no finding, as JSON" \
    ./tokens check-data --data good --json --threads 1
holds "JSON has the sizes" grep -q '"checked":16,"classes":{"class00":4,"class01":4,"class02":4,"class03":4}' out

cp -r good odd
put() { "$make_data" picture "$1" "odd/train/class01/$2" "$3"; }
put truncated cut.jpg 48
put cmyk ink.jpg 48
put png really_png.jpg 40
put gray small.jpg 3
echo "no picture" >odd/train/class02/text.jpg
cp odd/train/class00/"$(ls odd/train/class00 | head -1)" odd/test/class03/again.jpg
ends 1 '^84 of 86 pictures can be read' "an odd one" ./tokens check-data --data odd --threads 2
for line in '2 pictures cannot be read' 'train/class01/cut.jpg: truncated' 'train/class02/text.jpg: this is neither a JPEG nor a PNG' \
    '1 pictures are CMYK' '^  train/class01/ink.jpg$' '1 pictures are of another format' '^  train/class01/really_png.jpg$' \
    '1 pictures have a side below' '^  train/class01/small.jpg .3 x 3.$' '1 pictures have the pixels of an earlier one' \
    '^  test/class03/again.jpg .train/class00/'; do
    holds "told: $line" grep -q -e "$line" out
done
./tokens check-data --data odd --json --threads 1 >one.json 2>&1
./tokens check-data --data odd --json --threads 2 >two.json 2>&1
holds "the same on one thread and on two" cmp one.json two.json
holds "JSON names the twin" grep -q '"duplicates":\[{"picture":"test/class03/again.jpg","of":"train/class00/' one.json
ends 0 '^17 of 17 pictures can be read' "one split only" ./tokens check-data --data odd --split test --threads 1
ends 0 '^16 of 16 pictures can be read' "a few only" ./tokens check-data --data good --limit 8 --threads 1
mkdir alone
tar cf alone/set.tar -C good/test .
mv good/test alone/set
for root in set set.tar; do
    ends 0 '^16 of 16 pictures can be read' "class folders right in it: $root" ./tokens check-data --data alone/$root --threads 1
done
ends 1 'give its folder' "no such data" ./tokens check-data --data nowhere
finish
