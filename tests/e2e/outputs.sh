#!/bin/sh
# What a command writes is never what it reads; links and devices are written through; what cannot be written is told first.
. "$top_srcdir/tests/e2e/common.sh"

program "$here/tiny_tokens.vmoe" ./net
"$make_data" tree data 20 64 24 4
./net train --data data --out run --epochs 1 --threads 2 >/dev/null
w=run/best.safetensors
eval_with() { ./net eval --data data --weights $w --threads 2 "$@"; }

# keeps FILE NAME COMMAND...: it ends with status 2, and the file is what it was.
keeps() {
    tap_file=$1
    shift
    cp "$tap_file" before
    ends 2 'would write over|would write into one|taken for a picture' "$@"
    holds "... and it is as before" cmp before "$tap_file"
}

# Inputs, by any path.
ln -s ../run/best.safetensors data/link.csv
ln run/best.safetensors hard.csv
printf 'class%02d\n' 0 1 2 3 >classes.map
echo '[]' >real.json
for table in per-class confusion; do
    keeps $w "--$table: the weights" eval_with --$table ./run/../$w
done
keeps $w "the weights by a link" eval_with --per-class data/link.csv
keeps $w "the weights by another name" eval_with --per-class hard.csv
keeps net "the program itself" eval_with --per-class "$work/net"
keeps classes.map "the map of classes" eval_with --class-map classes.map --per-class classes.map
keeps real.json "the ReaL labels" eval_with --real real.json --per-class ./real.json
rm data/link.csv

