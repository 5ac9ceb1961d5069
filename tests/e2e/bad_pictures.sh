#!/bin/sh
# Pictures and data sets that are odd or bad: odd ones serve, bad ones end in a message that names them.
. "$top_srcdir/tests/e2e/common.sh"

program "$here/tiny_tokens.vmoe" ./tokens
"$make_data" tree good 20 64 16 4
./tokens train --data good --out run --epochs 1 --threads 1 >/dev/null 2>&1
w=run/last.safetensors

for kind in plain rgb gray progressive cmyk ycck png png-gray png-alpha; do
    "$make_data" picture $kind $kind.jpg 48
    ends 0 "^$kind.jpg: class0" "predict reads $kind" ./tokens predict --weights $w $kind.jpg --threads 1
done
holds "names do not matter" ./tokens predict --weights $w --logits plain.jpg progressive.jpg --threads 1
ends 0 'plain.jpg: class0' "a list on stdin" sh -c "printf 'plain.jpg\n\ngray.jpg\n' | ./tokens predict --weights $w - --threads 1"
mv out list.out
ends 0 'plain.jpg: class0' "a list as Windows writes it" \
    sh -c "printf '\357\273\277plain.jpg\r\n\r\ngray.jpg\r\n' | ./tokens predict --weights $w - --threads 1"
holds "gives the same rows" cmp list.out out
ends 1 'the list is a text in UTF-16; save it as UTF-8' "a list in UTF-16" \
    sh -c "printf '\377\376p\000\n\000' | ./tokens predict --weights $w - --threads 1"

# Bad ones: file, what the message says.
"$make_data" picture plain cut1.jpg 48
printf '\377\330\377' >only_magic.jpg
head -c 20 cut1.jpg >head_only.jpg
: >empty.jpg
echo "this is text" >fake.jpg
printf '<html>not found</html>' >page.jpg
printf 'GIF89a......' >anim.jpg
head -c 3000 /dev/urandom | sed '1s/^/x/' >noise.jpg
{ cat cut1.jpg; head -c 500 /dev/zero; } >tail_of_zeros.jpg
for kind in truncated truncated-progressive huge png-truncated png-huge; do
    "$make_data" picture $kind $kind.jpg 48
done
while read -r file pattern; do
    ends 1 "^$file: error: .*$pattern" "predict: $file" ./tokens predict --weights $w "$file" --threads 1
done <<END
truncated.jpg truncated JPEG.*replace or remove
truncated-progressive.jpg truncated JPEG.*replace or remove
huge.jpg 65500 x 65500 pixels; the limit is
png-truncated.jpg truncated
png-huge.jpg PNG
only_magic.jpg JPEG
head_only.jpg truncated JPEG
empty.jpg the file is empty
fake.jpg neither a JPEG nor a PNG
page.jpg HTML
anim.jpg GIF.*convert
noise.jpg neither a JPEG nor a PNG
absent.jpg No such file
END
ends 0 'tail_of_zeros.jpg: class' "bytes behind the picture do no harm" ./tokens predict --weights $w tail_of_zeros.jpg --threads 1
ends 1 '"file":"huge.jpg","error":"' "bad pictures as JSON" ./tokens predict --weights $w --json huge.jpg plain.jpg --threads 1
holds "the good picture after it has its row" grep -q '"file":"plain.jpg","predictions"' out
mkdir none
ends 1 'there are no pictures' "predict of an empty folder" ./tokens predict --weights $w none
mkfifo pipe
ends 1 'not a regular file' "a pipe is refused, not waited for" ./tokens predict --weights $w pipe

# A data set that is predicted.
ends 0 '^test/class00/00000.jpg: .*\(is class00\)$' "predict --data names pictures and true classes" \
    ./tokens predict --weights $w --data good --split test --top 1 --threads 1
holds "each picture once" test "$(wc -l <out)" = 16
ends 0 '"file":"train/class02/[0-9]*.jpg","label":"class02","predictions":\[' "predict --data --split --limit as JSON" \
    ./tokens predict --weights $w --data good --split train --limit 2 --json --threads 1
