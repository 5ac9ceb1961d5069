#!/bin/sh
# Data as people have them: splits of other names, a folder too many, files that are no pictures, pictures that lie on their side.
. "$top_srcdir/tests/e2e/common.sh"

program "$here/tiny_tokens.vmoe" ./tokens
"$make_data" tree good 20 64 16 4
train() { ./tokens train --epochs 1 --threads 1 --set data.val=val "$@"; }

# Splits go by any of their names; only the test set stands in for a validation set, and that is told.
cp -r good split
mv split/train split/training
ends 0 '^note: split has no validation set, so its `test` stands in: .*--holdout 0.1 takes' "the test set stands in" \
    train --data split --out split.test --json --dry-run
cp -r good/test split/valid
rm split/valid/*/0001?.jpg
ends 0 'train on folder split, training: 64' "a validation set of another name" train --data split --out split.valid
holds "goes before it" grep -q 'evaluate on folder split, valid: 10 pictures' out
holds "which needs no note" sh -c '! grep "stands in" err'
holds "nor a mark in the run" sh -c '! grep stand_in split.valid/run.json'
ends 0 'evaluate on folder split, training: ' "nor a part of the training split" train --data split --holdout 0.2 --out split.held
holds "does either" sh -c '! grep "stands in" err'
ends 0 'evaluate on folder split, test' "nor the test set, if that is asked for" train --data split --set data.val=test --out split.asked
holds "does either" sh -c '! grep "stands in" err'

# A folder too many: told, and the advice works.
mkdir -p deep/train deep/val
cp -r good/train deep/train/data
cp -r good/test deep/val/data
ends 0 'warning: all 64 pictures of deep/train are of one class, `data`: .*; the 4 folders in its `data` look like classes' \
    "one class" train --data deep --out deep.run
holds "in the metrics" grep -q '^{"warning":"all 64 pictures of deep/train are of one class' deep.run/metrics.jsonl
holds "and the report" grep -q 'all 64 pictures of deep/train are of one class' deep.run/report.html
ends 0 'warning: all 64 pictures of deep/train' "check-data says so" ./tokens check-data --data deep --threads 1
ends 0 '^warning: all 64' "resumed, too" train --resume --out deep.run
holds "which is kept once" test "$(grep -c '"warning"' deep.run/metrics.jsonl)" = 1
ends 0 'train on folder deep/train/data: 56 pictures, 4 classes' "another --data" train --data deep/train/data --holdout 0.1 \
    --out deep.data
holds "needs no warning" sh -c '! grep warning: err'
for split in train val; do
    mv deep/$split/data/* deep/$split
    rmdir deep/$split/data
done
ends 0 'evaluate on folder deep, val: 16 pictures, 4 classes' "or folders that are moved up" train --data deep --out deep.moved
holds "need no warning" sh -c '! grep warning: err'
mkdir outer
cp -r good outer
ends 1 'it has: good; perhaps --data outer/good is meant' "a level too high" train --data outer --out none
ends 1 'perhaps --data outer/good is meant' "a level too low" train --data outer/good/train/class00 --out none

# Files that are no pictures: passed over, whatever takes the folder.
./tokens train --data good --out run --epochs 12 --threads 1 >/dev/null 2>&1
w=run/last.safetensors
./tokens eval --data good --weights $w --threads 1 --json >clean.json
./tokens predict --weights $w good/test --threads 1 >clean.rows
cp -r good odd
for file in odd/*/*/*.jpg; do
    printf '[ZoneTransfer]\nZoneId=3\n' >"$file:Zone.Identifier"
done
for folder in odd/test odd/test/class00 odd/train odd/train/class01; do
    printf 'all of them are mine\n' >$folder/README
    echo x >$folder/notes.txt
    mkdir $folder/lost+found $folder/@eaDir $folder/.ipynb_checkpoints
    cp good/test/class00/00000.jpg $folder/@eaDir/thumb.jpg
    cp good/test/class00/00000.jpg $folder/.ipynb_checkpoints/
    head -c 300 good/test/class00/00000.jpg >$folder/z.jpg.part
done
told='22 files are no pictures and were passed over: 00000.jpg:Zone.Identifier, 00001.jpg:Zone.Identifier, .*, \.\.\.$'
ends 0 "^note: folder odd, test: 16 pictures, 4 classes; $told" "eval" ./tokens eval --data odd --weights $w --threads 1 --json
holds "counts the pictures alone" cmp clean.json out
holds "and tells it once" test "$(grep -c 'passed over' err)" = 1
ends 0 "^note: $told" "predict of a folder" ./tokens predict --weights $w odd/test --threads 1
holds "has the rows of the pictures alone" sh -c "sed 's/^odd/good/' out | cmp clean.rows -"
ends 0 "$told" "predict --data" ./tokens predict --weights $w --data odd --split test --threads 1
holds "has them, too" test "$(wc -l <out)" = 16
ends 1 'odd/test/README: error: this is neither' "a file that is asked for is told" ./tokens predict --weights $w odd/test/README
ends 0 '"passed_over":{"files":70,"names":\["[^]]*"\]}.*"passed_over":{"files":22,' "check-data" ./tokens check-data --data odd --json \
    --threads 1
tar cf odd.tar -C odd .
ends 0 "^note: tar odd.tar, test: 16 pictures, 4 classes; $told" "a tar" ./tokens eval --data odd.tar --weights $w --threads 1 --json
holds "counts alike" cmp clean.json out
train --data good --out clean.run --set data.val=test >/dev/null 2>&1
for data in odd odd.tar; do
    train --data $data --out $data.run --set data.val=test >/dev/null 2>&1
    holds "$data: the same training" cmp clean.run/last.safetensors $data.run/last.safetensors
done
mkdir nothing
cp odd/test/README odd/test/notes.txt nothing
ends 1 'there are no pictures' "nothing but notes" ./tokens predict --weights $w nothing

# Pictures whose camera lay on its side: counted; turned only by predict, and only if it is asked to.
cp -r good side
"$make_data" picture plain upright.jpg 40
for n in 1 2 3 4 5 6 7 8; do
    "$make_data" orient upright.jpg side/train/class00/$n.jpg $n
done
ends 0 '^7 pictures have an EXIF orientation, by which only predict --exif' "check-data counts them" ./tokens check-data --data side \
    --threads 1
holds "and says which" grep -q '^  train/class00/6.jpg (orientation 6)$' out
ends 0 '"turned":\[{"picture":"train/class00/2.jpg","why":"orientation 2"},' "as JSON" ./tokens check-data --data side --json --threads 1
logits() { ./tokens predict --weights $w --logits --threads 1 "$@" | grep logits | sort; }
logits side/train/class00/[1-8].jpg >lying
holds "they are seen as they are stored" test "$(uniq lying | wc -l)" = 1
logits --exif side/train/class00/[1-8].jpg >turned
holds "with --exif as they were taken" test "$(uniq turned | wc -l)" = 8
logits --exif side/train/class00/1.jpg upright.jpg >both
holds "and as before where they are upright" test "$(cat both lying | uniq | wc -l)" = 1
./tokens predict --weights $w --data side --split train --exif --json --logits --threads 1 2>/dev/null |
    sed -n 's/.*class00\/\([1-8].jpg\).*"logits"/\1/p' | sort >of.data
./tokens predict --weights $w side/train/class00/[1-8].jpg --exif --json --logits --threads 1 |
    sed -n 's/.*class00\/\([1-8].jpg\).*"logits"/\1/p' | sort >of.files
holds "those of a data set, too" cmp of.files of.data
finish