picture=$(find data/test -name '*.jpg' -o -name '*.png' | LC_ALL=C sort | head -1)
ln -s "$picture" picture.csv
ln "$picture" twin.csv
keeps "$picture" "a picture" eval_with --per-class "$picture"
keeps "$picture" "by a link" eval_with --per-class picture.csv
keeps "$picture" "by another name" eval_with --per-class twin.csv
ends 2 'taken for a picture' "a table in a class, which would be a picture" eval_with --per-class "$(dirname "$picture")/table"
holds "is not there" test ! -e "$(dirname "$picture")/table"
rm twin.csv
(cd data && tar cf ../data.tar train test)
keeps data.tar "an archive" ./net eval --data data.tar --weights $w --per-class data.tar
mkdir -p flat/val
for class in data/test/*; do
    for file in "$class"/*; do
        cp "$file" flat/val
        echo "$(basename "$file") $(basename "$class")"
    done
done >flat/val.txt
if ./net eval --data flat --weights $w >/dev/null 2>&1; then
    keeps flat/val.txt "labels" ./net eval --data flat --weights $w --per-class flat/val.txt
else
    skip "labels" "names of pictures are not of one class"
fi

# Two outputs.
keeps real.json "two tables that are one file" eval_with --per-class real.json --confusion ./real.json
ends 2 'would write into one file' "a file that is not there yet" eval_with --per-class a.csv --confusion ../"$(basename "$work")"/a.csv
holds "is not made" test ! -e a.csv
ln -s /dev/null null.csv
ends 0 top-1 "/dev/null takes two" eval_with --per-class null.csv --confusion ./null.csv
holds "by a link that stays one" test -h null.csv

# Written through. Devices by links of one's own: where this fails, nothing of /dev is lost.
ends 0 top-1 "a plain file" eval_with --per-class plain.csv
echo old >real.csv
chmod 640 real.csv
ln -s real.csv link.csv
ln -s to/come.csv dangling.csv
mkdir to
ln -s /proc/self/fd/1 stdout.csv
mkfifo pipe.csv
ends 0 top-1 "a link" eval_with --per-class link.csv
holds "stays one" test -h link.csv
holds "and its file is replaced" cmp plain.csv real.csv
holds "with its mode" test "$(stat -c %a real.csv)" = 640
ends 0 top-1 "a link to nothing" eval_with --per-class dangling.csv
holds "makes its file" cmp plain.csv to/come.csv
timeout 20 cat pipe.csv >piped &
ends 0 top-1 "a pipe" eval_with --per-class pipe.csv
wait
holds "has a reader" cmp plain.csv piped
holds "and stays a pipe" test -p pipe.csv
ends 0 top-1 "/dev/stdout" eval_with --per-class stdout.csv
holds "is followed by the result" test "$(head -5 out | cmp - plain.csv && sed 1,5d out | grep -c top-1)" = 1
sh -c "./net eval --data data --weights $w --per-class both.csv >both.csv 2>/dev/null"
holds "so is the file that stdout goes to" cmp out both.csv
ends 0 top-1 "a table alone by -" eval_with --per-class -
holds "the table" cmp out plain.csv
holds "the result beside it" grep -q '^folder data.* top-1' err
ends 0 '"images":24' "as JSON" eval_with --per-class - --json
holds "is beside it, too" grep -q '^{"images":24' err
ends 2 'would write into one file' "two tables by -" sh -c "./net eval --data data --weights $w --per-class - --confusion - | cat; exit 2"
holds "nothing is left of any" sh -c '! find . -name "*.tmp" | grep .'

# Told before the work begins, and before what is wrong later on.
early() { ends 1 "$1" "$2" ./net eval --data data --weights absent.safetensors --per-class "$3"; }
early 'cannot write nowhere/x.csv: No such file' "a folder that is not there" nowhere/x.csv
early 'cannot write to: it is a folder' "a folder" to
early 'cannot write : No such file' "a name that is empty" ""
mkdir closed
chmod a-w closed
if [ "$(id -u)" = 0 ]; then
    skip "a folder that may not be written to" "root may"
else
    early 'cannot write closed/x.csv: Permission denied' "a folder that may not be written to" closed/x.csv
fi
ends 1 'absent.safetensors' "what fails later" ./net eval --data data --weights absent.safetensors --per-class kept.csv
holds "leaves no table" test ! -e kept.csv
ends 2 'give one' "arguments come before a pipe" timeout 20 ./net eval --data data --weights $w --per-class pipe.csv --mask-classes --all-classes
ends 1 'nowhere/x.csv' "and so do folders" timeout 20 ./net eval --data data --weights $w --per-class pipe.csv --confusion nowhere/x.csv

# A run folder in the data would be a class of them.
inside() {
    name=$1
    shift
    find data/ "$work/bare" kept -ls 2>/dev/null >before
    ends 2 'would lie in the data' "a run folder: $name" ./net train --epochs 1 --threads 2 "$@"
    find data/ "$work/bare" kept -ls 2>/dev/null >after
    holds "... and nothing was made" cmp before after
}
ln -s data/train way
mkdir -p linked
ln -s ../data/train linked/train
ln -s ../data/test linked/val
inside "in the data" --data data --out data/run
inside "deeper" --data data --out data/train/new/run
inside "the data themselves" --data data --out data/.
inside "by a link" --data data --out way/run
inside "in a split by a link" --data linked --out data/train/run
inside "from within" --data . --out new
cp -r data/test bare
mkdir kept
cp -r data/test kept/state
inside "with the data in its state" --data kept/state --out kept
inside "among class folders" --data bare --out bare/run
holds "by default as well" sh -c 'cd bare && ! ../net train --data . --epochs 1 2>/dev/null && test ! -e runs'
ends 2 'set TMPDIR to a folder elsewhere' "a dry run" env TMPDIR="$work/bare" ./net train --data bare --dry-run
holds "leaves nothing, either" test "$(find bare -maxdepth 1 | wc -l)" = 5

# Files of a run folder that lead elsewhere.
more() { ./net train --data data --epochs 1 --threads 2 --out "$@"; }
cp -r run tied
ln -sf best.safetensors tied/last.safetensors
ends 1 'tied/last.safetensors is tied/best.safetensors, which would be lost' "weights that are others" more tied --resume
cp -r run gone
rm gone/best.safetensors
ln -s nothing gone/best.safetensors
ends 0 done "a link to nothing is no harm" more gone --resume
cp -r run lost
ln -sf "$work/data.tar" lost/analysis.json
ends 1 'lost/analysis.json is a file of the data' "the data" ./net train --data data.tar --epochs 2 --out lost --resume
cp -r run from
ends 1 'from/best.safetensors is what --weights names' "the weights to begin with" more from --resume --weights from/best.safetensors
cp -r run page
rm page/report.html
ln -s metrics.jsonl page/report.html
cp page/metrics.jsonl before
ends 1 'page/report.html is page/metrics.jsonl' "a page" ./net report --out page
holds "... and it is as before" cmp before page/metrics.jsonl
rm page/report.html
mkdir page/report.html
ends 1 'page/report.html: it is not a regular file' "that cannot be written" ./net report --out page
finish