holds "as many as --limit says" test "$(wc -l <out)" = 2
tar czf good.tar.gz good
./tokens predict --weights $w --data good --threads 1 >folder.out
./tokens predict --weights $w --data good.tar.gz --threads 1 | sed 's,^good/,,' >tar.out
holds "a tar.gz gives the same rows" cmp folder.out tar.out
ends 1 'cannot open the data' "predict --data of nothing" ./tokens predict --weights $w --data nowhere
cp -r good odd
cp truncated.jpg odd/test/class01/00000.jpg
ends 1 '^test/class01/00000.jpg: error: truncated JPEG' "a bad picture of the data has its row" \
    ./tokens predict --weights $w --data odd --split test --threads 1
holds "and the others theirs" test "$(grep -c 'is class' out)" = 16

# Training on them.
for kind in cmyk gray progressive png-alpha; do
    cp $kind.jpg good/train/class02/$kind.jpg
done
ends 0 'done: best' "odd pictures train" ./tokens train --data good --out odd.run --epochs 1 --threads 1
for kind in truncated huge fake empty; do
    cp -r good bad.$kind
    cp $kind.jpg bad.$kind/train/class01/00001.jpg
    ends 1 "bad.$kind: train/class01/00001.jpg: .*data.bad bears 0" "training that bears none names the $kind picture" \
        ./tokens train --data bad.$kind --out bad.$kind.run --bad-pictures 0 --threads 1
done
same_run() { cmp "$1/last.safetensors" "$2/last.safetensors" && cmp "$1/best.safetensors" "$2/best.safetensors"; }
ends 0 'warning: bad.truncated: train/class01/00001.jpg: truncated JPEG.*another picture stands in' "else others stand in for it" \
    ./tokens train --data bad.truncated --out borne --threads 1
holds "it is told once" test "$(grep -c 'stands in' err)" = 1
holds "and listed once" test "$(cut -f 1 borne/bad_pictures.txt)" = train/class01/00001.jpg
holds "each epoch tells in its metrics" test "$(grep -c '"warning":"1 pictures of epoch' borne/metrics.jsonl)" = 4
./tokens train --data bad.truncated --out borne.2 --threads 2 >/dev/null 2>&1
holds "two threads: the same bits" same_run borne borne.2
cp fake.jpg bad.truncated/train/class03/00002.jpg
ends 1 "2 of this epoch's pictures cannot be read, and data.bad bears 1 .*bad_pictures.txt" "more than the share end it" \
    ./tokens train --data bad.truncated --out spent --threads 1
holds "and are listed" test "$(cut -f 1 spent/bad_pictures.txt | sort | tr '\n' ' ')" = \
    'train/class01/00001.jpg train/class03/00002.jpg '
ends 0 'done: best' "a larger share goes on" ./tokens train --resume --out spent --bad-pictures 0.05
ends 0 'done: best' "or bears them at once" ./tokens train --data bad.truncated --out borne.3 --bad-pictures 0.05 --threads 1
holds "with the same bits" same_run borne.3 spent

# Evaluated, they are wrong.
ends 0 'of 17 .*1 unreadable and so wrong' "eval counts them as wrong" ./tokens eval --data odd --weights $w --threads 1 \
    --per-class odd.csv --confusion odd.pairs
holds "and tells them" grep -q 'warning: odd: test/class01/00000.jpg: truncated JPEG.*counts as wrong' err
holds "so do the tables" sh -c "grep -q '^class01,(unreadable),1' odd.pairs && [ \$(awk -F, 'NR > 1 { n += \$5 } END { print n }' odd.csv) = 16 ]"
ends 0 '"images":17,"top1":[0-9]+,.*"bad":1}' "eval says so as JSON" ./tokens eval --data odd --weights $w --threads 1 --json
holds "and the table of classes adds up to it" test "$(field out top1) $(field out top5)" = \
    "$(awk -F , 'NR > 1 { a += $3; b += $4 } END { print a, b }' odd.csv)"
top1=$(field out top1)
rm odd/test/class01/00000.jpg
./tokens eval --data odd --weights $w --threads 1 --json >less
holds "no other picture counts otherwise" test "$top1" = "$(field less top1)"
cp truncated.jpg odd/test/class01/00000.jpg
ends 0 'unreadable' "so does the evaluation of a training" ./tokens train --data odd --out odd.run.2 --threads 1 --epochs 1
holds "in its metrics, too" grep -q '"eval":"val".*"images":17,.*"bad":1}' odd.run.2/metrics.jsonl

# Data that go away, and come back.
vanish() {
    ./tokens train --data gone --out gone.run --epochs 150 --threads 1 >gone.out 2>gone.err &
    pid=$!
    for _ in $(seq 200); do
        [ -s gone.run/metrics.jsonl ] && break
        sleep 0.02
    done
    mv gone away
    wait $pid
}
cp -r good gone
ends 1 '' "the data go away" vanish
holds "the folder is named" grep -q 'the data have gone: there is nothing left in gone/' gone.err
holds "what was learnt is saved" grep -q 'saved; then go on with' gone.err
holds "no picture is called bad" test ! -s gone.run/bad_pictures.txt
mv away gone
holds "they are back" ./tokens train --resume --out gone.run
./tokens train --data gone --out there.run --epochs 150 --threads 1 >/dev/null
holds "the same bits" same_run there.run gone.run

# Folders that are no data set.
data_error() {
    ends 1 "$3" "$1" ./tokens train --data "$2" --out "no.run.$count" --threads 1
}
cp -r good hollow
mkdir hollow/train/class99
data_error "an empty class folder" hollow "class folder 'class99' has no pictures"
cp -r good strange
mkdir strange/test/weasel
cp plain.jpg strange/test/weasel/
data_error "a class that training does not know" strange "class 'weasel' is not among the 4 classes"
ends 1 "do not know the class .weasel" "eval of a class that the weights do not know" \
    ./tokens eval --data strange --weights $w --threads 1
"$make_data" tree five 20 20 20 5
data_error "more classes than the network has" five '5 classes, but the program tells only 4 apart'
mkdir flat
cp plain.jpg flat/
data_error "no split at all" flat "neither a folder 'train'.*it has: plain.jpg"
mkdir -p loose/train loose/test
cp plain.jpg loose/train/
data_error "pictures without class folders" loose 'no class folders'
"$make_data" tree few 20 8 4 4
data_error "fewer pictures than a batch" few 'fewer than one batch of 32; take --batch'
data_error "no such folder" nowhere 'cannot open the data nowhere'
data_error "a picture in place of a tar" plain.jpg 'must be a tar'
head -c "$(($(wc -c <good.tar.gz) / 2))" good.tar.gz >cut.tar.gz
data_error "a tar.gz that is cut" cut.tar.gz 'cut|damaged'
tar cf good.tar good
head -c 40000 good.tar >cut.tar
data_error "a tar that is cut" cut.tar 'cut'
tar cf flat.tar flat
data_error "a tar without splits" flat.tar "no folder 'train'"
ln -s class00 good/train/link
tar cf link.tar good
data_error "a tar with a link to a class" link.tar 'link is a link.*--dereference'
rm good/train/link
ln -s 00000.jpg good/train/class00/link.jpg
tar cf link.tar good
data_error "a tar with a link to a picture" link.tar 'link.jpg is a link.*--dereference'
rm good/train/class00/link.jpg
"$make_data" idx gray 16 64 16 4
head -c 9000 gray/train-images-idx3-ubyte >gray/cut && mv gray/cut gray/train-images-idx3-ubyte
data_error "IDX files that are cut" gray 'get it again'
printf 'nothing' >gray/train-images-idx3-ubyte
data_error "IDX files that are none" gray 'IDX'
finish
